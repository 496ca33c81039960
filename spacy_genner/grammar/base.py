"""Base classes of the grammars, and the source text they copy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import Errors

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Source:
    """A text as a row of units, each a spaCy token with the white space before it.

    Marks stand between units only. Tokens that a tokenizer's normaliser makes
    disappear (they encode to no id at all) are part of the text but of no unit.

    text (str): The text.
    ids (Tuple[Tuple[int, ...], ...]): The token ids of each unit, never empty.
    tokens (Tuple[int, ...]): The index of each unit's spaCy token.
    starts (Tuple[int, ...]): Where each unit's token starts in the text, without
        the white space before it (characters).
    ends (Tuple[int, ...]): Where each unit's token ends (characters, exclusive).
    blank (Tuple[bool, ...]): Whether a unit is white space only.
    pieces (Tuple[str, ...]): The text of each unit, with the white space before it.
    """

    text: str
    ids: tuple[tuple[int, ...], ...]
    tokens: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    blank: tuple[bool, ...]
    pieces: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def flat_ids(self) -> list[int]:
        """The ids of the whole text: what the prompt holds and the output copies."""
        return [id_ for unit in self.ids for id_ in unit]

    def units_of(self, first_token: int, end_token: int) -> tuple[int, int] | None:
        """The units of a span of spaCy tokens.

        first_token (int): The span's first token.
        end_token (int): The token after its last.
        RETURNS (Optional[Tuple[int, int]]): First unit and the unit after the last,
            None where an edge of the span falls on a token that is no unit.
        """
        try:
            return self.tokens.index(first_token), self.tokens.index(end_token - 1) + 1
        except ValueError:
            return None


def make_source(words: Sequence[str], spaces: Sequence[bool], encode: Encode) -> Source:
    """Cut a tokenised text into units and encode each by itself.

    words (Sequence[str]): The tokens' texts.
    spaces (Sequence[bool]): Whether a single space follows each token.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text as data, so
        that the name of a control token in it stays plain characters.
    RETURNS (Source): The source.
    """
    text = ""
    before = ""
    ids, tokens, starts, ends, blank, pieces = [], [], [], [], [], []
    for index, (word, space) in enumerate(zip(words, spaces, strict=True)):
        piece = tuple(encode(before + word)) if word else ()
        text += before
        if piece:
            ids.append(piece)
            tokens.append(index)
            starts.append(len(text))
            ends.append(len(text) + len(word))
            blank.append(not word.strip())
            pieces.append(before + word)
        text += word
        before = " " if space else ""
    return Source(
        text + before,
        tuple(ids),
        tuple(tokens),
        tuple(starts),
        tuple(ends),
        tuple(blank),
        tuple(pieces),
    )


class MarkedSpan(NamedTuple):
    """A span that an output says: units (end exclusive), label index, and the output
    positions of the choices that say it."""

    start: int
    end: int
    label: int
    steps: tuple[int, ...]


def unlinked(link: tuple | None) -> list[MarkedSpan]:
    """RETURNS (List[MarkedSpan]): The spans of a linked list, the first one first."""
    spans = []
    while link is not None:
        link, span = link
        spans.append(span)
    return spans[::-1]


class State:
    """Where an automaton stands after some output tokens. Immutable.

    grammar (Grammar): The grammar.
    length (int): The tokens so far.
    """

    __slots__ = ("grammar", "length")

    def __init__(self, grammar: Any, length: int):
        self.grammar = grammar
        self.length = length

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether the output is complete."""
        raise AssertionError("abstract")

    @property
    def choices(self) -> list[int]:
        """RETURNS (List[int]): The legal next ids, in the order that settles ties;
        none where the output is complete."""
        raise AssertionError("abstract")

    @property
    def marked(self) -> list[MarkedSpan]:
        """RETURNS (List[MarkedSpan]): The spans that are done, in the order in which they
        were."""
        raise AssertionError("abstract")

    def advance(self, id_: int) -> Any:
        """The state after one more token.

        id_ (int): One of `choices`.
        RETURNS (State): The next state, of the same class.
        RAISES (ValueError): The id is not legal here.
        """
        if id_ not in self.choices:
            raise ValueError(
                Errors.G102.format(found=id_, before=self.length, legal=self.choices)
            )
        return self._after(id_)

    def _after(self, id_: int) -> "State":
        raise AssertionError("abstract")


class Grammar:
    """The legal outputs for one source.

    source (Source): The text.
    max_depth (int): How many spans may be open at once, or lie over one unit.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(self, source: Source, max_depth: int):
        if max_depth < 1:
            raise ValueError(Errors.G103.format(found=max_depth))
        self.source = source
        self.max_depth = max_depth

    def start(self) -> Any:
        """RETURNS (State): The state before the first output token."""
        raise AssertionError("abstract")

    def target(self, spans: Iterable[tuple[int, int, int]]) -> list[int]:
        """The output that says some spans.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each; none crosses another where the format is inline.
        RETURNS (List[int]): The token ids.
        """
        raise AssertionError("abstract")

    def walk(self, ids: Sequence[int]) -> list[Any]:
        """The states before each token of an output, and the one after the last.

        ids (Sequence[int]): A legal output or the beginning of one.
        RETURNS (List[State]): One state more than ids.
        RAISES (ValueError): An id is not legal at its place.
        """
        states = [self.start()]
        for id_ in ids:
            states.append(states[-1].advance(id_))
        return states

    def unsayable(
        self, spans: Iterable[tuple[int, int, int]]
    ) -> list[tuple[int, int, int]]:
        """The spans that would be placed elsewhere by what says them: none, where an
        output says the places.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each.
        RETURNS (List[Tuple[int, int, int]]): Those that are lost.
        """
        return []

    def doubtful(self, spans: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """The spans of a complete output that may mean another place: none, where it
        says the places.

        spans (Sequence[MarkedSpan]): The spans.
        RETURNS (List[MarkedSpan]): Those in doubt.
        """
        return []
