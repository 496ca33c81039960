r"""OntoNotes 5 in the columns of the CoNLL-2012 shared task.

Each line describes a word. The 4th column is the word, and the 11th column marks the
starts and ends of named entities: `(ORG*` starts an entity, `*` continues it, and `*)`
ends it; `(GPE)` and `(GPE*)` are entities of one word. Several entities may start and
end on a line, so that entities nest.

The words are those of a treebank. The reader reverts its notation: the brackets
`-LRB-`, `-RSB-`, ..., the quotes written as two characters, `\/` and `\*`, and the
punctuation of speech transcripts, `/.`. Words are joined by spaces.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import numbered_lines
from ..documents import Annotated, ConvertOptions, Sentence, group_sentences
from ..tokenizer import detokenize
from .files import files_below

_BEGIN = re.compile(r"#begin document \((?P<name>.+)\)(?:; part \d+)?")
_END = "#end document"
_WORD, _ENTITIES, _COLUMNS = 3, 10, 12
# The star stands for the word.
_MARK = re.compile(r"\((?P<label>[^()*]+)|\*|\)")
_MARKS = re.compile(rf"(?:{_MARK.pattern})+")
# Other white space may belong to a word.
_BLANKS = " \t\r"
# The placeholder for each word in files that lack the text of the LDC.
_NO_WORD = "[WORD]"

_NOTATION = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
}
_SPOKEN = re.compile(r"/([.,?!:;-])")
_ESCAPED = re.compile(r"\\([/*])")


class _Word(NamedTuple):
    line: int
    text: str
    marks: str


def read_conll_2012(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read files in the format of CoNLL-2012.

    path (Path): A file, or a folder. In a folder and its subfolders, all files with
        names that end in `_conll` are read, in sorted order. If some of them end in
        `gold_conll`, those that end in `auto_conll` are left out.
    options (ConvertOptions): Whether to join the sentences of a part of a document (by
        default not), and whether to detokenize texts.
    YIELDS (Annotated): The documents, with the IDs in `#begin document (NAME)`. The
        parts of a document are documents with the same ID.
    RAISES (ValueError): A line is malformed.
    """
    for file in _files(path) if path.is_dir() else [path]:
        for part in _parts(file):
            texts = group_sentences(part, bool(options.join_sentences))
            yield from detokenize(texts) if options.detokenize else texts


def _files(folder: Path) -> list[Path]:
    files = files_below(folder, lambda name: name.endswith("_conll"), "*_conll")
    if not any(path.name.endswith("gold_conll") for path in files):
        return files
    gold = [path for path in files if not path.name.endswith("auto_conll")]
    if len(gold) < len(files):
        count = len(files) - len(gold)
        warn(Warnings.W513.format(path=folder, count=count))
    return gold


def word_text(word: str) -> str:
    """Convert a word of a treebank to plain text.

    word (str): The word.
    RETURNS (str): The text.
    """
    spoken = _SPOKEN.fullmatch(word)
    if spoken:
        return spoken[1]
    return _NOTATION.get(word) or _ESCAPED.sub(r"\1", word)


def _parts(path: Path) -> Iterator[list[Sentence]]:
    name: str | None = None
    begun = 0
    words: list[_Word] = []
    part: list[Sentence] = []
    for number, line in numbered_lines(path):
        line = line.strip(_BLANKS)
        begin = _BEGIN.fullmatch(line)
        if begin or line == _END:
            if (name is None) == (line == _END):
                raise _error(path, number, f"unexpected {line!r}")
        if name is None and line and not begin:
            raise _error(path, number, f"the line is outside a document: {line!r}")
        if (not line or line == _END) and words and name is not None:
            part.append(_sentence(words, name, path))
            words = []
        if begin:
            name, begun = begin["name"], number
        elif line == _END:
            yield part
            name, part = None, []
        elif line and name is not None:
            words.append(_word(line, number, path))
    if name is not None:
        raise _error(path, begun, f"the document {name!r} has no '{_END}'")


def _word(line: str, number: int, path: Path) -> _Word:
    columns = re.split(f"[{_BLANKS}]+", line)
    if len(columns) < _COLUMNS:
        raise _error(path, number, f"there are {len(columns)} columns: {line!r}")
    word, marks = columns[_WORD], columns[_ENTITIES]
    if word == _NO_WORD:
        reason = f"the words are not filled in ({word}): run skeleton2conll.sh first"
        raise _error(path, number, reason)
    if not _MARKS.fullmatch(marks):
        raise _error(path, number, f"malformed named entities: {marks!r}")
    return _Word(number, word_text(word), marks)


def _sentence(words: list[_Word], name: str, path: Path) -> Sentence:
    spans: list[CharSpan] = []
    # The line, the start and the label of each open entity.
    opened: list[tuple[int, int, str]] = []
    length = 0
    for word in words:
        end = length + len(word.text)
        for mark in _MARK.finditer(word.marks):
            if mark["label"]:
                opened.append((word.line, length, mark["label"]))
            elif mark[0] == ")" and not opened:
                raise _error(path, word.line, "a named entity ends without a start")
            elif mark[0] == ")":
                _, start, label = opened.pop()
                spans.append(CharSpan(start, end, label))
        length = end + 1
    if opened:
        line, _, label = opened[-1]
        raise _error(path, line, f"the {label} that starts here has no end")
    spans.sort(key=lambda span: (span.start, -span.end))
    return Sentence(" ".join(word.text for word in words), spans, name)


def _error(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(Errors.G539.format(path=path, line=line, reason=reason))
