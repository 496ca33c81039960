"""The third question of the study: does a tuned model recognize entities, or has it
memorized labels and mentions?

A pipeline that was trained as usual, the plain run, is compared with others that were
trained with the same settings on the same texts with other labels, and is asked with
other labels, for other mentions, and without contexts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.convert import DocMaker
from ..corpora.docbin import load_docs, read_docbin, write_docbin
from ..corpora.documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
)
from ..corpora.label_sets import set_label_set
from ..errors import Errors
from ..evaluation.breakdowns import MENTION_KINDS, Mentions, read_mentions
from ..evaluation.evaluate import SAMPLES, check_gold
from ..evaluation.records import SPANS_SUFFIX, Annotation, read_annotations
from ..evaluation.scores import Counts, document_counts
from ..evaluation.significance import bootstrap_interval, paired_bootstrap
from ..formats import CharSpan
from ..io import write_json
from ..pipeline.loading import find_component, load_pipeline
from .label_changes import (
    Labels,
    as_letters,
    assign,
    exchanged,
    make_palette,
    rename,
    reordered,
    without_definitions,
)
from .scores import score_pipeline
from .stages import Stages, check_replaceable, checksum, training_seconds
from .text_changes import (
    Changed,
    held_out_mentions,
    mask_contexts,
    random_mentions,
    swap_mentions,
)

PLAIN, SHUFFLED = "plain", "shuffled"
# The number of label sets of the training with shuffled labels.
PALETTE = 8
# The trainings on the same texts with other labels.
TRAININGS = ("no_definitions", "letters", "letters_no_definitions", SHUFFLED)
# The other labels that a tuned adapter is asked with.
ASKED = ("reordered", "renamed", "exchanged")
# The changes of the test texts.
TEXTS = ("swapped", "random", "masked")
RUNS = (
    PLAIN,
    *TRAININGS,
    *(f"{adapter}_{asked}" for adapter in (PLAIN, SHUFFLED) for asked in ASKED),
    *TEXTS,
)
SUMMARY = "memorisation"
_CORPORA = ("corpora.train.path", "corpora.dev.path")


@dataclass
class MemorisationStudy:
    """The runs on one corpus.

    plain (Path): The pipeline of the plain run, with labels that have definitions.
        The other pipelines are trained with the settings in its config.
    train (Path): The training documents of the plain run (.spacy).
    test (Path): The test documents (.spacy).
    held_out (Path): Further documents (.spacy), whose mentions replace those of the
        test documents.
    stages (Stages): Keeps pipelines and results.
    corpus (Path): The folder for the changed corpora.
    name (str): The name of the corpus.
    seed (int): The seed of the changes and of the bootstrap.
    """

    plain: Path
    train: Path
    test: Path
    held_out: Path
    stages: Stages
    corpus: Path
    name: str = "corpus"
    seed: int = 0
    # The pipeline that was used last.
    _loaded: tuple[Path, Language] | None = field(default=None, init=False, repr=False)
    _read: dict[Path, list[Annotated]] = field(
        default_factory=dict, init=False, repr=False
    )

    def run(self) -> dict[str, Any]:
        """Make all runs that have no result yet, and write the summary.

        RETURNS (dict[str, Any]): The summary: `name`, `seed` and the sizes of the
            corpus; `runs`, for each run the scores with their intervals and the
            difference from the plain run; `recall`, for each kind of mention;
            `replaced` and `kept`, the numbers of mentions of the changed texts; and
            `seconds`, the time of each training.
        RAISES (ValueError): The labels of the plain run have no definitions, a corpus
            is not annotated, or a result belongs to other settings.
        """
        check_gold(list(load_docs(self.test, spacy.blank("xx").vocab)), self.key)
        self._check_plain()
        self.stages.total = len(RUNS) + len(TRAININGS) + 1
        found = {PLAIN: self._evaluate(PLAIN, self.plain)}
        for name in TRAININGS:
            pipeline = self._train(name)
            found[name] = self._evaluate(name, pipeline, *self._asked(name))
        for adapter in (PLAIN, SHUFFLED):
            pipeline = self.plain if adapter == PLAIN else self._pipeline(SHUFFLED)
            for asked in ASKED:
                name = f"{adapter}_{asked}"
                found[name] = self._evaluate(name, pipeline, *self._asked(asked))
        for name in TEXTS:
            found[name] = self._evaluate(name, self.plain, self._changed(name).texts)
        return self.stages.result(SUMMARY, self._identity(), lambda: self._sum(found))

    def clear(self) -> None:
        """Remove the results of an earlier run."""
        self.stages.clear([*map(self._stage, RUNS), SUMMARY], TRAININGS)

    # The plain run

    @cached_property
    def _nlp(self) -> Language:
        return load_pipeline(str(self.plain))

    @cached_property
    def key(self) -> str:
        """RETURNS (str): The group of `doc.spans` with the spans."""
        return str(self._component(self._nlp).key)

    @cached_property
    def labels(self) -> Labels:
        """RETURNS (dict[str, str]): The labels of the plain run and their
        definitions."""
        found = self._component(self._nlp).label_data
        return dict(found) if isinstance(found, dict) else dict.fromkeys(found, "")

    def _component(self, nlp: Language) -> Any:
        return find_component(nlp, str(self.plain))

    @cached_property
    def _place(self) -> str:
        """The name of the component in the pipeline."""
        component = self._component(self._nlp)
        return next(name for name, pipe in self._nlp.pipeline if pipe is component)

    def _check_plain(self) -> None:
        """Check what the other runs need, before any of them takes time."""
        keys = (*_CORPORA, f"initialize.components.{self._place}.labels.path")
        check_replaceable(self.plain / "config.cfg", keys)
        lacking = [label for label, text in self.labels.items() if not text]
        if lacking:
            raise ValueError(Errors.G944.format(path=self.plain, found=lacking))
        exchanged(self.labels)

    @cached_property
    def _mentions(self) -> Mentions:
        return read_mentions(self.train, self.key)

    def _texts(self, path: Path) -> list[Annotated]:
        if path not in self._read:
            options = ConvertOptions(spans_key=self.key)
            self._read[path] = list(read_docbin(path, options))
        return self._read[path]

    def _identity(self) -> dict[str, Any]:
        return {"seed": self.seed, "corpora": self._corpora, "plain": self._plain_sum}

    @cached_property
    def _corpora(self) -> str:
        return checksum([self.train, self.test, self.held_out])

    @cached_property
    def _plain_sum(self) -> str:
        return checksum([self.plain])

    # The other trainings

    def _pipeline(self, name: str) -> Path:
        return self.stages.training / name / "model-last"

    def _train(self, name: str) -> Path:
        train, labels = self.corpus / f"{name}.spacy", self.corpus / f"{name}.json"
        self._write_training_corpus(name, train, labels)
        overrides: dict[str, Any] = {
            # The dev corpus has the plain labels, and selects nothing.
            **dict.fromkeys(_CORPORA, str(train)),
            f"initialize.components.{self._place}.labels.path": str(labels),
        }
        # The draft head belongs to fixed labels, in a fixed order.
        if name == SHUFFLED:
            overrides[f"components.{self._place}.model.draft_head"] = False
        return self.stages.pipeline(
            name, self._identity(), self.plain / "config.cfg", overrides
        )

    def _write_training_corpus(self, name: str, train: Path, labels: Path) -> None:
        texts = self._texts(self.train)
        if name == SHUFFLED:
            palette = make_palette(self.labels, PALETTE, self.seed)
            pairs = list(assign(texts, palette, self.seed))
            docs = self._docs([text for text, _ in pairs])
            for doc, (_, own) in zip(docs, pairs, strict=True):
                set_label_set(doc, own)
            asked = self.labels
        else:
            asked, names = self._training_labels(name)
            docs = self._docs(rename(texts, names))
        write_docbin(docs, train, WriteOptions(), ConversionCounts())
        write_json(labels, asked)

    def _training_labels(self, name: str) -> tuple[Labels, Mapping[str, str]]:
        """The labels of a training, and the name of each label in it."""
        same = {label: label for label in self.labels}
        letters = as_letters(self.labels)
        return {
            "no_definitions": (without_definitions(self.labels), same),
            "letters": (letters.labels, letters.names),
            "letters_no_definitions": (
                without_definitions(letters.labels),
                letters.names,
            ),
            SHUFFLED: (self.labels, same),
        }[name]

    # The test documents

    def _asked(
        self, name: str
    ) -> tuple[Sequence[Annotated], Labels | None, Mapping[str, str]]:
        """The test texts of a run; the labels in its prompt, or None for those that the
        pipeline was trained with; and the plain label of each."""
        texts = self._texts(self.test)
        if name in TRAININGS:
            _, names = self._training_labels(name)
            # A pipeline with label sets of its documents is asked with the plain one.
            labels = self.labels if name == SHUFFLED else None
        elif name == "reordered":
            labels, names = reordered(self.labels), {each: each for each in self.labels}
        else:
            make = {"renamed": as_letters, "exchanged": exchanged}[name]
            names, labels = make(self.labels)
        plain = {other: label for label, other in names.items()}
        return list(rename(texts, names)), labels, plain

    def _changed(self, name: str) -> Changed:
        texts = self._texts(self.test)
        if name == "swapped":
            # Test mentions that training has not seen are held out, too.
            sources = [*self._texts(self.held_out), *texts]
            pool = held_out_mentions(sources, self._mentions)
            return swap_mentions(texts, pool, self.seed)
        if name == "random":
            return random_mentions(texts, self.seed)
        return Changed(mask_contexts(texts), 0, 0)

    def _docs(self, texts: Iterable[Annotated]) -> list[Doc]:
        return list(self._maker(texts))

    @cached_property
    def _maker(self) -> DocMaker:
        maker = DocMaker(str(self._nlp.lang), self.key)
        maker.nlp.tokenizer = self._nlp.tokenizer
        return maker

    # Evaluation

    def _evaluate(
        self,
        name: str,
        pipeline: Path,
        texts: Sequence[Annotated] | None = None,
        labels: Labels | None = None,
        plain_names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        identity = {**self._identity(), "pipeline": checksum([pipeline])}

        def compute() -> tuple[dict[str, Any], list[Annotation]]:
            nlp = self._load(pipeline)
            docs = self._docs(self._texts(self.test) if texts is None else texts)
            for doc in docs:
                set_label_set(doc, labels)
            result, rows = score_pipeline(
                nlp,
                docs,
                self.key,
                name=str(pipeline),
                data=str(self.test),
                seed=self.seed,
                mentions=self._mentions if name == PLAIN else None,
            )
            if name.endswith("exchanged") and plain_names is not None:
                result["habit"] = habit_scores(rows, plain_names, self.seed)
            return result, rows

        return self.stages.result(self._stage(name), identity, compute)

    def _load(self, pipeline: Path) -> Language:
        """Load a pipeline. The last one is kept: several runs follow that share it."""
        if pipeline == self.plain:
            return self._nlp
        if self._loaded is None or self._loaded[0] != pipeline:
            self._loaded = None
            self._loaded = (pipeline, load_pipeline(str(pipeline)))
        return self._loaded[1]

    def _stage(self, name: str) -> str:
        return f"{SUMMARY}/{name}"

    def _rows(self, name: str) -> list[Annotation]:
        path = self.stages.results / f"{self._stage(name)}{SPANS_SUFFIX}"
        return list(read_annotations(path))

    # The summary

    def _sum(self, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        plain = [document_counts(row.gold, row.predicted) for row in self._rows(PLAIN)]
        runs = {}
        for name, result in found.items():
            row = score_row(result)
            if "habit" in result:
                row["habit"] = result["habit"]
            if name != PLAIN:
                counts = [
                    document_counts(each.gold, each.predicted)
                    for each in self._rows(name)
                ]
                row["against_plain"] = paired_bootstrap(
                    counts, plain, SAMPLES, self.seed
                )
            runs[name] = row
        changes = {name: self._changed(name) for name in TEXTS}
        folders = {name: self.stages.training / name for name in TRAININGS}
        return {
            "name": self.name,
            "seed": self.seed,
            "train_documents": len(self._texts(self.train)),
            "test_documents": len(plain),
            "labels": self.labels,
            "runs": runs,
            "recall": recall_by_kind(self._rows(PLAIN), self._mentions, self.seed),
            "replaced": {name: each.replaced for name, each in changes.items()},
            "kept": {name: each.kept for name, each in changes.items()},
            "seconds": {
                "training": sum(map(training_seconds, folders.values())),
                "evaluation": sum(each["run"]["seconds"] for each in found.values()),
            },
        }


def score_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Select the scores of an evaluation that a table shows.

    result (Mapping[str, Any]): The result of `evaluate`.
    RETURNS (dict[str, Any]): `f`, `low`, `high`, `p` and `r`, from 0 to 1, and the
        counts `gold`, `predicted` and `correct`.
    """
    return {
        "f": result["micro_f"],
        "low": result["interval"]["low"],
        "high": result["interval"]["high"],
        "p": result["micro_p"],
        "r": result["micro_r"],
        **{key: result[key] for key in ("gold", "predicted", "correct")},
    }


def habit_scores(
    rows: Sequence[Annotation], plain_names: Mapping[str, str], seed: int
) -> dict[str, float]:
    """Score a model that was asked with exchanged names as if they had their usual
    meaning.

    rows (Sequence[Annotation]): The documents, with the exchanged names.
    plain_names (Mapping[str, str]): The label that each exchanged name stands for.
    seed (int): The seed of the bootstrap.
    RETURNS (dict[str, float]): `f`, and its 95 % interval, `low` and `high`.
    """
    counts = [
        document_counts(
            [span._replace(label=plain_names[span.label]) for span in row.gold],
            row.predicted,
        )
        for row in rows
    ]
    return _scores(counts, seed)


def recall_by_kind(
    rows: Sequence[Annotation], mentions: Mentions, seed: int
) -> dict[str, dict[str, float]]:
    """Score the recall of gold spans whose text training has seen with their label,
    with other labels only, and never.

    rows (Sequence[Annotation]): The documents.
    mentions (Mentions): The mentions of the training data.
    seed (int): The seed of the bootstrap.
    RETURNS (dict[str, dict[str, float]]): For each kind, `r` with its 95 % interval,
        `low` and `high`, and the counts `gold` and `correct`.
    """

    def count(row: Annotation, kind: str) -> Counts:
        gold = {span for span in row.gold if _kind(row, span, mentions) == kind}
        # With as many predictions as gold spans, F1 equals recall.
        return Counts(len(gold), len(gold), len(gold & set(row.predicted)))

    result = {}
    for kind in MENTION_KINDS:
        counts = [count(row, kind) for row in rows]
        scores = _scores(counts, seed)
        result[kind] = {
            "r": scores["f"],
            "low": scores["low"],
            "high": scores["high"],
            "gold": sum(each.gold for each in counts),
            "correct": sum(each.correct for each in counts),
        }
    return result


def _kind(row: Annotation, span: CharSpan, mentions: Mentions) -> str:
    return mentions.kind(row.text[span.start : span.end], span.label)


def _scores(counts: Sequence[Counts], seed: int) -> dict[str, float]:
    gold, predicted, correct = map(sum, zip(*counts, strict=True))
    low, high = bootstrap_interval(counts, SAMPLES, seed)
    return {"f": 2 * correct / max(1, gold + predicted), "low": low, "high": high}
