"""Where an automaton of JSON outputs stands."""

from typing import TYPE_CHECKING, NamedTuple

from .json_pieces import Ids
from .output import Marked, OutputState, unlinked

if TYPE_CHECKING:
    from .json_automaton import JsonGrammar

TEXT, LABEL, NUMBER, LIST, END = range(5)


class Path(NamedTuple):
    """One way to read a text that is under way.

    start (int): The unit that it starts with.
    unit (int): The unit that goes on with it.
    offset (int): How many of that unit's ids are written.
    end (Optional[int]): Of an entry that is said once more, the unit after its last.
    """

    start: int
    unit: int
    offset: int
    end: int | None = None


class Story(NamedTuple):
    """What an output has said so far.

    begin (int): The output position at which the entry under way was decided on.
    label (int): The label whose list it is (grouped), or that the entry has.
    last (Optional[Tuple[int, int, int]]): Units and label of the entry before it in
        the same list.
    covers (Tuple[int, ...]): The ends of the spans that may cover what follows.
    done (Optional[Tuple]): The entries so far, as a linked list of `Marked`.
    """

    begin: int = 0
    label: int = 0
    last: tuple[int, int, int] | None = None
    covers: tuple[int, ...] = ()
    done: tuple | None = None


class Option(NamedTuple):
    """Ids that lead somewhere.

    ids (Ids): The ids.
    stage (int): What comes after them: TEXT, LABEL, NUMBER, LIST or END.
    story (Story): The story there.
    places (Tuple[Tuple[int, int], ...]): Where the entry's text stands, in units.
    """

    ids: Ids
    stage: int
    story: Story
    places: tuple[tuple[int, int], ...] = ()


class Thread(NamedTuple):
    """One place of the automaton: options whose first ids agree, or a text.

    stage (int): What is being written.
    options (Tuple[Option, ...]): What can be written; empty within a text.
    offset (int): How many of the options' ids are written.
    paths (Tuple[Path, ...]): The ways to read the text.
    story (Optional[Story]): The story of a text.
    """

    stage: int
    options: tuple[Option, ...] = ()
    offset: int = 0
    paths: tuple[Path, ...] = ()
    story: Story | None = None


class JsonState(OutputState):
    """Where the automaton stands after some output tokens. Immutable."""

    __slots__ = ("_choices", "_next", "_threads")

    def __init__(
        self, grammar: "JsonGrammar", threads: tuple[Thread, ...], length: int
    ):
        super().__init__(grammar, length)
        self._threads = threads
        self._choices: list[int] | None = None
        self._next: dict[int, list[Thread]] = {}

    @property
    def finished(self) -> bool:
        first = self._threads[0]
        return first.stage == END and not first.options

    @property
    def stage(self) -> int:
        """What is being written: TEXT, LABEL, NUMBER, LIST (whether another entry
        comes) or END."""
        return self._threads[0].stage

    @property
    def label(self) -> int:
        """The label of the entry under way, or of its list."""
        story = self._threads[0].story or self._threads[0].options[0].story
        return story.label

    @property
    def text_starts(self) -> bool:
        """Whether a text is about to start."""
        paths = self._threads[0].paths
        return bool(paths) and paths[0].unit == paths[0].start and not paths[0].offset

    @property
    def choices(self) -> list[int]:
        if self._choices is None:
            for thread in self._threads:
                self.grammar.add_moves(thread, self.length, self._next)
            self._choices = list(self._next)
        return self._choices

    def _after(self, id_: int) -> "JsonState":
        return JsonState(self.grammar, tuple(self._next[id_]), self.length + 1)

    def closing_id(self) -> int | None:
        """RETURNS (Optional[int]): Within a text, the id that closes it; None where it
        can't be closed here."""
        for id_, threads in self._next.items() if self.choices else ():
            if any(thread.options for thread in threads):
                return id_
        return None

    @property
    def paths(self) -> tuple[Path, ...]:
        """RETURNS (Tuple[Path, ...]): Within a text, the ways to read it."""
        return self._threads[0].paths

    @property
    def position(self) -> tuple[int, tuple[int, int, int] | None]:
        """RETURNS (Tuple[int, Optional[Tuple[int, int, int]]]): The label whose list it
        is (grouped), and units and label of the entry before in the list."""
        first = self._threads[0]
        story = first.story
        if story is None:
            # Of what can be written, another entry is the last.
            story = first.options[-1].story
        return story.label, story.last

    @property
    def begun(self) -> list[tuple[int, int, int]]:
        """RETURNS (List[Tuple[int, int, int]]): For each stretch of the text that the
        entry may mean: the unit that it starts with, and the least and the greatest
        unit that may follow its last."""
        first = self._threads[0]
        if first.paths:
            return [(path.start, *self._ends(path)) for path in first.paths]
        return [
            (start, end, end)
            for option in first.options
            for start, end in option.places
        ]

    def _ends(self, path: Path) -> tuple[int, int]:
        if path.end is not None:
            return path.end, path.end
        least = max(path.unit + (path.offset > 0), path.start + 1)
        return least, len(self.grammar.source)

    def another(self, wanted: bool) -> int:
        """The choice that begins another entry, or ends the list; the first where none
        does.

        wanted (bool): Whether another one is to come.
        RETURNS (int): One of `choices`.
        """
        for id_ in self.choices:
            for thread in self._next[id_]:
                stages = [option.stage for option in thread.options]
                if (TEXT in (stages or [thread.stage])) is wanted:
                    return id_
        return self.choices[0]

    def towards_text(self, start: int, end: int) -> int:
        """Within a text, the choice that leads to a stretch of units; the first where
        none does.

        start (int): Its first unit.
        end (int): The unit after its last.
        RETURNS (int): One of `choices`.
        """
        for id_ in self.choices:
            for thread in self._next[id_]:
                if any(
                    path.start == start
                    and (path.unit < end or (path.unit == end and not path.offset))
                    for path in thread.paths
                ):
                    return id_
        done = any(p.start == start and p.unit == end for p in self.paths)
        return (self.closing_id() if done else None) or self.choices[0]

    def towards_place(self, start: int, end: int) -> int:
        """The choice that leads to the number of a place; the first where none does.

        start (int): The first unit of the place.
        end (int): The unit after its last.
        RETURNS (int): One of `choices`.
        """
        for id_ in self.choices:
            for thread in self._next[id_]:
                stories = [thread.story, *(option.story for option in thread.options)]
                if any(s and s.last and s.last[:2] == (start, end) for s in stories):
                    return id_
        return self.choices[0]

    def towards(self, label: int) -> int:
        """The choice that leads to a label; the first where none does.

        label (int): The label.
        RETURNS (int): One of `choices`.
        """
        for id_ in self.choices:
            for thread in self._next[id_]:
                if any(option.story.label == label for option in thread.options):
                    return id_
        return self.choices[0]

    @property
    def marked(self) -> list[Marked]:
        story = self._threads[0].story or Story()
        return self.grammar.placed(unlinked(story.done))
