"""What a run has done, kept beside its output until that is written.

A line is a document. Each is on the disk before the next is begun, so that a run which
is broken off, by whatever, goes on behind its last document.
"""

import base64
import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import Errors

# Another number is another layout.
_LAYOUT = 1


class Entry(NamedTuple):
    """A document as a run has left it.

    number (int): Which of the input's documents it is, from 1.
    doc (Doc): The document, with its group of spans.
    error (Optional[str]): Why it failed.
    """

    number: int
    doc: Doc
    error: str | None


class ProgressLog:
    """A file with the documents of a run, in the order in which they were done.

    In memory are nine bytes for each document of the input. A failed document is not
    done: it may be added again, and the last that was added counts.

    path (Path): The file.
    total (int): How many documents the input has.
    """

    def __init__(self, path: Path, total: int):
        self.path = path
        # No document stands at 0, where the first line is.
        self._places = array("Q", bytes(8 * (total + 1)))
        self._failed = bytearray(total + 1)
        # Where the last whole line ends.
        self._end = 0

    def open(self, identity: Mapping[str, str], resume: bool | None = None) -> int:
        """Take up what a run has left, or begin.

        identity (Mapping[str, str]): What the results depend on: "input", and
            "teacher".
        resume (Optional[bool]): False begins anew. Else what was begun with the same
            identity is taken up; where it is another teacher, only with True. Where
            no document is done, nothing is.
        RETURNS (int): How many documents are done.
        RAISES (ValueError): The file is of another run, or damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume is not False and self.path.is_file():
            self._take_up(identity, resume is True)
        self._file = self.path.open("r+b" if self._end else "w+b")
        self._file.truncate(self._end)
        if not self._end:
            self._append({"layout": _LAYOUT, **identity})
        return self.done

    def __enter__(self) -> "ProgressLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if not any(self._places):
            self.path.unlink(missing_ok=True)

    @property
    def done(self) -> int:
        """RETURNS (int): How many documents are done."""
        return sum(map(bool, self._places)) - sum(self._failed)

    def is_done(self, number: int) -> bool:
        """Whether a document is there and has not failed.

        number (int): The document.
        RETURNS (bool): Whether it is.
        """
        return bool(self._places[number]) and not self._failed[number]

    def holds(self, number: int) -> bool:
        """Whether a document is there, done or failed.

        number (int): The document.
        RETURNS (bool): Whether it is.
        """
        return bool(self._places[number])

    def add(self, entry: Entry) -> None:
        """Keep a document.

        entry (Entry): The document.
        """
        data = DocBin(docs=[entry.doc], store_user_data=True).to_bytes()
        line = {
            "number": entry.number,
            "error": entry.error,
            "doc": base64.b64encode(data).decode("ascii"),
        }
        self._note(entry.number, self._append(line), entry.error)

    def read(self, number: int, vocab: Vocab) -> Entry:
        """Read a document.

        number (int): One that the journal holds.
        vocab (Vocab): The vocabulary of the document.
        RETURNS (Entry): The document.
        RAISES (ValueError): It is damaged.
        """
        self._file.seek(self._places[number])
        try:
            line = json.loads(self._file.readline())
            docbin = DocBin().from_bytes(base64.b64decode(line["doc"]))
            [doc] = docbin.get_docs(vocab)
            return Entry(number, doc, line["error"])
        # zlib, msgpack and spaCy each have errors of their own for this.
        except Exception as error:
            raise self._damaged(repr(error)) from error

    def remove(self) -> None:
        """Remove the file: the output has all that it holds."""
        self._file.close()
        self.path.unlink()

    def _append(self, line: Mapping[str, Any]) -> int:
        """Write a line, and give its place."""
        place = self._end
        self._file.seek(place)
        written = json.dumps(line).encode("ascii") + b"\n"
        self._file.write(written)
        self._file.flush()
        self._end = place + len(written)
        return place

    def _note(self, number: int, place: int, error: str | None) -> None:
        self._places[number] = place
        self._failed[number] = error is not None

    def _take_up(self, identity: Mapping[str, str], whatever: bool) -> None:
        """Find the documents of a file, up to a last line that was cut off."""
        begun: dict[str, Any] = {}
        with self.path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                try:
                    line = json.loads(raw)
                    if begun:
                        self._note(line["number"], self._end, line["error"])
                    elif line["layout"] == _LAYOUT:
                        begun = line
                    else:
                        raise ValueError(f"its layout is {line['layout']}")
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    # A longer input has documents that this one lacks.
                    if begun.get("input", identity["input"]) != identity["input"]:
                        raise self._of_others() from None
                    raise self._damaged(repr(error)) from error
                self._end += len(raw)
        same = {key: begun.get(key) == value for key, value in identity.items()}
        if not self.done:
            self._forget(len(self._failed))
        elif not same["input"]:
            # Its documents would be taken for others.
            raise self._of_others()
        elif not same["teacher"] and not whatever:
            what = "another teacher, or one with other settings"
            raise ValueError(Errors.G767.format(path=self.path, what=what))

    def _forget(self, size: int) -> None:
        self._places = array("Q", bytes(8 * size))
        self._failed = bytearray(size)
        self._end = 0

    def _of_others(self) -> ValueError:
        return self._damaged("it was begun with another input")

    def _damaged(self, reason: str) -> ValueError:
        return ValueError(Errors.G768.format(path=self.path, reason=reason))
