"""The JSONL reader: notations of spans, malformed records, sentences."""

import json
from pathlib import Path

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.formats import CharSpan


def write(path: Path, *records) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def read(path: Path, **options):
    return list(get_converter("jsonl")(path, ConvertOptions(**options)))


SPAN = {"start": 0, "end": 4}


@pytest.mark.parametrize(
    "record",
    [
        {"spans": [{**SPAN, "label": "GPE", "token_start": 0, "token_end": 0}]},
        {"entities": [{**SPAN, "type": "GPE", "text": "Oslo"}]},
        {"entities": [[0, 4, "GPE"]]},
        {"entities": [[0, 4, "GPE"]], "spans": None},
        {"entities": [[0, 4, "GPE"]], "spans": [{**SPAN, "label": "GPE"}]},
    ],
)
def test_every_notation_of_a_span_is_read(tmp_path, record):
    path = write(tmp_path / "c.jsonl", {"text": "Oslo [x].", **record})
    [doc] = read(path)
    assert (doc.text, doc.spans) == ("Oslo [x].", [CharSpan(0, 4, "GPE")])
    assert doc.sentence_starts is None


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"spans": []}, "'text' is None"),
        ({"text": "Oslo"}, "no list under"),
        (
            {"text": "Oslo", "spans": [], "entities": [[0, 4, "GPE"]]},
            "'spans' and 'entities' contain different spans",
        ),
        (
            {"text": "Oslo", "spans": [[0, 4, "GPE"]], "entities": []},
            "'spans' and 'entities' contain different spans",
        ),
        ({"text": "\ud800", "spans": []}, "half of a character"),
        ({"text": "a b", "spans": [], "sentence_starts": ["0"]}, "expected integers"),
        ({"text": "a b", "spans": [], "sentence_starts": [0, 2, 1]}, "0 and ascending"),
        ({"text": "a b", "spans": [], "sentence_starts": [2]}, "0 and ascending"),
        ({"text": "a b", "spans": [], "sentence_starts": [0, 3]}, "exceeds the text"),
        ({"text": "Oslo", "spans": [{**SPAN}]}, "no label"),
        ({"text": "Oslo", "spans": [[0, 5, "GPE"]]}, "outside the text"),
        ({"text": "Oslo", "spans": [[2, 2, "GPE"]]}, "outside the text"),
        ({"text": "Oslo", "spans": [[True, 2, "GPE"]]}, "no integers"),
        ({"text": "Oslo", "spans": ["GPE"]}, "neither an object"),
        (
            {"text": "Oslo", "spans": [{**SPAN, "label": "GPE", "text": "Bergen"}]},
            "code points",
        ),
    ],
)
def test_a_malformed_record_names_file_and_line(tmp_path, record, reason):
    path = write(tmp_path / "c.jsonl", {"text": "x", "spans": []}, record)
    with pytest.raises(ValueError, match=r"\[G513\].*c.jsonl, line 2: ") as error:
        read(path)
    assert reason in str(error.value)


@pytest.mark.parametrize("line", ["{", "[1]", "text"])
def test_a_line_without_an_object_is_named(tmp_path, line):
    path = tmp_path / "c.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"\[G512\].*line 2"):
        read(path)


def test_sentences_of_a_document_are_joined_on_request(tmp_path):
    path = write(
        tmp_path / "c.jsonl",
        {"doc_id": "a", "text": "In Oslo.", "entities": [[3, 7, "GPE"]]},
        {"doc_id": "a", "text": "To Bergen.", "entities": [[3, 9, "GPE"]]},
        {"doc_id": "b", "text": "Hm.", "entities": []},
    )
    assert len(read(path)) == 3
    first, second = read(path, join_sentences=True)
    assert first.text == "In Oslo. To Bergen."
    assert first.sentence_starts == [0, 9]
    assert [first.text[s.start : s.end] for s in first.spans] == ["Oslo", "Bergen"]
    assert (first.doc_id, second.doc_id) == ("a", "b")


def test_rejected_examples_are_left_out_with_a_warning(tmp_path):
    path = write(
        tmp_path / "c.jsonl",
        {"text": "a", "spans": [], "answer": "accept"},
        {"text": "b", "spans": [], "answer": "reject"},
    )
    with pytest.warns(UserWarning, match=r"\[W501\].*1 examples"):
        assert [doc.text for doc in read(path)] == ["a"]


def test_line_separators_in_a_string_end_no_line(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "a\u2028b", "spans": []}\n', encoding="utf-8")
    assert [doc.text for doc in read(path)] == ["a\u2028b"]
