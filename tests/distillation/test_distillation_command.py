"""`annotate --teacher`: usage and bad input."""

import json

import pytest
from teacher_cases import OK, corpus, output_of, run, write_texts


@pytest.mark.parametrize(
    "arguments",
    [
        "--teacher teacher.cfg",
        "--teacher teacher.cfg in.txt",
        "--teacher teacher.cfg model in.txt out.spacy",
        "--teacher teacher.cfg in.txt out.spacy --no-such-option",
        "--teacher teacher.cfg in.txt out.spacy -x",
        "--teacher teacher.cfg in.txt out.spacy --min-score 2",
        "--teacher teacher.cfg in.txt out.spacy --keep failed",
        "--teacher teacher.cfg in.txt out.spacy --stop-after -1",
        "in.txt out.spacy",
        "model in.txt out.spacy --components.llm.model.name x",
        "model in.txt out.spacy --min-score 0.5",
        "model in.txt out.spacy --review x.jsonl",
        "model in.txt out.spacy --keep ok",
        "model in.txt out.spacy --restart",
    ],
)
def test_wrong_usage_exits_with_2(workdir, monkeypatch, arguments):
    monkeypatch.chdir(workdir)
    write_texts(workdir, OK)
    before = sorted(workdir.iterdir())
    result = run(*arguments.split())
    assert result.exit_code == 2, result.output
    assert sorted(workdir.iterdir()) == before


def test_overrides_may_stand_anywhere(workdir, monkeypatch):
    monkeypatch.chdir(workdir)
    write_texts(workdir, OK)
    changed = "--components.llm.task.spans_key=other"
    files = ("in.txt", "out.spacy")
    for arguments in (
        (changed, "--teacher", "teacher.cfg", *files),
        ("--teacher", "teacher.cfg", files[0], *changed.split("="), files[1]),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        [doc] = corpus(workdir / "out.spacy")
        assert list(doc.spans) == ["other"]


@pytest.mark.parametrize(
    "arguments, code",
    [
        ("--teacher none.cfg in.txt out.spacy", "G760"),
        ("--teacher bad.cfg in.txt out.spacy", "G760"),
        ("--teacher empty.cfg in.txt out.spacy", "G760"),
        ("--teacher teacher.cfg none.txt out.spacy", "G520"),
        ("--teacher teacher.cfg in.csv out.spacy", "G525"),
        ("--teacher teacher.cfg in.txt out.jsonl", "G525"),
        ("--teacher teacher.cfg in.txt out.spacy --review out.txt", "G525"),
        ("--teacher teacher.cfg in.txt out.spacy --review folder.jsonl", "G521"),
        ("--teacher teacher.cfg in.txt folder.spacy", "G521"),
        ("--teacher teacher.cfg in.txt teacher", "G525"),
        ("--teacher teacher.cfg in.jsonl out.spacy --review in.jsonl", "G770"),
        ("--teacher teacher.cfg in.jsonl out.spacy", "G769"),
        ("--teacher teacher.cfg in.txt out.spacy --components.none.x 1", "G760"),
        ("--teacher teacher.cfg in.txt out.spacy --components.llm.task.x 1", "G760"),
        ("--teacher teacher.cfg in.txt out.spacy --spans-key none", "G764"),
        ("--teacher teacher.cfg in.txt out.spacy --code none.py", "none.py"),
    ],
)
def test_bad_input_exits_with_1_and_writes_nothing(
    workdir, monkeypatch, arguments, code
):
    monkeypatch.chdir(workdir)
    write_texts(workdir, OK)
    (workdir / "in.csv").write_text("a")
    (workdir / "teacher").write_text("a file")
    (workdir / "bad.cfg").write_text("[nlp\n")
    (workdir / "empty.cfg").write_text("")
    (workdir / "in.jsonl").write_text(json.dumps({"text": "a", "x": "\ud800"}) + "\n")
    for name in ("folder.jsonl", "folder.spacy"):
        (workdir / name).mkdir()
    before = sorted(workdir.iterdir())
    result = run(*arguments.split())
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert code in output_of(result), result.output
    assert sorted(workdir.iterdir()) == before
