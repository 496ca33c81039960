"""The automaton of the inline formats.

At each boundary between two words of the source, an output may copy the next word,
close the innermost open span with a tag, or open a span with a tag. The configuration
of the automaton is therefore a cursor into the source and a stack of open spans.
Nothing is compiled for a text. Only the tags are prepared, once for a set of labels:
`Markup` holds a trie of the opening tags and one of the closing tags, and inside a tag
the configuration also includes a node of the trie.

One token id does not always decide between copy and tag. A closing tag and the copy of
a word may both start with a space, and the source may contain the characters of a tag.
The automaton then holds several positions at the same time, one for each reading of the
output so far, until an id fits only one of them. If the source continues with a
complete tag, the copy takes precedence, and no span with that tag may start or end
there.

Two more rules keep the automaton sound:

- A move is legal only if every open span can still be closed. Decoding is never stuck.
- Of two spans with the same range, the inner one has the earlier label. Each set of
  nested spans has exactly one output.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Errors
from ..formats import InlineFormat
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

# What a token does. The order is the precedence between equal logits.
COPY, CLOSE, OPEN = 0, 1, 2
# The label of an open span whose opening tag contains no label.
UNLABELLED = -1


@dataclass
class TrieNode:
    """A node in a trie of tags.

    children (dict[int, TrieNode]): The next nodes by token id, in the order of labels.
    below (set[int]): The indices of the labels whose tags pass through or end here.
    label (int): The index of the label whose tag ends here, or -1.
    """

    children: dict[int, "TrieNode"] = field(default_factory=dict)
    below: set[int] = field(default_factory=set)
    label: int = -1


@dataclass(frozen=True)
class Markup:
    """The tags of a format for a set of labels, encoded with a tokenizer.

    labels (tuple[str, ...]): The labels. Tags refer to them by index.
    open_texts (tuple[str, ...]): The opening tag of each label.
    close_texts (tuple[str, ...]): The closing tag of each label.
    open_ids (tuple[tuple[int, ...], ...]): The token ids of the opening tags.
    close_ids (tuple[tuple[int, ...], ...]): The token ids of the closing tags.
    opening (TrieNode): The trie of the opening tags. If opening tags contain no label,
        it has a single tag, that of label 0.
    closing (TrieNode): The trie of the closing tags.
    open_names_label (bool): Whether an opening tag contains the label.
    """

    labels: tuple[str, ...]
    open_texts: tuple[str, ...]
    close_texts: tuple[str, ...]
    open_ids: tuple[tuple[int, ...], ...]
    close_ids: tuple[tuple[int, ...], ...]
    opening: TrieNode
    closing: TrieNode
    open_names_label: bool


def make_markup(fmt: InlineFormat, labels: Sequence[str], encode: Encode) -> Markup:
    """Encode the tags of a format.

    fmt (InlineFormat): The format.
    labels (Sequence[str]): The labels, in order.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    RETURNS (Markup): The tags.
    RAISES (ValueError): If the tokenizer cannot distinguish two tags.
    """
    open_texts = tuple(fmt.open_tag(label) for label in labels)
    close_texts = tuple(fmt.close_tag(label) for label in labels)
    open_ids = tuple(tuple(encode(text)) for text in open_texts)
    close_ids = tuple(tuple(encode(text)) for text in close_texts)
    distinct = open_ids if fmt.open_names_label else open_ids[:1]
    return Markup(
        labels=tuple(labels),
        open_texts=open_texts,
        close_texts=close_texts,
        open_ids=open_ids,
        close_ids=close_ids,
        opening=_make_trie(distinct, open_texts),
        closing=_make_trie(close_ids, close_texts),
        open_names_label=fmt.open_names_label,
    )


def _make_trie(tags: Iterable[tuple[int, ...]], texts: Sequence[str]) -> TrieNode:
    root = TrieNode()
    for label, ids in enumerate(tags):
        node = root
        node.below.add(label)
        for id_ in ids:
            if node.label >= 0:
                break
            node = node.children.setdefault(id_, TrieNode())
            node.below.add(label)
        # The tag is empty, or one of two tags is a prefix of the other.
        if node is root or node.label >= 0 or node.children:
            others = [texts[other] for other in node.below if other != label]
            raise ValueError(
                Errors.G101.format(mark=texts[label], ids=list(ids), others=others)
            )
        node.label = label
    return root


def tags_by_boundary(
    spans: Iterable[WordSpan], size: int
) -> list[tuple[list[int], list[int]]]:
    """List the tags at each boundary between words, in the order of the output.

    spans (Iterable[tuple[int, int, int]]): The spans: first word, word after the last,
        label index. They must not cross.
    size (int): The number of words.
    RETURNS (list[tuple[list[int], list[int]]]): For each of the `size + 1` boundaries,
        the labels of the spans that end there and of those that start there.
    """
    tags: list[tuple[list[int], list[int]]] = [([], []) for _ in range(size + 1)]
    for start, end, label in sorted(set(spans), key=lambda s: (s[0], -s[1], -s[2])):
        tags[start][1].append(label)
        # The span that was opened last is closed first.
        tags[end][0].insert(0, label)
    return tags


class OpenSpan(NamedTuple):
    """A span that is not closed yet.

    start (int): Its first word.
    label (int): The index of its label, or `UNLABELLED`.
    steps (tuple[int, ...]): The output positions of its opening tag.
    """

    start: int
    label: int
    steps: tuple[int, ...]


class Position(NamedTuple):
    """One reading of an output.

    kind (int): COPY between tags, CLOSE or OPEN inside a tag of that kind.
    word (int): The word that is copied next, or is partially copied.
    offset (int): The number of ids of that word that are copied. A position with kind
        COPY and offset 0 is at a boundary.
    node (TrieNode | None): The node of the trie, inside a tag.
    steps (tuple[int, ...]): The output positions of the current tag so far.
    stack (tuple[OpenSpan, ...]): The open spans, outermost first.
    last (tuple[int, int] | None): The first word and the label of the span that was
        closed last at this boundary, if any.
    spans (Chain): The completed spans.
    """

    kind: int
    word: int
    offset: int
    node: TrieNode | None
    steps: tuple[int, ...]
    stack: tuple[OpenSpan, ...]
    last: tuple[int, int] | None
    spans: Chain


# A token of kind COPY, CLOSE or OPEN: the kind, the token id and the next position.
Move = tuple[int, int, Position]


class InlineState(State):
    """The configuration of the automaton after some output tokens. Immutable.

    grammar (InlineGrammar): The grammar.
    positions (tuple[Position, ...]): The readings of the output so far, in order of
        precedence.
    length (int): The number of output tokens.
    """

    __slots__ = ("_choices", "_next", "_positions")

    def __init__(
        self, grammar: "InlineGrammar", positions: tuple[Position, ...], length: int
    ):
        super().__init__(grammar, length)
        self._positions = positions
        self._choices: list[int] | None = None
        self._next: dict[int, tuple[int, list[Position]]] = {}

    @property
    def position(self) -> Position:
        """RETURNS (Position): The position that takes precedence."""
        return self._positions[0]

    @property
    def at_boundary(self) -> bool:
        """RETURNS (bool): Whether the only position is at a boundary between words."""
        first = self._positions[0]
        return len(self._positions) == 1 and first.kind == COPY and first.offset == 0

    @property
    def has_one_reading(self) -> bool:
        """RETURNS (bool): Whether the output so far fits a single position."""
        return len(self._positions) == 1

    @property
    def finished(self) -> bool:
        first = self._positions[0]
        return (
            first.kind == COPY
            and first.word == len(self.grammar.source)
            and not first.stack
        )

    @property
    def choices(self) -> list[int]:
        if self._choices is None:
            self._choices = self._expand()
        return self._choices

    @property
    def opening_ids(self) -> frozenset[int]:
        """RETURNS (frozenset[int]): The legal next ids that open a span, if others do
        not. Where an opening tag begins with the same id as a closing tag or the text,
        the next id that differs opens it."""
        ids = frozenset(id_ for id_ in self.choices if self.kind_of(id_) == OPEN)
        return ids if len(ids) < len(self.choices) else frozenset()

    @property
    def spans(self) -> list[MarkedSpan]:
        return chain_to_list(self._positions[0].spans)

    def kind_of(self, id_: int) -> int:
        """Get the kind of a legal next id.

        id_ (int): One of `choices`.
        RETURNS (int): COPY, CLOSE or OPEN; if the id fits several, the first of them.
        """
        return self._moves(id_)[0]

    def is_ambiguous(self, id_: int) -> bool:
        """Check whether a legal next id fits several positions.

        id_ (int): One of `choices`.
        RETURNS (bool): Whether the output has several readings after it.
        """
        return len(self._moves(id_)[1]) > 1

    def _moves(self, id_: int) -> tuple[int, list[Position]]:
        """The kind of a legal next id, and the positions after it."""
        if self._choices is None:
            self._choices = self._expand()
        return self._next[id_]

    def _after(self, id_: int) -> "InlineState":
        positions = self._next[id_][1]
        if len(positions) > 1:
            positions = _without_equivalent(positions)
        return InlineState(self.grammar, tuple(positions), self.length + 1)

    def _expand(self) -> list[int]:
        """Compute the moves by token id. Return the ids in order of precedence."""
        if self.finished:
            return []
        moves: list[Move] = []
        for position in self._positions:
            self.grammar.add_moves(position, self.length, moves)
        if len(self._positions) > 1:
            moves.sort(key=lambda move: move[0])
        for kind, id_, position in moves:
            self._next.setdefault(id_, (kind, []))[1].append(position)
        return list(self._next)


def _without_equivalent(positions: list[Position]) -> list[Position]:
    """Keep the first of the positions that allow the same continuations."""
    seen, kept = set(), []
    for position in positions:
        kind, word, offset, node, _, stack, _, _ = position
        key = (kind, word, offset, id(node), len(stack))
        if key not in seen:
            seen.add(key)
            kept.append(position)
    return kept


class InlineGrammar(Grammar):
    """The legal outputs of an inline format for one source text.

    markup (Markup): The tags.
    source (Source): The source.
    max_depth (int): The maximum number of spans that are open at the same time.
    RAISES (ValueError): If `max_depth` is below 1.
    """

    def __init__(self, markup: Markup, source: Source, max_depth: int):
        super().__init__(source, max_depth)
        self.marks = markup
        self._all_labels = frozenset(range(len(markup.labels)))
        # By boundary, the labels whose complete tag is the continuation of the source.
        self._literal_open: dict[int, set[int]] = {}
        self._literal_close: dict[int, set[int]] = {}
        if any(tag in source.text for tag in set(markup.open_texts)):
            self._literal_open = self._find_literal(source.starts, markup.open_texts)
        if any(tag in source.text for tag in markup.close_texts):
            # The boundary after a word has the index of the next word.
            found = self._find_literal(source.ends, markup.close_texts)
            self._literal_close = {word + 1: labels for word, labels in found.items()}
        # The number of boundaries, from each boundary to the end of the text, at which
        # a span with any label can end.
        size = len(source)
        self._ends_from = [0] * (size + 2)
        for boundary in range(size, 0, -1):
            here = self._can_end(boundary)
            self._ends_from[boundary] = self._ends_from[boundary + 1] + here
        self._ends_from[0] = self._ends_from[1]

    def start(self) -> InlineState:
        return InlineState(self, (Position(COPY, 0, 0, None, (), (), None, None),), 0)

    def target(self, spans: Iterable[WordSpan]) -> list[int]:
        ids: list[int] = []
        size = len(self.source)
        for word, (closed, opened) in enumerate(tags_by_boundary(spans, size)):
            for label in closed:
                ids.extend(self.marks.close_ids[label])
            for label in opened:
                ids.extend(self.marks.open_ids[label])
            if word < size:
                ids.extend(self.source.ids[word])
        return ids

    def add_moves(self, position: Position, step: int, moves: list[Move]) -> None:
        """Append the moves from a position.

        position (Position): The position.
        step (int): The output position of the next token.
        moves (list[Move]): The moves. The method appends to this list.
        """
        kind, node = position.kind, position.node
        if node is not None:
            allowed = self._closable if kind == CLOSE else self._openable
            self._add_tag(position, node, kind, allowed(position), step, moves)
            return
        if position.word < len(self.source):
            self._add_copy(position, moves)
        if position.offset == 0:
            labels = self._closable(position)
            if labels:
                self._add_tag(position, self.marks.closing, CLOSE, labels, step, moves)
            labels = self._openable(position)
            if labels:
                self._add_tag(position, self.marks.opening, OPEN, labels, step, moves)

    def _add_copy(self, position: Position, moves: list[Move]) -> None:
        word, offset = position.word, position.offset
        ids = self.source.ids[word]
        if offset == 0 and not self._can_close_all(position.stack, word + 1, None):
            return
        if offset + 1 < len(ids):
            after = position._replace(offset=offset + 1)
        else:
            after = position._replace(word=word + 1, offset=0, last=None)
        moves.append((COPY, ids[offset], after))

    def _add_tag(
        self,
        position: Position,
        node: TrieNode,
        kind: int,
        labels: frozenset[int],
        step: int,
        moves: list[Move],
    ) -> None:
        """Append the moves from a node of a trie to the tags of some labels."""
        steps = (*position.steps, step)
        for id_, child in node.children.items():
            if child.label < 0:
                if not child.below.isdisjoint(labels):
                    after = position._replace(kind=kind, node=child, steps=steps)
                    moves.append((kind, id_, after))
            elif child.label in labels or (
                kind == OPEN and not self.marks.open_names_label
            ):
                complete = self._closed if kind == CLOSE else self._opened
                moves.append((kind, id_, complete(position, child.label, steps)))

    def _opened(
        self, position: Position, label: int, steps: tuple[int, ...]
    ) -> Position:
        """The position after an opening tag."""
        word = position.word
        known = label if self.marks.open_names_label else UNLABELLED
        stack = (*position.stack, OpenSpan(word, known, steps))
        return Position(COPY, word, 0, None, (), stack, None, position.spans)

    def _closed(
        self, position: Position, label: int, steps: tuple[int, ...]
    ) -> Position:
        """The position after a closing tag."""
        word, top = position.word, position.stack[-1]
        span = MarkedSpan(top.start, word, label, top.steps + steps)
        stack, last = position.stack[:-1], (top.start, label)
        return Position(COPY, word, 0, None, (), stack, last, (position.spans, span))

    def _closable(self, position: Position) -> frozenset[int]:
        """The labels with which the innermost span can end at this boundary."""
        word, stack = position.word, position.stack
        if not stack or word == 0 or self.source.blank[word - 1]:
            return frozenset()
        top = stack[-1]
        if top.start >= word:
            return frozenset()
        labels = self._all_labels if top.label < 0 else frozenset((top.label,))
        if word in self._literal_close:
            labels -= self._literal_close[word]
        if position.last is not None and position.last[0] == top.start:
            # The span inside has the same range and an earlier label.
            inner = position.last[1]
            labels = frozenset(label for label in labels if label > inner)
        if self._has_room(stack, word):
            return labels
        rest = stack[:-1]
        return frozenset(
            label
            for label in labels
            if self._can_close_all(rest, word, (top.start, label))
        )

    def _openable(self, position: Position) -> frozenset[int]:
        """The labels with which a span can start at this boundary."""
        word, stack = position.word, position.stack
        if word >= len(self.source) or self.source.blank[word]:
            return frozenset()
        if len(stack) >= self.max_depth:
            return frozenset()
        labels = self._all_labels
        if word in self._literal_open:
            labels -= self._literal_open[word]
            if not self.marks.open_names_label and labels != self._all_labels:
                return frozenset()
        deeper = (*stack, OpenSpan(word, UNLABELLED, ()))
        if self._has_room(deeper, word):
            return labels
        if not self.marks.open_names_label:
            return labels if self._can_close_all(deeper, word, None) else frozenset()
        return frozenset(
            label
            for label in labels
            if self._can_close_all((*stack, OpenSpan(word, label, ())), word, None)
        )

    def _has_room(self, stack: tuple[OpenSpan, ...], boundary: int) -> bool:
        """Whether each open span can end at a boundary of its own: a fast test that
        implies `_can_close_all`."""
        after = min(boundary + 1, len(self.source) + 1)
        return self._ends_from[after] > len(stack)

    def _can_close_all(
        self, stack: tuple[OpenSpan, ...], boundary: int, last: tuple[int, int] | None
    ) -> bool:
        """Whether all open spans can still end, each as early as possible.

        Spans with the same range have increasing labels from the inside to the outside,
        so spans that start together may need several boundaries to end at.
        """
        if not stack:
            return True
        if self._has_room(stack, boundary):
            return True
        size, count = len(self.source), len(self.marks.labels)
        at, inner = boundary, last
        for span in reversed(stack):
            if at <= span.start:
                at, inner = span.start + 1, None
            while at <= size:
                floor = inner[1] if inner and inner[0] == span.start else -1
                label = floor + 1 if span.label < 0 else span.label
                if self._can_end(at) and floor < label < count:
                    break
                at, inner = at + 1, None
            else:
                return False
            inner = (span.start, label)
        return True

    def _can_end(self, boundary: int) -> bool:
        """Whether a span with any label can end at a boundary."""
        blank = self.source.blank[boundary - 1]
        return not blank and boundary not in self._literal_close

    def _find_literal(
        self, offsets: Sequence[int], tags: Sequence[str]
    ) -> dict[int, set[int]]:
        """By word, the labels whose tag the source has at the offset of the word."""
        found: dict[int, set[int]] = {}
        for word, offset in enumerate(offsets):
            labels = {
                label
                for label, tag in enumerate(tags)
                if self.source.text.startswith(tag, offset)
            }
            if labels:
                found[word] = labels
        return found
