"""Choose documents of a corpus by their names."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import Errors, Warnings, warn
from ..storage.lines import numbered_lines
from .annotated import Annotated, Converter, ConvertOptions

_LISTED = 5


def read_document_list(path: Path) -> frozenset[str]:
    """Read names of documents, one a line; empty lines are skipped.

    path (Path): The file.
    RETURNS (FrozenSet[str]): The names, without white space at their edges.
    RAISES (ValueError): The file is not UTF-8, or names none.
    """
    lines = (line.strip() for _, line in numbered_lines(path))
    names = frozenset(line for line in lines if line)
    if not names:
        raise ValueError(Errors.G531.format(path=path))
    return names


def names_of(doc_id: str) -> tuple[str, ...]:
    """How a list may name a document: by its whole name, or by what follows its last
    colon, as `95369245` for `MEDLINE:95369245`.

    doc_id (str): The source's name for it.
    RETURNS (Tuple[str, ...]): The names.
    """
    return doc_id, doc_id.rpartition(":")[2]


def is_chosen(doc_id: str, options: ConvertOptions) -> bool:
    """Whether a document is to be read.

    doc_id (str): The source's name for it.
    options (ConvertOptions): Says which documents.
    RETURNS (bool): Whether it is one of them.
    """
    chosen = options.documents
    return chosen is None or not chosen.isdisjoint(names_of(doc_id))


def read_chosen(
    converter: Converter, path: Path, options: ConvertOptions
) -> Iterator[Annotated]:
    """Read the documents of a corpus that the options choose.

    converter (Converter): Reads the corpus.
    path (Path): The corpus.
    options (ConvertOptions): Says which documents, and how they are read.
    YIELDS (Annotated): The documents. Names that the corpus lacks are counted in a
        warning.
    RAISES (ValueError): None of them is there, or the converter raises it.
    """
    if options.documents is None:
        yield from converter(path, options)
        return
    missing = set(options.documents)
    passed: dict[str, None] = {}
    for annotated in converter(path, options):
        if is_chosen(annotated.doc_id, options):
            missing.difference_update(names_of(annotated.doc_id))
            yield annotated
        elif len(passed) < _LISTED:
            passed[annotated.doc_id] = None
    total = len(options.documents)
    if len(missing) == total:
        found = ", ".join(map(repr, passed)) or "none"
        raise ValueError(Errors.G532.format(count=total, path=path, found=found))
    if missing:
        first = ", ".join(sorted(missing)[:_LISTED])
        warn(
            Warnings.W510.format(
                count=len(missing), total=total, path=path, first=first
            )
        )
