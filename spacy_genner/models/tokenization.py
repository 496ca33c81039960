"""Token-aligned encoding of text, and chat templates.

A model token must not straddle the boundary of a spaCy token, because spans start and
end at these boundaries. Each spaCy token is therefore encoded separately, together with
the white space before it. The same encoding serves the prompt and the output, so that
the output copies the ids of the prompt.

Text is data: the name of a control token in a document, such as `<eos>`, is encoded as
its characters. Control tokens come from the tokenizer and its chat template only.
"""

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# More entries than a large corpus has frequent spaCy tokens. Without a limit the cache
# would grow forever in a long-running service.
MAX_CACHE_ENTRIES = 200_000
# Longer texts are parts of prompts, which hardly occur again.
MAX_CACHED_LENGTH = 200
# Stand for the prompt and the answer in a chat template; no template contains them.
_PROMPT, _ANSWER = "qzPROMPTzq", "qzANSWERzq"
# Whether a tokenizer splits control tokens is a state of its own, which transformers
# sets before each call. Components in several threads share tokenizers.
_lock = threading.RLock()


class TokenAlignedEncoder:
    """Encodes texts separately, so that joined ids decode to the joined texts.

    Some tokenizers put a space before every text (SentencePiece with a dummy prefix).
    They encode the text behind an anchor whose ids are cut off again.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    """

    ANCHOR = "\n"

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self._cache: dict[str, tuple[int, ...]] = {}
        self._control = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self._anchor: tuple[int, ...] = ()
        if self._tokenize("a") == self._tokenize(" a"):
            self._anchor = self._tokenize(self.ANCHOR)

    def __call__(self, text: str) -> tuple[int, ...]:
        """Encode a text.

        text (str): A spaCy token with the white space before it, or another part of a
            prompt.
        RETURNS (tuple[int, ...]): The token ids.
        """
        ids = self._cache.get(text)
        if ids is None:
            ids = self._encode(text)
            if len(text) > 1 and not self._control.isdisjoint(ids):
                # The vocabulary of a Unigram model may contain the names of control
                # tokens.
                ids = tuple(id_ for char in text for id_ in self._encode(char))
            if len(self._cache) >= MAX_CACHE_ENTRIES:
                self._cache.clear()
            if len(text) <= MAX_CACHED_LENGTH:
                self._cache[text] = ids
        return ids

    @cached_property
    def begin_ids(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The ids that the tokenizer puts before a text."""
        plain = self._tokenize("a")
        with _lock:
            full = tuple(self.tokenizer.encode("a"))
        for start in range(len(full) - len(plain) + 1):
            if full[start : start + len(plain)] == plain:
                return full[:start]
        return ()

    @property
    def end_id(self) -> int | None:
        """RETURNS (int | None): The id that ends an output; None if the tokenizer has
        none."""
        end: int | None = self.tokenizer.eos_token_id
        return end

    def _encode(self, text: str) -> tuple[int, ...]:
        if self._anchor:
            joined = self._tokenize(self.ANCHOR + text)
            if joined[: len(self._anchor)] == self._anchor:
                return joined[len(self._anchor) :]
        return self._tokenize(text)

    def _tokenize(self, text: str) -> tuple[int, ...]:
        with _lock:
            return tuple(
                self.tokenizer.encode(
                    text, add_special_tokens=False, split_special_tokens=True
                )
            )


@dataclass(frozen=True)
class ChatFrame:
    """The ids around a prompt that is the user's turn of a chat.

    before (tuple[int, ...]): The ids before the prompt, including those that begin a
        text.
    after (tuple[int, ...]): The ids between the prompt and the answer.
    end_id (int | None): The id after an answer; None if the template has none.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    end_id: int | None


def chat_frame(tokenizer: Any) -> ChatFrame | None:
    """Get the ids around a prompt from the chat template of a tokenizer.

    Only the template yields control tokens. The prompt is not rendered with it but
    encoded as data.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    RETURNS (ChatFrame | None): The frame; None if the tokenizer has no template or its
        template does not render a single turn of the user.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    user = {"role": "user", "content": _PROMPT}
    assistant = {"role": "assistant", "content": _ANSWER}
    try:
        prompt = _render(tokenizer, [user], add_generation_prompt=True)
        dialogue = _render(tokenizer, [user, assistant], add_generation_prompt=False)
    except Exception:
        # Templates raise errors of any kind, for instance if the first turn is the
        # user's.
        return None
    before, found, after = prompt.partition(_PROMPT)
    if not found:
        return None
    end = _encode_template(tokenizer, dialogue.partition(_ANSWER)[2])
    control = set(tokenizer.all_special_ids)
    control |= set(getattr(tokenizer, "added_tokens_decoder", {}))
    return ChatFrame(
        _encode_template(tokenizer, before),
        _encode_template(tokenizer, after),
        end[0] if end and end[0] in control else None,
    )


def _render(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))


def _encode_template(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Encode a part of a template, with its control tokens."""
    with _lock:
        return tuple(tokenizer.encode(text, add_special_tokens=False))
