"""PubTator: titles and abstracts, followed by their annotations.

    1234|t|Title
    1234|a|Abstract
    1234	0	5	Title	Disease	D000001

Offsets count the title, one separator and the abstract. A mention of several diseases
that share words (CompositeMention) is an ordinary span; a seventh column may name its
parts, which have no offsets. Lines without offsets, such as relations, are left out and
counted.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import numbered_lines
from ..documents import (
    Annotated,
    ConvertOptions,
    describe_offsets,
    is_chosen,
    refuse_splitting,
)

_PASSAGE = re.compile(r"(?P<id>[^|\t]+)\|(?P<kind>[ta])\|(?P<text>.*)", re.DOTALL)
# 15 digits suffice for any text, and Python refuses numbers of thousands of digits.
_NUMBER = re.compile(r"-?\d{1,15}")
_NAME = re.compile(r"[^\W\d_]")
_NO_PLACE = "mentions without a place"


def read_pubtator(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a PubTator file.

    path (Path): The file.
    options (ConvertOptions): The documents to read. Splitting is refused, because the
        format marks no sentences.
    YIELDS (Annotated): The documents: title and abstract, separated by a line break. A
        document with a repeated ID is kept, with a warning.
    RAISES (ValueError): A line is malformed, or its offsets do not fit the text.
    """
    refuse_splitting(path, options, "pubtator")
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    repeated: list[str] = []
    for document in _documents(path):
        doc_id = document[0][1].partition("|")[0]
        if not is_chosen(doc_id, options):
            continue
        if doc_id in seen:
            repeated.append(doc_id)
        seen.add(doc_id)
        yield _read_document(document, path, left_out)
    if left_out:
        kinds = ", ".join(f"{kind} ({left_out[kind]})" for kind in sorted(left_out))
        count = sum(left_out.values())
        warn(Warnings.W517.format(path=path, count=count, kinds=kinds))
    if repeated:
        warn(Warnings.W518.format(path=path, count=len(repeated), first=repeated[0]))


def _documents(path: Path) -> Iterator[list[tuple[int, str]]]:
    document: list[tuple[int, str]] = []
    for number, line in numbered_lines(path):
        if line.strip():
            document.append((number, line))
        elif document:
            yield document
            document = []
    if document:
        yield document


def _read_document(
    document: list[tuple[int, str]], path: Path, left_out: Counter[str]
) -> Annotated:
    number, line = document[0]
    title = _PASSAGE.fullmatch(line)
    if not title or title["kind"] != "t":
        raise _error(path, number, f"a document starts with {line!r}")
    text = title["text"]
    rest = document[1:]
    abstract = _PASSAGE.fullmatch(rest[0][1]) if rest else None
    if abstract and abstract["kind"] == "a":
        if abstract["id"] != title["id"]:
            raise _error(
                path, rest[0][0], f"the abstract has the ID {abstract['id']!r}"
            )
        text += "\n" + abstract["text"]
        rest = rest[1:]
    spans: list[CharSpan] = []
    for number, line in rest:
        columns = line.split("\t")
        if columns[0] != title["id"] or len(columns) < 4:
            reason = f"expected an annotation of {title['id']!r}, found {line[:80]!r}"
            raise _error(path, number, reason)
        if columns[1:3] == ["-1", "-1"]:
            left_out[_NO_PLACE] += 1
        elif _is_relation(columns, text):
            left_out[columns[1]] += 1
        else:
            spans.append(_read_span(columns, text, number, path))
    return Annotated(text, spans, title["id"], None)


def _is_relation(columns: list[str], text: str) -> bool:
    """Return whether a line starts with the name of a relation, and is not a mention
    with a damaged start, whose surface text ends at its end offset. The columns of a
    relation may be numbers, too, such as the IDs of genes."""
    if not _NAME.match(columns[1]):
        return False
    if len(columns) < 5 or not _NUMBER.fullmatch(columns[2]):
        return True
    end, surface = int(columns[2]), columns[3]
    found = text[max(end - len(surface), 0) : end] if 0 < end <= len(text) else ""
    return not surface or not _matches(surface, found)


def _read_span(columns: list[str], text: str, number: int, path: Path) -> CharSpan:
    numbers = all(map(_NUMBER.fullmatch, columns[1:3]))
    if len(columns) < 5 or not numbers or not columns[4].strip():
        line = "\t".join(columns)
        reason = f"expected start, end, text and type, found {line[:80]!r}"
        raise _error(path, number, reason)
    start, end, surface = int(columns[1]), int(columns[2]), columns[3]
    if not 0 <= start < end <= len(text):
        reason = (
            f"{start} to {end} is outside the text of {len(text)} characters: "
            + describe_offsets(text, start, end, surface)
        )
        raise _error(path, number, reason)
    found = text[start:end]
    if not _matches(surface, found):
        raise ValueError(
            Errors.G542.format(
                path=path,
                line=number,
                said=surface,
                start=start,
                end=end,
                found=found,
                text_path="the title and abstract",
                unit=describe_offsets(text, start, end, surface),
            )
        )
    return CharSpan(start, end, columns[4].strip())


def _matches(surface: str, found: str) -> bool:
    # The surface text has a space for a line break, and sometimes for a quote.
    return len(surface) == len(found) and all(
        one == other or (one == " " and not other.isalnum())
        for one, other in zip(surface, found, strict=True)
    )


def _error(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(Errors.G547.format(path=path, line=line, reason=reason))
