"""CoNLL columns with BIO tags, flat or one column a nesting level."""

import re
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

from spacy.tokens import Doc, Span

from ...errors import Errors
from ...formats import CharSpan
from ...io import numbered_lines, replaced_file
from ..docbin import aligned_spans, unaligned_spans
from ..documents import (
    BLANK_EDGE,
    NO_BOUNDARY,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Sentence,
    WriteOptions,
    doc_id_of,
    group_sentences,
    shown,
)

_WORD = re.compile(r"\S+")
_OPENING = frozenset("([{¿¡«“‘„`") | {"``", "$", "£", "€", "#", "-LRB-", "-LSB-"}
_CLOSING = frozenset(".,;:!?%)]}»”’…") | {"...", "..", "''", "-RRB-", "-RSB-"}
# What English joins to the word before it, as the Penn Treebank parts it.
_CLITIC = re.compile(r"(n['’]t|['’](s|m|d|re|ve|ll))", re.IGNORECASE)
_CLITIC_BODY = re.compile(r"s|m|d|re|ve|ll|t", re.IGNORECASE)
_APOSTROPHES = ("'", "’")


def detokenized(texts: Iterable[Annotated]) -> Iterator[Annotated]:
    """Put texts together again; spans and sentences stay where they are.

    texts (Iterable[Annotated]): Tokenised texts.
    YIELDS (Annotated): The same without the spaces that a writer would not set.
    """
    for annotated in texts:
        starts = annotated.sentence_starts
        gone = needless_spaces(annotated.text, starts or ())
        kept = set(range(len(annotated.text))).difference(gone)
        yield annotated._replace(
            text="".join(annotated.text[place] for place in sorted(kept)),
            spans=[
                CharSpan(_moved(span.start, gone), _moved(span.end, gone), span.label)
                for span in annotated.spans
            ],
            sentence_starts=starts and [_moved(start, gone) for start in starts],
        )


def needless_spaces(text: str, sentence_starts: Iterable[int] = ()) -> list[int]:
    """Find the single spaces that only part tokens.

    text (str): A tokenised text.
    sentence_starts (Iterable[int]): Where sentences start, where that is known: no
        space goes before one, and quotes are paired within one.
    RETURNS (List[int]): Their places, in order.
    """
    bounds = sorted({0, *sentence_starts, len(text)})
    gone: list[int] = []
    for start, end in pairwise(bounds):
        for line in re.finditer(r"[^\n]+", text[start:end]):
            words = list(_WORD.finditer(line.group()))
            sides = _sides([word.group() for word in words])
            for index, (left, right) in enumerate(pairwise(words)):
                between = line.group()[left.end() : right.start()]
                if between == " " and (sides[index][1] or sides[index + 1][0]):
                    gone.append(start + line.start() + left.end())
    return gone


def _sides(words: list[str]) -> list[tuple[bool, bool]]:
    """Whether each word of a sentence is joined to the one before it, and to the one
    after it."""
    sides = [(word in _CLOSING or _is_clitic(word), word in _OPENING) for word in words]
    quotes = [place for place, word in enumerate(words) if word == '"']
    # The last of an odd number has no partner: it stays apart.
    for opening, closing in zip(quotes[::2], quotes[1::2], strict=False):
        sides[opening], sides[closing] = (False, True), (True, False)
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word in _APOSTROPHES and place and _CLITIC_BODY.fullmatch(after):
            # Some tokenizers make three of a contraction: we ' re.
            sides[place] = (words[place - 1][-1].isalnum(), True)
        elif word in _APOSTROPHES and place:
            # Of a plural's genitive, boys ' ; as a quote it stays apart.
            genitive = words[place - 1][-1] in "sS" and after[:1].isalpha()
            quoted = "'" in words[:place] or "‘" in words[:place]
            closing = word == "’" and "‘" in words[:place]
            sides[place] = (closing or (genitive and not quoted), False)
    return sides


def _is_clitic(word: str) -> bool:
    return _CLITIC.fullmatch(word) is not None


def _moved(place: int, gone: list[int]) -> int:
    return place - bisect_left(gone, place)


DOCSTART = "-DOCSTART-"
OUTSIDE = "O"
_BEGIN = ("B", "S", "U")
_INSIDE = ("I", "M", "L", "E")
_END = ("S", "U", "L", "E")


class _Row(NamedTuple):
    token: str
    tags: list[str]


def read_conll(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file whose last column holds tags: IOB1, IOB2, `I-` alone, BILUO, BIOES.

    path (Path): The file. Columns are parted by tabs or spaces, sentences by empty
        lines, documents by `-DOCSTART-`.
    options (ConvertOptions): Sentences of one document are joined only where it says
        so, and tokens are joined by one space unless texts are to be put together.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line has no tag, or one that is no tag.
    """
    yield from _documents(path, options, True)


def read_conll_nested(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read a file where every column after the token holds tags of one level.

    path (Path): The file.
    options (ConvertOptions): As for `read_conll`.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line has no tag, or one that is no tag.
    """
    yield from _documents(path, options, False)


def _documents(
    path: Path, options: ConvertOptions, last_only: bool
) -> Iterator[Annotated]:
    sentences = _sentences(path, last_only)
    texts = group_sentences(sentences, bool(options.join_sentences))
    return detokenized(texts) if options.detokenize else texts


def _sentences(path: Path, last_only: bool) -> Iterator[Sentence]:
    document = 1
    rows: list[_Row] = []
    any_yet = False
    for number, line in numbered_lines(path):
        if last_only:
            # Else a tab at the end of each line would be a column without tags.
            line = line.rstrip()
        columns = line.split("\t") if "\t" in line else line.split()
        columns = [column.strip() for column in columns]
        blank = not any(columns)
        docstart = not blank and columns[0] == DOCSTART
        if (blank or docstart) and rows:
            yield _sentence(rows, document)
            rows, any_yet = [], True
        if docstart and any_yet:
            document += 1
        if blank or docstart:
            continue
        # A column may be empty at the end of a line, where a level has no tag.
        tags = [tag or OUTSIDE for tag in columns[1:]]
        tags = tags[-1:] if last_only else tags
        if not tags or not all(map(_is_tag, tags)) or not columns[0]:
            raise ValueError(Errors.G514.format(path=path, line=number, found=line))
        rows.append(_Row(columns[0], tags))
    if rows:
        yield _sentence(rows, document)


def _is_tag(tag: str) -> bool:
    prefix, dash, label = tag.partition("-")
    return tag == OUTSIDE or (
        prefix in (*_BEGIN, *_INSIDE) and bool(dash) and bool(label)
    )


def _sentence(rows: list[_Row], document: int) -> Sentence:
    starts: list[int] = []
    length = 0
    for row in rows:
        starts.append(length)
        length += len(row.token) + 1
    ends = [start + len(row.token) for start, row in zip(starts, rows, strict=True)]
    levels = max(len(row.tags) for row in rows)
    spans: list[CharSpan] = []
    for level in range(levels):
        tags = [row.tags[level] if level < len(row.tags) else OUTSIDE for row in rows]
        spans.extend(
            CharSpan(starts[first], ends[last], label)
            for first, last, label in spans_of_tags(tags)
        )
    return Sentence(" ".join(row.token for row in rows), spans, str(document))


def spans_of_tags(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Read one sentence's tags. One rule reads every scheme: a span goes on where an
    inside tag has the label of the one before, and starts anew everywhere else.

    tags (Sequence[str]): One tag a token.
    RETURNS (List[Tuple[int, int, str]]): First and last token, and label, of each span.
    """
    found: list[tuple[int, int, str]] = []
    going_on = ""
    for index, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if tag == OUTSIDE:
            going_on = ""
            continue
        if prefix in _INSIDE and label == going_on:
            first, _, _ = found.pop()
            found.append((first, index, label))
        else:
            found.append((index, index, label))
        going_on = "" if prefix in _END else label
    return found


FLAT, NESTED = "conll", "conll-nested"
OVERLAPS = "overlaps a longer one"
ACROSS = "sentence ends inside of a span, not written"
NO_WORDS = "texts of white space alone, not written"

# Tags of one level, one for each token of a document.
Tags = list[str]


def write_conll(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and its tag (IOB2) on each line. Of spans that overlap the
    longest is kept, so of nested ones the outermost.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets what is left out.
    RAISES (ValueError): A label or a token can't stand in the form.
    """
    _write(docs, path, options, counts, FLAT)


def write_conll_nested(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a token and a tag (IOB2) a level on each line, with as many levels as the
    corpus needs: the outermost span of a place stands on the first that is free.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets what is left out.
    RAISES (ValueError): A label or a token can't stand in the form.
    """
    _write(docs, path, options, counts, NESTED)


def _write(
    docs: Iterable[Doc],
    path: Path,
    options: WriteOptions,
    counts: ConversionCounts,
    form: str,
) -> None:
    with replaced_file(path) as fresh:
        # How many levels there are is known when the last document has been read.
        with tempfile.TemporaryFile(
            "w+", encoding="utf-8", newline="\n", dir=fresh.parent
        ) as spool:
            levels = _spool(docs, spool, options, counts, form)
            spool.seek(0)
            with fresh.open("w", encoding="utf-8", newline="\n") as file:
                for line in spool:
                    columns = line.rstrip("\n").split("\t")
                    if line != "\n":
                        columns += [OUTSIDE] * (levels + 1 - len(columns))
                    file.write("\t".join(columns) + "\n")


def _spool(
    docs: Iterable[Doc],
    spool: IO[str],
    options: WriteOptions,
    counts: ConversionCounts,
    form: str,
) -> int:
    """Write what each document needs; the number of levels of the largest."""
    most = 1
    before: str | None = None
    for number, doc in enumerate(docs, 1):
        spans = _sayable(doc, options.spans_key, counts, form)
        if all(token.is_space for token in doc):
            counts.change(NO_WORDS, f"document {doc_id_of(doc)}")
            continue
        if form == FLAT:
            spans = _outermost(doc, spans, counts)
        levels = _levels(len(doc), spans)
        most = max(most, len(levels))
        # Sentences that were read one by one are still those of one document.
        name = doc_id_of(doc) or str(number)
        if name != before:
            spool.write(f"{DOCSTART}\n\n")
            before = name
        for sentence in _conll_sentences(doc, spans, counts):
            for row in _rows(doc, sentence, levels):
                spool.write("\t".join(row) + "\n")
            spool.write("\n")
    return most


def _sayable(doc: Doc, key: str, counts: ConversionCounts, form: str) -> list[Span]:
    """The spans that begin and end with a word."""
    for lost in unaligned_spans(doc):
        counts.leave_out(NO_BOUNDARY, shown(doc, lost))
    spans = []
    for span in aligned_spans(doc, key):
        label = span.label_
        if len(label.split()) != 1 or label != label.strip():
            raise ValueError(Errors.G551.format(label=label, form=form))
        if doc[span.start].is_space or doc[span.end - 1].is_space:
            counts.leave_out(BLANK_EDGE, _shown(doc, span))
        else:
            spans.append(span)
    return sorted(spans, key=lambda span: (span.start, -span.end, span.label_))


def _outermost(doc: Doc, spans: Sequence[Span], counts: ConversionCounts) -> list[Span]:
    kept: list[Span] = []
    taken: set[int] = set()
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label_)):
        places = range(span.start, span.end)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(span)
        else:
            counts.leave_out(OVERLAPS, _shown(doc, span))
    return kept


def _levels(size: int, spans: Sequence[Span]) -> list[Tags]:
    """Tags of each level: a span takes the first that is free at its place."""
    levels: list[Tags] = []
    for span in spans:
        places = slice(span.start, span.end)
        for tags in levels:
            if all(tag == OUTSIDE for tag in tags[places]):
                break
        else:
            tags = [OUTSIDE] * size
            levels.append(tags)
        inside = [f"I-{span.label_}"] * (len(span) - 1)
        tags[places] = [f"B-{span.label_}", *inside]
    return levels


def _conll_sentences(
    doc: Doc, spans: Sequence[Span], counts: ConversionCounts
) -> Iterator[range]:
    """The tokens of each sentence. An empty line would end a span."""
    inside = {place for span in spans for place in range(span.start + 1, span.end)}
    known = doc.has_annotation("SENT_START")
    first = 0
    for token in doc:
        if not (known and token.is_sent_start and token.i > first):
            continue
        if token.i in inside:
            counts.change(ACROSS, f"at {token.text!r}, document {doc_id_of(doc)}")
            continue
        yield range(first, token.i)
        first = token.i
    yield range(first, len(doc))


def _rows(doc: Doc, sentence: range, levels: Sequence[Tags]) -> Iterator[list[str]]:
    for place in sentence:
        if doc[place].is_space:
            continue
        # Some languages have words with a space in them.
        word = "".join(doc[place].text.split())
        if word == DOCSTART:
            raise ValueError(Errors.G552.format(doc_id=doc_id_of(doc)))
        yield [word, *(tags[place] for tags in levels)]


def _shown(doc: Doc, span: Span) -> str:
    return shown(doc, CharSpan(span.start_char, span.end_char, span.label_))
