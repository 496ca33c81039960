"""What a model thinks before it answers, apart from its answer."""

from collections.abc import Sequence

TAG = "think"
_OPEN, _CLOSE = f"<{TAG}>", f"</{TAG}>"


def thought_before(written: str, text: str = "", labels: Sequence[str] = ()) -> int:
    """Find where an answer begins behind what the model thought first, as those do
    that write `<think>...</think>`.

    written (str): What the model wrote.
    text (str): The text that it was asked about. What that has itself is no thought.
    labels (Sequence[str]): Labels. What may be a mark in XML is no thought.
    RETURNS (int): How many characters the thought has, with the white space after it;
        all where it does not end, 0 where there is none.
    """
    if TAG in labels or _CLOSE in text or _OPEN in text:
        return 0
    end = written.find(_CLOSE)
    if end < 0:
        return len(written) if written.lstrip().startswith(_OPEN) else 0
    # Where the prompt opens the thought, the answer has its end alone.
    return len(written) - len(written[end + len(_CLOSE) :].lstrip())
