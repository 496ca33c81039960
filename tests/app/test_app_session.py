"""The correction of a corpus: steps, order, saving and commands, without a page."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import spacy

from spacy_genner.app.documents import SKIPPED
from spacy_genner.app.edits import ReviewSpan
from spacy_genner.app.parts import PART_SIZE
from spacy_genner.app.session import (
    CorrectionSession,
    Suggestion,
    Training,
    default_output,
)
from spacy_genner.formats import get_format

NLP = spacy.blank("en")
TEXTS = ["Lisbon hosts the University of Lisbon.", "Maria lives in Porto.", "It rains."]
SPANS = [
    [(0, 6, "GPE", 0.95), (17, 37, "ORG", 0.55), (31, 37, "GPE", 0.9)],
    [(15, 20, "GPE", 0.8)],
    [],
]


def write_corpus(path: Path, texts=TEXTS, spans=SPANS) -> Path:
    keys = ("start", "end", "label", "score")
    rows = [
        {"text": text, "spans": [dict(zip(keys, span, strict=True)) for span in found]}
        if found is not None
        else {"text": text}
        for text, found in zip(texts, spans, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    return path


@pytest.fixture
def make(tmp_path):
    sessions = []

    def make_session(corpus=None, **settings):
        source = corpus or write_corpus(tmp_path / "in.jsonl")
        settings = {
            "nlp": NLP,
            "format": get_format("inline_bracketed"),
            "labels": ["ORG", "GPE"],
            **settings,
        }
        output = settings.pop("output", tmp_path / "out.jsonl")
        sessions.append(CorrectionSession(source, output, **settings))
        return sessions[-1]

    yield make_session
    for session in sessions:
        session.close()


class Page:
    """A page that shows the last answer, as the script of the page does."""

    def __init__(self, session, name="page"):
        self.session, self.name = session, name
        self.view = self.send("open")

    def send(self, action, **values):
        revision = getattr(self, "view", {}).get("revision", 0)
        request = {"page": self.name, "action": action, "revision": revision, **values}
        # As JSON, which is all that the page gets.
        self.view = json.loads(json.dumps(self.session.handle(request)))
        return self.view

    def do(self, action, **values):
        view = self.send(action, **values)
        assert view["error"] == ""
        return view

    @property
    def spans(self):
        return [
            (s["text"], s["label"], s["state"]) for s in self.view["document"]["spans"]
        ]


def saved(session) -> dict[int, dict]:
    lines = session.output.path.read_text("utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["review"]["number"]: row for row in rows}


def test_what_a_page_shows(make):
    page = Page(make())
    doc = page.view["document"]
    assert (doc["number"], doc["state"], doc["parts"]) == (1, "open", 1)
    assert doc["tokens"][:2] == [["Lisbon", " "], ["hosts", " "]]
    assert doc["tokens"][-1] == [".", ""]
    places = [(s["first"], s["last"], s["label"], s["score"]) for s in doc["spans"]]
    assert places == [(0, 0, "GPE", 0.95), (3, 5, "ORG", 0.55), (5, 5, "GPE", 0.9)]
    assert page.view["labels"] == ["ORG", "GPE"]
    assert page.view["counts"] == {"total": 3, "done": 0, "skipped": 0, "left": 3}


def test_each_step_is_saved(make):
    session = make()
    page = Page(session)
    assert not session.output.path.exists()
    page.do("accept", key="0-6-GPE")
    [row] = saved(session).values()
    assert [s["state"] for s in row["spans"]] == ["accepted", "suggested", "suggested"]
    assert row["answer"] == "ignore"
    page.do("reject", key="31-37-GPE")
    page.do("move", key="17-37-ORG", side="start", step=-1)
    page.do("relabel", key="13-37-ORG", label="PLACE")
    page.do("add", first=1, last=1, label="VERB")
    assert page.spans == [
        ("Lisbon", "GPE", "accepted"),
        ("hosts", "VERB", "added"),
        ("the University of Lisbon", "PLACE", "changed"),
        ("Lisbon", "GPE", "rejected"),
    ]
    page.do("resize", key="7-12-VERB", first=0, last=1)
    page.do("delete", key="0-12-VERB")
    assert page.view["labels"] == ["ORG", "GPE", "PLACE", "VERB"]
    row = saved(session)[1]
    assert [(s["start"], s["label"]) for s in row["spans"]] == [
        (0, "GPE"),
        (13, "PLACE"),
    ]
    assert [s["label"] for s in row["review"]["rejected"]] == ["GPE"]


def test_done_accepts_the_suggestions_and_shows_the_next_open_document(make):
    session = make()
    page = Page(session)
    page.do("finish")
    assert page.view["document"]["number"] == 2
    assert {s["state"] for s in saved(session)[1]["spans"]} == {"accepted"}
    page.do("skip")
    assert page.view["document"]["number"] == 3
    assert page.do("finish")["message"] == "All documents are done or skipped."
    assert page.view["counts"] == {"total": 3, "done": 2, "skipped": 1, "left": 0}
    rows = saved(session)
    assert [rows[n]["answer"] for n in (1, 2, 3)] == ["accept", "ignore", "accept"]
    page.do("go", number=2)
    page.do("reopen")
    assert page.view["counts"]["left"] == 1
    # From the last open document the search goes on at the start.
    page.do("go", number=3)
    page.do("finish")
    assert page.view["document"]["number"] == 2


def test_undo_and_redo_reach_over_documents(make):
    session = make()
    page = Page(session)
    page.do("reject", key="0-6-GPE")
    page.do("finish")
    page.do("relabel", key="15-20-GPE", label="ORG")
    page.do("undo")
    assert page.spans == [("Porto", "GPE", "suggested")]
    assert set(saved(session)) == {1}
    page.do("undo")
    assert page.view["document"]["number"] == 1
    assert page.view["document"]["state"] == "open"
    page.do("undo")
    assert page.spans[0] == ("Lisbon", "GPE", "suggested")
    assert saved(session) == {}
    assert page.do("undo")["message"] == "There is nothing to undo."
    for _ in range(3):
        page.do("redo")
    assert page.spans == [("Porto", "ORG", "changed")]
    assert saved(session)[1]["answer"] == "accept"
    assert not page.view["can_redo"]
    page.do("undo")
    page.do("accept", key="15-20-GPE")
    assert not page.view["can_redo"]


def test_a_refused_step_changes_nothing(make):
    session = make()
    page = Page(session)
    for action, values, code in [
        ("add", {"first": 4, "last": 6, "label": "X"}, "G886"),
        ("add", {"first": 0, "last": 0, "label": "GPE"}, "G887"),
        ("add", {"first": 0, "last": 99, "label": "GPE"}, "G888"),
        ("add", {"first": 0, "last": 0, "label": "a|b"}, "G003"),
        ("add", {"first": "x", "last": 0, "label": "a"}, "invalid literal"),
        ("add", {"label": "a"}, "G897"),
        ("move", {"key": "0-6-GPE", "side": "start", "step": -1}, "G888"),
        ("move", {"key": "31-37-GPE", "side": "end", "step": 1}, "G886"),
        ("accept", {"key": "1-2-X"}, "G895"),
        ("accept", {}, "G897"),
        ("explode", {}, "G897"),
        ("go", {"number": 4}, "G899"),
        ("order", {"order": "alphabet"}, "G894"),
        ("suggest", {}, "G898"),
        ("score_all", {}, "G898"),
    ]:
        view = page.send(action, **values)
        assert code in view["error"], (action, view["error"])
        assert view["revision"] == 0 and not view["can_undo"]
    assert not session.output.path.exists()


def test_crossing_spans_depend_on_the_format(make):
    page = Page(make(format=get_format("occurrence_json")))
    page.do("add", first=4, last=6, label="X")
    assert ("of Lisbon.", "X", "added") in page.spans


def test_an_earlier_revision_can_not_edit(make):
    session = make()
    page = Page(session)
    page.do("accept", key="0-6-GPE")
    request = {"page": "page", "action": "reject", "revision": 0, "key": "0-6-GPE"}
    assert "G889" in session.handle(request)["error"]
    assert saved(session)[1]["spans"][0]["state"] == "accepted"


def test_one_page_at_a_time(make, monkeypatch):
    session = make()
    first, second = Page(session, "first"), Page(session, "second")
    assert "G890" in second.view["error"]
    assert "G890" in second.send("accept", key="0-6-GPE")["error"]
    second.do("take_over")
    second.do("accept", key="0-6-GPE")
    assert "G890" in first.send("reject", key="0-6-GPE")["error"]
    # A page that was closed does not keep the file.
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    first.do("open")


def test_two_sessions_can_not_write_one_file(make, tmp_path):
    session = make()
    with pytest.raises(ValueError, match=r"G884.*out\.jsonl"):
        make()
    make(output=tmp_path / "other.jsonl")
    session.close()
    make()


def test_a_session_goes_on_where_the_last_one_stopped(make):
    session = make()
    page = Page(session)
    page.do("finish")
    page.do("skip")
    page.do("add", first=0, last=0, label="NEW")
    page.do("go", number=1)
    session.close()
    page = Page(make())
    assert page.view["document"]["number"] == 3
    assert page.spans == [("It", "NEW", "added")]
    assert page.view["counts"] == {"total": 3, "done": 1, "skipped": 1, "left": 1}
    assert page.view["labels"] == ["ORG", "GPE", "NEW"]
    page.do("go", number=2)
    assert page.view["document"]["state"] == SKIPPED


def test_orders(make):
    page = Page(make(order="margin"))
    # The least certain span of document 1 has the score 0.55.
    assert [page.view["document"]["number"]] == [1]
    page.do("go", step=1)
    assert page.view["document"]["number"] == 2
    page.do("order", order="entropy")
    assert page.view["document"]["number"] == 2
    assert page.view["document"]["position"] == 1
    page.do("order", order="corpus")
    assert page.view["document"]["number"] == 1


def test_the_step_before_the_first_document(make):
    page = Page(make())
    assert "no further document" in page.do("go", step=-1)["message"]
    assert page.view["document"]["number"] == 1


class FakeModel:
    """Suggests the first word of each text."""

    def __init__(self, fails_on=""):
        self.asked: list[str] = []
        self.fails_on = fails_on

    def __call__(self, texts):
        self.asked += texts
        return [self.suggest(text) for text in texts]

    def suggest(self, text):
        if self.fails_on and self.fails_on in text:
            return Suggestion((), "failed", [{"code": "failed", "message": "boom"}])
        end = len(text.split()[0])
        score = 1 / len(text)
        return Suggestion((ReviewSpan(0, end, "FIRST", score),), "ok", [])


def test_a_model_is_asked_about_texts_without_annotation(make, tmp_path):
    model = FakeModel()
    corpus = write_corpus(tmp_path / "in.jsonl", spans=[None, SPANS[1], None])
    page = Page(make(corpus, suggest=model))
    assert model.asked == TEXTS[:1]
    assert page.spans == [("Lisbon", "FIRST", "suggested")]
    assert "FIRST" in page.view["labels"]
    page.do("finish")
    page.do("go", number=1)
    assert model.asked == TEXTS[:1]
    page.do("go", number=3)
    assert model.asked == [TEXTS[0], TEXTS[2]]
    # The model is asked again only on request, and keeps what was decided.
    page.do("go", number=2)
    page.do("accept", key="15-20-GPE")
    assert page.do("suggest")["message"] == "The model suggests 1 spans."
    assert page.spans == [
        ("Maria", "FIRST", "suggested"),
        ("Porto", "GPE", "accepted"),
    ]


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it took too long")


def test_the_model_scores_all_documents_in_the_background(make, tmp_path):
    model = FakeModel(fails_on="rains")
    corpus = write_corpus(tmp_path / "in.jsonl", spans=[None, None, None])
    session = make(corpus, suggest=model, order="margin")
    page = Page(session)
    assert page.view["scoring"]["missing"] == 2
    page.do("score_all")
    wait_for(lambda: not session.scoring.is_running)
    page.do("open")
    scoring = {"running": False, "done": 2, "total": 2, "error": "", "missing": 0}
    assert page.view["scoring"] == scoring
    page.do("order", order="margin")
    # The document that failed comes first, with its reason.
    doc = page.view["document"]
    assert (doc["number"], doc["status"]) == (3, "failed")
    assert doc["issues"][0]["message"] == "boom"
    page.do("go", step=1)
    assert page.view["document"]["number"] == 2


def test_scoring_can_be_stopped_and_reports_errors(make, tmp_path):
    corpus = write_corpus(tmp_path / "in.jsonl", ["a b"] * 40, [None] * 40)
    started, go_on = threading.Event(), threading.Event()

    def suggest(texts):
        if len(texts) > 1:
            started.set()
            assert go_on.wait(10)
            if suggest.broken:
                raise ValueError("[G204] no base")
        return [Suggestion((), "ok", []) for _ in texts]

    suggest.broken = False
    session = make(corpus, suggest=suggest)
    page = Page(session)
    page.do("score_all")
    assert started.wait(10)
    # The page does not wait for the model.
    assert page.do("score_all")["message"] == "The model is already at work."
    page.do("stop_scoring")
    go_on.set()
    wait_for(lambda: not session.scoring.is_running)
    assert page.do("open")["scoring"]["done"] == 8
    suggest.broken = True
    page.do("score_all")
    wait_for(lambda: not session.scoring.is_running)
    assert page.do("open")["scoring"]["error"] == "[G204] no base"


def test_an_unwritable_output_keeps_the_state(make, tmp_path):
    session = make(output=tmp_path / "folder" / "out.jsonl")
    page = Page(session)
    page.do("accept", key="0-6-GPE")
    before = session.output.path.read_bytes()
    session.output.path.unlink()
    session.output.path.mkdir()
    view = page.send("reject", key="0-6-GPE")
    assert "G885" in view["error"] and view["revision"] == 1
    assert view["document"]["spans"][0]["state"] == "accepted"
    session.output.path.rmdir()
    page.do("undo")
    page.do("redo")
    assert session.output.path.read_bytes() == before


def test_a_long_document_is_shown_in_parts(make, tmp_path):
    line = "The town of Oslo grew. It has a harbour and <b>many</b> hills.\n"
    text = line * (100_000 // len(line))
    at = text.index("Oslo", 50_000)
    corpus = write_corpus(tmp_path / "in.jsonl", [text], [[(at, at + 4, "GPE", 0.5)]])
    page = Page(make(corpus))
    doc = page.view["document"]
    assert 25 <= doc["parts"] <= 35
    seen, spans = doc["lead"], []
    for part in range(1, doc["parts"] + 1):
        doc = page.view["document"]
        assert doc["part"] == part
        shown = "".join(word + after for word, after in doc["tokens"])
        assert len(shown) <= PART_SIZE + 100
        # Parts end with lines.
        assert part == doc["parts"] or shown.endswith("\n")
        seen += shown
        spans += [(part, s["text"]) for s in doc["spans"]]
        page.do("part", step=1)
    assert seen == text
    assert [found for _, found in spans] == ["Oslo"]
    # A step in a part uses the tokens of the document.
    first = page.view["document"]["first_token"]
    page.do("add", first=first + 3, last=first + 3, label="GPE")
    assert page.spans[0][0] == "Oslo"
    assert page.view["document"]["part"] == doc["parts"]


def test_spans_that_fit_no_token_and_texts_without_tokens(make, tmp_path):
    spans = [[(1, 3, "X", 0.5)], [(5, 6, "SPACE", 0.5)], []]
    corpus = write_corpus(tmp_path / "in.jsonl", ["Oslo is", "Maria  is", "  "], spans)
    page = Page(make(corpus))
    [span] = page.view["document"]["spans"]
    assert (span["first"], span["last"], span["aligned"]) == (0, 0, False)
    page.do("move", key="1-3-X", side="end", step=1)
    page.do("go", step=1)
    [span] = page.view["document"]["spans"]
    assert (span["first"], span["aligned"]) == (1, False)
    page.do("delete", key="5-6-SPACE")
    page.do("go", step=1)
    doc = page.view["document"]
    assert (doc["lead"], doc["tokens"], doc["parts"]) == ("  ", [], 1)
    page.do("finish")


def test_ten_thousand_documents(make, tmp_path):
    corpus = write_corpus(tmp_path / "in.jsonl", TEXTS[:2] * 5000, SPANS[:2] * 5000)
    session = make(corpus, order="entropy")
    page = Page(session)
    for _ in range(20):
        page.do("finish")
    assert page.view["counts"]["done"] == 20
    assert len(saved(session)) == 20


def test_the_commands_name_the_files(make, tmp_path):
    source = write_corpus(tmp_path / "my corpus.jsonl")
    adapter = str(tmp_path / "model" / "generative_ner" / "adapter")
    session = make(
        source,
        output=default_output(source),
        nlp=spacy.blank("de"),
        training=Training("model", adapter, "people"),
    )
    commands = [row["command"] for row in session.commands()]
    folder = str(tmp_path)
    stem = f"'{folder}/my corpus.corrected"
    genner = "python -m spacy genner"
    assert commands == [
        f"{genner} convert {stem}.jsonl' {stem}.spacy' --from jsonl --lang de "
        "--spans-key people",
        f"{genner} init-config {stem}.spacy' {stem}.cfg' --dev {stem}-dev.spacy' "
        "--lang de --spans-key people",
        f"{genner} train {stem}.cfg' --output 'training/my corpus.corrected'",
        f"{genner} train {stem}.cfg' --output 'training/my corpus.corrected' "
        f"--initialize.components.generative_ner.adapter {adapter}",
        f"{genner} train {stem}.cfg' --resume 'training/my corpus.corrected'",
    ]


SERVER = """
import sys, spacy
from pathlib import Path
from spacy_genner.app.session import CorrectionSession
from spacy_genner.formats import get_format

folder = Path(sys.argv[1])
session = CorrectionSession(
    folder / "in.jsonl", folder / "out.jsonl",
    nlp=spacy.blank("en"), format=get_format("inline_bracketed"),
)
number = 0
while True:
    # A step is reported after it is saved.
    answer = session.handle(
        {"page": "p", "action": "finish", "revision": session.revision}
    )
    number += 1
    print(number, flush=True)
"""


def test_a_killed_server_loses_no_step(make, tmp_path):
    count = 2000
    write_corpus(tmp_path / "in.jsonl", ["a b c " * 50] * count, [[]] * count)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    reported = 0
    for line in server.stdout:
        reported = int(line)
        if reported == 40:
            os.kill(server.pid, signal.SIGKILL)
            break
    reported = max([reported, *(int(line) for line in server.stdout)])
    server.wait()
    server.stdout.close()
    # Nothing holds the file any more, and it has every step that was reported.
    session = make(tmp_path / "in.jsonl")
    page = Page(session)
    assert reported <= page.view["counts"]["done"] <= reported + 1
    assert page.view["document"]["number"] == page.view["counts"]["done"] + 1
    page.do("finish")
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".new"]
