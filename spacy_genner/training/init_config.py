"""Write a training config that fits the data and the machine."""

import json
import random
import warnings
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import jinja2
import spacy
from spacy import util
from spacy.language import Language
from spacy.pipeline.sentencizer import Sentencizer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer

from ..corpora.docbin import load_docs, unaligned_spans
from ..errors import Errors, GennerWarning
from ..formats import CharSpan, crossings, get_format
from ..io import check_place, replaced_file
from .loop import epoch_sizes, read_labels_file

# The first step pays for what is made once.
WARM_UP = 1
MOST_STEPS = 6
MOST_DOCS = 24
# After so long no further step or document is begun.
MOST_SECONDS = 20.0
MEASURE_SAMPLE = 200


@dataclass(frozen=True)
class Speed:
    """What was measured.

    step_seconds (float): A training step.
    doc_seconds (float): The annotation of a document.
    steps (int): Steps that were timed.
    docs (int): Documents that were timed.
    batch_words (int): Words in a batch of the wanted number of tokens.
    doc_words (float): Words of a document, on average.
    doc_tokens (float): Tokens of input and output of a document, on average.
    device (str): The device.
    dtype (str): The dtype.
    threads (int): torch's threads.
    """

    step_seconds: float
    doc_seconds: float
    steps: int
    docs: int
    batch_words: int
    doc_words: float
    doc_tokens: float
    device: str
    dtype: str
    threads: int


def measure_speed(
    config: Config, batch_tokens: int, name: str = "generative_ner"
) -> Speed:
    """Time a few training steps and a few documents.

    config (Config): A training config, not interpolated.
    batch_tokens (int): Tokens that a batch should have.
    name (str): The component.
    RETURNS (Speed): What was measured.
    """
    with warnings.catch_warnings():
        # Training itself warns of what there is to warn of.
        warnings.simplefilter("ignore", GennerWarning)
        return _measured(config, batch_tokens, name)


def _measured(config: Config, batch_tokens: int, name: str) -> Speed:
    import torch

    nlp = init_nlp(config)
    settings = nlp.config.interpolate()["training"]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(nlp.config.interpolate(), corpora)
    examples = list(train(nlp))
    random.Random(0).shuffle(examples)
    pipe: Any = nlp.get_pipe(name)
    words, tokens = _sizes(nlp, name, examples[:MEASURE_SAMPLE])
    batch_words = max(1, round(batch_tokens * words / tokens))
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    step_seconds, steps = _time_steps(nlp, name, optimizer, examples, batch_words)
    docs = [example.predicted for example in islice(dev(nlp), MEASURE_SAMPLE)]
    random.Random(0).shuffle(docs)
    doc_seconds, timed = _time_docs(nlp, docs[:MOST_DOCS])
    sampled = len(examples[:MEASURE_SAMPLE])
    return Speed(
        step_seconds,
        doc_seconds,
        steps,
        timed,
        batch_words,
        words / sampled,
        tokens / sampled,
        str(pipe.lm.device),
        str(pipe.lm.dtype).replace("torch.", ""),
        torch.get_num_threads(),
    )


def _sizes(nlp: Language, name: str, examples: list[Example]) -> tuple[int, int]:
    """Words and tokens of some examples, which are annotated with sentences."""
    pipe: Any = nlp.get_pipe(name)
    before = nlp.pipe_names[: nlp.pipe_names.index(name)]
    for example in examples:
        for other in before:
            example.predicted = nlp.get_pipe(other)(example.predicted)
    rows = pipe.predictor.target_builder(pipe.key, "drop").rows(examples)
    return sum(map(len, examples)), sum(map(len, rows))


def _time_steps(
    nlp: Language,
    name: str,
    optimizer: Optimizer,
    examples: list[Example],
    batch_words: int,
) -> tuple[float, int]:
    pipe: Any = nlp.get_pipe(name)
    batches = registry.batchers.get("spacy.batch_by_padded.v1")(
        size=batch_words, buffer=256, discard_oversize=False
    )
    # Long ones come first in a buffer: a step's time is that of the average one.
    chosen = list(batches(examples))
    random.Random(0).shuffle(chosen)
    others = [each for each in nlp.pipe_names if each != name]
    spent: list[float] = []
    for batch in islice(chosen * (WARM_UP + MOST_STEPS), WARM_UP + MOST_STEPS):
        started = perf_counter()
        # What `spacy train` does in a step; other components annotate alone.
        nlp.update(batch, sgd=False, exclude=others, annotates=others)  # type: ignore[arg-type]
        pipe.finish_update(optimizer)
        spent.append(perf_counter() - started)
        if len(spent) > WARM_UP and sum(spent) > MOST_SECONDS:
            break
    timed = spent[WARM_UP:]
    return sum(timed) / len(timed), len(timed)


def _time_docs(nlp: Language, docs: list[Any]) -> tuple[float, int]:
    # What is made once, such as merged weights, is no document's time.
    list(nlp.pipe([docs[0].copy()]))
    done = 0
    started = perf_counter()
    while docs[done:]:
        # Together, as an evaluation decodes them.
        part = docs[done : done + 8]
        for _ in nlp.pipe([doc.copy() for doc in part]):
            done += 1
        if perf_counter() - started > MOST_SECONDS:
            break
    return (perf_counter() - started) / done, done


BATCH_TOKENS = 2048
EPOCHS = 2
# The part of the time that evaluations take, about.
EVALUATION_SHARE = 0.1
EVALUATIONS = (10, 8, 6, 5, 4, 3, 2)
# Fewer documents than these say little about a model.
FEW_DOCS = 100
TOKENIZERS = ("spacy.Tokenizer.v1", "spacy-genner.FineTokenizer.v1")
SAMPLE = 300


@dataclass(frozen=True)
class CorpusFacts:
    """What a config takes from a corpus.

    docs (int): Documents.
    spans (int): Reference spans.
    spans_key (str): The group of `doc.spans` that holds them.
    labels (List[str]): Their labels, sorted.
    lines (bool): Whether documents hold several lines.
    unsayable (int): Spans that brackets can't say.
    tokenizer (str): The one whose tokens fit the spans, as it is registered.
    """

    docs: int
    spans: int
    spans_key: str
    labels: list[str]
    lines: bool
    unsayable: int
    tokenizer: str


@dataclass(frozen=True)
class Plan:
    """When to stop and when to evaluate.

    max_steps (int): The last step, a whole number of `eval_frequency`.
    eval_frequency (int): Steps between evaluations.
    limit (int): Documents of an evaluation; 0 for all.
    seconds (float): How long it all takes by what was measured.
    """

    max_steps: int
    eval_frequency: int
    limit: int
    seconds: float


@dataclass(frozen=True)
class Written:
    """What `write_config` has done.

    path (Path): The config.
    facts (CorpusFacts): What the corpus holds.
    speed (Speed): What was measured.
    plan (Plan): What the budget allows.
    notes (List[str]): All of it in words, as the config's head has it.
    """

    path: Path
    facts: CorpusFacts
    speed: Speed
    plan: Plan
    notes: list[str] = field(default_factory=list)


def write_config(
    corpus_path: Path,
    output_path: Path,
    base: str,
    *,
    dev_path: Path,
    minutes: float | None = None,
    steps: int | None = None,
    spans_key: str | None = None,
    lang: str = "en",
    revision: str | None = None,
    labels_path: Path | None = None,
) -> Written:
    """Write a training config.

    A few steps of real training and a few documents of real annotation are timed on
    this machine.

    corpus_path (Path): The training corpus, a `.spacy` file.
    output_path (Path): The config to write.
    base (str): The base model's name.
    dev_path (Path): The development corpus.
    minutes (Optional[float]): How long training may take with its evaluations.
    steps (Optional[int]): How many steps it makes; without either, two epochs.
    spans_key (Optional[str]): The group of `doc.spans`; None for the only one.
    lang (str): The language, as a code.
    revision (Optional[str]): The base's revision.
    labels_path (Optional[Path]): A JSON file of labels with definitions.
    RETURNS (Written): What was found, measured and planned.
    RAISES (ValueError): The corpus or the labels can't be used, or the base can't be
        had.
    RAISES (OSError): The config can't be written there.
    """
    if minutes is not None and steps is not None:
        raise ValueError(Errors.G318.format())
    for name, value in (("minutes", minutes), ("steps", steps)):
        if value is not None and value <= 0:
            raise ValueError(Errors.G319.format(name=name, found=value))
    # Before a base is loaded and timed.
    if labels_path is not None:
        read_labels_file(Path(labels_path), "'labels'")
    check_place(Path(output_path))
    facts = read_facts(Path(corpus_path), spans_key, lang)
    dev_docs = sum(1 for _ in load_docs(Path(dev_path), spacy.blank(lang).vocab))
    if not dev_docs:
        raise ValueError(Errors.G504.format(path=dev_path, name="docbin"))
    values = _values(facts, base, corpus_path, dev_path, lang, revision, labels_path)
    config = Config().from_str(_render(values), interpolate=False)
    speed = measure_speed(config, BATCH_TOKENS)
    values["batch_words"] = speed.batch_words
    config = Config().from_str(_render(values), interpolate=False)
    if minutes is None and steps is None:
        nlp = util.load_model_from_config(config, auto_fill=True)
        steps = len(epoch_sizes(nlp, EPOCHS))
    plan = make_plan(speed, dev_docs, minutes, steps)
    values["max_steps"] = plan.max_steps
    values["eval_frequency"] = plan.eval_frequency
    values["total_steps"] = plan.max_steps + 1
    values["limit"] = plan.limit
    values["notes"] = notes = _notes(facts, speed, plan, base, dev_docs)
    with replaced_file(Path(output_path)) as fresh:
        fresh.write_text(_render(values), encoding="utf8")
    return Written(Path(output_path), facts, speed, plan, notes)


def make_plan(
    speed: Speed, dev_docs: int, minutes: float | None, steps: int | None
) -> Plan:
    """Share a budget between training and evaluation.

    speed (Speed): How long a step and a document take.
    dev_docs (int): The development documents there are.
    minutes (Optional[float]): The budget as time.
    steps (Optional[int]): The budget as steps, where there is none of time.
    RETURNS (Plan): The plan.
    """
    training = 1.0 - EVALUATION_SHARE
    if minutes is not None:
        steps = int(60 * minutes * training / speed.step_seconds)
    steps = max(1, steps or 0)
    budget = steps * speed.step_seconds * EVALUATION_SHARE / training
    for evaluations in EVALUATIONS:
        # spaCy evaluates after step 0, too.
        limit = int(budget / ((evaluations + 1) * speed.doc_seconds))
        if limit >= min(dev_docs, FEW_DOCS) and evaluations <= steps:
            break
    else:
        evaluations = 1
        limit = int(budget / (2 * speed.doc_seconds))
    limit = min(max(limit, min(dev_docs, FEW_DOCS // 5)), dev_docs)
    frequency = max(1, steps // evaluations)
    max_steps = frequency * evaluations
    seconds = (max_steps + 1) * speed.step_seconds
    seconds += (evaluations + 1) * limit * speed.doc_seconds
    return Plan(max_steps, frequency, 0 if limit == dev_docs else limit, seconds)


def read_facts(path: Path, spans_key: str | None, lang: str) -> CorpusFacts:
    """Read what a config takes from a corpus.

    path (Path): The `.spacy` file.
    spans_key (Optional[str]): The group of `doc.spans`; None for the only one.
    lang (str): The language, as a code.
    RETURNS (CorpusFacts): The facts.
    RAISES (ValueError): There are no documents, no spans or several groups.
    """
    docs = list(load_docs(path, spacy.blank(lang).vocab))
    if not docs:
        raise ValueError(Errors.G504.format(path=path, name="docbin"))
    keys = Counter(key for doc in docs for key in doc.spans if len(doc.spans[key]))
    if spans_key is None:
        if len(keys) != 1:
            raise ValueError(Errors.G320.format(path=path, found=sorted(keys)))
        (spans_key,) = keys
    fmt = get_format("inline_bracketed")
    labels: set[str] = set()
    count = unsayable = 0
    for doc in docs:
        spans = _char_spans(doc, spans_key)
        count += len(spans)
        labels.update(span.label for span in spans)
        crossed = crossings(spans)
        unsayable += len(crossed)
        if not crossed:
            unsayable += len(fmt.unsayable(doc.text, spans))
    if not labels:
        raise ValueError(Errors.G307.format(key=spans_key))
    lines = sum("\n" in doc.text.strip() for doc in docs) * 2 >= len(docs)
    tokenizer = min(
        TOKENIZERS, key=lambda name: _off_grid(docs[:SAMPLE], spans_key, name, lang)
    )
    return CorpusFacts(
        len(docs), count, spans_key, sorted(labels), lines, unsayable, tokenizer
    )


def _char_spans(doc: Doc, key: str) -> list[CharSpan]:
    group = doc.spans[key] if key in doc.spans else ()
    spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in group]
    return spans + unaligned_spans(doc)


def _off_grid(docs: list[Doc], key: str, tokenizer: str, lang: str) -> int:
    """How many spans no boundary of a tokenizer fits."""
    settings = {"nlp": {"tokenizer": {"@tokenizers": tokenizer}}}
    nlp = spacy.blank(lang, config=settings)
    lost = 0
    for doc in docs:
        made = nlp.make_doc(doc.text)
        for span in _char_spans(doc, key):
            lost += made.char_span(span.start, span.end) is None
    return lost


def _values(
    facts: CorpusFacts,
    base: str,
    train: Path,
    dev: Path,
    lang: str,
    revision: str | None,
    labels_path: Path | None,
) -> dict[str, Any]:
    sentences = ["sentencizer"] if facts.lines else []
    weights: dict[str, float | None] = {f"spans_{facts.spans_key}_f": 1.0}
    weights |= {f"spans_{facts.spans_key}_{score}": 0.0 for score in "pr"}
    # spaCy adds each factory's own weights, which for this one name the key "sc".
    others = ["sents"] if facts.lines else []
    others += ["spans_sc"] if facts.spans_key != "sc" else []
    weights |= {f"{name}_{score}": None for name in others for score in "fpr"}
    punct_chars = [*Sentencizer.default_punct_chars, "\n"] if facts.lines else None
    return {
        "notes": [],
        "train": str(train),
        "dev": str(dev),
        "lang": lang,
        "pipeline": [*sentences, "generative_ner"],
        "tokenizer": facts.tokenizer,
        "punct_chars": punct_chars,
        "spans_key": facts.spans_key,
        "crossing": "drop" if facts.unsayable else "refuse",
        "base": base,
        "revision": revision,
        "limit": 0,
        "max_steps": 1,
        "eval_frequency": 1,
        "total_steps": 1,
        "annotating": sentences,
        "batch_tokens": BATCH_TOKENS,
        "batch_words": BATCH_TOKENS // 5,
        "score_weights": weights,
        # A saved config does not escape what begins a variable.
        "labels": None if "$" in "".join(facts.labels) else facts.labels,
        "labels_file": None if labels_path is None else str(labels_path),
    }


def _render(values: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spacy_genner", "training"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    plain = {"notes", "score_weights", "batch_tokens"}
    shown = {
        key: value
        if key in plain or not value and key in ("labels_file", "punct_chars")
        else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }
    weights = values["score_weights"].items()
    shown["score_weights"] = {key: json.dumps(weight) for key, weight in weights}
    return environment.get_template("config.cfg.jinja").render(shown)


def _notes(
    facts: CorpusFacts, speed: Speed, plan: Plan, base: str, dev_docs: int
) -> list[str]:
    notes = [
        f"Corpus: {facts.docs} documents, {facts.spans} spans, {len(facts.labels)} "
        f"labels; {speed.doc_words:.0f} words and {speed.doc_tokens:.0f} tokens of "
        "input and output a document.",
        f"Measured here with {base}, {speed.dtype} on {speed.device}, "
        f"{speed.threads} threads:",
        f"{speed.step_seconds:.2f} s a training step ({speed.steps} steps timed), "
        f"{speed.doc_seconds:.2f} s an evaluated document ({speed.docs} timed, by",
        "a model that had hardly learnt; a trained one is often faster).",
        f"Expected: {plan.max_steps + 1} steps and evaluations of "
        f"{plan.limit or dev_docs} of {dev_docs} documents in about "
        f"{plan.seconds / 60:.1f} minutes.",
    ]
    if facts.unsayable:
        notes.append(
            f"{facts.unsayable} spans cross others or can't be said with brackets: "
            "training goes without them."
        )
    return notes
