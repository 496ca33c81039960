"""How many demonstrations a prompt has room for."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from ..errors import Warnings, warn
from .layout import PromptLayout

# The output is the text once more, with room for as much in marks.
OUTPUT = 2


def text_room(limit: int, fixed: int, readings: int) -> int:
    """How many tokens a text may have.

    limit (int): The most tokens of prompt and output.
    fixed (int): Those of the prompt without a text.
    readings (int): How often the prompt holds the text.
    RETURNS (int): The most tokens; below 1 where there is no room.
    """
    return (limit - fixed) // (readings + OUTPUT)


def fitting(
    layout: PromptLayout,
    count: Callable[[str], int],
    limit: int | None,
    max_tokens: int,
) -> PromptLayout:
    """A prompt with as many of its demonstrations as leave room for texts: the first
    ones, in half of the model's positions, or more where the windows are small. Those
    left out are warned of.

    layout (PromptLayout): The prompt.
    count (Callable[[str], int]): Counts the tokens of a text.
    limit (Optional[int]): The most tokens of prompt and output; None for no limit.
    max_tokens (int): The most tokens of a window.
    RETURNS (PromptLayout): The prompt, or one with fewer demonstrations.
    """
    shown = layout.demonstrations
    if limit is None or not shown:
        return layout
    room = limit - min((layout.readings + OUTPUT) * max_tokens, limit // 2)

    def size(number: int) -> int:
        return count(replace(layout, demonstrations=shown[:number]).prefix)

    # Each one makes the prefix longer.
    kept = bisect_right(range(1, len(shown) + 1), room, key=size)
    layout = replace(layout, demonstrations=shown[:kept])
    if kept < len(shown):
        warn(Warnings.W402.format(kept=kept, count=len(shown), limit=limit))
    return layout
