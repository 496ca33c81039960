"""`benchmarks/stretches.py`: splitting long documents between their spans."""

import sys

import pytest
import spacy
from spacy.tokens import DocBin, Span

# For a document of 12 words. Each long span crosses a limit of four words, and the
# last two cross each other.
SPANS = [(0, 2), (3, 5), (4, 5), (5, 10), (8, 11)]


@pytest.fixture
def split(tmp_path, monkeypatch, capsys, import_benchmark):
    """Runs the script on two documents and returns those it writes."""
    nlp = spacy.blank("en")
    doc = nlp("a b c d e f g h i j k l")
    doc.spans["sc"] = [Span(doc, start, end, label="X") for start, end in SPANS]
    doc.user_data |= {"doc_id": "alphabet", "genner_unaligned": [[0, 1, "X"]]}
    data, output = tmp_path / "long.spacy", tmp_path / "short.spacy"
    DocBin(docs=[doc, nlp("m")], store_user_data=True).to_disk(data)

    def run(*options):
        line = ["stretches.py", str(data), str(output), "--words", "4", *options]
        monkeypatch.setattr(sys, "argv", line)
        import_benchmark("stretches").main()
        written = capsys.readouterr().out
        assert written.startswith("2 " if options else "5 ")
        assert written.endswith("; 1 unaligned spans left out\n")
        return list(DocBin().from_disk(output).get_docs(nlp.vocab))

    return run


def test_keeps_all_words_and_spans(split):
    parts = split()
    assert [part.text.strip() for part in parts] == [
        "a b c",
        "d e",
        "f g h i j k",
        "l",
        "m",
    ]
    found = [[(s.start, s.end) for s in part.spans["sc"]] for part in parts]
    assert found == [[(0, 2)], [(0, 2), (1, 2)], [(0, 5), (3, 6)], [], []]
    names = [part.user_data["doc_id"] for part in parts]
    assert names == ["alphabet:0", "alphabet:3", "alphabet:5", "alphabet:11", ":0"]


def test_first_part_only(split):
    assert [part.text.strip() for part in split("--first")] == ["a b c", "m"]


def test_zero_words_are_refused(split):
    with pytest.raises(SystemExit) as ended:
        split("--words", "0")
    assert ended.value.code == 2
