"""Questions answered under the grammar of their format."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..decoding.decoder import DraftDecoder
from ..decoding.tasks import Decoded, Task
from ..errors import Errors
from ..formats import CharSpan, InlineFormat, get_format
from ..grammar import Source
from ..isolation import isolated
from ..models.language_model import LanguageModel
from ..prompts import Demonstration, PromptLayout
from ..prompts.budget import OUTPUT
from ..runtime import Runtime
from ..windows import WindowSettings
from .adapters import Tuned, chat_of_questions
from .exchange import Answer, Question

if TYPE_CHECKING:
    from ..decoding.rows import Engine

# Prompts that are kept ready: each holds the keys and values of its prefix.
_KEPT = 4


class GrammarWriter:
    """Answers Questions with a decoder that can write nothing but marks into a copy.

    lm (LanguageModel): The model.
    tuned (Optional[Tuned]): What its adapter was tuned on, where that is known.
    chat (Union[bool, str]): Whether prompts are turns of a chat.
    max_depth (int): How deep spans may be nested.
    batch_tokens (int): The most tokens of one batch.
    limit (int): The most tokens of prompt and answer.
    """

    def __init__(
        self,
        lm: LanguageModel,
        tuned: Tuned | None,
        chat: bool | str,
        max_depth: int,
        batch_tokens: int,
        limit: int,
    ):
        self.lm = lm
        self.tuned = tuned
        self.chat = chat
        self.max_depth = max_depth
        self.limit = limit
        self.decoder = DraftDecoder(batch_tokens)
        self._runtimes: list[tuple[PromptLayout, Runtime]] = []
        self._lock = threading.Lock()

    def answers(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer some Questions, those with one layout together.

        questions (Sequence[Question]): The Questions.
        RETURNS (List[Answer]): An answer for each, with the probabilities of its
            spans, or with the error that stood in its way.
        """
        made: dict[int, Answer] = {}
        for layout, indices in _by_layout(questions):
            try:
                runtime = self._runtime(layout)
                engine = runtime.annotator(self.decoder).engine
            except Exception as error:
                made.update({index: Answer(error=error) for index in indices})
                continue
            group = [questions[index] for index in indices]
            found = self._answered(runtime, engine, group)
            made.update(zip(indices, found, strict=True))
        return [made[index] for index in range(len(questions))]

    def _answered(
        self, runtime: Runtime, engine: "Engine", questions: list[Question]
    ) -> list[Answer]:
        """Answer Questions together; where that fails, each alone, so that one's
        failure is its own."""
        made: dict[int, Answer] = {}
        sources: dict[int, Source] = {}
        tasks: dict[int, Task] = {}
        for index, question in enumerate(questions):
            try:
                source = runtime.encoder.source(*question.subject)
                sources[index] = source
                if len(source):
                    tasks[index] = self._task(runtime, question, source)
                else:
                    made[index] = _written(question, source, None, runtime)
            except Exception as error:
                made[index] = Answer(error=error)
        decoded: list[Decoded | Exception] = isolated(
            lambda some: self.decoder.decode(engine, some),
            list(tasks.values()),
            lambda _, error: error,
        )
        for index, result in zip(tasks, decoded, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
                source = sources[index]
                made[index] = _written(questions[index], source, result, runtime)
            except Exception as error:
                made[index] = Answer(error=error)
        return [made[index] for index in range(len(questions))]

    def _task(self, runtime: Runtime, question: Question, source: Source) -> Task:
        prompt = runtime.encoder.prompt(source)
        size = len(runtime.encoder.prefix_ids) + len(prompt)
        size += OUTPUT * len(source.flat_ids)
        if size > self.limit:
            shown = question.subject.text[:40]
            raise ValueError(
                Errors.G741.format(prompt=shown, size=size, limit=self.limit)
            )
        ends = runtime.encoder.unit_ends(source, prompt)
        return Task(runtime.encoder.grammar(source), prompt, ends)

    def _runtime(self, layout: PromptLayout) -> Runtime:
        """The model bound to a layout; the last few are kept."""
        with self._lock:
            for place, (kept, runtime) in enumerate(self._runtimes):
                if kept is layout or kept == layout:
                    self._runtimes.append(self._runtimes.pop(place))
                    return runtime
            if self.tuned is None:
                asked = in_own_layout(layout)
            else:
                self.tuned.check_labels(layout.labels)
                asked = self.tuned.layout
            made = Runtime(
                self.lm,
                get_format(asked.format),
                asked,
                self.max_depth,
                WindowSettings(),
                chat_of_questions(self.lm, self.tuned, self.chat),
            )
            self._runtimes = [*self._runtimes[1 - _KEPT :], (layout, made)]
            return made


def in_own_layout(layout: PromptLayout) -> PromptLayout:
    """A prompt whose demonstrations look as an output under the grammar does: there a
    mark stands before the space that comes before its span, `the[ University`.

    layout (PromptLayout): The prompt.
    RETURNS (PromptLayout): The same, or one with other demonstrations.
    """
    fmt = get_format(layout.format)
    if not isinstance(fmt, InlineFormat) or not layout.demonstrations:
        return layout
    shown = []
    for text, output in layout.demonstrations:
        spans = [
            span._replace(start=span.start - text[: span.start].endswith(" "))
            for span in fmt.parse(output, text, layout.labels).spans
        ]
        shown.append(Demonstration(text, fmt.written(text, spans, layout.labels)))
    return replace(layout, demonstrations=tuple(shown))


def _by_layout(
    questions: Sequence[Question],
) -> Iterator[tuple[PromptLayout, list[int]]]:
    groups: list[tuple[PromptLayout, list[int]]] = []
    for index, question in enumerate(questions):
        layout = question.layout
        for other, indices in groups:
            if other is layout or other == layout:
                indices.append(index)
                break
        else:
            groups.append((layout, [index]))
    yield from groups


def _written(
    question: Question, source: Source, decoded: Decoded | None, runtime: Runtime
) -> Answer:
    """What was decoded, in the format that was asked for, with its probabilities.
    Spans of labels that were not asked for are left out."""
    wanted: Any = question.layout.labels
    scored = []
    for span in decoded.spans if decoded is not None else ():
        label = runtime.encoder.labels[span.label]
        if label in wanted:
            start, end = source.starts[span.start], source.ends[span.end - 1]
            scored.append((CharSpan(start, end, label), span.score))
    fmt = get_format(question.layout.format)
    spans = [span for span, _ in scored]
    written = fmt.render(question.subject.text, spans, wanted)
    return Answer(written, scored=scored)
