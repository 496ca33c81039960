"""Run a pipeline over documents so that no failure loses a document."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from .results import FAILED, failure_issue

T = TypeVar("T")


@dataclass
class PipeResult(Generic[T]):
    """An annotated document.

    source (T): The object that was passed with the document.
    doc (Doc): The Doc, whose group of spans has the status as an attribute.
    error (str | None): The reason of a failure.
    written (bool): Whether the pipeline wrote the group. Otherwise it is empty.
    """

    source: T
    doc: Doc
    error: str | None = None
    written: bool = True


class FaultTolerantPipe(Generic[T]):
    """Runs a pipeline over documents and collects failures instead of raising them. The
    error handlers of the pipeline are replaced while it runs, and restored afterwards.

    nlp (Language): The pipeline.
    spans_key (str): The group of `doc.spans` with the result.
    """

    def __init__(self, nlp: Language, spans_key: str):
        self.nlp = nlp
        self.spans_key = spans_key
        self._waiting: deque[tuple[int, PipeResult[T]]] = deque()
        self._errors: dict[int, str] = {}

    def __call__(
        self, texts: Iterable[tuple[str | Doc, T]], batch_size: int | None = None
    ) -> Iterator[PipeResult[T]]:
        """Annotate documents.

        texts (Iterable[tuple[str | Doc, T]]): Texts or Docs, each with an object that
            is returned with the result.
        batch_size (int | None): The number of documents to process together.
        YIELDS (PipeResult[T]): One result for each document, in order, even if a
            component failed on the document or dropped it.
        """
        with self._collecting_errors():
            for doc in self.nlp.pipe(self._docs(texts), batch_size=batch_size):
                while self._is_lost(doc):
                    yield self._lost_result(*self._waiting.popleft())
                yield self._result(*self._waiting.popleft(), doc)
            while self._waiting:
                yield self._lost_result(*self._waiting.popleft())

    @contextmanager
    def _collecting_errors(self) -> Iterator[None]:
        nlp, default = self.nlp, self.nlp.default_error_handler
        before = [
            (pipe, pipe.get_error_handler())
            for _, pipe in nlp.pipeline
            if isinstance(pipe, Pipe)
        ]
        # In spaCy's types a handler never returns.
        nlp.default_error_handler = self._collect  # type: ignore[assignment]
        for pipe, _ in before:
            _set_handler(pipe, self._collect)
        try:
            yield
        finally:
            nlp.default_error_handler = default
            for pipe, handler in before:
                _set_handler(pipe, handler)

    def _is_lost(self, doc: Doc) -> bool:
        """Whether the pipeline returned a later document than the next in order."""
        place, waiting = self._waiting[0]
        if doc is waiting.doc or doc._context == place:
            return False
        # A cache may return one Doc for several texts, with the context of the last of
        # them. Then a document is lost only if it is known to have failed.
        if any(doc is later.doc for _, later in self._waiting):
            return True
        return place in self._errors

    def _docs(self, texts: Iterable[tuple[str | Doc, T]]) -> Iterator[Doc]:
        for place, (text, source) in enumerate(texts):
            if isinstance(text, Doc):
                doc = text
            else:
                try:
                    doc = self.nlp.make_doc(text)
                except Exception as error:
                    # A single token keeps the text.
                    words = [text] if text else []
                    doc = Doc(self.nlp.vocab, words=words, spaces=[False] * len(words))
                    self._errors[place] = str(error)
                    self._waiting.append((place, PipeResult(source, doc)))
                    continue
            # A component with a cache does not return `user_data`.
            doc._context = place
            self._waiting.append((place, PipeResult(source, doc)))
            yield doc

    def _collect(self, name: str, _: Any, docs: list[Doc], error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"

    def _result(self, place: int, result: PipeResult[T], doc: Doc) -> PipeResult[T]:
        if doc.text != result.doc.text:
            self._errors[place] = Errors.G772.format(found=doc.text[:40])
            return self._lost_result(place, result)
        result.doc = doc
        if self.spans_key not in doc.spans:
            result.written = False
            doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key)
        error = self._errors.pop(place, None)
        if doc.spans[self.spans_key].attrs.get("status") == FAILED:
            result.error = error or _reason(doc, self.spans_key)
        return result

    def _lost_result(self, place: int, result: PipeResult[T]) -> PipeResult[T]:
        doc = result.doc
        reason = self._errors.pop(place, "no reason was given")
        issue = failure_issue(doc, Errors.G528.format(reason=reason))
        doc.spans[self.spans_key] = SpanGroup(
            doc,
            name=self.spans_key,
            attrs={"status": FAILED, "issues": [issue]},
        )
        result.error = reason
        return result


def _reason(doc: Doc, spans_key: str) -> str:
    """The reason of a failure that was not passed to the error handler."""
    issues = doc.spans[spans_key].attrs.get("issues", ())
    messages = (issue["message"] for issue in issues if issue.get("code") == FAILED)
    return str(next(messages, FAILED))


def _set_handler(pipe: Pipe, handler: Callable[..., Any]) -> None:
    # The parser and the ner of spaCy cannot store a handler.
    with suppress(AttributeError):
        pipe.set_error_handler(handler)
