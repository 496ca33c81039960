"""A fault-tolerant wrapper around a pipeline."""

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
    """One document with what became of it.

    source (T): What it was given with.
    doc (Doc): The Doc, with the group, whose attributes have the status.
    error (Optional[str]): Why it failed.
    written (bool): Whether the pipeline wrote the group; else it is empty.
    """

    source: T
    doc: Doc
    error: str | None = None
    written: bool = True


class FaultTolerantPipe(Generic[T]):
    """Runs a pipeline over documents. While it does, failures are noted, and none is
    raised; then the pipeline's error handlers are what they were.

    nlp (Language): The pipeline.
    spans_key (str): The group of `doc.spans` that is the result.
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

        texts (Iterable[Tuple[Union[str, Doc], T]]): Texts or Docs, each with what
            comes back with it.
        batch_size (Optional[int]): How many go through the pipeline at once.
        YIELDS (PipeResult[T]): One for each, in order: also for a document that some
            component failed on or dropped.
        """
        with self._noting():
            for doc in self.nlp.pipe(self._docs(texts), batch_size=batch_size):
                while self._is_lost(doc):
                    yield self._lost(*self._waiting.popleft())
                yield self._done(*self._waiting.popleft(), doc)
            while self._waiting:
                yield self._lost(*self._waiting.popleft())

    @contextmanager
    def _noting(self) -> Iterator[None]:
        nlp, default = self.nlp, self.nlp.default_error_handler
        before = [
            (pipe, pipe.get_error_handler())
            for _, pipe in nlp.pipeline
            if isinstance(pipe, Pipe)
        ]
        # spaCy types handlers as if none ever came back.
        nlp.default_error_handler = self._note  # type: ignore[assignment]
        for pipe, _ in before:
            _set_handler(pipe, self._note)
        try:
            yield
        finally:
            nlp.default_error_handler = default
            for pipe, handler in before:
                _set_handler(pipe, handler)

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

    def _docs(self, texts: Iterable[tuple[str | Doc, T]]) -> Iterator[Doc]:
        for place, (text, source) in enumerate(texts):
            if isinstance(text, Doc):
                doc = text
            else:
                try:
                    doc = self.nlp.make_doc(text)
                except Exception as error:
                    # One token, so that the text itself is kept.
                    words = [text] if text else []
                    doc = Doc(self.nlp.vocab, words=words, spaces=[False] * len(words))
                    self._errors[place] = str(error)
                    self._waiting.append((place, PipeResult(source, doc)))
                    continue
            # What is in `user_data` does not come back where a component has a cache.
            doc._context = place
            self._waiting.append((place, PipeResult(source, doc)))
            yield doc

    def _note(self, name: str, _: Any, docs: list[Doc], error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"

    def _done(self, place: int, passed: PipeResult[T], doc: Doc) -> PipeResult[T]:
        if doc.text != passed.doc.text:
            self._errors[place] = Errors.G772.format(found=doc.text[:40])
            return self._lost(place, passed)
        passed.doc = doc
        if self.spans_key not in doc.spans:
            passed.written = False
            doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key)
        error = self._errors.pop(place, None)
        if doc.spans[self.spans_key].attrs.get("status") == FAILED:
            passed.error = error or _reason(doc, self.spans_key)
        return passed

    def _lost(self, place: int, passed: PipeResult[T]) -> PipeResult[T]:
        doc = passed.doc
        reason = self._errors.pop(place, "no reason was given")
        issue = failure_issue(doc, Errors.G528.format(reason=reason))
        doc.spans[self.spans_key] = SpanGroup(
            doc,
            name=self.spans_key,
            attrs={"status": FAILED, "issues": [issue]},
        )
        passed.error = reason
        return passed


def _reason(doc: Doc, spans_key: str) -> str:
    """Why a document failed whose component called no error handler."""
    issues = doc.spans[spans_key].attrs.get("issues", ())
    said = (issue["message"] for issue in issues if issue.get("code") == FAILED)
    return str(next(said, FAILED))


def _set_handler(pipe: Pipe, handler: Callable[..., Any]) -> None:
    # spaCy's parser and ner have no place for one.
    with suppress(AttributeError):
        pipe.set_error_handler(handler)
