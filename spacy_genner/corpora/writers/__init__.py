"""The forms that corpora are written in, by name."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ...errors import Errors
from ...storage.files import replaced_file
from ..counts import ConversionCounts
from .alpaca import write_alpaca
from .bracketed import write_bracketed
from .brat import write_brat
from .conll import write_conll, write_conll_nested
from .jsonl import write_jsonl
from .options import WriteOptions, Writer


def write_docbin(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a `.spacy` file, which is made in memory.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Not used: documents are written as they are.
    counts (ConversionCounts): Gets nothing.
    """
    docbin = DocBin(store_user_data=True)
    for doc in docs:
        docbin.add(doc)
    with replaced_file(path) as fresh:
        fresh.write_bytes(docbin.to_bytes())


WRITERS: dict[str, Writer] = {
    "alpaca": write_alpaca,
    "bracketed": write_bracketed,
    "brat": write_brat,
    "conll": write_conll,
    "conll-nested": write_conll_nested,
    "docbin": write_docbin,
    "jsonl": write_jsonl,
    # What the file is called.
    "spacy": write_docbin,
}
# The endings of outputs that are read by their ending.
ENDINGS = {"alpaca": ".json", "docbin": ".spacy", "jsonl": ".jsonl", "spacy": ".spacy"}


def get_writer(name: str) -> Writer:
    """Find a writer.

    name (str): Its name.
    RETURNS (Writer): A function of documents, a path, options and counts.
    RAISES (ValueError): There is none of that name.
    """
    if name not in WRITERS:
        raise ValueError(
            Errors.G550.format(name=name, expected=", ".join(sorted(WRITERS)))
        )
    return WRITERS[name]
