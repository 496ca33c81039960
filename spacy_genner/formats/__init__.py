"""Spans to marked text and back. Pure Python: no torch, no spaCy."""

from ..errors import Errors
from .base import CharSpan, Format, Issue, Parsed, crossings, drop_crossing
from .inline import InlineBracketed, InlineFormat, InlineXml
from .json import GroupedJson, JsonFormat, OccurrenceJson, OffsetJson

_ALL: tuple[Format, ...] = (
    InlineBracketed(),
    InlineXml(),
    GroupedJson(),
    OccurrenceJson(),
    OffsetJson(),
)
_BY_NAME: dict[str, Format] = {fmt.name: fmt for fmt in _ALL}
FORMATS: tuple[str, ...] = tuple(_BY_NAME)


def get_format(name: str) -> Format:
    """A format by its name.

    name (str): One of `FORMATS`.
    RETURNS (Format): The format.
    RAISES (ValueError): There is no such format.
    """
    if name not in _BY_NAME:
        raise ValueError(Errors.G005.format(found=name, expected=", ".join(FORMATS)))
    return _BY_NAME[name]


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
