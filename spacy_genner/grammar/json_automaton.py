"""The automaton of JSON outputs: every string is a stretch of the source between unit
boundaries, every label one of the set, every number one that exists for its string.

The spans come in the order of the contract, each once, and no unit lies in more than
`max_depth` of them, so that an output always ends. Strings that stand at several places
are followed at all of them until a number tells which is meant.

A model that goes on where it has nothing left to say repeats an entry. It may: the list
ends there, and the entry counts once. Were it held to new ones, it had to invent them.

Order of choices, which settles ties: going on with a text, closing it, ending a list,
another entry; then the order of the source, of the labels and of the numbers.
"""

from collections.abc import Iterable, Iterator, Sequence

from .json_pieces import GROUPED, OCCURRENCE, JsonPieces, string_ids
from .json_places import Places
from .json_states import (
    END,
    LABEL,
    LIST,
    NUMBER,
    TEXT,
    JsonState,
    Option,
    Path,
    Story,
    Thread,
)
from .output import Marked, OutputGrammar, unlinked
from .source import Encode, Source


class JsonGrammar(OutputGrammar):
    """The legal JSON outputs for one source.

    pieces (JsonPieces): The fixed parts of the format for the labels.
    source (Source): The text.
    max_depth (int): In how many spans a unit may lie.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(
        self, pieces: JsonPieces, source: Source, max_depth: int, encode: Encode
    ):
        super().__init__(source, max_depth)
        self.pieces = pieces
        self.grouped = pieces.format == GROUPED
        self._encode = encode
        self._starting, self._going_on = string_ids(source, encode)
        self.places = Places(source)
        size = len(source)
        # The first unit from here on with which a text can end.
        self._next_end = [size] * (size + 1)
        for unit in range(size - 1, -1, -1):
            blank = source.blank[unit]
            self._next_end[unit] = self._next_end[unit + 1] if blank else unit

    def start(self) -> JsonState:
        return JsonState(self, tuple(self._stage(LIST, Story(), (), 0)), 0)

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

    def placed(self, entries: Sequence[Marked]) -> list[Marked]:
        """Entries at the places that they mean.

        entries (Sequence[Marked]): The entries. In the grouped format their places are
            just the first that their strings have.
        RETURNS (List[Marked]): The same, at their places.
        """
        return self.places.chosen(entries) if self.grouped else list(entries)

    def doubtful(self, spans: Sequence[Marked]) -> list[Marked]:
        return self.places.doubtful(spans) if self.grouped else []

    def add_moves(
        self, thread: Thread, length: int, moves: dict[int, list[Thread]]
    ) -> None:
        """Add the moves that lead on from one place of the automaton.

        thread (Thread): The place.
        length (int): The tokens written so far.
        moves (Dict[int, List[Thread]]): The next places by token id; grows.
        """
        if thread.options:
            self._add_options(thread, length, moves)
        elif thread.story is not None and thread.stage == TEXT:
            self._add_text(thread, thread.story, length, moves)

    def _add_options(
        self, thread: Thread, length: int, moves: dict[int, list[Thread]]
    ) -> None:
        going: dict[int, list[Option]] = {}
        done: dict[int, Option] = {}
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
            after = Thread(thread.stage, tuple(options), thread.offset + 1)
            moves[id_].append(after)

    def _add_text(
        self, thread: Thread, story: Story, length: int, moves: dict[int, list[Thread]]
    ) -> None:
        going: dict[int, list[Path]] = {}
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
            self._add_options(Thread(TEXT, options), length, moves)

    def _closings(
        self, story: Story, places: tuple[tuple[int, int], ...], length: int
    ) -> Iterator[Option]:
        """What can stand after a text."""
        if not self.grouped:
            yield Option(self.pieces.closing, LABEL, story, places)
            return
        fresh = [p for p in places if self._is_new((*p, story.label), story)]
        if not fresh:
            yield Option(self.pieces.stop, LIST, self._next_list(story))
            return
        # Of several places any is as good here: the list as a whole tells.
        first = min(fresh, key=lambda place: (place[0], -place[1]))
        done = self._with(story, first, length + 1)
        yield Option(self.pieces.stop, LIST, self._next_list(done))
        if self._has_more(done):
            yield Option(self.pieces.more, TEXT, done._replace(begin=length))

    def _stage(
        self,
        stage: int,
        story: Story,
        places: tuple[tuple[int, int], ...],
        length: int,
    ) -> list[Thread]:
        """The place where a stage begins."""
        if stage == TEXT:
            fresh = [Path(unit, unit, 0) for unit in self._starts(story)]
            again = [Path(start, start, 0, end) for start, end in self._listed(story)]
            return [Thread(TEXT, paths=(*fresh, *again), story=story)]
        if stage == END:
            return [Thread(END, story=story)]
        if stage == LABEL:
            options = list(self._labels(story, places))
        elif stage == NUMBER:
            options = list(self._numbers(story, places, length))
        else:
            options = list(self._entries(story, length))
        return [Thread(stage, tuple(options))]

    def _entries(self, story: Story, length: int) -> Iterator[Option]:
        """At the start of a list or after an entry: whether another one comes."""
        pieces = self.pieces
        if self.grouped:
            if story.label == len(pieces.labels):
                yield Option(pieces.end, END, story)
                return
            opening = pieces.named[story.label]
            yield Option(opening + pieces.empty, LIST, self._next_list(story))
            another = opening + pieces.first
        elif story.last is None:
            yield Option(pieces.empty, END, story)
            another = pieces.first
        else:
            yield Option(pieces.stop, END, story)
            another = pieces.more
        if self._has_more(story):
            yield Option(another, TEXT, story._replace(begin=length))

    def _labels(
        self, story: Story, places: tuple[tuple[int, int], ...]
    ) -> Iterator[Option]:
        listed = {entry[:3] for entry in unlinked(story.done)}
        for label, ids in enumerate(self.pieces.named):
            fitting = tuple(
                place
                for place in places
                if (span := (*place, label)) in listed or self._is_new(span, story)
            )
            if fitting:
                yield Option(ids, NUMBER, story._replace(label=label), fitting)

    def _numbers(
        self, story: Story, places: tuple[tuple[int, int], ...], length: int
    ) -> Iterator[Option]:
        for place in places:
            ids = tuple(self._number(place))
            if self._is_new((*place, story.label), story):
                # Where the ids end the entry is done; its length is known here.
                done = self._with(story, place, length + len(ids))
                yield Option(ids, LIST, done)
            else:
                yield Option(ids + self.pieces.stop, END, story)

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

    def _with(self, story: Story, place: tuple[int, int], stop: int) -> Story:
        """The story with one more entry."""
        entry = Marked(*place, story.label, tuple(range(story.begin, stop)))
        covers = tuple(end for end in story.covers if end > place[0])
        return story._replace(
            last=(*place, story.label),
            covers=(*covers, place[1]),
            done=(story.done, entry),
        )

    def _next_list(self, story: Story) -> Story:
        return story._replace(label=story.label + 1, last=None, covers=())

    def _starts(self, story: Story) -> Iterator[int]:
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

    def _is_shallow(self, unit: int, story: Story) -> bool:
        """Whether one more span may start with a unit."""
        return sum(end > unit for end in story.covers) < self.max_depth

    def _is_new(self, span: tuple[int, int, int], story: Story) -> bool:
        """Whether a span may be the next entry."""
        return self._is_shallow(span[0], story) and _after(span, story.last)

    def _listed(self, story: Story) -> list[tuple[int, int]]:
        """The places of the entries in the list that can be repeated; in the grouped
        format a string that stands at more places would say another one."""
        entries = unlinked(story.done)
        if self.grouped:
            entries = [entry for entry in entries if entry.label == story.label]
        doubtful = self.doubtful(entries)
        return [(e.start, e.end) for e in entries if e not in doubtful]

    def _has_more(self, story: Story) -> bool:
        return next(self._starts(story), None) is not None

    def _can_end(self, path: Path) -> bool:
        """Whether a text can end before the unit that would go on with it."""
        if path.end is not None:
            return path.unit == path.end
        return not self.source.blank[path.unit - 1]

    def _goes_on(self, path: Path, story: Story) -> bool:
        """Whether a text can take one more unit and end somewhere."""
        if path.end is not None:
            return path.unit < path.end
        if path.unit == len(self.source):
            return False
        return self._next_end[path.unit] < self._limit(story, path.start)

    def _limit(self, story: Story, start: int) -> int:
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
