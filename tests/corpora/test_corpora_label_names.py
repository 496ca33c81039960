"""Other names for the labels of a corpus."""

import json
import warnings

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.corpora import convert_file
from spacy_genner.corpora.label_names import read_label_names

TEXT = "Mara left Oslo."


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    # The last span ends inside a token.
    spans = [(0, 4, "PER"), (10, 14, "LOC"), (10, 14, "GPE"), (10, 13, "LOC")]
    path.write_text(json.dumps({"text": TEXT, "spans": spans}), encoding="utf-8")
    return path


def converted(corpus, names):
    output = corpus.with_suffix(".spacy")
    counts = convert_file(corpus, output, "jsonl", label_names=names)
    [doc] = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    spans = [(span.text, span.label_) for span in doc.spans["sc"]]
    return counts, spans, doc.user_data["genner_unaligned"]


def test_labels_get_their_names_and_others_stay(corpus):
    counts, spans, unaligned = converted(corpus, {"PER": "person", "LOC": "place"})
    assert sorted(spans) == [("Mara", "person"), ("Oslo", "GPE"), ("Oslo", "place")]
    assert list(map(tuple, unaligned)) == [(10, 13, "place")]
    assert counts.labels == {"person": 1, "GPE": 1, "place": 2}


def test_labels_with_the_same_name_become_one(corpus):
    counts, spans, _ = converted(corpus, {"LOC": "place", "GPE": "place"})
    assert sorted(spans) == [("Mara", "PER"), ("Oslo", "place")]
    assert (counts.spans, counts.duplicates) == (3, 1)


def test_names_can_be_exchanged(corpus):
    _, spans, _ = converted(corpus, {"PER": "LOC", "LOC": "PER"})
    assert sorted(spans) == [("Mara", "LOC"), ("Oslo", "GPE"), ("Oslo", "PER")]


def test_labels_that_the_corpus_lacks_are_listed(corpus):
    with pytest.warns(UserWarning, match=r"\[W522\] 2 of the 3 labels.*: per, ORG"):
        converted(corpus, {"per": "person", "LOC": "place", "ORG": "company"})


def test_without_a_file_nothing_changes(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, spans, _ = converted(corpus, None)
    assert sorted(spans) == [("Mara", "PER"), ("Oslo", "GPE"), ("Oslo", "LOC")]


@pytest.mark.parametrize(
    "content, reason",
    [
        ('["PER"]', "found a list"),
        ("{}", "found {}"),
        ("{", "line 1"),
        ('{"PER": 1}', "the name of 'PER' is 1"),
        ('{"PER": ""}', "the name of 'PER' is ''"),
        ('{"PER": "person "}', "the name of 'PER' is 'person '"),
        ('{"PER": "a\\nb"}', "the name of 'PER'"),
        ('{"PER": "\\ud800"}', "the name of 'PER'"),
        ('{"PER": ["person"]}', "the name of 'PER'"),
        ('{"PER": "person", "PER": "name"}', "PER"),
    ],
)
def test_a_file_without_names_is_refused(tmp_path, content, reason):
    path = tmp_path / "names.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_label_names(path)
    assert str(error.value).startswith(f"[G580] {path} contains no names of labels")
    assert reason in str(error.value)


def test_the_command_takes_the_file(tmp_path, corpus):
    names, output = tmp_path / "names.json", tmp_path / "out.jsonl"
    names.write_text('{"PER": "person", "LOC": "place"}', encoding="utf-8")
    arguments = ["convert", corpus, output, "--from", "jsonl", "--to", "jsonl"]
    command = [*map(str, arguments), "--label-names", str(names)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    labels = {(span["start"], span["end"], span["label"]) for span in record["spans"]}
    assert labels == {
        (0, 4, "person"),
        (10, 14, "GPE"),
        (10, 14, "place"),
        (10, 13, "place"),
    }


def test_the_command_refuses_a_wrong_file_and_writes_nothing(tmp_path, corpus):
    names, output = tmp_path / "names.json", tmp_path / "out.spacy"
    names.write_text('["PER"]', encoding="utf-8")
    command = ["convert", corpus, output, "--from", "jsonl", "--label-names", names]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 1
    assert "[G580]" in result.stderr
    assert "Traceback" not in result.output
    assert not output.exists()
    missing = CliRunner().invoke(app, [*map(str, command[:-1]), "no.json"])
    assert missing.exit_code == 1
    assert "no.json" in missing.stderr


def test_a_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"PER": "person"}', encoding="utf-8-sig")
    assert read_label_names(path) == {"PER": "person"}
