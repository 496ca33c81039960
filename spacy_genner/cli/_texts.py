"""What `annotate` reads: lines of text, JSON objects, or Docs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpora.docbin import load_docs
from ..corpora.readers.jsonl import is_broken, json_objects
from ..errors import Errors
from ..storage.lines import numbered_lines

INPUTS = (".txt", ".jsonl", ".spacy")


class Text(NamedTuple):
    """One text to annotate.

    text (str): The text.
    fields (Dict[str, Any]): The keys of its JSON object, else none.
    doc (Optional[Doc]): The Doc, where the input holds Docs.
    number (int): Which of the input's texts it is, from 1.
    """

    text: str
    fields: dict[str, Any]
    doc: Doc | None
    number: int = 1


def read_texts(path: Path, vocab: Vocab) -> Iterator[Text]:
    """Read the texts of a file, by its ending.

    path (Path): A `.txt` file, where every line is a text, also an empty one; a
        `.jsonl` file; or a `.spacy` file.
    vocab (Vocab): The vocabulary of the Docs.
    YIELDS (Text): The texts.
    RAISES (ValueError): The file is not well formed.
    """
    if path.suffix == ".txt":
        for number, line in numbered_lines(path):
            yield Text(line, {}, None, number)
    elif path.suffix == ".jsonl":
        for number, (line_number, record) in enumerate(json_objects(path), 1):
            yield Text(_text_of(record, path, line_number), record, None, number)
    elif path.suffix == ".spacy":
        for number, doc in enumerate(load_docs(path, vocab), 1):
            yield Text(doc.text, {}, doc, number)
    else:
        raise ValueError(
            Errors.G525.format(path=path, found=path.suffix, expected=", ".join(INPUTS))
        )


def count_texts(path: Path, vocab: Vocab) -> int:
    """Read a file through once, so that a bad line is met before hours of work.

    path (Path): The file.
    vocab (Vocab): The vocabulary of the Docs.
    RETURNS (int): How many texts it holds.
    RAISES (ValueError): The file is not well formed.
    """
    return sum(1 for _ in read_texts(path, vocab))


def _text_of(record: dict[str, Any], path: Path, line: int) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(Errors.G516.format(path=path, line=line, found=text))
    if is_broken(json.dumps(record, ensure_ascii=False)):
        found = ascii(record)[:80]
        raise ValueError(Errors.G769.format(path=path, line=line, found=found))
    return text
