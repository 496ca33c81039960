"""User text to token ids, as data."""

from typing import Any

# More pieces than a large corpus has frequent ones; a cache that grew without
# bound would leak in a service that never stops.
MAX_CACHED = 200_000
# Longer ones are no tokens but parts of prompts, which hardly come again.
MAX_LENGTH = 200


class PieceEncoder:
    """Encodes pieces of text by themselves, so that pieces joined are text joined.

    No control token is ever made of text: `<eos>` in a document is five characters.
    Tokenizers that put a space before whatever they are given (SentencePiece with
    a dummy prefix) are called with an anchor that is cut off again.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    """

    ANCHOR = "\n"

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self._cache: dict[str, tuple[int, ...]] = {}
        self._control = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self._anchor: tuple[int, ...] = ()
        if self._raw("a") == self._raw(" a"):
            self._anchor = self._raw(self.ANCHOR)

    def __call__(self, text: str) -> tuple[int, ...]:
        """Encode one piece.

        text (str): The piece.
        RETURNS (Tuple[int, ...]): Its ids.
        """
        ids = self._cache.get(text)
        if ids is None:
            ids = self._bare(text)
            if len(text) > 1 and not self._control.isdisjoint(ids):
                # The vocabulary of a Unigram model may hold the names of control
                # tokens among its pieces.
                ids = tuple(id_ for char in text for id_ in self._bare(char))
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            if len(text) <= MAX_LENGTH:
                self._cache[text] = ids
        return ids

    @property
    def begin_ids(self) -> tuple[int, ...]:
        """The ids that the tokenizer puts before a text of its own accord."""
        plain = self._raw("a")
        full = tuple(self.tokenizer.encode("a"))
        for start in range(len(full) - len(plain) + 1):
            if full[start : start + len(plain)] == plain:
                return full[:start]
        return ()

    @property
    def end_id(self) -> int | None:
        """The id that ends an output, None where the tokenizer names none."""
        end: int | None = self.tokenizer.eos_token_id
        return end

    def _bare(self, text: str) -> tuple[int, ...]:
        if self._anchor:
            joined = self._raw(self.ANCHOR + text)
            if joined[: len(self._anchor)] == self._anchor:
                return joined[len(self._anchor) :]
        return self._raw(text)

    def _raw(self, text: str) -> tuple[int, ...]:
        return tuple(
            self.tokenizer.encode(
                text, add_special_tokens=False, split_special_tokens=True
            )
        )
