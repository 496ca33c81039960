"""JSON of any origin: whatever is wrong with it is a ValueError."""

import json
from typing import Any

# Whatever the project reads has a few levels. A value that is nested much deeper could
# be read, and then not be written or shown.
MOST_LEVELS = 100

_DECODER = json.JSONDecoder()


def parse_json(text: str) -> Any:
    """Read a JSON value.

    text (str): The value, and white space around it.
    RETURNS (Any): The value.
    RAISES (ValueError): The text is no JSON, is nested too deep, or holds a number of
        thousands of digits.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_levels(value)
    return value


def parse_json_at(text: str, at: int) -> tuple[Any, int]:
    """Read the JSON value at a place of a text.

    text (str): The text.
    at (int): Where the value starts.
    RETURNS (Tuple[Any, int]): The value, and where it ends.
    RAISES (JSONDecodeError): There is no JSON, or only a part of it.
    RAISES (ValueError): It is nested too deep, or holds a number of thousands of
        digits.
    """
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise _too_deep() from None
    _check_levels(value)
    return value, end


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
