"""The output formats: from spans to text and back. Pure Python, without torch or spaCy.

A format renders the entities of a text as a string for a language model to write, and
parses such a string back into spans. The inline formats copy the text and add markup.
The JSON formats list the entities.
"""

from ..errors import Errors
from .base import CharSpan, Format, Issue, Parsed, crossings, drop_crossing
from .inline import InlineBracketed, InlineFormat, InlineXml
from .json import GroupedJson, JsonFormat, OccurrenceJson, OffsetJson

_FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        InlineBracketed(),
        InlineXml(),
        GroupedJson(),
        OccurrenceJson(),
        OffsetJson(),
    )
}
FORMATS: tuple[str, ...] = tuple(_FORMATS)


def get_format(name: str) -> Format:
    """Get a format by name.

    name (str): One of `FORMATS`.
    RETURNS (Format): The format.
    RAISES (ValueError): If there is no such format.
    """
    if name not in _FORMATS:
        raise ValueError(Errors.G005.format(found=name, expected=", ".join(FORMATS)))
    return _FORMATS[name]


__all__ = [
    "FORMATS",
    "CharSpan",
    "Format",
    "InlineFormat",
    "Issue",
    "JsonFormat",
    "Parsed",
    "crossings",
    "drop_crossing",
    "get_format",
]
