"""The pipelines that the page runs: their labels, their spans and their failures."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.label_sets import set_label_set, to_label_set
from ..distillation import group_scores
from ..errors import Errors
from ..formats import Format, get_format
from ..pipeline.tolerant import FaultTolerantPipe
from .edits import ReviewSpan, sorted_spans
from .session import Suggestion

# A label with its definition in one line of the page's field.
_DEFINED = re.compile(r"\s*([^:]*[^:\s])\s*(?::\s+(.*))?")


@dataclass
class Prediction:
    """A text as a pipeline annotates it.

    text (str): The text.
    tokens (list[tuple[int, int]]): The start and end of each token, in characters.
    suggestion (Suggestion): All spans, whatever their score, and the status.
    seconds (float): How long the pipeline took.
    """

    text: str
    tokens: list[tuple[int, int]]
    suggestion: Suggestion
    seconds: float = 0.0


class AppModel:
    """A pipeline of the page.

    name (str): The folder or package of the pipeline.
    nlp (Language): The pipeline.
    spans_key (str): The group of `doc.spans` that it writes.
    component (GenerativeNER | None): Its generative component. None for a pipeline with
        another component.
    """

    def __init__(
        self, name: str, nlp: Language, spans_key: str, component: Any | None = None
    ):
        self.name = name
        self.nlp = nlp
        self.spans_key = spans_key
        self.component = component
        self.min_score = 0.0
        # A pipeline runs in one thread at a time.
        self._lock = threading.Lock()
        if component is not None:
            # The page filters by score, so that another threshold needs no second run.
            self.min_score = float(component.cfg["min_score"])
            component.cfg["min_score"] = 0.0

    @property
    def labels(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): The labels and their definitions, in order."""
        if self.component is None:
            return {}
        data = self.component.label_data
        return dict(data) if isinstance(data, dict) else dict.fromkeys(data, "")

    @property
    def format(self) -> Format:
        """RETURNS (Format): The output format of the model."""
        if self.component is None:
            return get_format("inline_bracketed")
        return self.component.format

    @property
    def adapter(self) -> str:
        """RETURNS (str): The folder of the saved adapter, or "" without one."""
        if self.component is None:
            return ""
        folder = Path(self.name) / str(self.component.name) / "adapter"
        return str(folder) if folder.is_dir() else ""

    def why_labels_are_fixed(self) -> str:
        """RETURNS (str): Why other labels have no use. "" if the model takes any."""
        return why_labels_are_fixed(self.component)

    def annotate(
        self, texts: Sequence[str], labels: dict[str, str] | None = None
    ) -> list[Prediction]:
        """Annotate texts. A text that fails has the status "failed" and the reason.

        texts (Sequence[str]): The texts.
        labels (dict[str, str] | None): Labels and definitions in place of those of the
            component.
        RETURNS (list[Prediction]): One for each text.
        RAISES (ValueError): The model can't be loaded, or takes no other labels.
        """
        if labels is not None and labels != self.labels:
            reason = self.why_labels_are_fixed()
            if reason:
                raise ValueError(Errors.G893.format(name=self.name, reason=reason))
            for label in labels:
                self.format.check_label(label)
        else:
            labels = None
        with self._lock:
            if self.component is not None and (self.component.labels and not labels):
                # Reports a missing base once, and not as a failure of each text.
                self.component.load()
            start = time.perf_counter()
            pipe = FaultTolerantPipe[int](self.nlp, self.spans_key)
            pairs = ((self._doc(text, labels), at) for at, text in enumerate(texts))
            found = [self._prediction(result.doc) for result in pipe(pairs)]
            seconds = time.perf_counter() - start
        for prediction in found:
            prediction.seconds = seconds / max(len(found), 1)
        return found

    def suggest(self, texts: Sequence[str]) -> list[Suggestion]:
        """Suggest the spans for a correction: those that reach the component's own
        `min_score`.

        texts (Sequence[str]): The texts.
        RETURNS (list[Suggestion]): One for each text.
        RAISES (ValueError): The model can't be loaded.
        """
        return [
            found.suggestion._replace(
                spans=tuple(
                    span
                    for span in found.suggestion.spans
                    if span.score is None or span.score >= self.min_score
                )
            )
            for found in self.annotate(texts)
        ]

    def _doc(self, text: str, labels: dict[str, str] | None) -> Doc:
        # `make_doc` limits the length of texts, for the sake of parsers.
        doc = self.nlp.tokenizer(text)
        if labels is not None:
            set_label_set(doc, labels)
        return doc

    def _prediction(self, doc: Doc) -> Prediction:
        group = doc.spans[self.spans_key]
        spans = [
            ReviewSpan(span.start_char, span.end_char, span.label_, score)
            for span, score in zip(group, group_scores(group), strict=True)
        ]
        return Prediction(
            doc.text,
            [(token.idx, token.idx + len(token)) for token in doc],
            Suggestion(
                sorted_spans(spans),
                str(group.attrs.get("status", "ok")),
                [dict(issue) for issue in group.attrs.get("issues", ())],
            ),
        )


def why_labels_are_fixed(component: Any | None) -> str:
    """Tell whether a component follows labels that it was not trained with.

    component (GenerativeNER | None): The component, or None for another one.
    RETURNS (str): Why the labels are fixed, as a sentence. "" if the model takes any.
    """
    if component is None:
        return "The pipeline has no generative component."
    takes_any = getattr(component, "takes_any_labels", None)
    if takes_any is None:
        takes_any = not component.lm.has_adapter
    if takes_any:
        return ""
    return (
        "Its adapter was trained with these labels. Models behind a server, and base "
        "models without an adapter, take any labels."
    )


def parse_labels(text: str) -> dict[str, str]:
    """Read labels as a person writes them: one on each line, with a definition after a
    colon (`GPE: a city or country`), or several on one line, separated by commas.

    text (str): The content of the field.
    RETURNS (dict[str, str]): The labels and their definitions, which may be empty.
    RAISES (ValueError): There are no labels, or one is there twice.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and ":" not in lines[0]:
        lines = [part for part in lines[0].split(",") if part.strip()]
    pairs = []
    for line in lines:
        found = _DEFINED.fullmatch(line)
        label, definition = found.groups() if found else (line.strip(), "")
        pairs.append((label, (definition or "").strip()))
    if len(dict(pairs)) < len(pairs):
        raise ValueError(Errors.G421.format(found=[label for label, _ in pairs]))
    return dict(to_label_set(dict(pairs)))


def format_labels(labels: dict[str, str]) -> str:
    """RETURNS (str): The labels as `parse_labels` reads them, one on each line."""
    return "\n".join(f"{k}: {v}" if v else k for k, v in labels.items())
