"""Write a training corpus: one `.spacy` file, or a folder of files for a large
corpus."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ..errors import Errors
from ..io import replaced_file, replaced_folder

DOCBIN_SUFFIX = ".spacy"
DOCS_PER_FILE = 10_000
_FILE_NAME = re.compile(r"\d{5,}\.spacy")


def check_corpus_path(path: Path) -> None:
    """Check that a corpus can be written to a path, before any work is done.

    path (Path): A `.spacy` file, or a folder, whose name has no suffix.
    RAISES (ValueError): The path has another suffix, is a folder with the suffix of a
        file or a file without suffix, or is a folder with other files.
    """
    if path.suffix not in (DOCBIN_SUFFIX, ""):
        expected = f"{DOCBIN_SUFFIX}, or none for a folder"
        raise ValueError(
            Errors.G525.format(path=path, found=path.suffix, expected=expected)
        )
    if path.suffix:
        if path.is_dir():
            raise ValueError(Errors.G521.format(path=path))
        return
    if path.exists() and not path.is_dir():
        expected = f"{DOCBIN_SUFFIX}, or the name of a folder"
        raise ValueError(Errors.G525.format(path=path, found="", expected=expected))
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        if not _FILE_NAME.fullmatch(file.name):
            raise ValueError(Errors.G771.format(path=path, found=file.name))


@contextmanager
def corpus_writer(path: Path) -> Iterator[Callable[[Doc], None]]:
    """Write a corpus, all or nothing.

    path (Path): A `.spacy` file, which is built in memory, or a folder of files
        with 10,000 documents each, of which one at a time is in memory.
    YIELDS (Callable[[Doc], None]): Adds a document.
    """
    if path.suffix:
        docbin = DocBin(store_user_data=True)
        with replaced_file(path) as fresh:
            yield docbin.add
            fresh.write_bytes(docbin.to_bytes())
    else:
        with replaced_folder(path) as folder:
            writer = _FolderWriter(folder)
            yield writer.add
            writer.flush()


class _FolderWriter:
    """Writes documents to numbered files of a folder.

    folder (Path): The folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._files = 0
        self._docbin = DocBin(store_user_data=True)

    def add(self, doc: Doc) -> None:
        self._docbin.add(doc)
        if len(self._docbin) == DOCS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        if len(self._docbin):
            self._files += 1
            file = self._folder / f"{self._files:05}{DOCBIN_SUFFIX}"
            file.write_bytes(self._docbin.to_bytes())
            self._docbin = DocBin(store_user_data=True)
