"""Annotate texts with a pipeline such that none is lost, whatever fails."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from ._texts import Text

FAILED = "failed"


@dataclass
class Annotation:
    """One text with what was found in it.

    source (Text): The text.
    doc (Doc): Its Doc, with the group, whose attributes have the status.
    error (Optional[str]): Why it failed.
    written (bool): Whether the pipeline wrote the group; else it is empty.
    """

    source: Text
    doc: Doc
    error: str | None = None
    written: bool = True


class TextAnnotator:
    """Runs a pipeline over texts.

    nlp (Language): The pipeline. Its error handler is replaced.
    spans_key (str): The group of `doc.spans` that is the result.
    """

    def __init__(self, nlp: Language, spans_key: str):
        self.nlp = nlp
        self.spans_key = spans_key
        self._waiting: deque[tuple[int, Annotation]] = deque()
        self._errors: dict[int, str] = {}
        # spaCy types handlers as if none ever came back.
        nlp.set_error_handler(self._note)  # type: ignore[arg-type]

    def __call__(
        self, texts: Iterable[Text], batch_size: int | None = None
    ) -> Iterator[Annotation]:
        """Annotate texts.

        texts (Iterable[Text]): The texts.
        batch_size (Optional[int]): How many go through the pipeline at once.
        YIELDS (Annotation): One for each, in order: also for a text that some
            component failed on or dropped.
        """
        for doc in self.nlp.pipe(self._docs(texts), batch_size=batch_size):
            while self._is_lost(doc):
                yield self._lost(*self._waiting.popleft())
            yield self._done(*self._waiting.popleft(), doc)
        while self._waiting:
            yield self._lost(*self._waiting.popleft())

    def _is_lost(self, doc: Doc) -> bool:
        """Whether the text that is next in order did not come out, but a later one."""
        place, waiting = self._waiting[0]
        if doc is waiting.doc or doc._context == place:
            return False
        # A cache may give one Doc for several texts, and it knows the place of the
        # last alone: then only what is known to have failed is lost.
        if any(doc is later.doc for _, later in self._waiting):
            return True
        return place in self._errors

    def _docs(self, texts: Iterable[Text]) -> Iterator[Doc]:
        for place, source in enumerate(texts):
            doc = source.doc
            if doc is None:
                try:
                    doc = self.nlp.make_doc(source.text)
                except Exception as error:
                    # One token, so that the text itself is kept.
                    words = [source.text] if source.text else []
                    doc = Doc(self.nlp.vocab, words=words, spaces=[False] * len(words))
                    self._errors[place] = str(error)
                    self._waiting.append((place, Annotation(source, doc)))
                    continue
            # What is in `user_data` does not come back where a component has a cache.
            doc._context = place
            self._waiting.append((place, Annotation(source, doc)))
            yield doc

    def _note(self, name: str, _: Any, docs: list[Doc], error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"

    def _done(self, place: int, annotation: Annotation, doc: Doc) -> Annotation:
        if doc.text != annotation.doc.text:
            self._errors[place] = Errors.G772.format(found=doc.text[:40])
            return self._lost(place, annotation)
        annotation.doc = doc
        if self.spans_key not in doc.spans:
            annotation.written = False
            doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key)
        error = self._errors.pop(place, None)
        if doc.spans[self.spans_key].attrs.get("status") == FAILED:
            annotation.error = error or _reason(doc, self.spans_key)
        return annotation

    def _lost(self, place: int, annotation: Annotation) -> Annotation:
        doc = annotation.doc
        reason = self._errors.pop(place, "no reason was given")
        issue = {
            "code": FAILED,
            "message": Errors.G528.format(reason=reason),
            "start": 0,
            "end": 0,
        }
        doc.spans[self.spans_key] = SpanGroup(
            doc,
            name=self.spans_key,
            attrs={"status": FAILED, "issues": [issue]},
        )
        annotation.error = reason
        return annotation


def _reason(doc: Doc, spans_key: str) -> str:
    """Why a document failed whose component called no error handler."""
    issues = doc.spans[spans_key].attrs.get("issues", ())
    said = (issue["message"] for issue in issues if issue.get("code") == FAILED)
    return str(next(said, FAILED))


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
