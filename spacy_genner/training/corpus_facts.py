"""Read the properties of a corpus that a training config depends on."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import spacy
from spacy.tokens import Doc

from ..corpora.docbin import (
    check_not_entities_alone,
    load_docs,
    unaligned_spans,
    warn_of_missing_groups,
)
from ..corpora.sentences import SentenceSplitter
from ..errors import Errors
from ..formats import CharSpan, crossings, get_format
from .loop import check_evaluable

TOKENIZERS = ("spacy.Tokenizer.v1", "spacy-genner.FineTokenizer.v1")
# The number of documents that tokenizers are compared on.
TOKENIZER_SAMPLE = 300


@dataclass(frozen=True)
class CorpusFacts:
    """The properties of a corpus that a config depends on.

    docs (int): The number of documents.
    spans (int): The number of reference spans.
    spans_key (str): The group of `doc.spans` with the spans.
    labels (list[str]): The labels, sorted.
    lines (bool): Whether most documents have several lines.
    not_representable (int): The number of spans that brackets cannot represent,
        crossing spans included.
    tokenizer (str): The registered tokenizer that fits the most spans.
    max_depth (int): The maximum number of spans over one character. 1 without nesting.
    across_sentences (int): The number of spans that cross a sentence boundary, if
        sentences are the inputs of the model.
    """

    docs: int
    spans: int
    spans_key: str
    labels: list[str]
    lines: bool
    not_representable: int
    tokenizer: str
    max_depth: int = 1
    across_sentences: int = 0


def read_facts(path: Path, spans_key: str | None, lang: str) -> CorpusFacts:
    """Read the properties of a corpus that a config depends on.

    path (Path): The `.spacy` file.
    spans_key (str | None): The group of `doc.spans`. None for the only group.
    lang (str): The code of the language.
    RETURNS (CorpusFacts): The properties.
    RAISES (ValueError): There are no documents, no spans (with another message if there
        are entities) or several groups.
    """
    docs = list(load_docs(path, spacy.blank(lang).vocab))
    if not docs:
        raise ValueError(Errors.G504.format(path=path, name="docbin"))
    keys = Counter(key for doc in docs for key in doc.spans if len(doc.spans[key]))
    check_not_entities_alone(docs, spans_key or next(iter(keys), "sc"), str(path))
    if spans_key is None:
        if not keys:
            raise ValueError(Errors.G307.format(key="sc"))
        if len(keys) != 1:
            raise ValueError(Errors.G320.format(path=path, found=sorted(keys)))
        (spans_key,) = keys
    warn_of_missing_groups(docs, spans_key, str(path))
    fmt = get_format("inline_bracketed")
    labels: set[str] = set()
    count = not_representable = 0
    max_depth = 1
    for doc in docs:
        spans = _char_spans(doc, spans_key)
        count += len(spans)
        max_depth = max(max_depth, span_depth(spans))
        labels.update(span.label for span in spans)
        crossing = crossings(spans)
        # Without crossing spans the format can check each span.
        not_representable += len(crossing or fmt.unsayable(doc.text, spans))
    if not labels:
        raise ValueError(Errors.G307.format(key=spans_key))
    lines = sum("\n" in doc.text.strip() for doc in docs) * 2 >= len(docs)
    sample = docs[:TOKENIZER_SAMPLE]
    across = _count_across_sentences(docs, spans_key, lang) if lines else 0
    tokenizer = min(
        TOKENIZERS, key=lambda name: _count_off_grid(sample, spans_key, name, lang)
    )
    return CorpusFacts(
        len(docs),
        count,
        spans_key,
        sorted(labels),
        lines,
        not_representable,
        tokenizer,
        max_depth,
        across,
    )


def read_dev(path: Path, key: str, lang: str) -> tuple[int, int]:
    """Check a development corpus.

    path (Path): The `.spacy` file.
    key (str): The group of `doc.spans`.
    lang (str): The code of the language.
    RETURNS (tuple[int, int]): The number of documents, and the maximum depth of spans.
    RAISES (ValueError): There are no documents, or none has the group.
    """
    docs = list(load_docs(path, spacy.blank(lang).vocab))
    if not docs:
        raise ValueError(Errors.G504.format(path=path, name="docbin"))
    check_evaluable(docs, key, str(path))
    warn_of_missing_groups(docs, key, str(path))
    return len(docs), max(span_depth(_char_spans(doc, key)) for doc in docs)


def span_depth(spans: Iterable[CharSpan]) -> int:
    """Compute how deep spans are nested.

    spans (Iterable[CharSpan]): The spans of a text.
    RETURNS (int): The maximum number of distinct spans over one character.
    """
    distinct = set(spans)
    # At the same offset, spans end before others start.
    borders = sorted([(s.end, -1) for s in distinct] + [(s.start, 1) for s in distinct])
    return max(accumulate(change for _, change in borders), default=0)


def _char_spans(doc: Doc, key: str) -> list[CharSpan]:
    group = doc.spans[key] if key in doc.spans else ()
    spans = [CharSpan(s.start_char, s.end_char, s.label_) for s in group]
    return spans + unaligned_spans(doc)


def _count_off_grid(docs: list[Doc], key: str, tokenizer: str, lang: str) -> int:
    """Count the spans that fit no token boundary of a tokenizer."""
    settings = {"nlp": {"tokenizer": {"@tokenizers": tokenizer}}}
    nlp = spacy.blank(lang, config=settings)
    count = 0
    for doc in docs:
        tokenized = nlp.make_doc(doc.text)
        for span in _char_spans(doc, key):
            count += tokenized.char_span(span.start, span.end) is None
    return count


def _count_across_sentences(docs: list[Doc], key: str, lang: str) -> int:
    """Count the spans that cross a boundary of the component `genner_sentences`."""
    splitter = SentenceSplitter(docs[0].vocab, lang=lang, lines=True)
    count = 0
    for doc in docs:
        starts = splitter.sentence_starts(doc.text)
        count += sum(
            bisect_right(starts, span.start) < bisect_left(starts, span.end)
            for span in _char_spans(doc, key)
        )
    return count
