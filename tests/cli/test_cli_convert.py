"""`convert`: the summary, exit codes and help."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app

RUNNER = CliRunner()


def run(*args):
    return RUNNER.invoke(app, [str(arg) for arg in args])


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("[Mara | PERSON] met [NF-kappa B | protein].\n", encoding="utf-8")
    return path


def test_the_corpus_is_written_and_summarized(tmp_path, corpus):
    output = tmp_path / "corpus.spacy"
    result = run(
        "convert", corpus, output, "--from", "bracketed", "--spans-key", "names"
    )
    assert result.exit_code == 0, result.output
    assert "1 documents, 2 spans" in result.output
    assert "1 of 2 spans fit no token boundary" in result.output
    assert "'NF-kappa B' (protein)" in result.output
    assert "--tokenizer fine may fit them" in result.output
    [doc] = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    assert [span.label_ for span in doc.spans["names"]] == ["PERSON"]


def test_the_fine_tokenizer_aligns_all_spans(tmp_path, corpus):
    output = tmp_path / "corpus.spacy"
    result = run(
        "convert", corpus, output, "--from", "bracketed", "--tokenizer", "fine"
    )
    assert result.exit_code == 0
    assert "fit no token boundary" not in result.output


def test_a_remedy_in_use_is_not_suggested(tmp_path, corpus):
    corpus.write_text("[Mar | PERSON]a met nobody.\n", encoding="utf-8")
    options = ("--from", "bracketed", "--tokenizer", "fine")
    result = run("convert", corpus, tmp_path / "corpus.spacy", *options)
    assert "1 of 1 spans fit no token boundary" in result.output
    assert "--tokenizer fine" not in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["corpus.txt", "out.spacy"],
        ["corpus.txt", "out.spacy", "--from", "nothing"],
        ["corpus.txt", "--from", "bracketed"],
        ["corpus.txt", "out.spacy", "--from", "bracketed", "--tokenizer", "no"],
    ],
)
def test_wrong_usage_exits_with_2(args):
    assert run("convert", *args).exit_code == 2


@pytest.mark.parametrize(
    "source, output, code",
    [
        ("missing.txt", "out.spacy", "G520"),
        (".", "out.spacy", "G521"),
        ("bad.txt", "out.spacy", "G511"),
        ("corpus.txt", "out.json", "G525"),
        ("corpus.txt", "corpus.txt/out.spacy", "G577"),
    ],
)
def test_bad_input_exits_with_1_and_a_message_on_stderr(
    tmp_path, corpus, source, output, code
):
    (tmp_path / "bad.txt").write_text("a [b\n")
    result = run("convert", tmp_path / source, tmp_path / output, "--from", "bracketed")
    assert result.exit_code == 1
    assert f"[{code}]" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_full_disk_exits_with_1(tmp_path, corpus, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run("convert", corpus, tmp_path / "out.spacy", "--from", "bracketed")
    assert result.exit_code == 1
    assert "[G523]" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_a_bug_keeps_its_traceback(tmp_path, corpus, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("no code")

    monkeypatch.setattr("spacy_genner.cli.convert.convert_file", broken)
    result = run("convert", corpus, tmp_path / "out.spacy", "--from", "bracketed")
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda c: c.name)
def test_help_has_an_example(command):
    result = run(command.name, "--help")
    assert result.exit_code == 0
    assert f"python -m spacy genner {command.name}" in result.output


@pytest.mark.filterwarnings("always")
def test_a_warning_is_printed_to_stderr(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"text": "a", "spans": []}\n{"text": "b", "spans": [], "answer": "reject"}\n'
    )
    result = run("convert", source, tmp_path / "out.spacy", "--from", "jsonl")
    assert result.exit_code == 0
    assert "[W501]" in result.stderr
    assert "UserWarning" not in result.output


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_the_output_lacks(tmp_path, encoding):
    """The summary lists spans and labels, which may have any characters."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("[東京 | PÄR] met [NF-kappa B | protein].\n", encoding="utf-8")
    output = tmp_path / "corpus.spacy"
    command = [sys.executable, "-m", "spacy", "genner", "convert", corpus, output]
    done = subprocess.run(
        [*command, "--from", "bracketed"],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert output.is_file() and b"1 documents, 2 spans" in done.stdout
