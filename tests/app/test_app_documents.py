"""Reading a corpus to correct, and the output."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_genner.app.documents import (
    Annotation,
    Corpus,
    Output,
    read_texts,
    to_record,
)
from spacy_genner.app.edits import ReviewSpan
from spacy_genner.corpora import ConvertOptions, get_converter

VOCAB = spacy.blank("en").vocab


def write(path: Path, *records) -> Path:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def record(text="Oslo 🙂 is old .", *spans, **fields):
    keys = ("start", "end", "label", "score")
    return {
        "text": text,
        "spans": [dict(zip(keys, span, strict=False)) for span in spans],
        **fields,
    }


def test_a_file_of_annotate(tmp_path):
    issues = [{"code": "truncated", "message": "m"}]
    path = write(
        tmp_path / "in.jsonl",
        record("Oslo .", (0, 4, "GPE", 0.5), status="repaired", issues=issues, id=7),
        '{"text": "plain"}',
        "",
        '{"text": "", "spans": []}',
    )
    first, plain, empty = Corpus(path, "sc", VOCAB)
    assert first.spans == (ReviewSpan(0, 4, "GPE", 0.5),)
    assert (first.status, first.issues) == ("repaired", issues)
    assert first.fields == {"id": 7}
    assert (plain.number, plain.spans, plain.tokens) == (2, None, None)
    assert (empty.text, empty.spans) == ("", ())


@pytest.mark.parametrize(
    "bad, reason",
    [
        ('{"spans": []}', "'text' is None"),
        ('{"text": 3}', "'text' is 3"),
        ('{"text": "a", "spans": 1}', "expected a list"),
        ('{"text": "a", "spans": [[0, 1, "X"]]}', "is not an object"),
        ('{"text": "a", "spans": [{"start": 0, "end": 2, "label": "X"}]}', "outside"),
        ('{"text": "a", "spans": [{"start": 1, "end": 1, "label": "X"}]}', "empty"),
        ('{"text": "a", "spans": [{"start": true, "end": 1, "label": "X"}]}', "empty"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1}]}', "no label"),
        ('{"text": "a", "entities": [[0, 1, "X"]]}', "'entities'"),
        ('{"text": "a", "label": [[0, 1, "X"]]}', "'label'"),
        ('{"text": "\\ud800"}', "half of a character"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, bad, reason):
    path = write(tmp_path / "in.jsonl", record(), bad)
    with pytest.raises(ValueError, match=rf"G881.*line 2.*{reason}"):
        Corpus(path, "sc", VOCAB)


def test_files_that_are_no_corpus(tmp_path):
    with pytest.raises(ValueError, match="G525"):
        Corpus(write(tmp_path / "in.csv"), "sc", VOCAB)
    with pytest.raises(ValueError, match="G896"):
        Corpus(write(tmp_path / "in.jsonl"), "sc", VOCAB)
    with pytest.raises(ValueError, match="G512"):
        Corpus(write(tmp_path / "in.jsonl", "[1]"), "sc", VOCAB)


def test_a_docbin_keeps_tokens_scores_ids_and_other_fields(tmp_path):
    doc = Doc(VOCAB, words=["Os", "lo", "is", "old"], spaces=[False, True, True, False])
    attrs = {"scores": [0.25], "status": "windowed", "issues": []}
    doc.spans["sc"] = SpanGroup(
        doc, name="sc", spans=[Span(doc, 0, 2, "GPE")], attrs=attrs
    )
    doc.user_data["doc_id"] = "d-1"
    doc.user_data["genner_unaligned"] = [[1, 3, "X"]]
    doc.user_data["record"] = {"meta": 1}
    docs = [doc, Doc(VOCAB, words=["plain"])]
    path = tmp_path / "in.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    first, plain = Corpus(path, "sc", VOCAB)
    assert first.spans == (ReviewSpan(0, 4, "GPE", 0.25), ReviewSpan(1, 3, "X"))
    assert first.tokens == [(0, 2), (2, 4), (5, 7), (8, 11)]
    assert first.status == "windowed"
    assert (first.fields["doc_id"], first.fields["meta"]) == ("d-1", 1)
    assert plain.spans is None


def test_tokens_of_prodigy_are_used_if_they_fit(tmp_path):
    good = [{"start": 0, "end": 2}, {"start": 2, "end": 4}]
    bad = [{"start": 0, "end": 2}, {"start": 1, "end": 4}]
    path = write(
        tmp_path / "in.jsonl", *({"text": "Oslo", "tokens": t} for t in (good, bad))
    )
    assert [d.tokens for d in Corpus(path, "sc", VOCAB)] == [[(0, 2), (2, 4)], None]


def opened(tmp_path, *records):
    corpus = Corpus(write(tmp_path / "in.jsonl", *records), "sc", VOCAB)
    return corpus, Output(tmp_path / "out.jsonl", corpus)


SPAN = ReviewSpan(0, 4, "GPE", 0.5, "accepted")


def test_the_output_is_read_back(tmp_path):
    corpus, output = opened(tmp_path, record(), record(), record("Bergen", id=9))
    annotations = {
        3: Annotation((ReviewSpan(0, 6, "GPE", None, "added"),), "skipped"),
        1: Annotation((SPAN, ReviewSpan(0, 4, "ORG", 0.1, "rejected")), "done"),
        2: Annotation(),
    }
    for number, annotation in annotations.items():
        output.write(number, annotation)
    assert Output(output.path, corpus).read() == annotations
    rows = [json.loads(line) for line in output.path.read_text("utf8").splitlines()]
    assert [row["review"]["number"] for row in rows] == [1, 2, 3]
    assert [row["answer"] for row in rows] == ["accept", "ignore", "ignore"]
    assert rows[2]["id"] == 9
    output.write(2, None)
    assert set(Output(output.path, corpus).read()) == {1, 3}


def test_convert_takes_the_documents_that_are_done(tmp_path, recwarn):
    corpus, output = opened(tmp_path, record(), record(), record())
    output.write(1, Annotation((SPAN, ReviewSpan(7, 9, "X", 0.1, "rejected")), "done"))
    output.write(2, Annotation((SPAN,), "open"))
    # The same text with other spans is no binary answer of Prodigy.
    output.write(3, Annotation((ReviewSpan(7, 9, "X", None, "added"),), "done"))
    read = get_converter("jsonl")
    found = list(read(output.path, ConvertOptions()))
    assert [a.spans for a in found] == [[(0, 4, "GPE")], [(7, 9, "X")]]
    assert "W501" in str(recwarn.list[0].message)


def test_contradicting_keys_of_the_source_are_not_written(tmp_path):
    source = record(
        "Oslo", (0, 4, "GPE"), entities=[], answer="reject", status="failed"
    )
    corpus, _ = opened(tmp_path, source)
    written = to_record(corpus[1], Annotation((SPAN,), "done"))
    assert "entities" not in written and "status" not in written
    assert written["answer"] == "accept"


@pytest.mark.parametrize(
    "line, reason",
    [
        ('{"text": "Oslo"}', "no object under 'review'"),
        ('{"text": "Oslo", "review": {"number": 1, "state": "new"}}', "'review' is"),
        (
            '{"text": "Oslo", "spans": [], "review": {"number": 9, "state": "done"}}',
            "no document 9",
        ),
        (
            '{"text": "Rome", "spans": [], "review": {"number": 1, "state": "done"}}',
            "another text",
        ),
        ("nonsense", ""),
    ],
)
def test_another_file_is_not_overwritten(tmp_path, line, reason):
    _, output = opened(tmp_path, record("Oslo"))
    write(output.path, line)
    with pytest.raises(ValueError, match=f"G883.*{reason}|G512"):
        output.read()
    assert output.path.read_text("utf8") == line + "\n"


def test_the_output_is_another_jsonl_file(tmp_path):
    corpus, _ = opened(tmp_path, record())
    with pytest.raises(ValueError, match="G882"):
        Output(corpus.path, corpus)
    with pytest.raises(ValueError, match="G525"):
        Output(tmp_path / "out.spacy", corpus)


def test_texts_to_try(tmp_path):
    text = tmp_path / "in.txt"
    text.write_text("one\n\n  \ntwo\n", encoding="utf-8")
    assert read_texts(text, VOCAB) == ["one", "two"]
    path = write(tmp_path / "in.jsonl", record("three"))
    assert read_texts(path, VOCAB) == ["three"]
    with pytest.raises(ValueError, match=r"G525.*in\.csv"):
        read_texts(tmp_path / "in.csv", VOCAB)
