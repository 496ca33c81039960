"""What was evaluated: the pipeline, the data and the conditions of the run.

A report and a model card show these facts beside the scores.
"""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from .. import __version__
from ..models.adapter_files import WEIGHTS_FILE
from .scores import gold_spans

T = TypeVar("T")
# The settings of a component that affect its predictions.
_SETTINGS = ("format", "readings", "min_score", "max_depth")
_MODEL_SETTINGS = ("revision", "dtype")


def describe_pipeline(nlp: Language, name: str, key: str) -> dict[str, Any]:
    """Describe a pipeline, and its component that writes spans.

    nlp (Language): The pipeline.
    name (str): The name or path under which it was loaded.
    key (str): The key of the span group that is scored.
    RETURNS (dict[str, Any]): `name`, `version`, `lang`, `components` and `spans_key`,
        and `training`, the facts that training left in the pipeline's metadata. With a
        component that writes the group, also its `component`, `labels`, `base`,
        settings, and `start`, the adapter that training started from, if there was one;
        and `adapter` with the settings of the adapter and, for a saved
        pipeline, its size in `bytes`.
    """
    found: dict[str, Any] = {
        "name": str(name),
        "version": f"{nlp.meta['name']} {nlp.meta['version']}",
        "lang": nlp.lang,
        "components": list(nlp.pipe_names),
        "spans_key": key,
    }
    training = nlp.meta.get("training")
    if isinstance(training, Mapping):
        found["training"] = dict(training)
    component = _writer(nlp, key)
    if component is None:
        return found
    # Settings may refer to variables of the config.
    config = nlp.config.interpolate()["components"][component]
    settings = getattr(nlp.get_pipe(component), "cfg", {})
    found["component"] = component
    found["labels"] = list(nlp.get_pipe(component).labels)  # type: ignore[attr-defined]
    found |= {name: settings[name] for name in _SETTINGS if name in settings}
    for setting in _SETTINGS:
        if setting not in found and setting in config:
            found[setting] = config[setting]
    model = config.get("model", {})
    if "name" in model:
        found["base"] = str(model["name"])
    if model.get("adapter"):
        found["start"] = str(model["adapter"])
    found |= {name: model[name] for name in _MODEL_SETTINGS if model.get(name)}
    if isinstance(model.get("lora"), Mapping):
        found["adapter"] = dict(model["lora"])
        if nlp.path is not None:
            weights = Path(nlp.path) / component / "adapter" / WEIGHTS_FILE
            if weights.is_file():
                found["adapter"]["bytes"] = weights.stat().st_size
    return found


def _writer(nlp: Language, key: str) -> str | None:
    """The last component that writes the group."""
    names = [
        name
        for name, pipe in nlp.pipeline
        if key
        in (getattr(pipe, "key", None), getattr(pipe, "cfg", {}).get("spans_key"))
        and hasattr(pipe, "labels")
    ]
    return names[-1] if names else None


def describe_data(docs: Sequence[Doc], key: str, source: str) -> dict[str, Any]:
    """Describe the documents of an evaluation.

    docs (Sequence[Doc]): The reference documents.
    key (str): The key of the span group.
    source (str): The file that they were read from.
    RETURNS (dict[str, Any]): `file`, and the numbers of `documents`, `tokens`,
        `characters` and `spans`, and of the spans of each label (`labels`).
    """
    labels = count_labels(gold_spans(doc, key) for doc in docs)
    return {
        "file": source,
        "documents": len(docs),
        "tokens": sum(map(len, docs)),
        "characters": sum(len(doc.text) for doc in docs),
        "spans": sum(labels.values()),
        "labels": labels,
    }


def count_labels(documents: Iterable[Iterable[Any]]) -> dict[str, int]:
    """Count the spans of each label.

    documents (Iterable[Iterable[CharSpan]]): The spans of each document.
    RETURNS (dict[str, int]): The counts, by label.
    """
    counts = Counter(span.label for spans in documents for span in spans)
    return dict(sorted(counts.items()))


def timed_run(
    nlp: Language, docs: Sequence[Doc], run: Callable[[], T]
) -> tuple[T, dict[str, Any]]:
    """Run a pipeline over documents and measure its speed. Models are loaded first, so
    that the time is that of the annotation alone.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): The documents.
    run (Callable[[], T]): Runs the pipeline over the documents.
    RETURNS (tuple[T, dict[str, Any]]): The result of `run`; and `date` (UTC, in ISO
        8601), `seconds`, `documents_per_second` and `tokens_per_second`, `device`,
        `threads` and the versions of the software.
    """
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "load"):
            # A model that cannot be loaded is reported for each document by `run`.
            with suppress(Exception):
                pipe.load()
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    started = perf_counter()
    result = run()
    seconds = max(perf_counter() - started, 1e-9)
    return result, {
        "date": date,
        "seconds": seconds,
        "documents_per_second": len(docs) / seconds,
        "tokens_per_second": sum(map(len, docs)) / seconds,
        "device": _device(nlp),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "versions": {
            "spacy_genner": __version__,
            "spacy": spacy.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _device(nlp: Language) -> str:
    """The device of the language model. A model behind a server has none, and one that
    could not be loaded does not name it."""
    for _, pipe in nlp.pipeline:
        with suppress(Exception):
            return str(pipe.lm.device)  # type: ignore[attr-defined]
    return "cpu"
