"""The automaton of the JSON formats."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .base import Encode, Grammar, MarkedSpan, Source, State, chain_to_list
from .json_tokens import (
    GROUPED,
    OCCURRENCE,
    Ids,
    JsonTokens,
    OccurrenceTable,
    string_ids,
)

TEXT, LABEL, NUMBER, LIST, END = range(5)


class Segment(NamedTuple):
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


class PartialOutput(NamedTuple):
    """What an output has said so far.

    begin (int): The output position at which the entry under way was decided on.
    label (int): The label whose list it is (grouped), or that the entry has.
    last (Optional[Tuple[int, int, int]]): Units and label of the entry before it in
        the same list.
    covers (Tuple[int, ...]): The ends of the spans that may cover what follows.
    done (Optional[Tuple]): The entries so far, as a linked list of `MarkedSpan`.
    """

    begin: int = 0
    label: int = 0
    last: tuple[int, int, int] | None = None
    covers: tuple[int, ...] = ()
    done: tuple | None = None


class Transition(NamedTuple):
    """Ids that lead somewhere.

    ids (Ids): The ids.
    stage (int): What comes after them: TEXT, LABEL, NUMBER, LIST or END.
    story (PartialOutput): The story there.
    places (Tuple[Tuple[int, int], ...]): Where the entry's text stands, in units.
    """

    ids: Ids
    stage: int
    story: PartialOutput
    places: tuple[tuple[int, int], ...] = ()


class Branch(NamedTuple):
    """One place of the automaton: options whose first ids agree, or a text.

    stage (int): What is being written.
    options (Tuple[Transition, ...]): What can be written; empty within a text.
    offset (int): How many of the options' ids are written.
    paths (Tuple[Segment, ...]): The ways to read the text.
    story (Optional[PartialOutput]): The story of a text.
    """

    stage: int
    options: tuple[Transition, ...] = ()
    offset: int = 0
    paths: tuple[Segment, ...] = ()
    story: PartialOutput | None = None


class JsonState(State):
    """Where the automaton stands after some output tokens. Immutable."""

    __slots__ = ("_choices", "_next", "_threads")

    def __init__(
        self, grammar: "JsonGrammar", threads: tuple[Branch, ...], length: int
    ):
        super().__init__(grammar, length)
        self._threads = threads
        self._choices: list[int] | None = None
        self._next: dict[int, list[Branch]] = {}

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
    def paths(self) -> tuple[Segment, ...]:
        """RETURNS (Tuple[Segment, ...]): Within a text, the ways to read it."""
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

    def _ends(self, path: Segment) -> tuple[int, int]:
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
    def marked(self) -> list[MarkedSpan]:
        story = self._threads[0].story or PartialOutput()
        return self.grammar.placed(chain_to_list(story.done))


class JsonGrammar(Grammar):
    """The legal JSON outputs for one source.

    pieces (JsonTokens): The fixed parts of the format for the labels.
    source (Source): The text.
    max_depth (int): In how many spans a unit may lie.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(
        self, pieces: JsonTokens, source: Source, max_depth: int, encode: Encode
    ):
        super().__init__(source, max_depth)
        self.pieces = pieces
        self.grouped = pieces.format == GROUPED
        self._encode = encode
        self._starting, self._going_on = string_ids(source, encode)
        self.places = OccurrenceTable(source)
        size = len(source)
        # The first unit from here on with which a text can end.
        self._next_end = [size] * (size + 1)
        for unit in range(size - 1, -1, -1):
            blank = source.blank[unit]
            self._next_end[unit] = self._next_end[unit + 1] if blank else unit

    def start(self) -> JsonState:
        return JsonState(self, tuple(self._stage(LIST, PartialOutput(), (), 0)), 0)

    def target(self, spans: Iterable[tuple[int, int, int]]) -> list[int]:
        pieces = self.pieces
        ordered = sorted(set(spans), key=lambda s: (s[0], -s[1], s[2]))
        ids: list[int] = []
        if self.grouped:
            for label, opening in enumerate(pieces.named):
                entries = [self._string(s) for s in ordered if s[2] == label]
                ids += [*opening, *self._list(entries)]
            return [*ids, *pieces.end]
        entries = []
        for span in ordered:
            entry = [*self._string(span), *pieces.closing, *pieces.named[span[2]]]
            entries.append([*entry, *self._number(span[:2])])
        return self._list(entries)

    def unsayable(
        self, spans: Iterable[tuple[int, int, int]]
    ) -> list[tuple[int, int, int]]:
        return self.places.lost(spans) if self.grouped else []

    def placed(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """Entries at the places that they mean.

        entries (Sequence[MarkedSpan]): The entries. In the grouped format their places are
            just the first that their strings have.
        RETURNS (List[MarkedSpan]): The same, at their places.
        """
        return self.places.chosen(entries) if self.grouped else list(entries)

    def doubtful(self, spans: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        return self.places.doubtful(spans) if self.grouped else []

    def add_moves(
        self, thread: Branch, length: int, moves: dict[int, list[Branch]]
    ) -> None:
        """Add the moves that lead on from one place of the automaton.

        thread (Branch): The place.
        length (int): The tokens written so far.
        moves (Dict[int, List[Branch]]): The next places by token id; grows.
        """
        if thread.options:
            self._add_options(thread, length, moves)
        elif thread.story is not None and thread.stage == TEXT:
            self._add_text(thread, thread.story, length, moves)

    def _add_options(
        self, thread: Branch, length: int, moves: dict[int, list[Branch]]
    ) -> None:
        going: dict[int, list[Transition]] = {}
        done: dict[int, Transition] = {}
        for option in thread.options:
            id_ = option.ids[thread.offset]
            if len(option.ids) > thread.offset + 1:
                going.setdefault(id_, []).append(option)
            else:
                # Strings that look alike to the tokenizer are the first of them.
                done.setdefault(id_, option)
            moves.setdefault(id_, [])
        for id_, option in done.items():
            moves[id_] += self._stage(
                option.stage, option.story, option.places, length + 1
            )
        for id_, options in going.items():
            after = Branch(thread.stage, tuple(options), thread.offset + 1)
            moves[id_].append(after)

    def _add_text(
        self,
        thread: Branch,
        story: PartialOutput,
        length: int,
        moves: dict[int, list[Branch]],
    ) -> None:
        going: dict[int, list[Segment]] = {}
        closed = []
        for path in thread.paths:
            started = path.unit > path.start
            if path.offset == 0 and started and self._can_end(path):
                closed.append((path.start, path.unit))
            if path.offset or self._goes_on(path, story):
                ids = (self._going_on if started else self._starting)[path.unit]
                after = path._replace(offset=path.offset + 1)
                if after.offset == len(ids):
                    after = path._replace(unit=path.unit + 1, offset=0)
                going.setdefault(ids[path.offset], []).append(after)
        for id_, paths in going.items():
            after_text = thread._replace(paths=tuple(paths))
            moves.setdefault(id_, []).append(after_text)
        if closed:
            places = tuple(sorted(set(closed)))
            options = tuple(self._closings(story, places, length))
            self._add_options(Branch(TEXT, options), length, moves)

    def _closings(
        self, story: PartialOutput, places: tuple[tuple[int, int], ...], length: int
    ) -> Iterator[Transition]:
        """What can stand after a text."""
        if not self.grouped:
            yield Transition(self.pieces.closing, LABEL, story, places)
            return
        fresh = [p for p in places if self._is_new((*p, story.label), story)]
        if not fresh:
            yield Transition(self.pieces.stop, LIST, self._next_list(story))
            return
        # Of several places any is as good here: the list as a whole tells.
        first = min(fresh, key=lambda place: (place[0], -place[1]))
        done = self._with(story, first, length + 1)
        yield Transition(self.pieces.stop, LIST, self._next_list(done))
        if self._has_more(done):
            yield Transition(self.pieces.more, TEXT, done._replace(begin=length))

    def _stage(
        self,
        stage: int,
        story: PartialOutput,
        places: tuple[tuple[int, int], ...],
        length: int,
    ) -> list[Branch]:
        """The place where a stage begins."""
        if stage == TEXT:
            fresh = [Segment(unit, unit, 0) for unit in self._starts(story)]
            again = [
                Segment(start, start, 0, end) for start, end in self._listed(story)
            ]
            return [Branch(TEXT, paths=(*fresh, *again), story=story)]
        if stage == END:
            return [Branch(END, story=story)]
        if stage == LABEL:
            options = list(self._labels(story, places))
        elif stage == NUMBER:
            options = list(self._numbers(story, places, length))
        else:
            options = list(self._entries(story, length))
        return [Branch(stage, tuple(options))]

    def _entries(self, story: PartialOutput, length: int) -> Iterator[Transition]:
        """At the start of a list or after an entry: whether another one comes."""
        pieces = self.pieces
        if self.grouped:
            if story.label == len(pieces.labels):
                yield Transition(pieces.end, END, story)
                return
            opening = pieces.named[story.label]
            yield Transition(opening + pieces.empty, LIST, self._next_list(story))
            another = opening + pieces.first
        elif story.last is None:
            yield Transition(pieces.empty, END, story)
            another = pieces.first
        else:
            yield Transition(pieces.stop, END, story)
            another = pieces.more
        if self._has_more(story):
            yield Transition(another, TEXT, story._replace(begin=length))

    def _labels(
        self, story: PartialOutput, places: tuple[tuple[int, int], ...]
    ) -> Iterator[Transition]:
        listed = {entry[:3] for entry in chain_to_list(story.done)}
        for label, ids in enumerate(self.pieces.named):
            fitting = tuple(
                place
                for place in places
                if (span := (*place, label)) in listed or self._is_new(span, story)
            )
            if fitting:
                yield Transition(ids, NUMBER, story._replace(label=label), fitting)

    def _numbers(
        self, story: PartialOutput, places: tuple[tuple[int, int], ...], length: int
    ) -> Iterator[Transition]:
        for place in places:
            ids = tuple(self._number(place))
            if self._is_new((*place, story.label), story):
                # Where the ids end the entry is done; its length is known here.
                done = self._with(story, place, length + len(ids))
                yield Transition(ids, LIST, done)
            else:
                yield Transition(ids + self.pieces.stop, END, story)

    def _number(self, units: tuple[int, int]) -> list[int]:
        """The ids that say which place a text has."""
        if self.pieces.format == OCCURRENCE:
            return list(self._encode(str(self.places.number(*units))))
        start, end = self.source.starts[units[0]], self.source.ends[units[1] - 1]
        return [
            *self._encode(str(start)),
            *self.pieces.between,
            *self._encode(str(end)),
        ]

    def _with(
        self, story: PartialOutput, place: tuple[int, int], stop: int
    ) -> PartialOutput:
        """The story with one more entry."""
        entry = MarkedSpan(*place, story.label, tuple(range(story.begin, stop)))
        covers = tuple(end for end in story.covers if end > place[0])
        return story._replace(
            last=(*place, story.label),
            covers=(*covers, place[1]),
            done=(story.done, entry),
        )

    def _next_list(self, story: PartialOutput) -> PartialOutput:
        return story._replace(label=story.label + 1, last=None, covers=())

    def _starts(self, story: PartialOutput) -> Iterator[int]:
        """The units that a text can start with."""
        first = 0 if story.last is None else story.last[0]
        for unit in range(first, len(self.source)):
            if (
                not self.source.blank[unit]
                and self._starting[unit]
                and self._is_shallow(unit, story)
                and unit < self._limit(story, unit)
            ):
                yield unit

    def _is_shallow(self, unit: int, story: PartialOutput) -> bool:
        """Whether one more span may start with a unit."""
        return sum(end > unit for end in story.covers) < self.max_depth

    def _is_new(self, span: tuple[int, int, int], story: PartialOutput) -> bool:
        """Whether a span may be the next entry."""
        return self._is_shallow(span[0], story) and _after(span, story.last)

    def _listed(self, story: PartialOutput) -> list[tuple[int, int]]:
        """The places of the entries in the list that can be repeated; in the grouped
        format a string that stands at more places would say another one."""
        entries = chain_to_list(story.done)
        if self.grouped:
            entries = [entry for entry in entries if entry.label == story.label]
        doubtful = self.doubtful(entries)
        return [(e.start, e.end) for e in entries if e not in doubtful]

    def _has_more(self, story: PartialOutput) -> bool:
        return next(self._starts(story), None) is not None

    def _can_end(self, path: Segment) -> bool:
        """Whether a text can end before the unit that would go on with it."""
        if path.end is not None:
            return path.unit == path.end
        return not self.source.blank[path.unit - 1]

    def _goes_on(self, path: Segment, story: PartialOutput) -> bool:
        """Whether a text can take one more unit and end somewhere."""
        if path.end is not None:
            return path.unit < path.end
        if path.unit == len(self.source):
            return False
        return self._next_end[path.unit] < self._limit(story, path.start)

    def _limit(self, story: PartialOutput, start: int) -> int:
        """The last boundary at which a text that starts with a unit can end."""
        if story.last is None or start > story.last[0]:
            return len(self.source)
        # Of spans that start together the longer comes first.
        _, end, label = story.last
        again = not self.grouped and label + 1 < len(self.pieces.labels)
        return end if again else end - 1

    def _string(self, span: Sequence[int]) -> list[int]:
        start, end = span[0], span[1]
        ids = list(self._starting[start])
        for unit in range(start + 1, end):
            ids += self._going_on[unit]
        return ids

    def _list(self, entries: list[list[int]]) -> list[int]:
        pieces = self.pieces
        if not entries:
            return list(pieces.empty)
        ids = list(pieces.first)
        for index, entry in enumerate(entries):
            ids += [*(pieces.more if index else ()), *entry]
        return [*ids, *pieces.stop]


def _after(span: tuple[int, int, int], last: tuple[int, int, int] | None) -> bool:
    """Whether a span comes after the last one in the order of the contract."""
    if last is None:
        return True
    return (span[0], -span[1], span[2]) > (last[0], -last[1], last[2])
