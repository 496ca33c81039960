"""The frame that a tokenizer's chat template puts around a prompt."""

from dataclasses import dataclass
from typing import Any

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
