"""The correction of a corpus: its state, its steps and its file.

A session belongs to a server and has no page. Every step that changes an annotation
writes the output file before the step is answered, so that a killed browser or server
loses nothing that the page has shown.
"""

import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from spacy.language import Language

from ..errors import Errors
from ..formats import Format
from ..pipeline.results import FAILED
from .documents import (
    DONE,
    OPEN,
    SKIPPED,
    Annotation,
    Corpus,
    Output,
    SourceDocument,
)
from .edits import (
    ACCEPTED,
    REJECTED,
    Editor,
    ReviewSpan,
    Spans,
    TokenGrid,
    accept_all,
    find,
)
from .ordering import CORPUS, ENTROPY, MARGIN, order_documents, uncertainty
from .parts import cut, is_in_part, lead, span_view, token_texts

# Steps that can be undone.
MAX_HISTORY = 1000
# After so many seconds without a request, another page may continue.
PAGE_TIMEOUT = 15.0
# Documents that the background task suggests spans for at a time.
BATCH = 8
FINE_TOKENIZER = "spacy-genner.FineTokenizer.v1"


class Suggestion(NamedTuple):
    """The spans that a model suggests for a document.

    spans (Spans): The spans.
    status (str): The status of the document: "ok", "windowed", "repaired" or "failed".
    issues (list[dict[str, Any]]): What the model or its parser reports.
    """

    spans: Spans
    status: str
    issues: list[dict[str, Any]]


Suggest = Callable[[Sequence[str]], list[Suggestion]]


@dataclass
class Training:
    """What the commands for training depend on.

    model (str): The folder or package of the pipeline that suggests spans, or "".
    adapter (str): The folder of its adapter, or "".
    spans_key (str): The group of `doc.spans`.
    """

    model: str = ""
    adapter: str = ""
    spans_key: str = "sc"


class Step(NamedTuple):
    """A change that can be undone.

    number (int): The number of the document.
    before (Annotation | None): Its annotation before the change; None if it had none.
    after (Annotation | None): Its annotation after the change.
    """

    number: int
    before: Annotation | None
    after: Annotation | None


@dataclass
class Scoring:
    """The background task that asks the model for the suggestions of all documents.

    total (int): The number of documents without suggestions at its start.
    done (int): Those that have suggestions now.
    error (str): Why the task stopped, or "".
    """

    total: int = 0
    done: int = 0
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """RETURNS (bool): Whether the task is running."""
        return self.thread is not None and self.thread.is_alive()


class CorrectionSession:
    """Corrects the documents of a corpus, one at a time.

    corpus (Path): The corpus: `.jsonl` or `.spacy`.
    output (Path): The `.jsonl` file to write. If it exists, the session continues it.
    nlp (Language): The pipeline whose tokenizer gives the boundaries of spans.
    format (Format): The output format of the model to train.
    labels (Sequence[str]): The labels to offer, in order. Those of the corpus follow.
    order (str): The order of the documents: "corpus", "margin", "entropy" or "random".
    seed (int): The seed of the order "random".
    suggest (Suggest | None): Suggests spans for texts. None without a model.
    training (Training | None): What the commands for training depend on.
    RAISES (ValueError): A file is malformed, the output belongs to another corpus, or
        somebody else is correcting it.
    """

    def __init__(
        self,
        corpus: Path,
        output: Path,
        *,
        nlp: Language,
        format: Format,
        labels: Sequence[str] = (),
        order: str = CORPUS,
        seed: int = 0,
        suggest: Suggest | None = None,
        training: Training | None = None,
    ):
        self.training = training or Training()
        self.seed = seed
        self.nlp = nlp
        self.editor = Editor(format)
        self.suggest = suggest
        self.corpus = Corpus(corpus, self.training.spans_key, nlp.vocab)
        self.output = Output(output, self.corpus)
        self.order = order
        self.scoring = Scoring()
        self._lock = threading.RLock()
        self._suggestions: dict[int, Suggestion] = {}
        self._labels = dict.fromkeys(labels)
        # Both by order, for "margin" and "entropy".
        self._uncertainties = {m: [0.0] * len(self.corpus) for m in (MARGIN, ENTROPY)}
        self._without_scores = 0
        self._read_suggestions()
        order_documents(0, order)
        self._file_lock = _lock_file(output)
        try:
            self._annotations = self.output.read()
        except BaseException:
            self._file_lock.release()
            raise
        for annotation in self._annotations.values():
            self._labels.update(dict.fromkeys(s.label for s in annotation.spans))
        self._undo: list[Step] = []
        self._redo: list[Step] = []
        # Counts the changes: a page that shows an earlier revision can't edit.
        self.revision = 0
        self._page = ""
        self._seen = 0.0
        self._grid: tuple[int, TokenGrid] | None = None
        self._sequence: list[int] = []
        self._position = 0
        self._part = 0
        self._reorder()

    def close(self, timeout: float = 60.0) -> None:
        """Stop the background task and let others correct the file.

        timeout (float): How many seconds to wait for the document that the task is
            scoring.
        """
        self.scoring.stop.set()
        if self.scoring.thread is not None:
            self.scoring.thread.join(timeout)
        self._file_lock.release()

    # Requests of a page

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request of a page.

        request (Mapping[str, Any]): `page` identifies the page, `action` names the
            step, `revision` is that of the view that the page shows, and further keys
            are the arguments of the step.
        RETURNS (dict[str, Any]): The new view. After a step that is refused, `error`
            has the message.
        """
        with self._lock:
            error = message = ""
            try:
                action = request.get("action")
                self._check_page(str(request.get("page", "")), action == "take_over")
                if action in _EDITS and request.get("revision") != self.revision:
                    raise ValueError(Errors.G889)
                step = _ACTIONS.get(str(action))
                if step is None:
                    raise ValueError(Errors.G897.format(found=action))
                message = step(self, request) or ""
            except ValueError as refused:
                error = str(refused)
            except OSError as refused:
                error = Errors.G885.format(
                    path=self.output.path, reason=refused.strerror or refused
                )
            except (KeyError, TypeError) as refused:
                error = Errors.G897.format(
                    found=f"{request.get('action')}: {refused!r}"
                )
            return {**self.view(), "message": message, "error": error}

    def _check_page(self, page: str, takes_over: bool) -> None:
        """Let one page edit at a time."""
        now = time.monotonic()
        is_free = not self._page or now - self._seen > PAGE_TIMEOUT
        if page != self._page and not (is_free or takes_over):
            raise ValueError(Errors.G890)
        self._page, self._seen = page, now

    # What a page shows

    def view(self) -> dict[str, Any]:
        """Describe what a page shows.

        RETURNS (dict[str, Any]): The document with the tokens and spans of the current
            part, the counts, the labels, and what can be undone. Offsets are numbers of
            tokens, because characters are counted differently in JavaScript.
        """
        number = self._sequence[self._position]
        document = self.corpus[number]
        annotation = self._annotation(document)
        grid = self._grid_of(document)
        parts = cut(grid)
        self._part = min(self._part, len(parts) - 1)
        first, last = parts[self._part]
        suggestion = self._suggestions.get(number)
        states = [a.state for a in self._annotations.values()]
        counts = {state: states.count(state) for state in (DONE, SKIPPED)}
        return {
            "revision": self.revision,
            "corpus": str(self.corpus.path),
            "output": str(self.output.path),
            "order": self.order,
            "counts": {
                "total": len(self.corpus),
                "done": counts[DONE],
                "skipped": counts[SKIPPED],
                "left": len(self.corpus) - counts[DONE] - counts[SKIPPED],
            },
            "labels": list(self._labels),
            "format": self.editor.format.name,
            "can_suggest": self.suggest is not None,
            "can_undo": bool(self._undo),
            "can_redo": bool(self._redo),
            "scoring": {
                "running": self.scoring.is_running,
                "done": self.scoring.done,
                "total": self.scoring.total,
                "error": self.scoring.error,
                "missing": self._without_scores,
            },
            "document": {
                "number": number,
                "position": self._position + 1,
                "doc_id": str(document.fields.get("doc_id", "")),
                "state": annotation.state,
                "status": suggestion.status if suggestion else document.status,
                "issues": suggestion.issues if suggestion else document.issues,
                "part": self._part + 1,
                "parts": len(parts),
                "first_token": first,
                "lead": lead(grid) if first == 0 else "",
                "tokens": token_texts(grid, first, last),
                "spans": [
                    span_view(span, grid)
                    for span in annotation.spans
                    if is_in_part(span, grid, first, last)
                ],
                "total_spans": len(annotation.spans),
            },
        }

    def commands(self) -> list[dict[str, str]]:
        """The commands that train a pipeline with the corrected documents.

        RETURNS (list[dict[str, str]]): Each command and what it is for.
        """
        output = self.output.path
        corpus, config = output.with_suffix(".spacy"), output.with_suffix(".cfg")
        held_out = output.with_name(f"{output.stem}-dev.spacy")
        folder = Path("training") / output.stem
        key = self.training.spans_key
        keys = [] if key == "sc" else ["--spans-key", key]
        lang = [] if self.nlp.lang == "en" else ["--lang", self.nlp.lang]
        used = self.nlp.config["nlp"]["tokenizer"].get("@tokenizers")
        tokenizer = ["--tokenizer", "fine"] if used == FINE_TOKENIZER else []
        genner = ["python", "-m", "spacy", "genner"]
        convert = ["convert", output, corpus, "--from", "jsonl"]
        init = ["init-config", corpus, config, "--dev", held_out]
        rows: list[tuple[str, list[Any]]] = [
            (
                "Convert the documents that are done. The others are left out, and "
                "counted.",
                [*genner, *convert, *lang, *tokenizer, *keys],
            ),
            (
                f"Write a config. {held_out.name} stands for your development corpus: "
                "annotated documents that are not trained on.",
                [*genner, *init, *lang, *keys],
            ),
            ("Train.", [*genner, "train", config, "--output", folder]),
            (
                "Continue an interrupted run from its last checkpoint, with the same "
                "config and the same corpora.",
                [*genner, "train", config, "--resume", folder],
            ),
        ]
        if self.training.adapter:
            override = "--initialize.components.generative_ner.adapter"
            train = ["train", config, "--output", folder]
            adapter = Path(os.path.realpath(self.training.adapter))
            rows.insert(
                3,
                (
                    "Or start from the adapter of the model that suggested the spans.",
                    [*genner, *train, override, adapter],
                ),
            )
        return [
            {"what": what, "command": shlex.join(map(str, words))}
            for what, words in rows
        ]

    # Steps

    def _open(self, request: Mapping[str, Any]) -> str | None:
        self._suggest_current()
        return None

    def _take_over(self, request: Mapping[str, Any]) -> str:
        self._suggest_current()
        return "This page continues the correction."

    def _add(self, request: Mapping[str, Any]) -> None:
        document, annotation = self._current()
        grid = self._grid_of(document)
        start, end = grid.range(int(request["first"]), int(request["last"]))
        label = str(request["label"])
        spans = self.editor.add(document.text, annotation.spans, start, end, label)
        self._change(Annotation(spans, annotation.state))
        self._labels.setdefault(label)

    def _relabel(self, request: Mapping[str, Any]) -> None:
        document, annotation = self._current()
        key, label = str(request["key"]), str(request["label"])
        spans = self.editor.relabel(document.text, annotation.spans, key, label)
        self._change(Annotation(spans, annotation.state))
        self._labels.setdefault(label)

    def _move(self, request: Mapping[str, Any]) -> None:
        document, annotation = self._current()
        span = find(annotation.spans, str(request["key"]))
        side, step = str(request["side"]), int(request["step"])
        start, end = self._grid_of(document).moved(span, side, step)
        self._resized(document, annotation, span, start, end)

    def _resize(self, request: Mapping[str, Any]) -> None:
        document, annotation = self._current()
        span = find(annotation.spans, str(request["key"]))
        grid = self._grid_of(document)
        start, end = grid.range(int(request["first"]), int(request["last"]))
        self._resized(document, annotation, span, start, end)

    def _resized(
        self,
        document: SourceDocument,
        annotation: Annotation,
        span: ReviewSpan,
        start: int,
        end: int,
    ) -> None:
        spans = self.editor.resize(
            document.text, annotation.spans, span.key, start, end
        )
        self._change(Annotation(spans, annotation.state))

    def _accept(self, request: Mapping[str, Any]) -> None:
        self._set_state(request, ACCEPTED)

    def _reject(self, request: Mapping[str, Any]) -> None:
        self._set_state(request, REJECTED)

    def _set_state(self, request: Mapping[str, Any], state: str) -> None:
        document, annotation = self._current()
        key = str(request["key"])
        spans = self.editor.set_state(document.text, annotation.spans, key, state)
        self._change(Annotation(spans, annotation.state))

    def _delete(self, request: Mapping[str, Any]) -> None:
        _, annotation = self._current()
        spans = self.editor.delete(annotation.spans, str(request["key"]))
        self._change(Annotation(spans, annotation.state))

    def _finish(self, request: Mapping[str, Any]) -> str | None:
        """The shown spans are right: all suggestions are accepted."""
        _, annotation = self._current()
        self._change(Annotation(accept_all(annotation.spans), DONE))
        return self._go_to_open()

    def _skip(self, request: Mapping[str, Any]) -> str | None:
        _, annotation = self._current()
        self._change(Annotation(annotation.spans, SKIPPED))
        return self._go_to_open()

    def _reopen(self, request: Mapping[str, Any]) -> None:
        _, annotation = self._current()
        self._change(Annotation(annotation.spans, OPEN))

    def _suggest_again(self, request: Mapping[str, Any]) -> str:
        if self.suggest is None:
            raise ValueError(Errors.G898)
        document, annotation = self._current()
        [suggestion] = self.suggest([document.text])
        self._keep(document.number, suggestion)
        spans = self.editor.merge_suggestions(annotation.spans, suggestion.spans)
        self._change(Annotation(spans, annotation.state))
        return f"The model suggests {len(suggestion.spans)} spans."

    def _go(self, request: Mapping[str, Any]) -> str | None:
        """Go to the next or the previous document, or to one by its number."""
        if "number" in request:
            number = int(request["number"])
            if not 1 <= number <= len(self.corpus):
                total = len(self.corpus)
                raise ValueError(Errors.G899.format(found=number, total=total))
            position = self._sequence.index(number)
        else:
            position = self._position + int(request["step"])
        if not 0 <= position < len(self._sequence):
            return "There is no further document in this direction."
        self._show(position)
        return None

    def _go_part(self, request: Mapping[str, Any]) -> None:
        self._part = max(0, self._part + int(request["step"]))

    def _set_order(self, request: Mapping[str, Any]) -> str:
        order = str(request["order"])
        order_documents(0, order)
        self.order = order
        self._reorder()
        return f"The order is {order!r}."

    def _undo_step(self, request: Mapping[str, Any]) -> str:
        return self._replay(self._undo, self._redo, back=True)

    def _redo_step(self, request: Mapping[str, Any]) -> str:
        return self._replay(self._redo, self._undo, back=False)

    def _replay(self, source: list[Step], target: list[Step], back: bool) -> str:
        if not source:
            return "There is nothing to undo." if back else "There is nothing to redo."
        step = source[-1]
        self._store(step.number, step.before if back else step.after)
        target.append(source.pop())
        self._show(self._sequence.index(step.number), same_part=True)
        return f"{'Undone' if back else 'Redone'} in document {step.number}."

    def _score_all(self, request: Mapping[str, Any]) -> str:
        if self.suggest is None:
            raise ValueError(Errors.G898)
        if self.scoring.is_running:
            return "The model is already at work."
        missing = [d.number for d in self.corpus if self._suggested(d) is None]
        self.scoring = Scoring(total=len(missing))
        thread = threading.Thread(
            target=self._score, args=(self.scoring, missing), daemon=True
        )
        self.scoring.thread = thread
        thread.start()
        return f"The model reads {len(missing)} documents."

    def _stop_scoring(self, request: Mapping[str, Any]) -> str:
        self.scoring.stop.set()
        return "The model stops after the current documents."

    def _score(self, scoring: Scoring, numbers: list[int]) -> None:
        """Ask the model for suggestions, outside of the lock of the session."""
        assert self.suggest is not None
        try:
            for at in range(0, len(numbers), BATCH):
                if scoring.stop.is_set():
                    return
                chosen = numbers[at : at + BATCH]
                found = self.suggest([self.corpus[number].text for number in chosen])
                with self._lock:
                    for number, suggestion in zip(chosen, found, strict=True):
                        if number not in self._suggestions:
                            self._keep(number, suggestion)
                    scoring.done += len(chosen)
        except Exception as error:
            scoring.error = str(error)

    # State

    def _current(self) -> tuple[SourceDocument, Annotation]:
        document = self.corpus[self._sequence[self._position]]
        return document, self._annotation(document)

    def _annotation(self, document: SourceDocument) -> Annotation:
        found = self._annotations.get(document.number)
        if found is not None:
            return found
        suggestion = self._suggested(document)
        return Annotation(suggestion.spans if suggestion else ())

    def _suggested(self, document: SourceDocument) -> Suggestion | None:
        """The spans of the corpus, or of the model for a text without annotation."""
        if document.number in self._suggestions:
            return self._suggestions[document.number]
        if document.spans is None:
            return None
        return Suggestion(document.spans, document.status, document.issues)

    def _change(self, annotation: Annotation) -> None:
        """Save the annotation of the current document, which becomes a step."""
        number = self._sequence[self._position]
        before = self._annotations.get(number)
        self._store(number, annotation)
        self._undo.append(Step(number, before, annotation))
        del self._undo[:-MAX_HISTORY]
        self._redo.clear()

    def _store(self, number: int, annotation: Annotation | None) -> None:
        # The file first: a step that can't be saved does not happen.
        self.output.write(number, annotation)
        if annotation is None:
            self._annotations.pop(number, None)
        else:
            self._annotations[number] = annotation
        self.revision += 1

    def _show(self, position: int, same_part: bool = False) -> None:
        if not (same_part and position == self._position):
            self._part = 0
        self._position = position
        self._suggest_current()

    def _suggest_current(self) -> None:
        """Ask the model about a document that has no annotation yet."""
        document, _ = self._current()
        if (
            self.suggest is not None
            and document.number not in self._annotations
            and self._suggested(document) is None
        ):
            [suggestion] = self.suggest([document.text])
            self._keep(document.number, suggestion)

    def _keep(self, number: int, suggestion: Suggestion) -> None:
        if number not in self._suggestions and self.corpus[number].spans is None:
            self._without_scores -= 1
        self._suggestions[number] = suggestion
        self._measure(number, suggestion)

    def _read_suggestions(self) -> None:
        for document in self.corpus:
            suggestion = self._suggested(document)
            self._measure(document.number, suggestion)
            self._without_scores += suggestion is None

    def _measure(self, number: int, suggestion: Suggestion | None) -> None:
        spans = None if suggestion is None else suggestion.spans
        failed = suggestion is not None and suggestion.status == FAILED
        for measure, values in self._uncertainties.items():
            values[number - 1] = uncertainty(spans, measure, failed)
        self._labels.update(dict.fromkeys(span.label for span in spans or ()))

    def _reorder(self) -> None:
        """Order the documents, and show the one to continue with: one that is begun, or
        else the first that is open."""
        values = self._uncertainties.get(self.order, ())
        self._sequence = order_documents(
            len(self.corpus), self.order, values, self.seed
        )
        begun = [
            number
            for number, annotation in self._annotations.items()
            if annotation.state == OPEN
        ]
        self._position, self._part = 0, 0
        if begun:
            self._position = self._sequence.index(begun[-1])
        else:
            self._position = self._next_open(-1) or 0

    def _next_open(self, position: int) -> int | None:
        """The position of the next open document, from the start again at the end."""
        count = len(self._sequence)
        for step in range(1, count + 1):
            at = (position + step) % count
            found = self._annotations.get(self._sequence[at])
            if found is None or found.state == OPEN:
                return at
        return None

    def _go_to_open(self) -> str | None:
        position = self._next_open(self._position)
        if position is None:
            return "All documents are done or skipped."
        self._show(position)
        return None

    def _grid_of(self, document: SourceDocument) -> TokenGrid:
        if self._grid is None or self._grid[0] != document.number:
            tokens = document.tokens
            if tokens is None:
                # `make_doc` limits the length of texts, for the sake of parsers.
                doc = self.nlp.tokenizer(document.text)
                tokens = [(token.idx, token.idx + len(token)) for token in doc]
            self._grid = document.number, TokenGrid(document.text, tokens)
        return self._grid[1]


_Action = Callable[[CorrectionSession, Mapping[str, Any]], str | None]
# Steps that change the annotation of the document that the page shows.
_EDITS: dict[str, _Action] = {
    "accept": CorrectionSession._accept,
    "add": CorrectionSession._add,
    "delete": CorrectionSession._delete,
    "finish": CorrectionSession._finish,
    "move": CorrectionSession._move,
    "reject": CorrectionSession._reject,
    "relabel": CorrectionSession._relabel,
    "reopen": CorrectionSession._reopen,
    "resize": CorrectionSession._resize,
    "skip": CorrectionSession._skip,
    "suggest": CorrectionSession._suggest_again,
}
_ACTIONS: dict[str, _Action] = {
    **_EDITS,
    "go": CorrectionSession._go,
    "open": CorrectionSession._open,
    "order": CorrectionSession._set_order,
    "part": CorrectionSession._go_part,
    "redo": CorrectionSession._redo_step,
    "score_all": CorrectionSession._score_all,
    "stop_scoring": CorrectionSession._stop_scoring,
    "take_over": CorrectionSession._take_over,
    "undo": CorrectionSession._undo_step,
}


def default_output(corpus: Path) -> Path:
    """RETURNS (Path): The output for a corpus: `NAME.corrected.jsonl` beside it."""
    return corpus.with_name(f"{corpus.stem}.corrected.jsonl")


def _lock_file(output: Path) -> FileLock:
    """Lock an output for this process. The lock ends with the process."""
    output.parent.mkdir(parents=True, exist_ok=True)
    # Requests are answered by several threads.
    path = output.with_name(f".{output.name}.lock")
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(Errors.G884.format(path=output)) from None
    return lock
