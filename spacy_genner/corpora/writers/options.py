"""What every writer is given."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spacy.tokens import Doc

from ...formats import CharSpan
from ..counts import ConversionCounts

# Reasons for which spans are left out, as the summary of a conversion says them.
NO_BOUNDARY = "fits no token boundary"
BLANK_EDGE = "has white space at its edge"
CROSSES = "crosses a longer one"


@dataclass(frozen=True)
class WriteOptions:
    """How a corpus is written.

    spans_key (str): The group of `doc.spans` that holds the spans.
    format (str): The format of the outputs, in the form "alpaca".
    definitions (Mapping[str, str]): Labels and what they stand for, in the form
        "alpaca": they come first, in this order; those of the corpus that are not
        among them follow.
    """

    spans_key: str = "sc"
    format: str = "inline_bracketed"
    definitions: Mapping[str, str] = field(default_factory=dict)


Writer = Callable[[Iterable[Doc], Path, WriteOptions, ConversionCounts], None]


def doc_id_of(doc: Doc) -> str:
    """The source's name for a document.

    doc (Doc): The Doc.
    RETURNS (str): The name; empty where there is none.
    """
    return str(doc.user_data.get("doc_id", ""))


def shown(doc: Doc, span: CharSpan) -> str:
    """A span as lists of lost spans have it.

    doc (Doc): The Doc.
    span (CharSpan): The span.
    RETURNS (str): Its text and label, and the document.
    """
    text = doc.text[span.start : span.end]
    return f"{text!r} ({span.label}), document {doc_id_of(doc)}"
