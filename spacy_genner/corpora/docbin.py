"""The corpus format of `.spacy` files, and the gold spans of their Docs.

A converted Doc keeps its aligned spans in a group of `doc.spans`, and the spans that
fit no token boundary in `doc.user_data`.
"""

from collections.abc import Iterable, Iterator
from operator import index
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from ..errors import Errors, Warnings, warn
from ..formats import CharSpan
from ..io import write_bytes
from .documents import (
    NO_NAME,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    arrange_sentences,
)

UNALIGNED = "genner_unaligned"
ENTITIES = "entities_for_missing_group"
OTHER_GROUPS = "other_groups_alone"


def read_docbin(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read the texts and spans of a `.spacy` file. The spans are those of the group, or
    the entities if the Doc lacks the group, together with the unaligned spans.

    path (Path): The file.
    options (ConvertOptions): The group, the language, and whether to split documents
        into sentences or to join consecutive Docs with the same `doc_id`. By default
        Docs stay unchanged.
    YIELDS (Annotated): The documents. A Doc that lacks the group and has entities or
        other groups has a diagnostic.
    RAISES (ValueError): The file is not a DocBin, or is annotated under other groups
        only.
    """
    yield from arrange_sentences(_texts(path, options), options.join_sentences)


def _texts(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    vocab = spacy.blank(options.lang).vocab
    docbin, key = load_docbin(path), options.spans_key
    check_annotated(docbin.get_docs(vocab), key)
    for number, doc in enumerate(docbin.get_docs(vocab), 1):
        doc_id = str(doc.user_data.get("doc_id", number))
        diagnostics = _group_diagnostics(doc, key, doc_id)
        if options.join_sentences and "doc_id" not in doc.user_data:
            diagnostics += (Diagnostic(NO_NAME, f"document {number}"),)
        spans = all_spans(doc, key)
        yield Annotated(doc.text, spans, doc_id, sentence_starts(doc), diagnostics)


def _group_diagnostics(doc: Doc, key: str, doc_id: str) -> tuple[Diagnostic, ...]:
    if key in doc.spans or not (doc.ents or doc.spans):
        return ()
    others = f", there are {sorted(doc.spans)}" if doc.spans else ""
    message = f"document {doc_id}: no doc.spans[{key!r}]{others}"
    return (Diagnostic(ENTITIES if doc.ents else OTHER_GROUPS, message),)


def write_docbin(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a `.spacy` file, which is built in memory.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Unused: documents are written unchanged.
    counts (ConversionCounts): Unused: nothing is left out.
    """
    docbin = DocBin(store_user_data=True)
    for doc in docs:
        docbin.add(doc)
    write_bytes(path, docbin.to_bytes())


# Loading


def load_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """Load the Docs of a `.spacy` file.

    path (Path): The file.
    vocab (Vocab): The vocabulary of the Docs.
    YIELDS (Doc): The Docs, with their user data.
    RAISES (ValueError): The file is not a DocBin.
    """
    yield from load_docbin(path).get_docs(vocab)


def load_docbin(path: Path) -> DocBin:
    """Load a `.spacy` file without creating its Docs.

    path (Path): The file.
    RETURNS (DocBin): Its content.
    RAISES (ValueError): The file is not a DocBin.
    """
    data = path.read_bytes()
    try:
        return DocBin().from_bytes(data)
    # zlib, msgpack and spaCy each raise errors of their own.
    except Exception as error:
        raise ValueError(Errors.G515.format(path=path, reason=error)) from error


def check_annotated(docs: Iterable[Doc], key: str) -> None:
    """Check that Docs are not annotated under other groups only, which means that the
    name of the group is wrong. The check stops at the first Doc with gold spans.

    docs (Iterable[Doc]): The Docs.
    key (str): The group of `doc.spans`.
    RAISES (ValueError): No Doc has the group or entities, and some have other groups.
    """
    others: set[str] = set()
    for doc in docs:
        if key in doc.spans or doc.ents:
            return
        others.update(doc.spans)
    if others:
        raise ValueError(Errors.G603.format(key=key, found=sorted(others)))


def check_not_entities_alone(docs: Iterable[Doc], key: str, place: str) -> None:
    """Check that Docs are not annotated with entities alone, which a component that
    writes spans can neither learn from nor be evaluated on. The check stops at the
    first Doc with the group.

    docs (Iterable[Doc]): The Docs.
    key (str): The group of `doc.spans`.
    place (str): The name or path of the corpus, for the message.
    RAISES (ValueError): No Doc has the group, and some have entities.
    """
    has_entities = False
    for doc in docs:
        if key in doc.spans:
            return
        has_entities = has_entities or bool(doc.ents)
    if has_entities:
        raise ValueError(Errors.G346.format(place=place, key=key))


def warn_of_missing_groups(docs: Iterable[Doc], key: str, place: str) -> None:
    """Warn if some Docs have a group and others lack it, which means that they are not
    annotated, or with entities only. An annotated Doc without spans has an empty group.

    docs (Iterable[Doc]): The Docs.
    key (str): The group of `doc.spans`.
    place (str): The name or path of the corpus, for the message.
    """
    total = lacking = entities = 0
    for doc in docs:
        total += 1
        if key not in doc.spans:
            lacking += 1
            entities += bool(doc.ents)
    if 0 < lacking < total:
        warn(
            Warnings.W525.format(
                place=place, count=lacking, total=total, key=key, entities=entities
            )
        )


# Gold spans


def aligned_spans(doc: Doc, key: str) -> list[Span]:
    """Return the gold spans of a Doc that align with its tokens: the spans of the
    group, or the entities if the Doc lacks the group.

    doc (Doc): The Doc.
    key (str): The group of `doc.spans`.
    RETURNS (list[Span]): The spans.
    """
    return list(doc.spans[key] if key in doc.spans else doc.ents)


def unaligned_spans(doc: Doc) -> list[CharSpan]:
    """Return the gold spans of a Doc that fit no token boundary.

    doc (Doc): A Doc of a converted corpus.
    RETURNS (list[CharSpan]): The spans, in characters.
    RAISES (ValueError): The stored values are not spans of the text.
    """
    found = doc.user_data.get(UNALIGNED, ())
    if not isinstance(found, (list, tuple)):
        raise _bad_unaligned(doc, f"a value of the type {type(found).__name__}")
    return [_unaligned_span(doc, item) for item in found]


def _unaligned_span(doc: Doc, item: Any) -> CharSpan:
    try:
        start, end, label = item
        span = CharSpan(index(start), index(end), label)
    except (TypeError, ValueError):
        raise _bad_unaligned(doc, repr(item)[:80]) from None
    if not isinstance(label, str) or not 0 <= span.start < span.end <= len(doc.text):
        raise _bad_unaligned(doc, f"{item!r} and {len(doc.text)} characters")
    return span


def _bad_unaligned(doc: Doc, found: str) -> ValueError:
    doc_id = doc.user_data.get("doc_id", "")
    return ValueError(Errors.G563.format(doc_id=doc_id, key=UNALIGNED, found=found))


def all_spans(doc: Doc, key: str) -> list[CharSpan]:
    """Return all gold spans of a Doc, aligned and unaligned.

    doc (Doc): The Doc.
    key (str): The group of `doc.spans`.
    RETURNS (list[CharSpan]): The spans, in characters.
    """
    aligned = aligned_spans(doc, key)
    spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in aligned]
    return [*spans, *unaligned_spans(doc)]


def sentence_starts(doc: Doc) -> list[int] | None:
    """Return the offsets where the sentences of a Doc start.

    doc (Doc): The Doc.
    RETURNS (list[int] | None): The offsets, in characters, or None if the Doc has no
        sentence boundaries.
    """
    if not len(doc) or not doc.has_annotation("SENT_START"):
        return None
    return [sentence.start_char for sentence in doc.sents]
