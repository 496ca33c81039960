"""One model input's text, cut into the units that are copied whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
