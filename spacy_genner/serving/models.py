"""The pipelines that a server offers, by name."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from ..pipeline.generative_ner import GenerativeNER
from ..pipeline.loading import find_spans_key, load_pipeline
from ..pipeline.results import FAILED, failure_issue, map_with_fallback
from ..pipeline.texts import AnnotatedText, InputText, annotate_stream, to_record

Record = dict[str, Any]


class ServedModel:
    """A pipeline with a `generative_ner` component. It may have other components.

    name (str): The name by which requests choose the pipeline.
    nlp (Language): The pipeline. Only one thread may use it.
    spans_key (str): The group of `doc.spans` with the result.
    """

    def __init__(self, name: str, nlp: Language, spans_key: str):
        self.name = name
        self.nlp = nlp
        self.spans_key = spans_key
        self._gpu = _current_gpu()

    @property
    def components(self) -> list[GenerativeNER]:
        """RETURNS (list[GenerativeNER]): The generative components."""
        return [
            pipe for _, pipe in self.nlp.pipeline if isinstance(pipe, GenerativeNER)
        ]

    @property
    def labels(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): The labels of the components that write the group,
        each with its definition, which may be empty."""
        found: dict[str, str] = {}
        for name, pipe in self.nlp.pipeline:
            if self.nlp.get_pipe_config(name).get("spans_key") == self.spans_key:
                found.update(dict.fromkeys(map(str, getattr(pipe, "labels", ())), ""))
                if isinstance(pipe, GenerativeNER):
                    data = pipe.label_data
                    found.update(data if isinstance(data, dict) else {})
        return found

    def load(self) -> None:
        """Load the base models, so that the first request is as fast as the others. The
        calling thread uses the GPU of the thread that made the model.

        RAISES (ValueError): A base is not available.
        """
        if self._gpu is not None:
            import torch

            torch.cuda.set_device(self._gpu)
        for component in self.components:
            component.load()

    def describe(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The name, the labels with their definitions, the
        language, the version, the components, and the base models."""
        meta = self.nlp.meta
        return {
            "name": self.name,
            "labels": self.labels,
            "spans_key": self.spans_key,
            "lang": self.nlp.lang,
            "pipeline": f"{meta['lang']}_{meta['name']}",
            "version": str(meta.get("version", "")),
            "components": list(self.nlp.pipe_names),
            # A folder of the server's disk is no business of its clients.
            "bases": [Path(component.lm.name).name for component in self.components],
        }

    def annotate(self, texts: Sequence[str]) -> list[Record]:
        """Annotate texts together. One that fails does not affect the others.

        texts (Sequence[str]): The texts.
        RETURNS (list[Record]): A record for each text, as `genner annotate` writes it,
            with the reason of a failure under `error`, which is otherwise None.
        """
        return map_with_fallback(self._annotate, texts, self._failed)

    def _annotate(self, texts: Sequence[str]) -> list[Record]:
        # A zone frees the strings of the texts, which would otherwise stay in the
        # vocabulary as long as the server runs.
        with self.nlp.memory_zone():
            inputs = [InputText(text, {}, None) for text in texts]
            stream = annotate_stream(self.nlp, self.spans_key, inputs, len(texts))
            return [self._to_record(annotated) for annotated in stream]

    def _to_record(self, annotated: AnnotatedText) -> Record:
        return {**to_record(annotated, self.spans_key), "error": annotated.error}

    def _failed(self, text: str, error: Exception) -> Record:
        doc = Doc(self.nlp.vocab)
        issue = failure_issue(doc, Errors.G528.format(reason=error))
        attrs = {"status": FAILED, "issues": [issue]}
        doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, attrs=attrs)
        source = InputText(text, {}, None)
        return self._to_record(AnnotatedText(source, doc, str(error)))


def _current_gpu() -> int | None:
    """The number of the GPU that torch uses in this thread, if it uses one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.current_device())


def select_spans(
    record: Record, labels: Collection[str] | None, min_score: float
) -> Record:
    """Leave out the spans that a request does not want. Spans inside of others are
    selected like any other.

    record (Record): The record of a text.
    labels (Collection[str] | None): The labels that are wanted; None for all.
    min_score (float): The minimum score. A span without a score stays.
    RETURNS (Record): The record with the selected spans.
    """
    return {
        **record,
        "spans": [
            span
            for span in record["spans"]
            if (labels is None or span["label"] in labels)
            and (span["score"] is None or span["score"] >= min_score)
        ],
    }


def load_models(
    arguments: Sequence[str], spans_key: str | None = None, merge: bool = True
) -> list[ServedModel]:
    """Load the pipelines of a server, without their base models. Pipelines on the same
    base share its weights.

    arguments (Sequence[str]): For each pipeline its folder or package, or `NAME=MODEL`.
        By default the last part of the folder is the name.
    spans_key (str | None): The group of `doc.spans` with the result. Defaults to that
        of the generative component.
    merge (bool): Whether a pipeline may decode with a copy of the weights that have its
        adapter merged in.
    RETURNS (list[ServedModel]): The pipelines.
    RAISES (ValueError): A pipeline can't be loaded, or two have the same name.
    """
    places: dict[str, str] = {}
    for argument in arguments:
        name, place = _parse_model(argument)
        if name in places:
            found = f"{places[name]}, {place}"
            expected = f"one model with the name {name!r} (NAME=MODEL sets a name)"
            raise ValueError(
                Errors.G801.format(key="MODEL", found=found, expected=expected)
            )
        places[name] = place
    models = []
    for name, place in places.items():
        nlp = load_pipeline(place)
        model = ServedModel(name, nlp, spans_key or find_spans_key(nlp, place))
        for component in model.components if not merge else ():
            component.lm.merge = False  # type: ignore[attr-defined]
        models.append(model)
    return models


def _parse_model(argument: str) -> tuple[str, str]:
    """The name of a pipeline, and its folder or package."""
    name, separator, place = argument.partition("=")
    if Path(argument).exists() or not separator:
        # The name of ".", too.
        name, place = Path(argument).resolve().name, argument
    if not name.strip() or not place.strip():
        expected = "a folder or a package, or NAME=MODEL"
        raise ValueError(
            Errors.G801.format(key="MODEL", found=argument, expected=expected)
        )
    return name, place
