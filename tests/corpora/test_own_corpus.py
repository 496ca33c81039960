"""The corpus of the project is well formed and matches its README."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import spacy

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms.bracketed import read_bracketed
from spacy_genner.corpora.forms.jsonl import read_jsonl
from spacy_genner.evaluation.scores import nesting
from spacy_genner.formats import crossings, get_format

CORPUS = Path(__file__).parents[2] / "corpus"
PARTS = ("train", "dev", "test")
# Minimum numbers of documents, of sentences, and of sentences in the test set.
MIN_DOCUMENTS, MIN_SENTENCES, MIN_TEST = 90, 800, 150
LABELS = list(json.loads((CORPUS / "labels.json").read_text(encoding="utf8")))


@pytest.fixture(scope="module")
def sentences():
    """The text and spans of each sentence, by part."""
    apart = ConvertOptions(join_sentences=False)
    return {part: list(read_bracketed(CORPUS / f"{part}.txt", apart)) for part in PARTS}


@pytest.fixture(scope="module")
def hard():
    return list(read_jsonl(CORPUS / "hard.jsonl", ConvertOptions()))


def test_sizes(sentences):
    documents = sum(len({row.doc_id for row in sentences[part]}) for part in PARTS)
    assert documents >= MIN_DOCUMENTS
    assert sum(map(len, sentences.values())) >= MIN_SENTENCES
    assert len(sentences["test"]) >= MIN_TEST


def test_no_sentence_occurs_twice(sentences):
    counts = Counter(row.text for part in PARTS for row in sentences[part])
    assert [text for text, count in counts.items() if count > 1] == []


def test_spans_are_whole_and_nested(sentences, hard):
    fmt = get_format("inline_bracketed")
    for row in [*hard, *(row for part in PARTS for row in sentences[part])]:
        assert crossings(row.spans) == []
        assert len(set(row.spans)) == len(row.spans)
        assert fmt.unsayable(row.text, row.spans) == []
        output = fmt.render(row.text, row.spans, LABELS)
        assert set(fmt.parse(output, row.text, LABELS).spans) == set(row.spans)


def test_no_sentence_ends_in_two_periods(sentences):
    """The period of `p.m.` ends the sentence, too."""
    texts = [row.text for part in PARTS for row in sentences[part]]
    assert [text for text in texts if re.search(r"\w\.\.(?!\.)", text)] == []
    assert sum(text.endswith(("a.m.", "p.m.")) for text in texts) >= 8


def test_the_sentences_of_the_demo_cut_no_span():
    nlp = spacy.blank("en")
    splitter = nlp.add_pipe("genner_sentences", config={"lines": True})
    for part in PARTS:
        whole = ConvertOptions(join_sentences=True)
        for document in read_bracketed(CORPUS / f"{part}.txt", whole):
            starts = splitter.sentence_starts(document.text)
            assert set(document.sentence_starts) <= set(starts)
            for span in document.spans:
                assert not any(span.start < start < span.end for start in starts)


def test_no_span_cuts_a_word(sentences):
    for part in PARTS:
        for row in sentences[part]:
            text = row.text
            for start, end, label in row.spans:
                before = text[max(0, start - 1) : start + 1] if start else ""
                around = before, text[end - 1 : end + 1]
                assert not any(len(p) == 2 and p.isalnum() for p in around), (
                    text[start:end],
                    label,
                )


def test_shares_of_nested_spans_and_empty_sentences(sentences):
    rows = [row for part in PARTS for row in sentences[part]]
    spans = sum(len(row.spans) for row in rows)
    nested = sum(
        depth > 0 for row in rows for depth in nesting(sorted(set(row.spans)))[0]
    )
    assert 0.2 <= nested / spans <= 0.3
    assert sum(not row.spans for row in rows) >= 0.05 * len(rows)


def test_every_label_occurs_in_every_part(sentences):
    for part in PARTS:
        found = Counter(s.label for row in sentences[part] for s in row.spans)
        assert set(found) == set(LABELS)


def test_deep_spans_and_two_labels_on_one_range(sentences):
    rows = [row for part in PARTS for row in sentences[part]]
    deep = sum(
        sum(o != s and o.start <= s.start and s.end <= o.end for o in row.spans) >= 2
        for row in rows
        for s in row.spans
    )
    double = sum(len(row.spans) > len({span[:2] for span in row.spans}) for row in rows)
    assert deep >= 20
    assert double >= 20


def test_mentions_have_different_labels_in_different_contexts(sentences):
    labels: dict[str, set[str]] = {}
    for part in PARTS:
        for row in sentences[part]:
            for start, end, label in row.spans:
                labels.setdefault(row.text[start:end], set()).add(label)
    assert sum(len(found) > 1 for found in labels.values()) >= 20
    foreign = [m for m in labels if not m.isascii()]
    assert len(foreign) >= 100


def test_the_hard_set_is_hard(hard):
    texts = " ".join(row.text for row in hard)
    assert set('[]|<>{}"') <= set(texts)
    assert "  " in texts and "\t" in texts
    depth = max(
        sum(o.start <= s.start and s.end <= o.end for o in row.spans)
        for row in hard
        for s in row.spans
    )
    assert depth >= 4
