"""`annotate --teacher`: interrupted runs and the progress log."""

import base64
import json
import os

import pytest
import spacy
from spacy.tokens import DocBin
from teacher_cases import (
    ANSWERS,
    FAILED,
    OK,
    PLAIN,
    REPAIRED,
    Answers,
    corpus,
    output_of,
    reviewed,
    spans,
    teach,
    write_texts,
)

from spacy_genner.distillation import Entry, ProgressLog
from spacy_genner.llm.openai.usage import Usage

STOPS = "The run stops here ."
TEXTS = [PLAIN, OK, "It pours .", FAILED, STOPS, REPAIRED, PLAIN]


def content(workdir):
    docs = corpus(workdir / "corpus.spacy")
    rows = reviewed(workdir)
    return [(doc.text, spans(doc), doc.user_data) for doc in docs], rows


@pytest.fixture
def uninterrupted(workdir):
    """The result of an uninterrupted run."""
    write_texts(workdir, *TEXTS)
    assert teach(workdir).exit_code == 0
    made = content(workdir)
    for name in ("corpus.spacy", "corpus.review.jsonl"):
        (workdir / name).unlink()
    Answers.asked.clear()
    return made


def interrupt(workdir, *args):
    Answers.by_text[STOPS] = KeyboardInterrupt()
    result = teach(workdir, "--batch-size", "2", *args)
    assert result.exit_code == 130, result.output
    Answers.by_text.pop(STOPS)
    assert not (workdir / "corpus.spacy").exists()
    assert not (workdir / "corpus.review.jsonl").exists()
    return result


def test_an_interrupted_run_resumes(workdir, uninterrupted):
    result = interrupt(workdir)
    assert "[W762] Stopped. 3 of 7 documents are finished" in output_of(result)
    assert Answers.asked == TEXTS[:5]
    Answers.asked.clear()
    assert teach(workdir).exit_code == 0
    # Failed texts are annotated again, finished ones are not.
    assert Answers.asked == TEXTS[3:]
    assert content(workdir) == uninterrupted
    assert not (workdir / "corpus.spacy.part").exists()


def test_a_failed_document_may_succeed_later(workdir, uninterrupted):
    interrupt(workdir)
    Answers.by_text[FAILED] = "The University of [Porto | GPE] is old ."
    assert teach(workdir).exit_code == 0
    docs, rows = content(workdir)
    assert [doc[0] for doc in docs] == TEXTS
    assert "failed" not in [row["status"] for row in rows]


@pytest.mark.parametrize("cut", [1, 40])
def test_an_incomplete_line_is_ignored(workdir, uninterrupted, cut):
    interrupt(workdir)
    part = workdir / "corpus.spacy.part"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:3]) + lines[3][:-cut])
    Answers.asked.clear()
    assert teach(workdir).exit_code == 0
    assert Answers.asked == TEXTS[2:]
    assert content(workdir) == uninterrupted


def test_a_run_of_another_teacher_is_not_resumed(workdir, uninterrupted):
    interrupt(workdir)
    part = (workdir / "corpus.spacy.part").read_bytes()
    other = ("--components.llm.model.name", "other")
    result = teach(workdir, *other)
    assert (result.exit_code, "[G767]" in output_of(result)) == (1, True)
    assert (workdir / "corpus.spacy.part").read_bytes() == part
    Answers.asked.clear()
    assert teach(workdir, *other, "--resume").exit_code == 0
    assert Answers.asked == TEXTS[3:]
    assert content(workdir) == uninterrupted


def test_a_run_with_another_template_is_not_resumed(workdir, monkeypatch):
    monkeypatch.chdir(workdir)
    config = (workdir / "teacher.cfg").read_text("utf-8")
    config += """
[components.llm.task.template]
@misc = "spacy.FileReader.v1"
path = "template.jinja"
"""
    (workdir / "teacher.cfg").write_text(config, encoding="utf-8")
    template = workdir / "template.jinja"
    template.write_text("{{ instruction }}\n{{ text }}", encoding="utf-8")
    write_texts(workdir, *TEXTS)
    interrupt(workdir)
    template.write_text("{{ instruction }} Now:\n{{ text }}", encoding="utf-8")
    result = teach(workdir)
    assert (result.exit_code, "[G767]" in output_of(result)) == (1, True)
    assert teach(workdir, "--resume").exit_code == 0


def test_a_run_with_another_adapter_is_not_resumed(workdir, monkeypatch):
    monkeypatch.chdir(workdir)
    config = (workdir / "teacher.cfg").read_text("utf-8")
    (workdir / "teacher.cfg").write_text(config + 'adapter = "tuned"\n', "utf-8")
    weights = workdir / "tuned" / "adapter" / "adapter_model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"first")
    write_texts(workdir, *TEXTS)
    interrupt(workdir)
    weights.write_bytes(b"other")
    result = teach(workdir)
    assert (result.exit_code, "[G767]" in output_of(result)) == (1, True)
    weights.write_bytes(b"first")
    assert teach(workdir).exit_code == 0


def test_a_run_may_restart(workdir, uninterrupted):
    interrupt(workdir)
    Answers.asked.clear()
    arguments = ("--components.llm.model.name", "other", "--restart")
    assert teach(workdir, *arguments).exit_code == 0
    assert Answers.asked == TEXTS
    assert content(workdir) == uninterrupted


def test_a_run_on_other_texts_is_never_resumed(workdir, uninterrupted):
    interrupt(workdir)
    write_texts(workdir, *reversed(TEXTS))
    for arguments in ((), ("--resume",)):
        result = teach(workdir, *arguments)
        assert (result.exit_code, "[G768]" in output_of(result)) == (1, True)
    assert teach(workdir, "--restart").exit_code == 0
    assert [doc.text for doc in corpus(workdir / "corpus.spacy")][-1] == PLAIN


def test_a_run_without_finished_documents_is_replaced(workdir):
    """For example, after a run with a wrong server address."""
    write_texts(workdir, OK, PLAIN)
    Answers.by_text |= {text: ValueError("nobody there") for text in (OK, PLAIN)}
    other = ("--components.llm.model.name", "wrong")
    assert teach(workdir, *other).exit_code == 1
    assert (workdir / "corpus.spacy.part").exists()
    Answers.by_text = dict(ANSWERS)
    assert teach(workdir).exit_code == 0
    assert len(corpus(workdir / "corpus.spacy")) == 2


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
def test_a_damaged_log_is_reported(workdir, uninterrupted, line):
    interrupt(workdir)
    part = workdir / "corpus.spacy.part"
    first = b"" if b"layout" in line or line == b"{}\n" else part.read_bytes()
    part.write_bytes(first + line)
    result = teach(workdir)
    assert (result.exit_code, "[G768]" in output_of(result)) == (1, True)
    assert teach(workdir, "--restart").exit_code == 0
    assert content(workdir) == uninterrupted


def test_consecutive_failures_end_the_run(workdir):
    texts = [OK, *(f"{PLAIN} {number}" for number in range(8)), REPAIRED]
    write_texts(workdir, *texts)
    Answers.by_text |= {text: ValueError("nobody there") for text in texts[1:]}
    arguments = ("--stop-after", "3", "--batch-size", "2")
    result = teach(workdir, *arguments)
    assert result.exit_code == 1
    assert "[G765] The last 3 documents in a row failed" in output_of(result)
    assert "nobody there" in output_of(result)
    assert Answers.asked == texts[:4]
    assert not (workdir / "corpus.spacy").exists()
    Answers.by_text = dict(ANSWERS)
    Answers.asked.clear()
    assert teach(workdir, *arguments).exit_code == 0
    assert Answers.asked == texts[1:]
    assert [doc.text for doc in corpus(workdir / "corpus.spacy")] == texts


@pytest.mark.parametrize(
    "answer, code",
    [
        (KeyboardInterrupt(), "W762"),
        (ValueError("nobody there"), "G765"),
        ("Sure! It rains .", "G766"),
        ("It rains .", None),
    ],
)
def test_the_usage_is_printed_even_if_a_run_fails(workdir, answer, code):
    Answers.usage = Usage(requests=7, prompt_tokens=300, cost=0.5)
    Answers.by_text[PLAIN] = answer
    write_texts(workdir, PLAIN, PLAIN)
    result = teach(workdir, "--stop-after", "2", "--keep", "ok")
    printed = output_of(result)
    assert code is None or code in printed, printed
    assert printed.count("What this run asked for, component 'llm':") == 1
    for words in ("requests 7", "prompt tokens 300", "cost 0.5000"):
        assert words in printed, printed


def test_failures_that_are_not_consecutive_do_not_end_the_run(workdir):
    write_texts(workdir, *[FAILED, OK] * 4)
    result = teach(workdir, "--stop-after", "2")
    assert result.exit_code == 0
    assert "[W760] 4 of 8" in output_of(result)


def test_an_error_of_a_batch_is_reported_for_its_documents(workdir):
    write_texts(workdir, OK, PLAIN, "It breaks .", REPAIRED)
    Answers.by_text["It breaks ."] = RuntimeError("out of memory")
    assert teach(workdir, "--batch-size", "2").exit_code == 0
    rows = reviewed(workdir)
    assert [row["status"] for row in rows] == ["failed", "failed", "ok", "ok"]
    assert [row["text"] for row in rows[:2]] == ["It breaks .", REPAIRED]
    assert all("out of memory" in row["why"] for row in rows[:2])


def test_an_empty_corpus_is_an_error_with_the_reason(workdir):
    write_texts(workdir, REPAIRED, FAILED, "")
    result = teach(workdir, "--keep", "ok")
    assert result.exit_code == 1
    assert "[G766] None of the 3 documents" in output_of(result)
    assert "1 failed, 1 are left out, and 1 are blank" in output_of(result)
    assert "the server is tired" in output_of(result)
    assert not (workdir / "corpus.spacy").exists()
    assert [row["answer"] for row in reviewed(workdir)] == ["ignore", "ignore"]
    Answers.asked.clear()
    assert teach(workdir).exit_code == 0
    assert Answers.asked == [FAILED]
    assert [doc.text for doc in corpus(workdir / "corpus.spacy")] == [REPAIRED]


def test_an_input_without_text_is_an_error(workdir):
    write_texts(workdir, "", " ")
    result = teach(workdir)
    assert (result.exit_code, "[G766]" in output_of(result)) == (1, True)


def test_a_full_disk_keeps_the_log_and_the_old_corpus(workdir, monkeypatch):
    from pathlib import Path

    write_texts(workdir, OK, PLAIN)
    (workdir / "corpus.spacy").write_bytes(b"what was there")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = teach(workdir)
    assert (result.exit_code, "[G523]" in output_of(result)) == (1, True)
    monkeypatch.undo()
    assert (workdir / "corpus.spacy").read_bytes() == b"what was there"
    Answers.asked.clear()
    assert teach(workdir).exit_code == 0
    assert Answers.asked == []


IDENTITY = {"input": "checksum of the input", "teacher": "checksum of the teacher"}


def test_the_layout_of_the_file(tmp_path):
    """Logs of earlier versions have this layout, and must remain readable."""
    nlp = spacy.blank("en")
    path = tmp_path / "corpus.spacy.part"
    lines = [{"layout": 1, **IDENTITY}]
    for number, error in ((2, None), (1, "no answer"), (3, None), (1, None)):
        doc = nlp(f"Text {number}")
        doc.user_data["doc_id"] = str(number)
        data = DocBin(docs=[doc], store_user_data=True).to_bytes()
        encoded = base64.b64encode(data).decode("ascii")
        lines.append({"number": number, "error": error, "doc": encoded})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = ProgressLog(path, total=4)
    assert log.open(IDENTITY) == 3
    with log:
        assert [number in log for number in range(1, 5)] == [True, True, True, False]
        entry = log.read(1, nlp.vocab)
        assert (entry.doc.text, entry.error) == ("Text 1", None)
        assert entry.doc.user_data["doc_id"] == "1"
        log.add(Entry(4, nlp("Text 4"), "no answer"))
        assert not log.is_done(4) and 4 in log
    *earlier, added = map(json.loads, path.read_text().splitlines())
    assert earlier == lines
    assert list(added) == ["number", "error", "doc"]
    assert (added["number"], added["error"]) == (4, "no answer")


def test_a_new_log_starts_with_the_identity_of_the_run(tmp_path):
    path = tmp_path / "new" / "corpus.spacy.part"
    log = ProgressLog(path, total=1)
    assert log.open(IDENTITY) == 0
    with log:
        log.add(Entry(1, spacy.blank("en")("Text"), None))
    header = json.loads(path.read_text().splitlines()[0])
    assert header == {"layout": 1, **IDENTITY}


def test_a_log_without_entries_is_removed(tmp_path):
    log = ProgressLog(tmp_path / "corpus.spacy.part", total=1)
    log.open(IDENTITY)
    with log:
        assert log.path.exists()
    assert not log.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="Uses a limit of POSIX systems.")
@pytest.mark.parametrize("room", [10, 300, 1000])
def test_a_full_disk_keeps_the_finished_documents(tmp_path, room):
    """The error names the progress log, and the run resumes."""
    import resource

    nlp = spacy.blank("en")
    path = tmp_path / "corpus.spacy.part"
    identity = {"input": "a" * 64, "teacher": "b" * 64}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = ProgressLog(path, 9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"G773.*corpus\.spacy\.part.*resume"):
            log.open(identity)
            with log:
                for number in range(1, 10):
                    log.add(Entry(number, nlp(f"document {number}"), None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    done = log.done
    assert done < 9 and bool(done) == (room == 1000)
    again = ProgressLog(path, 9)
    assert again.open(identity) == done
    with again:
        again.add(Entry(done + 1, nlp("more"), None))
        texts = [again.read(n, nlp.vocab).doc.text for n in range(1, done + 2)]
    assert texts == [*(f"document {n}" for n in range(1, done + 1)), "more"]
