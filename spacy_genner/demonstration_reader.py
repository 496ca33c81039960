"""Annotated documents as demonstrations: texts with what is to be written."""

from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from .corpora.docbin import load_docs
from .errors import Errors
from .formats import CharSpan, Format, InlineFormat, crossings
from .grammar import marks_by_boundary
from .prompts import Demonstration


def read_demonstrations(
    path: str | None,
    vocab: Vocab,
    key: str,
    fmt: Format,
    labels: list[str],
    own_layout: bool = True,
) -> list[Demonstration]:
    """Write the documents of a file as the model is to write.

    path (Optional[str]): A `.spacy` file; None for no demonstrations.
    vocab (Vocab): The pipeline's vocabulary.
    key (str): The group of `doc.spans` that holds the spans.
    fmt (Format): The output format.
    labels (List[str]): The labels, in their order.
    own_layout (bool): Whether the outputs are as a model writes them under the
        grammar, with marks before white space; else as the format has them.
    RETURNS (List[Demonstration]): Text and output of each document.
    RAISES (ValueError): The file is missing or no DocBin, a label is unknown, or spans
        cross.
    """
    if path is None:
        return []
    if not Path(path).is_file():
        raise ValueError(Errors.G423.format(path=path))
    docs = load_docs(Path(path), vocab)
    # White space after the last token is no part of what a model is given.
    return [
        Demonstration(doc[:].text, _written(doc, key, fmt, labels, own_layout))
        for doc in docs
    ]


def _written(
    doc: Doc, key: str, fmt: Format, labels: list[str], own_layout: bool
) -> str:
    spans = list(doc.spans[key]) if key in doc.spans else []
    for span in spans:
        if span.label_ not in labels:
            raise ValueError(
                Errors.G303.format(label=span.label_, span=span.text, labels=labels)
            )
    said = [CharSpan(s.start_char, s.end_char, s.label_) for s in spans]
    if not (own_layout and isinstance(fmt, InlineFormat)):
        return fmt.render(doc[:].text, said, labels)
    crossed = crossings(said)
    if crossed:
        first, second = crossed[0]
        raise ValueError(Errors.G004.format(first=tuple(first), second=tuple(second)))
    places = [(span.start, span.end, labels.index(span.label_)) for span in spans]
    return _marked(doc, places, fmt, labels)


def _marked(
    doc: Doc, places: list[tuple[int, int, int]], fmt: InlineFormat, labels: list[str]
) -> str:
    """A marked document. Marks stand before the white space of the token after them:
    what is copied in an output is then, id for id, what stands in the text."""
    text = before = ""
    for token, (closed, opened) in zip(
        [*doc, None], marks_by_boundary(places, len(doc)), strict=True
    ):
        text += "".join(fmt.close_mark(labels[label]) for label in closed)
        text += "".join(fmt.open_mark(labels[label]) for label in opened)
        if token is not None:
            text += before + token.text
            before = token.whitespace_
    return text
