"""The spans of a document that an output format can say."""

from collections.abc import Iterable

from spacy.tokens import Doc

from ...formats import CharSpan, Format, InlineFormat, crossings, drop_crossing
from ...formats.spans import ordered
from ..counts import ConversionCounts
from .options import BLANK_EDGE, CROSSES, shown

HIDDEN = "is hidden by the text's own characters"
ELSEWHERE = "would be given the place of another occurrence"


def markable_spans(
    doc: Doc, fmt: Format, spans: Iterable[CharSpan], counts: ConversionCounts
) -> list[CharSpan]:
    """Leave out what a format can't say, and count it.

    doc (Doc): The document.
    fmt (Format): The format.
    spans (Iterable[CharSpan]): The spans.
    counts (ConversionCounts): Gets what is left out.
    RETURNS (List[CharSpan]): The others, in order.
    """
    kept: list[CharSpan] = []
    for span in ordered(set(spans)):
        said = doc.text[span.start : span.end]
        if said != said.strip():
            counts.leave_out(BLANK_EDGE, shown(doc, span))
        else:
            kept.append(span)
    if not fmt.allows_crossing and crossings(kept):
        kept, crossing = drop_crossing(kept)
        for span in crossing:
            counts.leave_out(CROSSES, shown(doc, span))
    lost = set(fmt.unsayable(doc.text, kept))
    for span in ordered(lost):
        reason = HIDDEN if isinstance(fmt, InlineFormat) else ELSEWHERE
        counts.leave_out(reason, shown(doc, span))
    return ordered(span for span in kept if span not in lost)
