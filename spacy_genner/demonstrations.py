"""Annotated documents that the prompt shows as examples."""

from pathlib import Path
from typing import Any

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from .errors import Errors
from .formats import CharSpan


def read_demonstrations(
    path: str | None, vocab: Vocab, key: str, fmt: Any, labels: list[str]
) -> list[tuple[str, str]]:
    """Render the documents of a file.

    path (Optional[str]): A `.spacy` file; None for no demonstrations.
    vocab (Vocab): The pipeline's vocabulary.
    key (str): The group of `doc.spans` that holds the spans.
    fmt (Format): The output format.
    labels (List[str]): The labels, in their order.
    RETURNS (List[Tuple[str, str]]): Text and output of each document.
    RAISES (ValueError): The file is missing, or a span can't be rendered.
    """
    if path is None:
        return []
    if not Path(path).is_file():
        raise ValueError(Errors.G423.format(path=path))
    pairs = []
    for doc in DocBin().from_disk(path).get_docs(vocab):
        spans = [
            CharSpan(span.start_char, span.end_char, span.label_)
            for span in doc.spans.get(key, ())
        ]
        pairs.append((doc.text, fmt.render(doc.text, spans, labels)))
    return pairs
