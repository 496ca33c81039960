"""Spans to marked text and back. Pure Python: no torch, no spaCy."""

from ..errors import Errors
from .inline import InlineFormat
from .inline_bracketed import InlineBracketed
from .inline_xml import InlineXml
from .spans import CharSpan, Issue, Parsed, crossings, drop_crossing

_BY_NAME: dict[str, InlineFormat] = {
    fmt.name: fmt for fmt in (InlineBracketed(), InlineXml())
}
FORMATS: tuple[str, ...] = tuple(_BY_NAME)


def get_format(name: str) -> InlineFormat:
    """A format by its name.

    name (str): One of `FORMATS`.
    RETURNS (InlineFormat): The format.
    RAISES (ValueError): There is no such format.
    """
    if name not in _BY_NAME:
        raise ValueError(Errors.G005.format(found=name, expected=", ".join(FORMATS)))
    return _BY_NAME[name]


__all__ = [
    "FORMATS",
    "CharSpan",
    "InlineFormat",
    "Issue",
    "Parsed",
    "crossings",
    "drop_crossing",
    "get_format",
]
