"""Annotate texts with a pipeline, and make a record of each."""

from collections.abc import Iterable, Iterator
from typing import Any

from spacy.language import Language

from ..tolerant_pipe import Passed, TolerantPipe
from ._texts import Text

# One text with what was found in it.
Annotation = Passed[Text]


class TextAnnotator:
    """Runs a pipeline over texts.

    nlp (Language): The pipeline.
    spans_key (str): The group of `doc.spans` that is the result.
    """

    def __init__(self, nlp: Language, spans_key: str):
        self._pipe: TolerantPipe[Text] = TolerantPipe(nlp, spans_key)

    def __call__(
        self, texts: Iterable[Text], batch_size: int | None = None
    ) -> Iterator[Annotation]:
        """Annotate texts.

        texts (Iterable[Text]): The texts.
        batch_size (Optional[int]): How many go through the pipeline at once.
        YIELDS (Annotation): One for each, in order: also for a text that some
            component failed on or dropped.
        """
        pairs = ((text.text if text.doc is None else text.doc, text) for text in texts)
        return self._pipe(pairs, batch_size)


def to_record(annotation: Annotation, spans_key: str) -> dict[str, Any]:
    """Make the JSON object of an annotated text.

    annotation (Annotation): The text and its Doc.
    spans_key (str): The group of `doc.spans`.
    RETURNS (Dict[str, Any]): The input's keys, with `text`, `spans`, `status` and
        `issues`.
    """
    group = annotation.doc.spans[spans_key]
    scores = group.attrs.get("scores")
    spans: list[dict[str, Any]] = []
    for index, span in enumerate(group):
        score = None if scores is None else round(float(scores[index]), 6)
        spans.append(
            {
                "start": span.start_char,
                "end": span.end_char,
                "label": span.label_,
                "score": score,
            }
        )
    return {
        **annotation.source.fields,
        "text": annotation.source.text,
        "spans": spans,
        "status": group.attrs.get("status", "ok"),
        "issues": list(group.attrs.get("issues", ())),
    }
