"""`annotate --teacher`: runs that are broken off, and those that go on."""

import json

import pytest
from teacher_cases import (
    ANSWERS,
    FAILED,
    OK,
    PLAIN,
    REPAIRED,
    Answers,
    corpus,
    reviewed,
    run,
    said,
    spans,
    teach,
    write_texts,
)

from spacy_genner.llm.openai.usage import Usage

STOPS = "The run stops here ."
TEXTS = [PLAIN, OK, "It pours .", FAILED, STOPS, REPAIRED, PLAIN]


def content(room):
    docs = corpus(room / "corpus.spacy")
    rows = reviewed(room)
    return [(doc.text, spans(doc), doc.user_data) for doc in docs], rows


@pytest.fixture
def unbroken(room):
    """What a run gives that was not broken off."""
    write_texts(room, *TEXTS)
    assert teach(room).exit_code == 0
    made = content(room)
    for name in ("corpus.spacy", "corpus.review.jsonl"):
        (room / name).unlink()
    Answers.asked.clear()
    return made


def break_off(room, *args):
    Answers.by_text[STOPS] = KeyboardInterrupt()
    result = teach(room, "--batch-size", "2", *args)
    assert result.exit_code == 130, result.output
    Answers.by_text.pop(STOPS)
    assert not (room / "corpus.spacy").exists()
    assert not (room / "corpus.review.jsonl").exists()
    return result


def test_an_interrupted_run_goes_on(room, unbroken):
    result = break_off(room)
    assert "[W762] Stopped. 3 of 7 documents are finished" in said(result)
    assert Answers.asked == TEXTS[:5]
    Answers.asked.clear()
    assert teach(room).exit_code == 0
    # What failed is asked again, what is done is not.
    assert Answers.asked == TEXTS[3:]
    assert content(room) == unbroken
    assert not (room / "corpus.spacy.part").exists()


def test_what_failed_may_be_right_in_the_end(room, unbroken):
    break_off(room)
    Answers.by_text[FAILED] = "The University of [Porto | GPE] is old ."
    assert teach(room).exit_code == 0
    docs, rows = content(room)
    assert [doc[0] for doc in docs] == TEXTS
    assert "failed" not in [row["status"] for row in rows]


@pytest.mark.parametrize("cut", [1, 40])
def test_half_a_line_is_no_document(room, unbroken, cut):
    break_off(room)
    part = room / "corpus.spacy.part"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:3]) + lines[3][:-cut])
    Answers.asked.clear()
    assert teach(room).exit_code == 0
    assert Answers.asked == TEXTS[2:]
    assert content(room) == unbroken


def test_a_run_of_another_teacher_is_not_taken_up(room, unbroken):
    break_off(room)
    part = (room / "corpus.spacy.part").read_bytes()
    other = ("--components.llm.model.name", "other")
    result = teach(room, *other)
    assert (result.exit_code, "[G767]" in said(result)) == (1, True)
    assert (room / "corpus.spacy.part").read_bytes() == part
    Answers.asked.clear()
    assert teach(room, *other, "--resume").exit_code == 0
    assert Answers.asked == TEXTS[3:]
    assert content(room) == unbroken


def test_a_run_with_another_template_is_not_taken_up(room, monkeypatch):
    monkeypatch.chdir(room)
    config = (room / "teacher.cfg").read_text("utf-8")
    config += """
[components.llm.task.template]
@misc = "spacy.FileReader.v1"
path = "template.jinja"
"""
    (room / "teacher.cfg").write_text(config, encoding="utf-8")
    template = room / "template.jinja"
    template.write_text("{{ instruction }}\n{{ text }}", encoding="utf-8")
    write_texts(room, *TEXTS)
    break_off(room)
    template.write_text("{{ instruction }} Now:\n{{ text }}", encoding="utf-8")
    result = teach(room)
    assert (result.exit_code, "[G767]" in said(result)) == (1, True)
    assert teach(room, "--resume").exit_code == 0


def test_a_run_with_other_weights_of_an_adapter_is_not_taken_up(room, monkeypatch):
    monkeypatch.chdir(room)
    config = (room / "teacher.cfg").read_text("utf-8")
    (room / "teacher.cfg").write_text(config + 'adapter = "tuned"\n', "utf-8")
    weights = room / "tuned" / "adapter" / "adapter_model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"first")
    write_texts(room, *TEXTS)
    break_off(room)
    weights.write_bytes(b"other")
    result = teach(room)
    assert (result.exit_code, "[G767]" in said(result)) == (1, True)
    weights.write_bytes(b"first")
    assert teach(room).exit_code == 0


def test_a_run_may_begin_anew(room, unbroken):
    break_off(room)
    Answers.asked.clear()
    arguments = ("--components.llm.model.name", "other", "--restart")
    assert teach(room, *arguments).exit_code == 0
    assert Answers.asked == TEXTS
    assert content(room) == unbroken


def test_a_run_on_other_texts_is_never_taken_up(room, unbroken):
    break_off(room)
    write_texts(room, *reversed(TEXTS))
    for arguments in ((), ("--resume",)):
        result = teach(room, *arguments)
        assert (result.exit_code, "[G768]" in said(result)) == (1, True)
    assert teach(room, "--restart").exit_code == 0
    assert [doc.text for doc in corpus(room / "corpus.spacy")][-1] == PLAIN


def test_a_run_that_did_nothing_does_not_bind(room):
    """As where the address of the server was wrong."""
    write_texts(room, OK, PLAIN)
    Answers.by_text |= {text: ValueError("nobody there") for text in (OK, PLAIN)}
    other = ("--components.llm.model.name", "wrong")
    assert teach(room, *other).exit_code == 1
    assert (room / "corpus.spacy.part").exists()
    Answers.by_text = dict(ANSWERS)
    assert teach(room).exit_code == 0
    assert len(corpus(room / "corpus.spacy")) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b"{}\n",
        b'{"layout": 0}\n',
        b'{"number": 99, "error": null}\n',
        b"\xff\n",
        b'{"number": 5, "error": null, "doc": "AAAA"}\n',
    ],
)
def test_a_damaged_journal_is_told(room, unbroken, line):
    break_off(room)
    part = room / "corpus.spacy.part"
    first = b"" if b"layout" in line or line == b"{}\n" else part.read_bytes()
    part.write_bytes(first + line)
    result = teach(room)
    assert (result.exit_code, "[G768]" in said(result)) == (1, True)
    assert teach(room, "--restart").exit_code == 0
    assert content(room) == unbroken


def test_a_teacher_that_is_gone_ends_the_run(room):
    texts = [OK, *(f"{PLAIN} {number}" for number in range(8)), REPAIRED]
    write_texts(room, *texts)
    Answers.by_text |= {text: ValueError("nobody there") for text in texts[1:]}
    arguments = ("--stop-after", "3", "--batch-size", "2")
    result = teach(room, *arguments)
    assert result.exit_code == 1
    assert "[G765] The last 3 documents in a row failed" in said(result)
    assert "nobody there" in said(result)
    assert Answers.asked == texts[:4]
    assert not (room / "corpus.spacy").exists()
    Answers.by_text = dict(ANSWERS)
    Answers.asked.clear()
    assert teach(room, *arguments).exit_code == 0
    assert Answers.asked == texts[1:]
    assert [doc.text for doc in corpus(room / "corpus.spacy")] == texts


@pytest.mark.parametrize(
    "said_of_plain, code",
    [
        (KeyboardInterrupt(), "W762"),
        (ValueError("nobody there"), "G765"),
        ("Sure! It rains .", "G766"),
        ("It rains .", None),
    ],
)
def test_what_was_asked_is_printed_however_a_run_ends(room, said_of_plain, code):
    Answers.usage = Usage(requests=7, prompt_tokens=300, cost=0.5)
    Answers.by_text[PLAIN] = said_of_plain
    write_texts(room, PLAIN, PLAIN)
    result = teach(room, "--stop-after", "2", "--keep", "ok")
    printed = said(result)
    assert code is None or code in printed, printed
    assert printed.count("What this run asked for, component 'llm':") == 1
    for words in ("requests 7", "prompt tokens 300", "cost 0.5000"):
        assert words in printed, printed


def test_failures_between_others_do_not_end_it(room):
    write_texts(room, *[FAILED, OK] * 4)
    result = teach(room, "--stop-after", "2")
    assert result.exit_code == 0
    assert "[W760] 4 of 8" in said(result)


def test_an_error_of_a_whole_batch_is_that_of_its_documents(room):
    write_texts(room, OK, PLAIN, "It breaks .", REPAIRED)
    Answers.by_text["It breaks ."] = RuntimeError("out of memory")
    assert teach(room, "--batch-size", "2").exit_code == 0
    rows = reviewed(room)
    assert [row["status"] for row in rows] == ["failed", "failed", "ok", "ok"]
    assert [row["text"] for row in rows[:2]] == ["It breaks .", REPAIRED]
    assert all("out of memory" in row["why"] for row in rows[:2])


def test_nothing_to_learn_from_is_an_error_that_says_why(room):
    write_texts(room, REPAIRED, FAILED, "")
    result = teach(room, "--keep", "ok")
    assert result.exit_code == 1
    assert "[G766] None of the 3 documents" in said(result)
    assert "1 failed, 1 are left out, and 1 are blank" in said(result)
    assert "the server is tired" in said(result)
    assert not (room / "corpus.spacy").exists()
    assert [row["answer"] for row in reviewed(room)] == ["ignore", "ignore"]
    Answers.asked.clear()
    assert teach(room).exit_code == 0
    assert Answers.asked == [FAILED]
    assert [doc.text for doc in corpus(room / "corpus.spacy")] == [REPAIRED]


def test_a_file_without_text(room):
    write_texts(room, "", " ")
    result = teach(room)
    assert (result.exit_code, "[G766]" in said(result)) == (1, True)


def test_a_full_disk_loses_nothing(room, monkeypatch):
    from pathlib import Path

    write_texts(room, OK, PLAIN)
    (room / "corpus.spacy").write_bytes(b"what was there")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = teach(room)
    assert (result.exit_code, "[G523]" in said(result)) == (1, True)
    monkeypatch.undo()
    assert (room / "corpus.spacy").read_bytes() == b"what was there"
    Answers.asked.clear()
    assert teach(room).exit_code == 0
    assert Answers.asked == []


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
def test_wrong_usage_is_2(room, monkeypatch, arguments):
    monkeypatch.chdir(room)
    write_texts(room, OK)
    before = sorted(room.iterdir())
    result = run(*arguments.split())
    assert result.exit_code == 2, result.output
    assert sorted(room.iterdir()) == before


def test_overrides_may_stand_anywhere(room, monkeypatch):
    monkeypatch.chdir(room)
    write_texts(room, OK)
    changed = "--components.llm.task.spans_key=other"
    files = ("in.txt", "out.spacy")
    for arguments in (
        (changed, "--teacher", "teacher.cfg", *files),
        ("--teacher", "teacher.cfg", files[0], *changed.split("="), files[1]),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        [doc] = corpus(room / "out.spacy")
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
def test_bad_input_is_1_and_leaves_nothing(room, monkeypatch, arguments, code):
    monkeypatch.chdir(room)
    write_texts(room, OK)
    (room / "in.csv").write_text("a")
    (room / "teacher").write_text("a file")
    (room / "bad.cfg").write_text("[nlp\n")
    (room / "empty.cfg").write_text("")
    (room / "in.jsonl").write_text(json.dumps({"text": "a", "x": "\ud800"}) + "\n")
    for name in ("folder.jsonl", "folder.spacy"):
        (room / name).mkdir()
    before = sorted(room.iterdir())
    result = run(*arguments.split())
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert code in said(result), result.output
    assert sorted(room.iterdir()) == before
