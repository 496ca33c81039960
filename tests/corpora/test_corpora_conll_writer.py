"""The CoNLL writers: levels, and the spans that columns can't represent."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span, SpanGroup
from writer_cases import (
    NESTED,
    OFF_GRID,
    PLAIN,
    SPANS,
    TEXT,
    make_docs,
    read,
    without_space,
    write,
)

from spacy_genner.corpora.documents import Annotated
from spacy_genner.formats import CharSpan

VOCAB = spacy.blank("en").vocab


def test_each_level_has_a_column(tmp_path):
    counts = write(make_docs(NESTED), tmp_path / "o.tsv", "conll-nested")
    rows = (tmp_path / "o.tsv").read_text("utf-8").splitlines()
    assert rows[:2] == ["-DOCSTART-\tO\tO\tO", ""]
    assert rows[2:5] == [
        "Mara\tB-PERSON\tO\tO",
        "Quist\tI-PERSON\tO\tO",
        "left\tO\tO\tO",
    ]
    assert rows[6:9] == [
        "University\tB-ORG\tO\tO",
        "of\tI-ORG\tO\tO",
        "Oslo\tI-ORG\tB-GPE\tB-LOC",
    ]
    # An empty line ends a sentence. The line break of the text is not a token.
    assert rows[9:12] == [".\tO\tO\tO", "", "She\tO\tO\tO"]
    assert counts.left_out == counts.changed == {}
    joined = read(tmp_path / "o.tsv", "conll-nested", join_sentences=True)
    assert [without_space(a.text, a.spans) for a in joined] == [
        without_space(TEXT, SPANS)
    ]


def test_one_column_keeps_the_outermost_spans(tmp_path):
    counts = write(make_docs(NESTED), tmp_path / "o.conll", "conll")
    first, second = read(tmp_path / "o.conll", "conll")
    assert {(first.text[s.start : s.end], s.label) for s in first.spans} == {
        ("Mara Quist", "PERSON"),
        ("University of Oslo", "ORG"),
    }
    assert [second.text[s.start : s.end] for s in second.spans] == ["Bergen"]
    assert counts.left_out == {"overlaps a longer one": 2}
    assert counts.listed["overlaps a longer one"] == [
        "'Oslo' (GPE), document letters/1",
        "'Oslo' (LOC), document letters/1",
    ]


def test_crossing_spans_use_two_levels(tmp_path):
    spans = [CharSpan(0, 7, "A"), CharSpan(4, 11, "B")]
    docs = make_docs(Annotated("one two six", spans, "d", None))
    write(docs, tmp_path / "o", "conll-nested")
    [found] = read(tmp_path / "o", "conll-nested")
    assert sorted(found.spans) == spans


def test_adjacent_spans_stay_separate(tmp_path):
    spans = [CharSpan(0, 3, "A"), CharSpan(4, 7, "A")]
    write(make_docs(Annotated("one two", spans, "d", None)), tmp_path / "o", "conll")
    [found] = read(tmp_path / "o", "conll")
    assert found.spans == spans


def test_unaligned_spans_are_counted(tmp_path):
    counts = write(make_docs(OFF_GRID), tmp_path / "o", "conll-nested")
    assert counts.left_out == {"fits no token boundary": 1}
    assert counts.listed["fits no token boundary"] == ["'oslo' (GPE), document off"]


def test_white_space_at_an_edge_is_counted(tmp_path):
    text = "one  two"
    doc = Doc(VOCAB, words=["one", " ", "two"], spaces=[True, False, False])
    assert doc.text == text
    spans = [Span(doc, 0, 2, "A"), Span(doc, 0, 3, "A")]
    doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans)
    counts = write([doc], tmp_path / "o", "conll")
    assert counts.left_out == {"has white space at its edge": 1}
    [found] = read(tmp_path / "o", "conll")
    assert (found.text, found.spans) == ("one two", [CharSpan(0, 7, "A")])


def test_a_sentence_end_inside_a_span_is_not_written(tmp_path):
    spans = [CharSpan(0, 8, "A")]
    document = Annotated("one. Two, three", spans, "d", [0, 5, 10])
    counts = write(make_docs(document), tmp_path / "o", "conll")
    first, second = read(tmp_path / "o", "conll")
    assert (first.text, second.text) == ("one . Two ,", "three")
    assert counts.changed == {"sentence ends inside of a span, not written": 1}


def test_sentences_of_one_document_share_a_docstart(tmp_path):
    docs = make_docs(PLAIN, PLAIN, NESTED._replace(sentence_starts=None))
    write(docs, tmp_path / "o", "conll-nested")
    found = read(tmp_path / "o", "conll-nested")
    assert [a.doc_id for a in found] == ["1", "1", "2"]


def test_a_text_of_white_space_is_counted(tmp_path):
    docs = make_docs(Annotated("\n \n", [], "blank", None), PLAIN)
    counts = write(docs, tmp_path / "o", "conll")
    assert counts.changed == {"texts of white space alone, not written": 1}
    assert len(read(tmp_path / "o", "conll")) == 1


def test_labels_and_tokens_that_the_format_can_not_represent(tmp_path):
    document = Annotated("one two", [CharSpan(0, 3, "cell line")], "d", None)
    for corpus_format in ("conll", "conll-nested"):
        with pytest.raises(ValueError, match=r"\[G551\].*'cell line'"):
            write(make_docs(document), tmp_path / "o", corpus_format)
    doc = Doc(VOCAB, words=["one", "-DOCSTART-"])
    with pytest.raises(ValueError, match=r"\[G552\]"):
        write([doc], tmp_path / "o", "conll")
    assert list(tmp_path.iterdir()) == []


@st.composite
def token_spans(draw):
    """Words, some of them white space, and spans at any tokens."""
    words = draw(st.lists(st.sampled_from(["a", "Bc", ".", " ", "\n"]), min_size=1))
    spaces = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    place = st.integers(0, len(words) - 1)
    pairs = draw(st.lists(st.tuples(place, place, st.sampled_from("XY")), max_size=6))
    return words, spaces, {(min(a, b), max(a, b) + 1, label) for a, b, label in pairs}


@settings(max_examples=80, deadline=None)
@given(token_spans())
def test_every_span_of_words_is_read_back(tmp_path_factory, drawn):
    words, spaces, rows = drawn
    doc = Doc(VOCAB, words=words, spaces=spaces)
    spans = [Span(doc, start, end, label) for start, end, label in rows]
    doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans)
    path = tmp_path_factory.mktemp("conll") / "o"
    counts = write([doc], path, "conll-nested")
    expected = [
        CharSpan(s.start_char, s.end_char, s.label_)
        for s in spans
        if not s[0].is_space and not s[-1].is_space
    ]
    assert sum(counts.left_out.values()) == len(spans) - len(expected)
    found = read(path, "conll-nested")
    if all(token.is_space for token in doc):
        assert found == []
    else:
        assert [without_space(a.text, a.spans) for a in found] == [
            without_space(doc.text, expected)
        ]
