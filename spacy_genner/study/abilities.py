"""The fourth question of the study: what does tuning for NER change in the general
abilities of a model?

The base is compared with an adapter that is tuned for NER, with the same adapter
switched off, and with a control: an adapter that is tuned with the same settings on the
same texts to copy them without marks. The tasks are those of EleutherAI's evaluation
harness (`lm_eval`). Beside each score stands the length of the answers, because a
metric may reward short ones.
"""

import logging
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module, util
from pathlib import Path
from typing import Any, NamedTuple, cast

import spacy
from spacy.tokens import SpanGroup

from ..corpora.docbin import UNALIGNED, load_docs, write_docbin
from ..corpora.documents import ConversionCounts, WriteOptions
from ..errors import Errors
from ..io import check_place
from ..models.language_model import LanguageModel
from ..pipeline.loading import find_component, load_pipeline
from .answers import extraction_scores, mean_interval
from .stages import Stages, check_replaceable, checksum, training_seconds

BASE, NER, COPY, OFF = ROWS = ("base", "ner", "copy", "off")
SUMMARY = "abilities"
TASK_FOLDER = Path(__file__).parent / "tasks"
SAMPLES = 1000
_CORPORA = ("corpora.train.path", "corpora.dev.path")


class TaskInfo(NamedTuple):
    """A task.

    name (str): Its name in the harness.
    metric (str): The metric of a sample that is the score.
    filter (str | None): The filter of the answers; None for the only one.
    data (str | None): The folder of its local data below the data folder; None without
        local data.
    """

    name: str
    metric: str
    filter: str | None = None
    data: str | None = None


LOCAL = {
    "gsm8k_local": TaskInfo("genner_gsm8k", "exact_match", data="gsm8k"),
    "piqa": TaskInfo("genner_piqa", "acc", data="piqa"),
    "mmlu_redux": TaskInfo("genner_mmlu_redux", "acc", data="mmlu_redux"),
    "extractive": TaskInfo("genner_extractive", "f1"),
}
# The tasks of the study, which are downloaded from the hub.
HUB = {
    "mmlu": TaskInfo("mmlu", "acc"),
    "hellaswag": TaskInfo("hellaswag", "acc_norm"),
    "gsm8k": TaskInfo("gsm8k", "exact_match", "flexible-extract"),
    "truthfulqa": TaskInfo("truthfulqa_mc2", "acc"),
    "drop": TaskInfo("drop", "f1"),
}
TASKS = {**LOCAL, **HUB}


def require(library: str) -> Any:
    """Import a library of the extra `study`.

    library (str): The name of its module.
    RETURNS (ModuleType): The module.
    RAISES (ValueError): It is not installed.
    """
    if util.find_spec(library.partition(".")[0]) is None:
        raise ValueError(Errors.G947.format(library=library))
    return import_module(library)


@dataclass
class AbilitiesStudy:
    """The tasks, for each of the four models.

    ner (Path): The pipeline that was tuned for NER. The control is trained with the
        settings in its config.
    train (Path): The training documents of that pipeline (.spacy).
    data (Path): The folder with the local test data.
    stages (Stages): Keeps pipelines and results.
    corpus (Path): The folder for the training corpus of the control.
    tasks (Sequence[str]): The names of the tasks.
    limit (int): The number of questions of each task; 0 for all.
    seed (int): The seed of the samples and of the bootstrap.
    batch_size (int): The number of questions in a batch.
    """

    ner: Path
    train: Path
    data: Path
    stages: Stages
    corpus: Path
    tasks: Sequence[str] = tuple(LOCAL)
    limit: int = 100
    seed: int = 0
    batch_size: int = 8
    # The row, the network and the tokenizer that were used last.
    _made: tuple[str, Any, Any] = field(
        default=("", None, None), init=False, repr=False
    )

    def run(self) -> dict[str, Any]:
        """Train the control, run all tasks that have no result yet, and write the
        summary.

        RETURNS (dict[str, Any]): The summary: `scores`, for each task and model the
            score with its interval, and the length of the answers; `off_equals_base`,
            whether all answers of the adapter switched off equal those of the base;
            and the settings.
        RAISES (ValueError): A task is unknown or has no data, the harness is not
            installed, or a result belongs to other settings.
        """
        if not self.tasks:
            raise ValueError(Errors.G995.format(expected=", ".join(TASKS)))
        for name in self.tasks:
            if name not in TASKS:
                raise ValueError(
                    Errors.G950.format(found=name, expected=", ".join(TASKS))
                )
        require("lm_eval")
        self._check_data()
        self.stages.total = len(ROWS) * len(self.tasks) + 2
        control = self._train_control()
        results = {
            task: {row: self._answer(row, task, control) for row in ROWS}
            for task in self.tasks
        }
        return self.stages.result(
            SUMMARY, self._identity(), lambda: self._sum(results, control)
        )

    def clear(self) -> None:
        """Remove the results of an earlier run."""
        names = [self._stage(row, task) for row in ROWS for task in TASKS]
        self.stages.clear([*names, SUMMARY], [COPY])

    def _check_data(self) -> None:
        for name in self.tasks:
            folder = TASKS[name].data
            if folder is not None and not (self.data / folder).is_dir():
                path = self.data / folder
                reason = "it does not exist. Set data_dir to the folder above 'general'"
                raise ValueError(Errors.G945.format(path=path, reason=reason))

    def _identity(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "seed": self.seed,
            "tasks": list(self.tasks),
            "train": checksum([self.train]),
            "ner": self._ner_sum,
        }

    @cached_property
    def _ner_sum(self) -> str:
        return checksum([self.ner])

    @cached_property
    def _ner_nlp(self) -> Any:
        return load_pipeline(str(self.ner))

    def _train_control(self) -> Path:
        """Train an adapter on the same texts, without their spans."""
        check_replaceable(self.ner / "config.cfg", _CORPORA)
        nlp = self._ner_nlp
        component = find_component(nlp, str(self.ner))
        train = self.corpus / f"{COPY}.spacy"
        docs = list(load_docs(self.train, spacy.blank(nlp.lang).vocab))
        for doc in docs:
            doc.spans[component.key] = SpanGroup(doc, name=component.key)
            doc.user_data.pop(UNALIGNED, None)
        check_place(train)
        write_docbin(docs, train, WriteOptions(), ConversionCounts())
        overrides = dict.fromkeys(_CORPORA, str(train))
        with warnings.catch_warnings():
            # No document of the corpus has a span.
            warnings.filterwarnings("ignore", message=r"\[W30[13]\]")
            return self.stages.pipeline(
                COPY, {"ner": self._ner_sum}, self.ner / "config.cfg", overrides
            )

    # Answers

    def _stage(self, row: str, task: str) -> str:
        return f"{SUMMARY}/{row}-{task}"

    def _answer(self, row: str, task: str, control: Path) -> dict[str, Any]:
        identity = {
            "limit": self.limit,
            "seed": self.seed,
            "model": checksum([control]) if row == COPY else self._ner_sum,
        }

        def compute() -> dict[str, Any]:
            network, tokenizer = self._network(row, control)
            samples = answer_task(
                network,
                tokenizer,
                TASKS[task],
                {"folder": str(self.data), "limit": self.limit, "seed": self.seed},
                self.batch_size,
            )
            return {"samples": samples}

        return self.stages.result(self._stage(row, task), identity, compute)

    def _network(self, row: str, control: Path) -> tuple[Any, Any]:
        """The network of a row, and the tokenizer. The last network is kept."""
        if self._made[0] != row:
            self._made = ("", None, None)
            path = control if row == COPY else self.ner
            nlp = load_pipeline(str(path)) if row == COPY else self._ner_nlp
            lm = cast(LanguageModel, find_component(nlp, str(path)).lm)
            network = {
                BASE: lambda: lm.base.model,
                NER: lm.decoding_network,
                COPY: lm.decoding_network,
                OFF: lambda: switched_off(lm),
            }[row]()
            self._made = (row, network, lm.tokenizer)
        return self._made[1:]

    # The summary

    def _sum(
        self, results: dict[str, dict[str, dict[str, Any]]], control: Path
    ) -> dict[str, Any]:
        scores: dict[str, dict[str, Any]] = {}
        for task, rows in results.items():
            scores[task] = {
                row: summarize(result["samples"], SAMPLES, self.seed)
                for row, result in rows.items()
            }
        return {
            "limit": self.limit,
            "seed": self.seed,
            "scores": scores,
            "off_equals_base": {
                task: rows[OFF]["samples"] == rows[BASE]["samples"]
                for task, rows in results.items()
            },
            "seconds": {
                "training": training_seconds(control.parent),
                "evaluation": sum(
                    result["stage"]["seconds"]
                    for rows in results.values()
                    for result in rows.values()
                ),
            },
        }


def switched_off(lm: LanguageModel) -> Any:
    """Make a network with an adapter that is switched off. Its outputs are those of the
    base, bit for bit.

    lm (LanguageModel): The model with the adapter.
    RETURNS (PreTrainedModel): A causal language model in eval mode, on the tensors of
        the base.
    """
    from ..models.lora import lora_layers, unmerged

    network = unmerged(lm.training_network)
    for layer in lora_layers(network, all_kinds=True).values():
        layer.enable_adapters(False)
    return network


def answer_task(
    network: Any,
    tokenizer: Any,
    task: TaskInfo,
    settings: dict[str, Any],
    batch_size: int = 8,
) -> list[dict[str, Any]]:
    """Let a network answer the questions of a task.

    network (PreTrainedModel): A causal language model.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    task (TaskInfo): The task.
    settings (dict[str, Any]): The `folder` of local data, the `limit` of questions and
        the `seed`.
    batch_size (int): The number of questions in a batch.
    RETURNS (list[dict[str, Any]]): For each question, in order, its `score`, the
        `answer`, the number of its `words`, and for extractive questions further
        scores. For a choice, the answer is the option that the network prefers, and
        `logits` the log-likelihoods of all options.
    RAISES (ValueError): The harness is not installed, or the data can't be loaded.
    """
    require("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    for name in ("lm_eval", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    local = task.name.startswith("genner_")
    with warnings.catch_warnings():
        # Libraries that the harness uses warn of their own future changes.
        warnings.simplefilter("ignore")
        model = HFLM(
            pretrained=network, tokenizer=tokenizer, batch_size=batch_size or 1
        )
        manager = TaskManager(
            include_path=str(TASK_FOLDER),
            include_defaults=not local,
            metadata=settings if local else None,
        )
        try:
            found = simple_evaluate(
                model=model,
                tasks=[task.name],
                task_manager=manager,
                limit=None if local else settings["limit"] or None,
                # The intervals are computed here.
                bootstrap_iters=0,
                random_seed=settings["seed"],
                numpy_random_seed=settings["seed"],
                torch_random_seed=settings["seed"],
                fewshot_random_seed=settings["seed"],
            )
        except Exception as error:
            # The libraries raise many kinds of errors for data that are not there.
            if local:
                raise
            raise ValueError(
                Errors.G946.format(
                    task=task.name,
                    reason=" ".join(str(error).split())[:200],
                    local=", ".join(LOCAL),
                )
            ) from error
    assert found is not None
    return [
        _read_sample(task, sample)
        for _, samples in sorted(found["samples"].items())
        for sample in sorted(samples, key=lambda each: each["doc_id"])
        if task.filter in (None, sample.get("filter"))
    ]


def _read_sample(task: TaskInfo, sample: dict[str, Any]) -> dict[str, Any]:
    score = sample[task.metric]
    # A metric may come with its weight.
    made: dict[str, Any] = {"score": float(_first(score))}
    responses = [each[0] for each in sample["resps"]]
    if isinstance(responses[0], str):
        made["answer"] = responses[0].strip()
        if task.name == "genner_extractive":
            references = sample["doc"]["answers"]
            made |= extraction_scores(made["answer"], references)
    else:
        made["logits"] = [float(response[0]) for response in responses]
        best = max(range(len(responses)), key=made["logits"].__getitem__)
        # A request is the question and an option.
        made["answer"] = str(sample["arguments"][best][-1]).strip()
    made["words"] = len(made["answer"].split())
    return made


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def summarize(
    samples: Sequence[dict[str, Any]], draws: int, seed: int
) -> dict[str, Any]:
    """Summarize the answers of a network to a task.

    samples (Sequence[dict[str, Any]]): The result of `answer_task`.
    draws (int): The number of draws of the bootstrap.
    seed (int): Its seed.
    RETURNS (dict[str, Any]): `questions`, their number; `score`, from 0 to 1, with its
        95 % interval, `low` and `high`; `words`, the mean length of an answer; and the
        means of `f1_cut`, `em` and `contains` for extractive questions.
    """
    values = [each["score"] for each in samples]
    low, high = mean_interval(values, draws, seed)
    result = {
        "questions": len(samples),
        "score": _mean(values),
        "low": low,
        "high": high,
        "words": _mean(each["words"] for each in samples),
    }
    for key in ("f1_cut", "em", "contains"):
        if key in samples[0]:
            result[key] = _mean(each[key] for each in samples)
    return result


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
