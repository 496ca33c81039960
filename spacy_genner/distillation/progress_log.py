"""The progress log of a run: the finished documents, kept beside the output until the
output is written.

The first line identifies the run, and each further line is a document. Every line is
written to the file before the next document starts, so that an interrupted run resumes
after its last document.
"""

import base64
import json
from array import array
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import Errors

# The version of the file's layout.
_LAYOUT = 1


class Entry(NamedTuple):
    """A document of the log.

    number (int): The number of the document in the input, from 1.
    doc (Doc): The document, with its span group.
    error (str | None): Why the document failed.
    """

    number: int
    doc: Doc
    error: str | None


class ProgressLog:
    """A file with the documents of a run, in the order in which they were finished.

    A failed document is not done: it may be added again, and the last entry of a
    document counts. The log keeps nine bytes in memory for each document of the input.

    path (Path): The file.
    total (int): The number of documents in the input.
    """

    def __init__(self, path: Path, total: int):
        self.path = path
        # The byte offset of each document's line, by number. The first line is the
        # header, so the offset 0 means that the document has no entry.
        self._offsets = array("Q", bytes(8 * (total + 1)))
        self._failed = bytearray(total + 1)
        # The end of the last complete line.
        self._end = 0

    def open(self, identity: Mapping[str, str], resume: bool | None = None) -> int:
        """Continue the log of an earlier run, or start a new one.

        identity (Mapping[str, str]): Checksums of the input and of the teacher, under
            the keys "input" and "teacher".
        resume (bool | None): None continues the log of a run with the same identity,
            True also that of a run with another teacher, and False starts a new log. A
            log without a finished document is never continued.
        RETURNS (int): The number of finished documents.
        RAISES (ValueError): The file is damaged, belongs to another run, or can't be
            written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume is not False and self.path.is_file():
            self._load(identity, resume is True)
        # Unbuffered, so that closing the file of a full disk raises no second error.
        self._file = self.path.open("r+b" if self._end else "w+b", buffering=0)
        self._file.truncate(self._end)
        self._reader = self.path.open("rb")
        if not self._end:
            self._append({"layout": _LAYOUT, **identity})
        return self.done

    def __enter__(self) -> "ProgressLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        if not any(self._offsets):
            self.path.unlink(missing_ok=True)

    @property
    def done(self) -> int:
        """RETURNS (int): The number of documents that are done."""
        return sum(map(bool, self._offsets)) - sum(self._failed)

    def is_done(self, number: int) -> bool:
        """Check whether a document has an entry and did not fail.

        number (int): The number of the document.
        RETURNS (bool): Whether it is done.
        """
        return number in self and not self._failed[number]

    def __contains__(self, number: int) -> bool:
        """Check whether a document has an entry, done or failed.

        number (int): The number of the document.
        RETURNS (bool): Whether it has one.
        """
        return bool(self._offsets[number])

    def add(self, entry: Entry) -> None:
        """Add a document.

        entry (Entry): The document.
        RAISES (ValueError): The file can't be written. It keeps the earlier documents.
        """
        data = DocBin(docs=[entry.doc], store_user_data=True).to_bytes()
        line = {
            "number": entry.number,
            "error": entry.error,
            "doc": base64.b64encode(data).decode("ascii"),
        }
        self._index(entry.number, self._append(line), entry.error)

    def read(self, number: int, vocab: Vocab) -> Entry:
        """Read the last entry of a document.

        number (int): The number of a document in the log.
        vocab (Vocab): The vocabulary of the document.
        RETURNS (Entry): The entry.
        RAISES (ValueError): The entry is damaged.
        """
        try:
            self._reader.seek(self._offsets[number])
            line = json.loads(self._reader.readline())
            docbin = DocBin().from_bytes(base64.b64decode(line["doc"]))
            [doc] = docbin.get_docs(vocab)
            return Entry(number, doc, line["error"])
        # zlib, msgpack and spaCy raise different errors for damaged data.
        except Exception as error:
            raise self._damaged(repr(error)) from error

    def remove(self) -> None:
        """Remove the file, once the output contains all documents."""
        self._close()
        self.path.unlink()

    def _close(self) -> None:
        self._file.close()
        self._reader.close()

    def _append(self, line: Mapping[str, Any]) -> int:
        """Write a line and return its offset. An incomplete line is removed."""
        offset = self._end
        written = json.dumps(line).encode("ascii") + b"\n"
        try:
            self._file.seek(offset)
            rest = memoryview(written)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(offset)
            reason = error.strerror or error
            raise ValueError(
                Errors.G773.format(path=self.path, reason=reason, done=self.done)
            ) from error
        self._end = offset + len(written)
        return offset

    def _index(self, number: int, offset: int, error: str | None) -> None:
        self._offsets[number] = offset
        self._failed[number] = error is not None

    def _load(self, identity: Mapping[str, str], any_teacher: bool) -> None:
        """Index the entries of the file, up to an incomplete last line."""
        header: dict[str, Any] = {}
        with self.path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                try:
                    line = json.loads(raw)
                    if header:
                        self._index(line["number"], self._end, line["error"])
                    elif line["layout"] == _LAYOUT:
                        header = line
                    else:
                        raise ValueError(f"its layout is {line['layout']}")
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    # The log of a longer input has numbers that this input lacks.
                    if header.get("input", identity["input"]) != identity["input"]:
                        raise self._other_input() from None
                    raise self._damaged(repr(error)) from error
                self._end += len(raw)
        same = {key: header.get(key) == value for key, value in identity.items()}
        if not self.done:
            self._clear()
        elif not same["input"]:
            raise self._other_input()
        elif not same["teacher"] and not any_teacher:
            what = "another teacher, or one with other settings"
            raise ValueError(Errors.G767.format(path=self.path, what=what))

    def _clear(self) -> None:
        size = len(self._failed)
        self._offsets = array("Q", bytes(8 * size))
        self._failed = bytearray(size)
        self._end = 0

    def _other_input(self) -> ValueError:
        return self._damaged("it was begun with another input")

    def _damaged(self, reason: str) -> ValueError:
        return ValueError(Errors.G768.format(path=self.path, reason=reason))
