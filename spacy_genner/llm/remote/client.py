"""Questions to a model behind a server, and its answers."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from ...errors import Warnings, warn
from ..exchange import Answer, Question
from ..thinking import thought_before
from .bodies import Request, ask, ask_yes_no
from .concessions import Concessions
from .odds import Odds, check_options, read_odds
from .run import Run
from .schemas import unwrapped
from .sender import Outcome, Shared
from .settings import RemoteSettings
from .usage import Meter, Usage
from .waits import Gate, Timing

# How many questions, for each that is under way, are read ahead or wait to be given
# back behind a slower one.
_AHEAD = 4


class RemoteClient:
    """Asks a model behind a server that speaks the OpenAI protocol.

    Some questions are under way at a time; answers come in the order of the questions.
    A question that fails for good has an answer with its error, and takes no other
    along. It can be used in a notebook, where an event loop is running, and from
    several threads.

    settings (RemoteSettings): Which model is asked, where, and how.
    timing (Timing): Time and chance.
    """

    def __init__(self, settings: RemoteSettings, timing: Timing | None = None):
        self.settings = settings
        timing = timing or Timing()
        self._shared = Shared(
            settings,
            timing,
            Gate(timing),
            Meter(settings.prices),
            Concessions(settings),
        )
        self._told_of_cut = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process begins with counts of its own.
        return type(self), (self.settings,)

    @property
    def usage(self) -> Usage:
        """What was asked for since the client was made."""
        return self._shared.meter.usage

    def answer(self, questions: Sequence[str]) -> list[Answer]:
        """Ask questions.

        questions (Sequence[str]): The prompts; that of a `Question` knows its text.
        RETURNS (List[Answer]): The answers in the same order, each with its text or an
            error.
        RAISES (ValueError): The key is missing. (ImportError): httpx is missing.
            (CacheError): The cache can't be used.
        """
        return list(self.stream(questions))

    def stream(self, questions: Iterable[str]) -> Iterator[Answer]:
        """Ask any number of questions, of which a few are held at a time.

        questions (Iterable[str]): The prompts; that of a `Question` knows its text.
        YIELDS (Answer): The answers in the same order, each with its text or an error.
        RAISES (ValueError): The key is missing. (ImportError): httpx is missing.
            (CacheError): The cache can't be used.
        """
        asked = ((question, ask(self.settings, question)) for question in questions)
        for question, request, outcome in self._outcomes(asked):
            yield self._read(question, request, outcome)

    def probabilities(
        self, questions: Iterable[str], options: Sequence[str] = ("yes", "no")
    ) -> list[Odds]:
        """Ask questions that one of two words answers.

        questions (Iterable[str]): The prompts.
        options (Sequence[str]): The words, which differ in their first letter.
        RETURNS (List[Odds]): The probability of the first word for each question, or
            its error.
        RAISES (ValueError): The options can't be told apart, or the key is missing.
            (ImportError): httpx is missing. (CacheError): The cache can't be used.
        """
        words = check_options(options)
        asked = ((q, ask_yes_no(self.settings, q)) for q in questions)
        return [
            Odds(None, outcome.error)
            if outcome.reply is None
            else Odds(read_odds(outcome.reply, words))
            for _, _, outcome in self._outcomes(asked)
        ]

    def _read(self, question: str, request: Request, outcome: Outcome) -> Answer:
        if outcome.reply is None:
            return Answer(error=outcome.error)
        text, truncated = outcome.reply.text, outcome.reply.truncated
        if not isinstance(question, Question):
            # Of others the format's parser reports that they were cut.
            if truncated and not self._told_of_cut:
                self._told_of_cut = True
                warn(Warnings.W702.format(model=self.settings.name))
            return Answer(text)
        asked = question.subject.text
        begin = thought_before(text, asked, question.layout.labels)
        thought, text = text[:begin], text[begin:]
        if request.schema is not None:
            text = unwrapped(text, request.schema)
        return Answer(thought + _without_line_breaks(text, asked))

    def _outcomes(
        self, asked: Iterable[tuple[str, Request]]
    ) -> Iterator[tuple[str, Request, Outcome]]:
        limit = _AHEAD * self.settings.max_concurrent
        pending: deque[tuple[str, Request, Outcome | Future[Outcome]]] = deque()
        last = []
        with Run(self._shared) as run:
            for question, request in asked:
                pending.append((question, request, run.start(request)))
                while len(pending) >= limit or (pending and _is_done(pending[0][2])):
                    yield self._settled(*pending.popleft())
            while len(pending) > 1:
                yield self._settled(*pending.popleft())
            if pending:
                last.append(self._settled(*pending.popleft()))
        # Whoever takes no more than the answers there are leaves no thread behind.
        yield from last

    def _settled(
        self, question: str, request: Request, started: "Outcome | Future[Outcome]"
    ) -> tuple[str, Request, Outcome]:
        outcome = started.result() if isinstance(started, Future) else started
        for note in self._shared.concessions.take_notes():
            warn(note)
        return question, request, outcome


def _is_done(started: "Outcome | Future[Outcome]") -> bool:
    return not isinstance(started, Future) or started.done()


def _without_line_breaks(written: str, text: str) -> str:
    """Leave out the line breaks around an answer, unless the text has some itself."""
    if not text.startswith("\n"):
        written = written.lstrip("\n")
    return written if text.endswith("\n") else written.rstrip("\n")
