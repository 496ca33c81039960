"""The command line of the study: samples, and bad input."""

import pytest
import spacy
from spacy.cli import app
from spacy.tokens import DocBin
from study_cases import TRAIN, write
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401
from spacy_genner.corpora.docbin import all_spans, load_docs


def run(line):
    words = [word for word in line.split()]
    return CliRunner().invoke(app, ["genner", "study", *words])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.spacy", TRAIN)
    (tmp_path / "bad.spacy").write_text("no DocBin")
    (tmp_path / "binary.cfg").write_bytes(b'[paths]\nx = "\xe9"\n')
    (tmp_path / "link.spacy").symlink_to("train.spacy")
    DocBin().to_disk(tmp_path / "empty.spacy")
    return tmp_path


def read(path):
    docs = load_docs(path, spacy.blank("en").vocab)
    return [(doc.text, sorted(all_spans(doc, "sc"))) for doc in docs]


def test_sample(folder):
    result = run("sample train.spacy out/some.spacy --limit 3 --seed 1")
    assert result.exit_code == 0, result.output
    assert "3 of 6 documents" in result.output
    every, some = read(folder / "train.spacy"), read(folder / "out" / "some.spacy")
    places = [every.index(each) for each in some]
    assert places == sorted(set(places)) and len(places) == 3
    run("sample train.spacy again.spacy --limit 3 --seed 1")
    assert read(folder / "again.spacy") == some
    for limit in (0, 6, 99):
        run(f"sample train.spacy all.spacy --limit {limit}")
        assert read(folder / "all.spacy") == every


def test_a_sample_keeps_sentences(folder):
    docs = list(load_docs(folder / "train.spacy", spacy.blank("en").vocab))
    for doc in docs:
        for token in doc:
            token.is_sent_start = token.i == 0
    attrs = ["ORTH", "SENT_START"]
    DocBin(attrs, store_user_data=True, docs=docs).to_disk(folder / "train.spacy")
    assert run("sample train.spacy some.spacy --limit 2").exit_code == 0
    some = load_docs(folder / "some.spacy", spacy.blank("en").vocab)
    assert all(doc.has_annotation("SENT_START") for doc in some)


FOLDERS = "--output metrics --training training --corpus corpus"


@pytest.mark.parametrize(
    "line, code",
    [
        ("sample missing.spacy out.spacy", "G520"),
        ("sample bad.spacy out.spacy", "G515"),
        ("sample empty.spacy out.spacy", "G602"),
        ("sample train.spacy ./train.spacy --limit 1", "G770"),
        ("sample train.spacy link.spacy --limit 1", "G770"),
        (
            f"memorisation model train.spacy train.spacy --held-out no.spacy {FOLDERS}",
            "G520",
        ),
        (f"abilities model no.spacy --data . {FOLDERS}", "G520"),
        (f"abilities model train.spacy --data . --tasks chess {FOLDERS}", "G950"),
        (f"abilities model train.spacy --data . --tasks , {FOLDERS}", "G995"),
        ("document metrics study.md", "G949"),
        (
            "model qwen-3-4b genia --train train.spacy --dev train.spacy --test "
            "train.spacy --labels train.spacy --config binary.cfg --table t.md",
            "G342",
        ),
    ],
)
def test_bad_input_exits_with_1_and_a_code(folder, line, code):
    before = sorted(path.name for path in folder.rglob("*"))
    content = (folder / "train.spacy").read_bytes()
    result = run(line)
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert f"[{code}]" in result.output
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert (folder / "train.spacy").read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [
        "sample train.spacy out.txt --limit -1",
        "sample train.spacy",
        "memorisation model train.spacy train.spacy",
        "document metrics study.md --corpora ,",
        "nothing",
    ],
)
def test_wrong_usage_exits_with_2(folder, line):
    assert run(line).exit_code == 2
