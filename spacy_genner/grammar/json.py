"""The automaton of the JSON formats.

An output is a list of entries, or one list for each label. An entry consists of a
string of the source, a label and the numbers of the place, or of the string alone if
the format is grouped. The entries of a list are in the order of the spans, as in
`formats`.

Three things make JSON harder than a copy with markup:

- The output has no cursor into the source. A string may start at any word, and many
  words share their first ids. The automaton follows a `Segment` for each range of words
  that fits the string so far, and the choices are the next ids of all segments.
- The choices depend on earlier entries. A string may have several occurrences, and only
  some of them, with some labels, come after the previous entry in order. A
  `PartialOutput` holds the entries so far and everything that constrains the next one.
- Outside a string, the next part of the output is one of several fixed sequences of
  ids, such as labels, numbers or the end of the list. A `Transition` is one of these
  sequences. A `Branch` holds the transitions whose first ids agree, and one id may lead
  to several branches.

A list may repeat one of its entries. The repetition adds no span, and the list ends
after it. A model that continues after its last span tends to repeat itself. If every
entry had to be new, it would invent one.

If the format is grouped, a string does not identify an occurrence. The occurrences of
all entries are then assigned together, when the spans are read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .base import (
    Chain,
    Encode,
    Grammar,
    MarkedSpan,
    Source,
    State,
    WordSpan,
    chain_to_list,
)
from .json_tokens import (
    GROUPED,
    OCCURRENCE,
    Ids,
    JsonTokens,
    OccurrenceTable,
    word_string_ids,
)

# The stages of an output: a string, its label, the numbers of its place, the decision
# on another entry, and the end.
TEXT, LABEL, NUMBER, LIST, END = range(5)

# The first word of a range and the word after its last.
WordRange = tuple[int, int]


class Segment(NamedTuple):
    """One reading of a string that is being written.

    start (int): The first word of the string.
    word (int): The word that is written next, or is partially written.
    offset (int): The number of ids of that word that are written.
    end (int | None): The word after the last, if the string repeats an earlier entry.
        None for a new entry, which may end at any word.
    """

    start: int
    word: int
    offset: int
    end: int | None = None


class PartialOutput(NamedTuple):
    """The entries of an output so far.

    begin (int): The output position of the decision to write the current entry.
    label (int): The index of the label of the current list (grouped) or entry.
    last (tuple[int, int, int] | None): The previous entry of the same list: first word,
        word after the last, label index.
    covering (tuple[int, ...]): The ends of the spans that may contain the next span.
    entries (Chain): The completed entries.
    """

    begin: int = 0
    label: int = 0
    last: WordSpan | None = None
    covering: tuple[int, ...] = ()
    entries: Chain = None


class Transition(NamedTuple):
    """A fixed sequence of ids that leads to another stage.

    ids (tuple[int, ...]): The ids.
    stage (int): The stage after the ids: TEXT, LABEL, NUMBER, LIST or END.
    partial (PartialOutput): The partial output after the ids.
    ranges (tuple[tuple[int, int], ...]): The ranges of words that the string of the
        current entry may stand for.
    """

    ids: Ids
    stage: int
    partial: PartialOutput
    ranges: tuple[WordRange, ...] = ()


class Branch(NamedTuple):
    """One reading of an output: transitions with a common prefix, or a string.

    stage (int): The current stage.
    transitions (tuple[Transition, ...]): The transitions. Empty inside a string and at
        the end.
    offset (int): The number of ids of the transitions that are written.
    segments (tuple[Segment, ...]): Inside a string, its readings.
    partial (PartialOutput | None): The partial output. None if there are transitions,
        each of which has its own.
    """

    stage: int
    transitions: tuple[Transition, ...] = ()
    offset: int = 0
    segments: tuple[Segment, ...] = ()
    partial: PartialOutput | None = None


class JsonState(State):
    """The configuration of the automaton after some output tokens. Immutable.

    A draft chooses ids with the `towards` methods. Each of them returns the first of
    `choices` if no choice leads to the goal.

    grammar (JsonGrammar): The grammar.
    branches (tuple[Branch, ...]): The readings of the output so far.
    length (int): The number of output tokens.
    """

    __slots__ = ("_branches", "_choices", "_next")

    def __init__(
        self, grammar: "JsonGrammar", branches: tuple[Branch, ...], length: int
    ):
        super().__init__(grammar, length)
        self._branches = branches
        self._choices: list[int] | None = None
        self._next: dict[int, list[Branch]] = {}

    @property
    def finished(self) -> bool:
        first = self._branches[0]
        return first.stage == END and not first.transitions

    @property
    def choices(self) -> list[int]:
        if self._choices is None:
            for branch in self._branches:
                self.grammar.add_moves(branch, self.length, self._next)
            self._choices = list(self._next)
        return self._choices

    @property
    def spans(self) -> list[MarkedSpan]:
        partial = self._branches[0].partial or PartialOutput()
        return self.grammar.placed(chain_to_list(partial.entries))

    def _after(self, id_: int) -> "JsonState":
        return JsonState(self.grammar, tuple(self._next[id_]), self.length + 1)

    @property
    def stage(self) -> int:
        """RETURNS (int): The current stage: TEXT, LABEL, NUMBER, LIST or END."""
        return self._branches[0].stage

    @property
    def label(self) -> int:
        """RETURNS (int): The index of the label of the current list (grouped) or
        entry."""
        first = self._branches[0]
        return (first.partial or first.transitions[0].partial).label

    @property
    def list_position(self) -> tuple[int, WordSpan | None]:
        """RETURNS (tuple[int, tuple[int, int, int] | None]): The index of the label of
        the current list (grouped), and the previous entry of the list."""
        first = self._branches[0]
        # The last transition is the one to another entry.
        partial = first.partial or first.transitions[-1].partial
        return partial.label, partial.last

    @property
    def paths(self) -> tuple[Segment, ...]:
        """RETURNS (tuple[Segment, ...]): Inside a string, its readings."""
        return self._branches[0].segments

    @property
    def text_starts(self) -> bool:
        """RETURNS (bool): Whether the next token is the first token of a string."""
        segments = self._branches[0].segments
        if not segments:
            return False
        return segments[0].word == segments[0].start and not segments[0].offset

    @property
    def begun(self) -> list[tuple[int, int, int]]:
        """RETURNS (list[tuple[int, int, int]]): For each range of words that the string
        of the current entry may stand for: its first word, and the least and the
        greatest word after its last."""
        first = self._branches[0]
        if first.segments:
            return [self._extent(segment) for segment in first.segments]
        return [
            (start, end, end)
            for transition in first.transitions
            for start, end in transition.ranges
        ]

    def _extent(self, segment: Segment) -> tuple[int, int, int]:
        start, word, offset, end = segment
        if end is not None:
            return start, end, end
        least = max(word + (offset > 0), start + 1)
        return start, least, len(self.grammar.source)

    def closing_id(self) -> int | None:
        """RETURNS (int | None): The choice that ends the current string, or None if it
        cannot end here."""
        return self._find(lambda branch: bool(branch.transitions))

    def another(self, wanted: bool) -> int:
        """Choose between another entry and the end of the list.

        wanted (bool): Whether another entry is wanted.
        RETURNS (int): One of `choices`.
        """
        label, _ = self.list_position

        def leads(branch: Branch) -> bool:
            # The id may complete the end of the list. Then the transitions are those of
            # the next list, which can begin with an entry as well.
            ways = branch.transitions or (branch,)
            partials = [way.partial for way in ways if way.stage == TEXT]
            return wanted is any(p is not None and p.label == label for p in partials)

        return self._find_or_first(leads)

    def towards_text(self, start: int, end: int) -> int:
        """Choose an id inside a string.

        start (int): The first word of the string.
        end (int): The word after its last.
        RETURNS (int): One of `choices`.
        """

        def leads(branch: Branch) -> bool:
            return any(
                segment.start == start
                and (segment.word < end or (segment.word == end and not segment.offset))
                for segment in branch.segments
            )

        id_ = self._find(leads)
        if id_ is None and any(s.start == start and s.word == end for s in self.paths):
            id_ = self.closing_id()
        return self.choices[0] if id_ is None else id_

    def towards(self, label: int) -> int:
        """Choose an id of a label.

        label (int): The index of the label.
        RETURNS (int): One of `choices`.
        """

        def leads(branch: Branch) -> bool:
            return any(t.partial.label == label for t in branch.transitions)

        return self._find_or_first(leads)

    def towards_place(self, start: int, end: int) -> int:
        """Choose an id of the numbers of a place.

        start (int): The first word of the place.
        end (int): The word after its last.
        RETURNS (int): One of `choices`.
        """

        def leads(branch: Branch) -> bool:
            partials = [branch.partial, *(t.partial for t in branch.transitions)]
            return any(p and p.last and p.last[:2] == (start, end) for p in partials)

        return self._find_or_first(leads)

    def _find(self, leads: Callable[[Branch], bool]) -> int | None:
        """The first choice with a branch that fulfils a condition."""
        for id_ in self.choices:
            if any(map(leads, self._next[id_])):
                return id_
        return None

    def _find_or_first(self, leads: Callable[[Branch], bool]) -> int:
        id_ = self._find(leads)
        return self.choices[0] if id_ is None else id_


class JsonGrammar(Grammar):
    """The legal outputs of a JSON format for one source text.

    tokens (JsonTokens): The token ids of the fixed parts of the format.
    source (Source): The source.
    max_depth (int): The maximum number of spans that contain the same word.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    RAISES (ValueError): If `max_depth` is below 1.
    """

    def __init__(
        self, tokens: JsonTokens, source: Source, max_depth: int, encode: Encode
    ):
        super().__init__(source, max_depth)
        self.tokens = tokens
        self.grouped = tokens.format == GROUPED
        self._encode = encode
        self._first_ids, self._later_ids = word_string_ids(source, encode)
        self._occurrences = OccurrenceTable(source)
        # For each word, the first word from there on that a string can end with.
        size = len(source)
        self._next_last = [size] * (size + 1)
        for word in range(size - 1, -1, -1):
            blank = source.blank[word]
            self._next_last[word] = self._next_last[word + 1] if blank else word

    def start(self) -> JsonState:
        return JsonState(self, (self._enter(LIST, PartialOutput(), (), 0),), 0)

    def target(self, spans: Iterable[WordSpan]) -> list[int]:
        tokens = self.tokens
        ordered = sorted(set(spans), key=_order)
        if self.grouped:
            ids: list[int] = []
            for label, before in enumerate(tokens.label_parts):
                strings = [self._string(s[0], s[1]) for s in ordered if s[2] == label]
                ids += [*before, *self._list(strings)]
            return [*ids, *tokens.output_end]
        entries = []
        for start, end, label in ordered:
            string, place = self._string(start, end), self._place((start, end))
            before_place = tokens.label_parts[label]
            entries.append([*string, *tokens.string_end, *before_place, *place])
        return self._list(entries)

    def unsayable(self, spans: Iterable[WordSpan]) -> list[WordSpan]:
        if not self.grouped:
            return []
        spans = set(spans)
        lost = self._occurrences.unsayable(spans)
        # The lists of two labels do not limit each other.
        return [*lost, *self._too_deep(spans.difference(lost))]

    def _too_deep(self, spans: Iterable[WordSpan]) -> list[WordSpan]:
        """The spans to leave out so that no word is in more than `max_depth` spans. The
        longest are kept."""
        depths: Counter[int] = Counter()
        lost = []
        for span in sorted(spans, key=lambda span: (span[0] - span[1], span)):
            words = range(span[0], span[1])
            if all(depths[word] < self.max_depth for word in words):
                depths.update(words)
            else:
                lost.append(span)
        return lost

    def ambiguous(self, spans: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        return self._occurrences.ambiguous(spans) if self.grouped else []

    def placed(self, entries: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """Place the entries of an output.

        entries (Sequence[MarkedSpan]): The entries. If the format is grouped, they are
            at any occurrence of their string.
        RETURNS (list[MarkedSpan]): The entries at the places that the output
            represents.
        """
        return self._occurrences.assign(entries) if self.grouped else list(entries)

    def add_moves(
        self, branch: Branch, length: int, moves: dict[int, list[Branch]]
    ) -> None:
        """Add the moves from a branch.

        branch (Branch): The branch.
        length (int): The number of output tokens.
        moves (dict[int, list[Branch]]): The next branches by token id. The method adds
            to this dict.
        """
        if branch.transitions:
            self._add_transitions(branch, length, moves)
        elif branch.partial is not None and branch.stage == TEXT:
            self._add_string(branch, branch.partial, length, moves)

    def _add_transitions(
        self, branch: Branch, length: int, moves: dict[int, list[Branch]]
    ) -> None:
        unfinished: dict[int, list[Transition]] = {}
        finished: dict[int, Transition] = {}
        for transition in branch.transitions:
            id_ = transition.ids[branch.offset]
            if len(transition.ids) > branch.offset + 1:
                unfinished.setdefault(id_, []).append(transition)
            else:
                # If the tokenizer cannot distinguish two transitions, the first counts.
                finished.setdefault(id_, transition)
            moves.setdefault(id_, [])
        for id_, (_, stage, partial, ranges) in finished.items():
            moves[id_].append(self._enter(stage, partial, ranges, length + 1))
        for id_, transitions in unfinished.items():
            after = Branch(branch.stage, tuple(transitions), branch.offset + 1)
            moves[id_].append(after)

    def _add_string(
        self,
        branch: Branch,
        partial: PartialOutput,
        length: int,
        moves: dict[int, list[Branch]],
    ) -> None:
        continued: dict[int, list[Segment]] = {}
        complete = []
        for segment in branch.segments:
            start, word, offset, _ = segment
            if offset == 0 and word > start and self._can_end(segment):
                complete.append((start, word))
            if offset or self._can_continue(segment, partial):
                ids = (self._later_ids if word > start else self._first_ids)[word]
                after = segment._replace(offset=offset + 1)
                if after.offset == len(ids):
                    after = segment._replace(word=word + 1, offset=0)
                continued.setdefault(ids[offset], []).append(after)
        for id_, segments in continued.items():
            after_word = branch._replace(segments=tuple(segments))
            moves.setdefault(id_, []).append(after_word)
        if complete:
            ranges = tuple(sorted(set(complete)))
            transitions = tuple(self._after_string(partial, ranges, length))
            self._add_transitions(Branch(TEXT, transitions), length, moves)

    def _enter(
        self,
        stage: int,
        partial: PartialOutput,
        ranges: tuple[WordRange, ...],
        length: int,
    ) -> Branch:
        """The branch at the beginning of a stage."""
        if stage == TEXT:
            new = [Segment(word, word, 0) for word in self._starts(partial)]
            repeated = [
                Segment(start, start, 0, end)
                for start, end in self._repeatable(partial)
            ]
            return Branch(TEXT, segments=(*new, *repeated), partial=partial)
        if stage == END:
            return Branch(END, partial=partial)
        if stage == LABEL:
            transitions = self._labels(partial, ranges)
        elif stage == NUMBER:
            transitions = self._places(partial, ranges, length)
        else:
            transitions = self._next_or_end(partial, length)
        return Branch(stage, tuple(transitions))

    def _next_or_end(self, partial: PartialOutput, length: int) -> Iterator[Transition]:
        """The transitions at the start of a list or after an entry."""
        tokens = self.tokens
        if self.grouped:
            if partial.label == len(tokens.labels):
                yield Transition(tokens.output_end, END, partial)
                return
            before = tokens.label_parts[partial.label]
            yield Transition(before + tokens.empty_list, LIST, _next_list(partial))
            to_string = before + tokens.list_start
        elif partial.last is None:
            yield Transition(tokens.empty_list, END, partial)
            to_string = tokens.list_start
        else:
            yield Transition(tokens.list_end, END, partial)
            to_string = tokens.next_entry
        if self._has_more(partial):
            yield Transition(to_string, TEXT, partial._replace(begin=length))

    def _after_string(
        self, partial: PartialOutput, ranges: tuple[WordRange, ...], length: int
    ) -> Iterator[Transition]:
        """The transitions after a string that stands for one of some ranges."""
        tokens = self.tokens
        if not self.grouped:
            yield Transition(tokens.string_end, LABEL, partial, ranges)
            return
        new = [r for r in ranges if self._is_new((*r, partial.label), partial)]
        if not new:
            yield Transition(tokens.list_end, LIST, _next_list(partial))
            return
        # Any range will do, because the entries are assigned to occurrences later.
        first = min(new, key=lambda r: (r[0], -r[1]))
        added = _add_entry(partial, first, length + 1)
        yield Transition(tokens.list_end, LIST, _next_list(added))
        if self._has_more(added):
            yield Transition(tokens.next_entry, TEXT, added._replace(begin=length))

    def _labels(
        self, partial: PartialOutput, ranges: tuple[WordRange, ...]
    ) -> Iterator[Transition]:
        """The transitions from a label to the numbers of a place."""
        written = {entry[:3] for entry in chain_to_list(partial.entries)}
        for label, ids in enumerate(self.tokens.label_parts):
            fitting = tuple(
                each
                for each in ranges
                if (span := (*each, label)) in written or self._is_new(span, partial)
            )
            if fitting:
                yield Transition(ids, NUMBER, partial._replace(label=label), fitting)

    def _places(
        self, partial: PartialOutput, ranges: tuple[WordRange, ...], length: int
    ) -> Iterator[Transition]:
        """The transitions from the numbers of a place to the end of the entry."""
        for each in ranges:
            ids = tuple(self._place(each))
            if self._is_new((*each, partial.label), partial):
                added = _add_entry(partial, each, length + len(ids))
                yield Transition(ids, LIST, added)
            else:
                yield Transition(ids + self.tokens.list_end, END, partial)

    def _place(self, words: WordRange) -> list[int]:
        """The ids of the numbers that identify a range of words."""
        start, end = words
        if self.tokens.format == OCCURRENCE:
            return list(self._encode(str(self._occurrences.number(start, end))))
        return [
            *self._encode(str(self.source.starts[start])),
            *self.tokens.between_numbers,
            *self._encode(str(self.source.ends[end - 1])),
        ]

    def _string(self, start: int, end: int) -> list[int]:
        """The ids of a range of words as a JSON string."""
        ids = list(self._first_ids[start])
        for word in range(start + 1, end):
            ids += self._later_ids[word]
        return ids

    def _list(self, entries: list[list[int]]) -> list[int]:
        """The ids of a list of entries."""
        tokens = self.tokens
        if not entries:
            return list(tokens.empty_list)
        ids = [*tokens.list_start, *entries[0]]
        for entry in entries[1:]:
            ids += [*tokens.next_entry, *entry]
        return [*ids, *tokens.list_end]

    def _starts(self, partial: PartialOutput) -> Iterator[int]:
        """The words that the string of a new entry can start with."""
        first = 0 if partial.last is None else partial.last[0]
        for word in range(first, len(self.source)):
            if (
                not self.source.blank[word]
                and self._first_ids[word]
                and self._is_shallow(word, partial)
                and word < self._limit(word, partial)
            ):
                yield word

    def _has_more(self, partial: PartialOutput) -> bool:
        """Whether a new entry is possible."""
        return next(self._starts(partial), None) is not None

    def _repeatable(self, partial: PartialOutput) -> list[WordRange]:
        """The ranges of the entries in the current list that may be repeated.

        If the format is grouped, a string with more occurrences than entries may not:
        it would represent another occurrence.
        """
        entries = chain_to_list(partial.entries)
        if self.grouped:
            entries = [entry for entry in entries if entry.label == partial.label]
        ambiguous = self.ambiguous(entries)
        return [(e.start, e.end) for e in entries if e not in ambiguous]

    def _can_end(self, segment: Segment) -> bool:
        """Whether a string can end at the boundary that it has reached."""
        if segment.end is not None:
            return segment.word == segment.end
        return not self.source.blank[segment.word - 1]

    def _can_continue(self, segment: Segment, partial: PartialOutput) -> bool:
        """Whether a string can take another word and still end."""
        if segment.end is not None:
            return segment.word < segment.end
        if segment.word == len(self.source):
            return False
        return self._next_last[segment.word] < self._limit(segment.start, partial)

    def _limit(self, start: int, partial: PartialOutput) -> int:
        """The last boundary at which a string that starts with a word can end."""
        if partial.last is None or start > partial.last[0]:
            return len(self.source)
        # Of the spans that start together, longer ones come first. Another span with
        # the same range needs a later label.
        _, end, label = partial.last
        same_range = not self.grouped and label + 1 < len(self.tokens.labels)
        return end if same_range else end - 1

    def _is_shallow(self, word: int, partial: PartialOutput) -> bool:
        """Whether the maximum depth allows another span to start with a word."""
        return sum(end > word for end in partial.covering) < self.max_depth

    def _is_new(self, span: WordSpan, partial: PartialOutput) -> bool:
        """Whether a span can be the next entry."""
        if not self._is_shallow(span[0], partial):
            return False
        return partial.last is None or _order(span) > _order(partial.last)


def _add_entry(partial: PartialOutput, words: WordRange, end: int) -> PartialOutput:
    """Add the entry that ends at an output position."""
    entry = MarkedSpan(*words, partial.label, tuple(range(partial.begin, end)))
    covering = tuple(boundary for boundary in partial.covering if boundary > words[0])
    return partial._replace(
        last=(*words, partial.label),
        covering=(*covering, words[1]),
        entries=(partial.entries, entry),
    )


def _next_list(partial: PartialOutput) -> PartialOutput:
    """Begin the list of the next label."""
    return partial._replace(label=partial.label + 1, last=None, covering=())


def _order(span: WordSpan) -> tuple[int, int, int]:
    """The sort key of spans: by start, longer spans first, then by label."""
    return span[0], -span[1], span[2]
