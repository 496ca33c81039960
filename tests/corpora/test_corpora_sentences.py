"""Splitting documents into sentences, and joining sentences to documents."""

from writer_cases import NESTED, PLAIN, make_docs, read, write

from spacy_genner.corpora.documents import (
    Annotated,
    Diagnostic,
    join_texts,
    split_sentences,
)
from spacy_genner.formats import CharSpan


def test_sentences_keep_their_spans():
    text = "  In Oslo.  \n To  Bergen. "
    spans = [CharSpan(5, 9, "GPE"), CharSpan(18, 24, "GPE"), CharSpan(14, 25, "X")]
    first, second = split_sentences([Annotated(text, spans, "d", [0, 14])])
    assert (first.text, second.text) == ("In Oslo.", "To  Bergen.")
    assert [first.text[s.start : s.end] for s in first.spans] == ["Oslo"]
    assert [second.text[s.start : s.end] for s in second.spans] == [
        "Bergen",
        "To  Bergen.",
    ]
    assert {
        (a.doc_id, a.sentence_starts[0], a.diagnostics) for a in (first, second)
    } == {("d", 0, ())}


def test_a_span_across_a_sentence_end_becomes_a_diagnostic():
    text = "One. Two."
    spans = [CharSpan(0, 9, "A"), CharSpan(3, 5, "B"), CharSpan(5, 8, "C")]
    first, second = split_sentences([Annotated(text, spans, "d", [0, 5])])
    assert (first.spans, second.spans) == ([], [CharSpan(0, 3, "C")])
    assert [diagnostic.kind for diagnostic in first.diagnostics] == [
        "over_sentence_end"
    ] * 2
    assert first.diagnostics[0].message == "'One. Two.' (A), document d"


def test_sentences_of_white_space_are_dropped():
    parts = list(split_sentences([Annotated("One. \n Two.", [], "d", [0, 5, 7])]))
    assert [part.text for part in parts] == ["One.", "Two."]
    lost = Annotated("One. \n Two.", [CharSpan(5, 6, "A")], "d", [0, 5, 7])
    assert [len(part.diagnostics) for part in split_sentences([lost])] == [0, 1, 0]


def test_a_document_without_sentence_starts_stays_whole():
    [found] = split_sentences([PLAIN])
    assert found == PLAIN._replace(diagnostics=found.diagnostics)
    assert found.diagnostics == (("no_sentence_starts", "document plain"),)


def test_joined_texts_keep_their_sentences_and_diagnostics():
    diagnostic = Diagnostic("kind", "what")
    texts = [
        Annotated("One. Two.", [CharSpan(5, 8, "A")], "d", [0, 5], (diagnostic,)),
        Annotated("Three.", [CharSpan(0, 5, "B")], "d", None),
        Annotated("Four.", [], "e", None),
        Annotated("Five.", [], "d", []),
    ]
    first, second, third = join_texts(texts)
    spans = [CharSpan(5, 8, "A"), CharSpan(10, 15, "B")]
    assert first == ("One. Two. Three.", spans, "d", [0, 5, 10], (diagnostic,))
    assert second == ("Four.", [], "e", [0], ())
    assert third == ("Five.", [], "d", [0], ())


def test_files_are_split_on_request(tmp_path):
    for corpus_format in ("jsonl", "docbin"):
        write(make_docs(NESTED), tmp_path / "o", corpus_format)
        assert len(read(tmp_path / "o", corpus_format)) == 1
        parts = read(tmp_path / "o", corpus_format, join_sentences=False)
        assert [part.text for part in parts] == NESTED.text.split("\n")
        assert sum(len(part.spans) for part in parts) == len(NESTED.spans)
