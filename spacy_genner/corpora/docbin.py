"""Corpora that are `.spacy` files already, to be tokenised anew or joined."""

from collections.abc import Iterable, Iterator
from operator import index
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from ..errors import Errors
from ..formats import CharSpan
from .documents import NO_NAME, Annotated, ConvertOptions, Diagnostic, arranged

UNALIGNED = "genner_unaligned"
ENTITIES = "entities_for_missing_group"
OTHER_GROUPS = "other_groups_alone"


def read_docbin(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read the texts and spans of a `.spacy` file: those of the group, else the
    entities; and the spans that no token boundary fitted.

    path (Path): The file.
    options (ConvertOptions): Names the group and the language. Documents are parted
        into their sentences, and those of one `doc_id` in a row are joined, only where
        it says so.
    YIELDS (Annotated): The documents. One that lacks the group has a remark, if it has
        entities or another group.
    RAISES (ValueError): The file is no DocBin, or annotated under other groups alone.
    """
    yield from arranged(_texts(path, options), options.join_sentences)


def _texts(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    vocab = spacy.blank(options.lang).vocab
    docbin, key = load_docbin(path), options.spans_key
    check_annotated(docbin.get_docs(vocab), key)
    for number, doc in enumerate(docbin.get_docs(vocab), 1):
        doc_id = str(doc.user_data.get("doc_id", number))
        remarks = _group_remarks(doc, key, doc_id)
        if options.join_sentences and "doc_id" not in doc.user_data:
            remarks += (Diagnostic(NO_NAME, f"document {number}"),)
        spans = all_spans(doc, key)
        yield Annotated(doc.text, spans, doc_id, sentence_starts(doc), remarks)


def _group_remarks(doc: Doc, key: str, doc_id: str) -> tuple[Diagnostic, ...]:
    if key in doc.spans or not (doc.ents or doc.spans):
        return ()
    others = f", there are {sorted(doc.spans)}" if doc.spans else ""
    where = f"document {doc_id}: no doc.spans[{key!r}]{others}"
    return (Diagnostic(ENTITIES if doc.ents else OTHER_GROUPS, where),)


def check_annotated(docs: Iterable[Doc], key: str) -> None:
    """Check that documents are not annotated under other groups alone, as they are
    where the group's name is not theirs. Looks at no more of them than it takes.

    docs (Iterable[Doc]): The documents.
    key (str): The group of `doc.spans`.
    RAISES (ValueError): None has the group or entities, and some have other groups.
    """
    others: set[str] = set()
    for doc in docs:
        if key in doc.spans or doc.ents:
            return
        others.update(doc.spans)
    if others:
        raise ValueError(Errors.G603.format(key=key, found=sorted(others)))


def load_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """Read a `.spacy` file.

    path (Path): The file.
    vocab (Vocab): The vocabulary of the documents.
    YIELDS (Doc): The documents, with their user data.
    RAISES (ValueError): The file is no DocBin.
    """
    yield from load_docbin(path).get_docs(vocab)


def load_docbin(path: Path) -> DocBin:
    """Read a `.spacy` file, and make no Docs yet.

    path (Path): The file.
    RETURNS (DocBin): What it holds.
    RAISES (ValueError): The file is no DocBin.
    """
    data = path.read_bytes()
    try:
        return DocBin().from_bytes(data)
    # zlib, msgpack and spaCy each have errors of their own for this.
    except Exception as error:
        raise ValueError(Errors.G515.format(path=path, reason=error)) from error


def unaligned_spans(doc: Doc) -> list[CharSpan]:
    """The gold spans of a Doc that no token boundary fits.

    doc (Doc): A Doc of a converted corpus.
    RETURNS (List[CharSpan]): The spans.
    RAISES (ValueError): What stands there are no spans of the text.
    """
    found = doc.user_data.get(UNALIGNED, ())
    if not isinstance(found, (list, tuple)):
        raise _no_spans(doc, f"a value of the type {type(found).__name__}")
    return [_unaligned_span(doc, item) for item in found]


def _unaligned_span(doc: Doc, item: Any) -> CharSpan:
    try:
        start, end, label = item
        span = CharSpan(index(start), index(end), label)
    except (TypeError, ValueError):
        raise _no_spans(doc, repr(item)[:80]) from None
    if not isinstance(label, str) or not 0 <= span.start < span.end <= len(doc.text):
        raise _no_spans(doc, f"{item!r} and {len(doc.text)} characters")
    return span


def _no_spans(doc: Doc, found: str) -> ValueError:
    doc_id = doc.user_data.get("doc_id", "")
    return ValueError(Errors.G563.format(doc_id=doc_id, key=UNALIGNED, found=found))


def aligned_spans(doc: Doc, key: str) -> list[Span]:
    """The gold spans of a Doc that lie on its tokens: those of the group, else the
    entities.

    doc (Doc): The Doc.
    key (str): The group of `doc.spans`.
    RETURNS (List[Span]): The spans.
    """
    return list(doc.spans[key] if key in doc.spans else doc.ents)


def all_spans(doc: Doc, key: str) -> list[CharSpan]:
    """The gold spans of a Doc, also those that no token boundary fits.

    doc (Doc): The Doc.
    key (str): The group of `doc.spans`.
    RETURNS (List[CharSpan]): The spans, in characters.
    """
    aligned = aligned_spans(doc, key)
    spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in aligned]
    return [*spans, *unaligned_spans(doc)]


def sentence_starts(doc: Doc) -> list[int] | None:
    """Where the sentences of a Doc start.

    doc (Doc): The Doc.
    RETURNS (Optional[List[int]]): The places, in characters; None where they are not
        known.
    """
    if not len(doc) or not doc.has_annotation("SENT_START"):
        return None
    return [sentence.start_char for sentence in doc.sents]
