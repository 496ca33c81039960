"""Write a training config that fits the corpus and the machine.

`write_config` reads the labels and the tokenizer from the corpus, times a few training
steps and a few documents with the base model on this machine, and shares the budget of
time or steps between training and evaluation. The result is rendered from
`config.cfg.jinja`.
"""

import json
import math
import random
import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import jinja2
import spacy
import torch
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer

from ..corpora.docbin import (
    check_not_entities_alone,
    load_docs,
    unaligned_spans,
    warn_of_missing_groups,
)
from ..corpora.labels import read_labels
from ..corpora.sentences import SentenceSplitter
from ..errors import Errors, GennerWarning
from ..formats import CharSpan, crossings, get_format
from ..io import check_place, has_lone_surrogate, replaced_file
from ..models.adapter_files import read_adapter
from ..models.adapter_source import UNIVERSAL, find_adapter
from .loop import check_evaluable, epoch_sizes, read_labels_file

# The number of tokens in a training batch.
BATCH_TOKENS = 2048
# The rank and the scale of a new adapter.
RANK, ALPHA = 32, 64
# What `start` can be besides the name of an adapter.
AUTO, NO_ADAPTER = "auto", "none"
# Up to this number of training documents, "auto" is the universal adapter.
WARM_START_DOCS = 2000
# The number of epochs without a budget.
EPOCHS = 2
# The approximate share of the time that evaluations take.
EVALUATION_SHARE = 0.1
# The numbers of evaluations to choose from. With fewer than the last, the best model
# would be a matter of chance.
EVALUATIONS = (10, 8, 6, 5)
# The minimum number of evaluations of a given number of steps, if more of them would
# leave many of the steps over.
LEAST_EVALUATIONS = 3
# The maximum share of the time that evaluations take if documents are slow.
MAX_EVALUATION_SHARE = 0.3
# The number of documents below which the score of an evaluation is unreliable.
MIN_EVALUATION_DOCS = 100
TOKENIZERS = ("spacy.Tokenizer.v1", "spacy-genner.FineTokenizer.v1")
# The number of documents that tokenizers are compared on.
TOKENIZER_SAMPLE = 300

# The first training steps are not timed: they include one-time work.
WARM_UP_STEPS = 1
# The maximum numbers of steps and documents to time.
MAX_STEPS = 6
MAX_DOCS = 24
# The documents that are decoded together, as in an evaluation.
DOC_BATCH_SIZE = 8
# After this time no further step or batch of documents is started.
MAX_SECONDS = 20.0
# The number of documents that sizes are averaged over.
MEASURE_SAMPLE = 200


@dataclass(frozen=True)
class CorpusFacts:
    """The properties of a corpus that a config depends on.

    docs (int): The number of documents.
    spans (int): The number of reference spans.
    spans_key (str): The group of `doc.spans` with the spans.
    labels (list[str]): The labels, sorted.
    lines (bool): Whether most documents have several lines.
    not_representable (int): The number of spans that brackets cannot represent,
        crossing spans included.
    tokenizer (str): The registered tokenizer that fits the most spans.
    max_depth (int): The maximum number of spans over one character. 1 without nesting.
    across_sentences (int): The number of spans that cross a sentence boundary, if
        sentences are the inputs of the model.
    """

    docs: int
    spans: int
    spans_key: str
    labels: list[str]
    lines: bool
    not_representable: int
    tokenizer: str
    max_depth: int = 1
    across_sentences: int = 0


@dataclass(frozen=True)
class Speed:
    """The measured speed of training and prediction.

    step_seconds (float): The time of a training step.
    doc_seconds (float): The time to annotate a document.
    steps (int): The number of timed steps.
    docs (int): The number of timed documents.
    batch_words (int): The number of words in a batch with the wanted number of tokens.
    doc_words (float): The average number of words in a document.
    doc_tokens (float): The average number of tokens of input and output of a document.
    device (str): The device.
    dtype (str): The dtype.
    threads (int): The number of threads of torch.
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


@dataclass(frozen=True)
class Plan:
    """The steps and evaluations of a training run.

    max_steps (int): The last step, a multiple of `eval_frequency`.
    eval_frequency (int): The number of steps between evaluations.
    limit (int): The number of documents in an evaluation. 0 for all.
    seconds (float): The expected duration of the run.
    """

    max_steps: int
    eval_frequency: int
    limit: int
    seconds: float


@dataclass(frozen=True)
class WrittenConfig:
    """The result of `write_config`.

    path (Path): The config.
    facts (CorpusFacts): The properties of the corpus.
    speed (Speed): The measured speed.
    plan (Plan): The planned run.
    notes (list[str]): The lines at the head of the config that describe all of these.
    """

    path: Path
    facts: CorpusFacts
    speed: Speed
    plan: Plan
    notes: list[str]


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
    start: str = AUTO,
    progress: Callable[[str], None] = lambda text: None,
) -> WrittenConfig:
    """Write a training config.

    A few training steps and a few documents are timed on this machine.

    corpus_path (Path): The training corpus, a `.spacy` file.
    output_path (Path): The config to write.
    base (str): The name of the base model.
    dev_path (Path): The development corpus.
    minutes (float | None): The duration of training, evaluations included.
    steps (int | None): The number of training steps. Two epochs without `minutes` and
        `steps`.
    spans_key (str | None): The group of `doc.spans`. None for the only group.
    lang (str): The code of the language.
    revision (str | None): The revision of the base.
    labels_path (Path | None): A JSON file of labels with definitions.
    start (str): The adapter to start from: "universal", a folder or a hub id; "none"
        for a new adapter; "auto" for the universal adapter if it was trained on the
        base and the corpus has at most `WARM_START_DOCS` documents, else a new one.
    progress (Callable[[str], None]): Called with a line before each part of the work.
    RETURNS (WrittenConfig): The path of the config and the values that it is based on.
    RAISES (ValueError): The corpus or the labels are invalid, or the base or the
        adapter is not available.
    RAISES (OSError): The config cannot be written.
    """
    if minutes is not None and steps is not None:
        raise ValueError(Errors.G318.format())
    for name, value in (("minutes", minutes), ("steps", steps)):
        # Neither NaN nor infinity.
        if value is not None and not 0 < value < math.inf:
            raise ValueError(Errors.G319.format(name=name, found=value))
    # Report invalid files before the base is loaded and timed.
    if labels_path is not None:
        _check_labels(Path(labels_path))
    if start not in (AUTO, NO_ADAPTER):
        find_adapter(start)
    check_place(Path(output_path))
    progress(f"Reading {corpus_path} and {dev_path}")
    facts = read_facts(Path(corpus_path), spans_key, lang)
    adapter = _choose_adapter(start, base, facts.docs)
    rank, alpha = RANK, ALPHA
    if adapter is not None:
        settings = _adapter_config(adapter)
        rank, alpha = settings.get("r", rank), settings.get("lora_alpha", alpha)
    dev_docs, dev_depth = _read_dev(Path(dev_path), facts.spans_key, lang)
    facts = replace(facts, max_depth=max(facts.max_depth, dev_depth))
    values = _values(facts, base, corpus_path, dev_path, lang, revision, labels_path)
    values |= {"adapter": adapter, "rank": rank, "alpha": alpha}
    config = Config().from_str(_render(values), interpolate=False)
    speed = measure_speed(config, BATCH_TOKENS, progress=progress)
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
    notes = _notes(facts, speed, plan, base, dev_docs)
    if adapter is not None and start == AUTO:
        notes += [
            "Training starts from the universal adapter, as the corpus has at most "
            f"{WARM_START_DOCS} documents (--start none for a new one)."
        ]
    values["notes"] = notes
    with replaced_file(Path(output_path)) as fresh:
        fresh.write_text(_render(values), encoding="utf8")
    return WrittenConfig(Path(output_path), facts, speed, plan, notes)


def _choose_adapter(start: str, base: str, docs: int) -> str | None:
    """RETURNS (str | None): The adapter to start from, or None for a new one."""
    if start != AUTO:
        return None if start == NO_ADAPTER else start
    if docs > WARM_START_DOCS:
        return None
    trained_on = _adapter_config(UNIVERSAL)["base_model_name_or_path"]
    return UNIVERSAL if base == trained_on else None


def _adapter_config(adapter: str) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The settings of an adapter, as peft saves them."""
    return read_adapter(find_adapter(adapter).folder).config


# The corpus


def _check_labels(path: Path) -> None:
    content = read_labels_file(path, "'labels'")
    try:
        labels = read_labels(content, get_format("inline_bracketed"))
        for text in (*labels, *labels.values()):
            if has_lone_surrogate(text):
                raise ValueError(f"{text!r} holds half of a character")
    except ValueError as error:
        raise ValueError(
            Errors.G341.format(path=path, place="'labels'", reason=error)
        ) from error


def read_facts(path: Path, spans_key: str | None, lang: str) -> CorpusFacts:
    """Read the properties of a corpus that a config depends on.

    path (Path): The `.spacy` file.
    spans_key (str | None): The group of `doc.spans`. None for the only group.
    lang (str): The code of the language.
    RETURNS (CorpusFacts): The properties.
    RAISES (ValueError): There are no documents, no spans (with another message if there
        are entities) or several groups.
    """
    docs = list(load_docs(path, spacy.blank(lang).vocab))
    if not docs:
        raise ValueError(Errors.G504.format(path=path, name="docbin"))
    keys = Counter(key for doc in docs for key in doc.spans if len(doc.spans[key]))
    check_not_entities_alone(docs, spans_key or next(iter(keys), "sc"), str(path))
    if spans_key is None:
        if not keys:
            raise ValueError(Errors.G307.format(key="sc"))
        if len(keys) != 1:
            raise ValueError(Errors.G320.format(path=path, found=sorted(keys)))
        (spans_key,) = keys
    warn_of_missing_groups(docs, spans_key, str(path))
    fmt = get_format("inline_bracketed")
    labels: set[str] = set()
    count = not_representable = 0
    max_depth = 1
    for doc in docs:
        spans = _char_spans(doc, spans_key)
        count += len(spans)
        max_depth = max(max_depth, span_depth(spans))
        labels.update(span.label for span in spans)
        crossing = crossings(spans)
        # Without crossing spans the format can check each span.
        not_representable += len(crossing or fmt.unsayable(doc.text, spans))
    if not labels:
        raise ValueError(Errors.G307.format(key=spans_key))
    lines = sum("\n" in doc.text.strip() for doc in docs) * 2 >= len(docs)
    sample = docs[:TOKENIZER_SAMPLE]
    across = _count_across_sentences(docs, spans_key, lang) if lines else 0
    tokenizer = min(
        TOKENIZERS, key=lambda name: _count_off_grid(sample, spans_key, name, lang)
    )
    return CorpusFacts(
        len(docs),
        count,
        spans_key,
        sorted(labels),
        lines,
        not_representable,
        tokenizer,
        max_depth,
        across,
    )


def _read_dev(path: Path, key: str, lang: str) -> tuple[int, int]:
    """Check a development corpus.

    RETURNS (tuple[int, int]): The number of documents, and the maximum depth of spans.
    RAISES (ValueError): There are no documents, or none has the group.
    """
    docs = list(load_docs(path, spacy.blank(lang).vocab))
    if not docs:
        raise ValueError(Errors.G504.format(path=path, name="docbin"))
    check_evaluable(docs, key, str(path))
    warn_of_missing_groups(docs, key, str(path))
    return len(docs), max(span_depth(_char_spans(doc, key)) for doc in docs)


def span_depth(spans: Iterable[CharSpan]) -> int:
    """Compute how deep spans are nested.

    spans (Iterable[CharSpan]): The spans of a text.
    RETURNS (int): The maximum number of distinct spans over one character.
    """
    distinct = set(spans)
    # At the same offset, spans end before others start.
    borders = sorted([(s.end, -1) for s in distinct] + [(s.start, 1) for s in distinct])
    return max(accumulate(change for _, change in borders), default=0)


def _char_spans(doc: Doc, key: str) -> list[CharSpan]:
    group = doc.spans[key] if key in doc.spans else ()
    spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in group]
    return spans + unaligned_spans(doc)


def _count_off_grid(docs: list[Doc], key: str, tokenizer: str, lang: str) -> int:
    """Count the spans that fit no token boundary of a tokenizer."""
    settings = {"nlp": {"tokenizer": {"@tokenizers": tokenizer}}}
    nlp = spacy.blank(lang, config=settings)
    count = 0
    for doc in docs:
        tokenized = nlp.make_doc(doc.text)
        for span in _char_spans(doc, key):
            count += tokenized.char_span(span.start, span.end) is None
    return count


def _count_across_sentences(docs: list[Doc], key: str, lang: str) -> int:
    """Count the spans that cross a boundary of the component `genner_sentences`."""
    splitter = SentenceSplitter(docs[0].vocab, lang=lang, lines=True)
    count = 0
    for doc in docs:
        starts = splitter.sentence_starts(doc.text)
        count += sum(
            bisect_right(starts, span.start) < bisect_left(starts, span.end)
            for span in _char_spans(doc, key)
        )
    return count


# The speed


def measure_speed(
    config: Config,
    batch_tokens: int,
    name: str = "generative_ner",
    progress: Callable[[str], None] = lambda text: None,
) -> Speed:
    """Time a few training steps and a few documents.

    config (Config): A training config, not interpolated.
    batch_tokens (int): The wanted number of tokens in a batch.
    name (str): The name of the component.
    progress (Callable[[str], None]): Called with a line before each part of the work.
    RETURNS (Speed): The measured speed.
    """
    with warnings.catch_warnings():
        # Training itself will issue these warnings.
        warnings.simplefilter("ignore", GennerWarning)
        return _measure_speed(config, batch_tokens, name, progress)


def _measure_speed(
    config: Config, batch_tokens: int, name: str, progress: Callable[[str], None]
) -> Speed:
    progress("Loading the base model")
    nlp = init_nlp(config)
    settings = nlp.config.interpolate()["training"]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(nlp.config.interpolate(), corpora)
    examples = list(train(nlp))
    random.Random(0).shuffle(examples)
    pipe: Any = nlp.get_pipe(name)
    sample = examples[:MEASURE_SAMPLE]
    words, tokens = _count_sizes(nlp, name, sample)
    batch_words = max(1, round(batch_tokens * words / tokens))
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    step_seconds, steps = _time_steps(
        nlp, name, optimizer, examples, batch_words, progress
    )
    docs = [example.predicted for example in islice(dev(nlp), MEASURE_SAMPLE)]
    random.Random(0).shuffle(docs)
    progress(f"Timing {min(len(docs), MAX_DOCS)} documents")
    doc_seconds, timed = _time_docs(nlp, docs[:MAX_DOCS])
    return Speed(
        step_seconds,
        doc_seconds,
        steps,
        timed,
        batch_words,
        words / len(sample),
        tokens / len(sample),
        str(pipe.lm.device),
        str(pipe.lm.dtype).replace("torch.", ""),
        torch.get_num_threads(),
    )


def _count_sizes(nlp: Language, name: str, examples: list[Example]) -> tuple[int, int]:
    """Count the words and tokens of examples. The components before the named one
    annotate the examples, such as with sentence boundaries."""
    pipe: Any = nlp.get_pipe(name)
    upstream = nlp.pipe_names[: nlp.pipe_names.index(name)]
    for example in examples:
        for other in upstream:
            example.predicted = nlp.get_pipe(other)(example.predicted)
    builder = pipe.predictor.target_builder(pipe.key, "drop")
    return sum(map(len, examples)), sum(map(len, builder.sequences(examples)))


def _time_steps(
    nlp: Language,
    name: str,
    optimizer: Optimizer,
    examples: list[Example],
    batch_words: int,
    progress: Callable[[str], None],
) -> tuple[float, int]:
    """RETURNS (tuple[float, int]): Seconds per step, and the number of timed steps."""
    pipe: Any = nlp.get_pipe(name)
    batcher = registry.batchers.get("spacy.batch_by_padded.v1")(
        size=batch_words, buffer=256, discard_oversize=False
    )
    # The batcher starts with the longest documents, so shuffle to get average batches.
    batches = list(batcher(examples))
    random.Random(0).shuffle(batches)
    count = WARM_UP_STEPS + MAX_STEPS
    others = [each for each in nlp.pipe_names if each != name]
    seconds: list[float] = []
    for number, batch in enumerate(islice(batches * count, count), 1):
        progress(f"Timing training steps: {number} of {count}")
        started = perf_counter()
        # A step as in `spacy train`. The other components only annotate.
        nlp.update(batch, sgd=False, exclude=others, annotates=others)  # type: ignore[arg-type]
        pipe.finish_update(optimizer)
        seconds.append(perf_counter() - started)
        if len(seconds) > WARM_UP_STEPS and sum(seconds) > MAX_SECONDS:
            break
    timed = seconds[WARM_UP_STEPS:]
    return sum(timed) / len(timed), len(timed)


def _time_docs(nlp: Language, docs: list[Doc]) -> tuple[float, int]:
    """RETURNS (tuple[float, int]): Seconds per document, and the number of timed
    documents."""
    # Exclude one-time work, such as merging weights.
    list(nlp.pipe([docs[0].copy()]))
    done = 0
    started = perf_counter()
    while docs[done:]:
        batch = docs[done : done + DOC_BATCH_SIZE]
        for _ in nlp.pipe([doc.copy() for doc in batch]):
            done += 1
        if perf_counter() - started > MAX_SECONDS:
            break
    return (perf_counter() - started) / done, done


# The plan


def make_plan(
    speed: Speed, dev_docs: int, minutes: float | None, steps: int | None
) -> Plan:
    """Share a budget between training and evaluation.

    speed (Speed): The time of a step and of a document.
    dev_docs (int): The number of development documents.
    minutes (float | None): The budget in minutes.
    steps (int | None): The budget in steps, if there is none in minutes.
    RETURNS (Plan): The plan.
    """
    training_share = 1.0 - EVALUATION_SHARE
    if minutes is not None:
        steps = int(60 * minutes * training_share / speed.step_seconds)
    steps = max(1, steps or 0)
    budget = steps * speed.step_seconds * EVALUATION_SHARE / training_share
    for evaluations in EVALUATIONS:
        # spaCy evaluates after step 0, too.
        limit = int(budget / ((evaluations + 1) * speed.doc_seconds))
        if limit >= min(dev_docs, MIN_EVALUATION_DOCS) and evaluations <= steps:
            break
    else:
        evaluations = min(EVALUATIONS[-1], steps)
        limit = int(budget / ((evaluations + 1) * speed.doc_seconds))
    limit = min(max(limit, min(dev_docs, MIN_EVALUATION_DOCS // 5)), dev_docs)
    if minutes is not None:
        # A few documents are evaluated even if they take more than their share.
        most = 60 * minutes * MAX_EVALUATION_SHARE
        pass_seconds = (evaluations + 1) * speed.doc_seconds
        limit = max(1, min(limit, int(most / pass_seconds)))
        left = 60 * minutes - limit * pass_seconds
        steps = max(evaluations, min(steps, int(left / speed.step_seconds)))
    fewest = LEAST_EVALUATIONS if minutes is None else EVALUATIONS[-1]
    frequency, evaluations = _evenly(steps, evaluations, fewest)
    max_steps = frequency * evaluations
    seconds = (max_steps + 1) * speed.step_seconds
    seconds += (evaluations + 1) * limit * speed.doc_seconds
    return Plan(max_steps, frequency, 0 if limit == dev_docs else limit, seconds)


def _evenly(steps: int, evaluations: int, fewest: int) -> tuple[int, int]:
    """Share steps between evaluations, so that few of them are left over.

    steps (int): The number of steps.
    evaluations (int): The maximum number of evaluations.
    fewest (int): The minimum that is accepted if the usual one leaves more than a fifth
        of the steps over.
    RETURNS (tuple[int, int]): The steps between evaluations, and the number of
        evaluations.
    """
    plans = [
        (frequency, min(evaluations, steps // frequency))
        for frequency in (steps // evaluations, steps // evaluations + 1)
    ]
    for least in (EVALUATIONS[-1], fewest):
        usable = [plan for plan in plans if plan[1] >= min(least, evaluations)]
        chosen = max(usable, key=math.prod)
        if math.prod(chosen) >= 0.8 * steps:
            break
    return chosen


# The config


def _values(
    facts: CorpusFacts,
    base: str,
    train: Path,
    dev: Path,
    lang: str,
    revision: str | None,
    labels_path: Path | None,
) -> dict[str, Any]:
    """The values of the template. Those of the plan are provisional."""
    sentences = ["genner_sentences"] if facts.lines else []
    weights: dict[str, float | None] = {f"spans_{facts.spans_key}_f": 1.0}
    weights |= {f"spans_{facts.spans_key}_{score}": 0.0 for score in "pr"}
    # spaCy adds the default weights of each factory. Those of `generative_ner` are for
    # the key "sc".
    others = ["sents"] if facts.lines else []
    others += ["spans_sc"] if facts.spans_key != "sc" else []
    weights |= {f"{name}_{score}": None for name in others for score in "fpr"}
    return {
        "notes": [],
        "train": str(train),
        "dev": str(dev),
        "lang": lang,
        "pipeline": [*sentences, "generative_ner"],
        "tokenizer": facts.tokenizer,
        "lines": facts.lines,
        "spans_key": facts.spans_key,
        "max_depth": facts.max_depth,
        "crossing": "drop" if facts.not_representable else "refuse",
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
        # A config cannot carry a dollar sign: it starts a variable.
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
    # Values are rendered as JSON, except for texts, and for empty values that the
    # template tests.
    plain = {"notes", "score_weights", "batch_tokens"}
    shown = {
        key: value
        if key in plain or not value and key in ("labels_file", "lines")
        else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }
    weights = values["score_weights"].items()
    shown["score_weights"] = {key: json.dumps(weight) for key, weight in weights}
    return environment.get_template("config.cfg.jinja").render(shown)


def _notes(
    facts: CorpusFacts, speed: Speed, plan: Plan, base: str, dev_docs: int
) -> list[str]:
    """The lines at the head of the config."""
    notes = [
        f"Corpus: {facts.docs} documents, {facts.spans} spans, {len(facts.labels)} "
        f"labels; on average {speed.doc_words:.0f} words per document, and "
        f"{speed.doc_tokens:.0f} tokens of input and output.",
        f"Measured on this machine with {base}, {speed.dtype} on {speed.device}, "
        f"{speed.threads} threads:",
        f"{speed.step_seconds:.2f} s per training step ({speed.steps} steps timed), "
        f"{speed.doc_seconds:.2f} s per evaluated document ({speed.docs} timed, with",
        "an almost untrained model; a trained model is often faster).",
        f"Expected: {plan.max_steps + 1} steps, and evaluations of "
        f"{plan.limit or dev_docs} of {dev_docs} documents, in about "
        f"{plan.seconds / 60:.1f} minutes.",
    ]
    if facts.not_representable:
        notes.append(
            f"{facts.not_representable} spans cross others or cannot be represented "
            "with brackets. Training skips them."
        )
    if facts.across_sentences:
        notes.append(
            f"{facts.across_sentences} spans cross the boundary of a sentence or line. "
            "Training skips them, unless 'window.unit' is \"doc\"."
        )
    return notes
