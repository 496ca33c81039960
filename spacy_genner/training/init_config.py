"""Write a training config that fits the corpus and the machine.

`write_config` reads the labels and the tokenizer from the corpus (`corpus_facts`),
times a few training steps and a few documents with the base model on this machine
(`speed`), and shares the budget of time or steps between training and evaluation
(`plan`). The result is rendered from `config.cfg.jinja`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from spacy import util
from thinc.api import Config

from ..corpora.labels import read_labels
from ..errors import Errors
from ..formats import get_format
from ..io import check_place, has_lone_surrogate, replaced_file
from ..models.adapter_files import read_adapter
from ..models.adapter_source import UNIVERSAL, find_adapter
from .corpus_facts import CorpusFacts, read_dev, read_facts
from .loop import read_labels_file
from .plan import Plan, default_steps, make_plan
from .speed import Speed, measure_speed

# The number of tokens in a training batch.
BATCH_TOKENS = 2048
# The rank and the scale of a new adapter.
RANK, ALPHA = 32, 64
# What `start` can be besides the name of an adapter.
AUTO, NO_ADAPTER = "auto", "none"
# Up to this number of training documents, "auto" is the universal adapter.
WARM_START_DOCS = 2000


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
    steps (int | None): The number of training steps. Without `minutes` and `steps`,
        that of `default_steps`.
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
    dev_docs, dev_depth = read_dev(Path(dev_path), facts.spans_key, lang)
    facts = replace(facts, max_depth=max(facts.max_depth, dev_depth))
    values = _values(facts, base, corpus_path, dev_path, lang, revision, labels_path)
    values |= {"adapter": adapter, "rank": rank, "alpha": alpha}
    config = Config().from_str(_render(values), interpolate=False)
    speed = measure_speed(config, BATCH_TOKENS, progress=progress)
    values["batch_words"] = speed.batch_words
    config = Config().from_str(_render(values), interpolate=False)
    if minutes is None and steps is None:
        steps = default_steps(util.load_model_from_config(config, auto_fill=True))
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
