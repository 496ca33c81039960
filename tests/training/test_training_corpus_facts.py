"""The properties of a corpus that a training config depends on."""

import pytest
from training_cases import TEXTS, write_corpus

from spacy_genner.formats import CharSpan
from spacy_genner.training.corpus_facts import read_dev, read_facts, span_depth


def test_the_depth_of_spans():
    spans = [CharSpan(0, 9, "A"), CharSpan(0, 9, "B"), CharSpan(4, 9, "A")]
    assert span_depth([]) == 0
    assert span_depth([CharSpan(0, 4, "A"), CharSpan(4, 9, "A")]) == 1
    assert span_depth(spans) == 3
    assert span_depth([spans[0], spans[0]]) == 1


def test_the_facts_of_a_corpus(tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    facts = read_facts(corpus, None, "en")
    assert facts.docs == len(TEXTS)
    assert facts.spans == sum(len(spans) for _, spans in TEXTS)
    assert facts.spans_key == "sc" and facts.labels == ["GPE", "ORG"]
    assert facts.max_depth == 2 and not facts.lines
    assert facts.not_representable == facts.across_sentences == 0
    assert read_dev(corpus, "sc", "en") == (len(TEXTS), 2)


def test_crossing_spans_are_counted(tmp_path):
    crossing = ("the bank of Porto", [(0, 3, "ORG"), (2, 4, "GPE")])
    corpus = write_corpus(tmp_path / "train.spacy", [crossing, *TEXTS])
    assert read_facts(corpus, None, "en").not_representable == 1


def test_a_corpus_without_spans(tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy", [("in Porto", [])])
    with pytest.raises(ValueError, match="G307"):
        read_facts(corpus, None, "en")
