"""Token-aligned encoding of text, and chat templates."""

from dataclasses import dataclass
from typing import Any

# More pieces than a large corpus has frequent ones; a cache that grew without
# bound would leak in a service that never stops.
MAX_CACHED = 200_000
# Longer ones are no tokens but parts of prompts, which hardly come again.
MAX_LENGTH = 200


class TokenAlignedEncoder:
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


# What stands in for the prompt, and for the answer: letters that no template has.
_PROMPT, _ANSWER = "qzPROMPTzq", "qzANSWERzq"


@dataclass(frozen=True)
class ChatFrame:
    """What stands around a prompt that is a turn of a chat.

    before (Tuple[int, ...]): The ids before the prompt, with what begins a text.
    after (Tuple[int, ...]): Those between prompt and answer.
    end_id (Optional[int]): The id after an answer, None where the template has none.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    end_id: int | None


def chat_frame(tokenizer: Any) -> ChatFrame | None:
    """Read a tokenizer's chat template.

    The template alone may make control tokens: prompt and answer are put between its
    parts as data.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    RETURNS (Optional[ChatFrame]): The frame, None where it has no template, or one
        that has no place for a prompt of one turn.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    user = {"role": "user", "content": _PROMPT}
    model = {"role": "assistant", "content": _ANSWER}
    try:
        asked = _written(tokenizer, [user], add_generation_prompt=True)
        answered = _written(tokenizer, [user, model], add_generation_prompt=False)
    except Exception:
        # A template raises what its author likes, such as on a first turn of a user's.
        return None
    before, found, after = asked.partition(_PROMPT)
    if not found:
        return None
    ends = _encoded(tokenizer, answered.partition(_ANSWER)[2])
    control = set(tokenizer.all_special_ids)
    control |= set(getattr(tokenizer, "added_tokens_decoder", {}))
    return ChatFrame(
        _encoded(tokenizer, before),
        _encoded(tokenizer, after),
        ends[0] if ends and ends[0] in control else None,
    )


def _written(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))


def _encoded(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))
