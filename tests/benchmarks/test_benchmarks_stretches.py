"""`benchmarks/stretches.py`: long documents in pieces, with their spans."""

import importlib
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin, Span

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# 12 words; each of the long spans crosses where a stretch of four words would end, and
# the last two cross each other.
SPANS = [(0, 2), (3, 5), (4, 5), (5, 10), (8, 11)]


@pytest.fixture
def cut(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    nlp = spacy.blank("en")
    doc = nlp("a b c d e f g h i j k l")
    doc.spans["sc"] = [Span(doc, start, end, label="X") for start, end in SPANS]
    doc.user_data |= {"doc_id": "alphabet", "genner_unaligned": [[0, 1, "X"]]}
    data, output = tmp_path / "long.spacy", tmp_path / "short.spacy"
    DocBin(docs=[doc, nlp("m")], store_user_data=True).to_disk(data)

    def run(*options):
        line = ["stretches.py", str(data), str(output), "--words", "4", *options]
        monkeypatch.setattr(sys, "argv", line)
        importlib.import_module("stretches").main()
        written = capsys.readouterr().out
        assert written.startswith("2 " if options else "5 ")
        assert written.endswith("1 spans between tokens left out\n")
        return list(DocBin().from_disk(output).get_docs(nlp.vocab))

    return run


def test_no_word_and_no_span_is_lost(cut):
    pieces = cut()
    assert [piece.text.strip() for piece in pieces] == [
        "a b c",
        "d e",
        "f g h i j k",
        "l",
        "m",
    ]
    found = [[(s.start, s.end) for s in piece.spans["sc"]] for piece in pieces]
    assert found == [[(0, 2)], [(0, 2), (1, 2)], [(0, 5), (3, 6)], [], []]
    names = [piece.user_data["doc_id"] for piece in pieces]
    assert names == ["alphabet:0", "alphabet:3", "alphabet:5", "alphabet:11", ":0"]


def test_the_first_stretch_of_each(cut):
    assert [piece.text.strip() for piece in cut("--first")] == ["a b c", "m"]


def test_no_words_make_no_stretch(cut):
    with pytest.raises(SystemExit) as ended:
        cut("--words", "0")
    assert ended.value.code == 2
