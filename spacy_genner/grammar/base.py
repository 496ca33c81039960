"""The source text, and the base classes of the grammars and their states.

A grammar is an automaton over the token ids of a base model. It accepts the legal
outputs for one source text and no others. A `State` is the configuration of the
automaton after some output tokens: `choices` are the legal next ids, and `advance`
returns the state after one of them. A decoder that follows the automaton writes only
outputs that are well formed and agree with the source. States are immutable, so that a
decoder can verify a draft and go back to any position of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import Errors

# Encodes a piece of text as data: the name of a control token in it is plain text.
Encode = Callable[[str], Sequence[int]]
# The first word of a span, the word after its last word, and the index of its label.
WordSpan = tuple[int, int, int]
# A linked list of spans, the last one first. States share its tail.
Chain = tuple | None


@dataclass(frozen=True)
class Source:
    """A text as a sequence of words.

    A word is a spaCy token with the space before it; white-space tokens are words, too.
    Each word is encoded separately, and spans start and end only at boundaries between
    words, so that a token of the model never crosses a boundary of the spaCy
    tokenization. Tokens that the tokenizer's normalizer removes (their encoding is
    empty) are part of the text, but of no word.

    text (str): The text.
    ids (tuple[tuple[int, ...], ...]): The token ids of each word, never empty.
    tokens (tuple[int, ...]): The index of each word's spaCy token.
    starts (tuple[int, ...]): The character offset at which the token of each word
        starts, without the space before it.
    ends (tuple[int, ...]): The character offset at which it ends, exclusive.
    blank (tuple[bool, ...]): Whether the word is white space only.
    word_texts (tuple[str, ...]): The text of each word, with the space before it.
    """

    text: str
    ids: tuple[tuple[int, ...], ...]
    tokens: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    blank: tuple[bool, ...]
    word_texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def flat_ids(self) -> list[int]:
        """RETURNS (list[int]): The token ids of the text, as in the prompt and in an
        output without spans."""
        return [id_ for word in self.ids for id_ in word]

    def word_range(self, first_token: int, end_token: int) -> tuple[int, int] | None:
        """Convert a range of spaCy tokens to a range of words.

        first_token (int): The first token.
        end_token (int): The token after the last.
        RETURNS (tuple[int, int] | None): The first word and the word after the last, or
            None if the first or last token is not part of a word.
        """
        try:
            return self.tokens.index(first_token), self.tokens.index(end_token - 1) + 1
        except ValueError:
            return None


def make_source(words: Sequence[str], spaces: Sequence[bool], encode: Encode) -> Source:
    """Encode a tokenized text word by word.

    words (Sequence[str]): The text of each spaCy token.
    spaces (Sequence[bool]): Whether the token is followed by a space.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text as data.
    RETURNS (Source): The source.
    """
    text = ""
    before = ""
    ids, tokens, starts, ends, blank, word_texts = [], [], [], [], [], []
    for index, (word, space) in enumerate(zip(words, spaces, strict=True)):
        word_ids = tuple(encode(before + word)) if word else ()
        text += before
        if word_ids:
            ids.append(word_ids)
            tokens.append(index)
            starts.append(len(text))
            ends.append(len(text) + len(word))
            blank.append(not word.strip())
            word_texts.append(before + word)
        text += word
        before = " " if space else ""
    return Source(
        text=text + before,
        ids=tuple(ids),
        tokens=tuple(tokens),
        starts=tuple(starts),
        ends=tuple(ends),
        blank=tuple(blank),
        word_texts=tuple(word_texts),
    )


class MarkedSpan(NamedTuple):
    """A span in an output.

    start (int): The first word.
    end (int): The word after the last.
    label (int): The index of the label.
    steps (tuple[int, ...]): The output positions of the decisions that produced the
        span. The product of their probabilities is its score.
    """

    start: int
    end: int
    label: int
    steps: tuple[int, ...]


def chain_to_list(chain: Chain) -> list[MarkedSpan]:
    """RETURNS (list[MarkedSpan]): The spans of a chain, the first one first."""
    spans = []
    while chain is not None:
        chain, span = chain
        spans.append(span)
    return spans[::-1]


class State(ABC):
    """The configuration of an automaton after some output tokens. Immutable.

    grammar (Grammar): The grammar.
    length (int): The number of output tokens.
    """

    __slots__ = ("grammar", "length")

    def __init__(self, grammar: Any, length: int):
        self.grammar = grammar
        self.length = length

    @property
    @abstractmethod
    def finished(self) -> bool:
        """RETURNS (bool): Whether the output is complete."""

    @property
    @abstractmethod
    def choices(self) -> list[int]:
        """RETURNS (list[int]): The legal next ids, in order of precedence between equal
        logits. Empty if the output is complete."""

    @property
    @abstractmethod
    def spans(self) -> list[MarkedSpan]:
        """RETURNS (list[MarkedSpan]): The completed spans, in order of completion."""

    def advance(self, id_: int) -> Any:
        """Append a token to the output.

        id_ (int): One of `choices`.
        RETURNS (State): The next state, of the same class.
        RAISES (ValueError): If the id is not legal here.
        """
        if id_ not in self.choices:
            raise ValueError(
                Errors.G102.format(found=id_, before=self.length, legal=self.choices)
            )
        return self._after(id_)

    @abstractmethod
    def _after(self, id_: int) -> "State":
        """The state after a legal id."""


class Grammar(ABC):
    """The legal outputs for one source text.

    source (Source): The source.
    max_depth (int): The maximum number of spans that are open at the same time, or, in
        a format without nesting, that contain the same word.
    RAISES (ValueError): If `max_depth` is below 1.
    """

    def __init__(self, source: Source, max_depth: int):
        if max_depth < 1:
            raise ValueError(Errors.G103.format(found=max_depth))
        self.source = source
        self.max_depth = max_depth

    @abstractmethod
    def start(self) -> Any:
        """RETURNS (State): The state before the first output token."""

    @abstractmethod
    def target(self, spans: Iterable[WordSpan]) -> list[int]:
        """Render spans as the output that represents them.

        spans (Iterable[tuple[int, int, int]]): The spans: first word, word after the
            last, label index. They must not cross if the format is inline.
        RETURNS (list[int]): The token ids.
        """

    def walk(self, ids: Sequence[int]) -> list[Any]:
        """Follow an output through the automaton.

        ids (Sequence[int]): A legal output or the beginning of one.
        RETURNS (list[State]): The state before each token, and the state after the
            last.
        RAISES (ValueError): If an id is not legal at its position.
        """
        states = [self.start()]
        for id_ in ids:
            states.append(states[-1].advance(id_))
        return states

    def unsayable(self, spans: Iterable[WordSpan]) -> list[WordSpan]:
        """Find the spans whose output represents another place, or that exceed the
        maximum depth without breaking a rule of the automaton.

        Only a format that gives no places has such spans.

        spans (Iterable[tuple[int, int, int]]): The spans: first word, word after the
            last, label index.
        RETURNS (list[tuple[int, int, int]]): The spans that are not representable.
        """
        return []

    def ambiguous(self, spans: Sequence[MarkedSpan]) -> list[MarkedSpan]:
        """Find the spans of a complete output that may stand for another place.

        Only a format that gives no places has such spans.

        spans (Sequence[MarkedSpan]): The spans.
        RETURNS (list[MarkedSpan]): The ambiguous ones.
        """
        return []
