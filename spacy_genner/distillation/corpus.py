"""Write a training corpus: a file, or a folder of files where it is large."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ..errors import Errors
from ..io import replaced_file, replaced_folder

SUFFIX = ".spacy"
# Documents in a file of a folder.
PART = 10_000
_PART_NAME = re.compile(r"\d{5,}\.spacy")


def check_corpus_path(path: Path) -> None:
    """Check where a corpus is to be written, before any work is done.

    path (Path): A `.spacy` file, or a folder, which has no ending.
    RAISES (ValueError): It has another ending, is a folder where a file is meant or
        the other way round, or the folder holds something else.
    """
    if path.suffix not in (SUFFIX, ""):
        expected = f"{SUFFIX}, or none for a folder"
        raise ValueError(
            Errors.G525.format(path=path, found=path.suffix, expected=expected)
        )
    if path.suffix:
        if path.is_dir():
            raise ValueError(Errors.G521.format(path=path))
        return
    if path.exists() and not path.is_dir():
        expected = f"{SUFFIX}, or the name of a folder"
        raise ValueError(Errors.G525.format(path=path, found="", expected=expected))
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        if not _PART_NAME.fullmatch(file.name):
            raise ValueError(Errors.G771.format(path=path, found=file.name))


@contextmanager
def corpus_writer(path: Path) -> Iterator[Callable[[Doc], None]]:
    """Write a corpus, all or nothing.

    path (Path): A `.spacy` file, which is made in memory; or a folder, which gets
        files of 10,000 documents each, of which one is held.
    YIELDS (Callable[[Doc], None]): Takes the documents.
    """
    if path.suffix:
        docbin = DocBin(store_user_data=True)
        with replaced_file(path) as fresh:
            yield docbin.add
            fresh.write_bytes(docbin.to_bytes())
    else:
        with replaced_folder(path) as folder:
            parts = _Parts(folder)
            yield parts.add
            parts.write()


class _Parts:
    def __init__(self, folder: Path):
        self._folder = folder
        self._written = 0
        self._docbin = DocBin(store_user_data=True)

    def add(self, doc: Doc) -> None:
        self._docbin.add(doc)
        if len(self._docbin) == PART:
            self.write()

    def write(self) -> None:
        if len(self._docbin):
            self._written += 1
            part = self._folder / f"{self._written:05}{SUFFIX}"
            part.write_bytes(self._docbin.to_bytes())
            self._docbin = DocBin(store_user_data=True)
