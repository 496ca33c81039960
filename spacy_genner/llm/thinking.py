"""What a model thinks before it answers, apart from its answer."""

import re
from collections.abc import Sequence

TAG = "think"
# Where the prompt opens the thought, the answer has its end alone.
_THOUGHT = re.compile(
    rf"\s*(?:<{TAG}>|(?=.*?</{TAG}>)).*?(?:</{TAG}>\s*|\Z)", re.DOTALL
)


def thought_before(written: str, text: str = "", labels: Sequence[str] = ()) -> int:
    """Find where an answer begins behind what the model thought first, as those do
    that write `<think>...</think>`.

    written (str): What the model wrote.
    text (str): The text that it was asked about. What that has itself is no thought.
    labels (Sequence[str]): Labels. What may be a mark in XML is no thought.
    RETURNS (int): How many characters the thought has, with the white space after it;
        all where it does not end, 0 where there is none.
    """
    if TAG in labels or f"</{TAG}>" in text or f"<{TAG}>" in text:
        return 0
    found = _THOUGHT.match(written)
    return 0 if found is None else found.end()
