"""Spans to marked text and back. Pure Python: no torch, no spaCy."""

from ..errors import Errors
from .format import Format
from .grouped_json import GroupedJson
from .inline import InlineFormat
from .inline_bracketed import InlineBracketed
from .inline_xml import InlineXml
from .json_format import JsonFormat
from .occurrence_json import OccurrenceJson
from .offset_json import OffsetJson
from .spans import CharSpan, Issue, Parsed, crossings, drop_crossing

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
