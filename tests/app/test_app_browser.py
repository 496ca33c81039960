"""The page of `genner app` in a browser, driven as a person drives it.

The tests need the extra `browser` and chromium, and are skipped without them. Actions:
try a text, move the slider of the minimum score, compare two pipelines, open files, see
statuses and issues, see why labels are fixed and edit them where they are free; accept,
reject, relabel, move boundaries, mark text with the mouse and add spans, delete, undo,
redo, finish and skip by keys and buttons, go to documents and parts, order, be refused
crossing spans, continue in a second page, read the keys and the commands, open another
corpus, lose the server, go on after it was killed, and stop it with Ctrl+C.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import spacy
from browser_cases import make_rules  # noqa: F401
from component_cases import LABELS, TEXTS, trained_pipeline

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
HERE = Path(__file__).parent
LISBON = "Lisbon hosts the University of Lisbon."
HOSTILE = '<script>alert(1)</script> <b>Maria</b> & "Porto" 🙂 lives in Oslo.'


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("gradio", reason="the extra 'app' is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def models(browser, tmp_path_factory):
    """Two pipelines with rules."""
    folder = tmp_path_factory.mktemp("models")
    for name, skip in (("rules", ""), ("no-orgs", "ORG")):
        nlp = spacy.blank("en")
        nlp.add_pipe("browser_test_rules", config={"skip": skip})
        nlp.to_disk(folder / name)
    return folder


@pytest.fixture(scope="module")
def tiny_models(browser, tmp_path_factory, tiny_base):
    """A tiny trained pipeline, and a base without an adapter."""
    folder = tmp_path_factory.mktemp("tiny")
    base = tiny_base("llama")
    trained_pipeline(base).to_disk(folder / "tiny")
    nlp = spacy.blank("en")
    model = {"name": str(base), "dtype": "float32", "device": "cpu", "lora": None}
    nlp.add_pipe("generative_ner", config={"labels": ["GPE"], "model": model})
    nlp.to_disk(folder / "base")
    return folder


class Server:
    """The command, and the folder that it runs in."""

    def __init__(self, *arguments, cwd):
        self.arguments, self.cwd = [str(a) for a in arguments], cwd
        self.start()

    def start(self):
        command = [sys.executable, "-m", "spacy_genner", "app", *self.arguments]
        code = ["--code", str(HERE / "browser_cases.py"), "--spans-key", "sc"]
        self.process = subprocess.Popen(
            [*command, *code, "--port", "0"],
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=(self.cwd / "server.log").open("a"),
            text=True,
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, (self.cwd / "server.log").read_text("utf8")
        self.address = found[0]

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(*arguments):
        servers.append(Server(*arguments, cwd=tmp_path))
        return servers[-1]

    yield start
    for server in servers:
        if not server.process.stdout.closed:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def tried(models, tmp_path_factory):
    """A server with two pipelines and no corpus."""
    arguments = (models / "rules", models / "no-orgs")
    server = Server(*arguments, cwd=tmp_path_factory.mktemp("tried"))
    yield server
    server.stop(signal.SIGKILL)


class Watched:
    """A page whose errors and requests to other addresses fail the test."""

    def __init__(self, browser, address, **context):
        context.setdefault("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(**context)
        self.problems = []
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append("dialog"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.address = address
        self.page.goto(address)
        # The other tab is made when it is selected.
        self.page.wait_for_selector("#run, .genner-page", state="attached")

    def _console(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def _request(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(request.url)

    def close(self):
        self.context.close()
        assert self.problems == []


@pytest.fixture
def visit(browser):
    pages = []

    def open_page(server, **context):
        pages.append(Watched(browser, server.address, **context))
        return pages[-1]

    yield open_page
    for watched in pages:
        watched.close()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def annotate(page, text):
    page.locator("#text textarea").fill(text)
    page.locator("#run").click()


def wait(page, script, argument=None):
    page.wait_for_function(script, arg=argument)


def alone(page):
    """Use no second pipeline."""
    page.locator("#other input").click()
    page.get_by_role("option", name="none").click()


def wait_value(page, selector, value):
    wait(
        page,
        "([selector, value]) => document.querySelector(selector).value === value",
        [selector, value],
    )


def wait_panels(page, expected):
    """Wait for the labels in each panel."""
    wait(
        page,
        """expected => JSON.stringify(
            [...document.querySelectorAll('.genner-panel')].map(
                panel => [...panel.querySelectorAll('.genner-chip')].map(
                    chip => chip.textContent.trim())))
            === JSON.stringify(expected)""",
        expected,
    )


# Try


def test_try(tried, visit):
    page = visit(tried).page
    annotate(page, LISBON)
    both = [["GPE 0.95", "ORG 0.55", "GPE 0.95"], ["GPE 0.95", "GPE 0.95"]]
    wait_panels(page, both)
    # The inner span is drawn below the outer one.
    tops = (
        page.locator(".genner-panel")
        .first.locator(".genner-chip")
        .evaluate_all("chips => chips.map(c => c.getBoundingClientRect().top)")
    )
    assert tops[0] == tops[1] < tops[2]
    # Only one pipeline found the university.
    assert page.locator(".genner-chip.genner-alone").all_inner_texts() == ["ORG 0.55"]
    # The slider filters without a run: the server is asked for no new annotation.
    seconds = page.locator(".genner-panel header .genner-note").all_inner_texts()
    slider = page.locator("#min-score input[type=number]")
    slider.fill("0.6")
    slider.press("Tab")
    wait_panels(page, [["GPE 0.95", "GPE 0.95"]] * 2)
    note = page.locator(".genner-panel header .genner-note").first.inner_text()
    assert "2 spans, 1 below the minimum score" in note
    assert note.split(" · ")[1] == seconds[0].split(" · ")[1]
    slider.fill("0")
    slider.press("Tab")
    wait_panels(page, both)
    alone(page)
    page.locator("#run").click()
    wait_panels(page, both[:1])


def test_statuses_issues_and_hostile_texts(tried, visit):
    page = visit(tried).page
    alone(page)
    annotate(page, HOSTILE)
    wait_panels(page, [["PERSON 0.80", "GPE 0.95", "GPE 0.95"]])
    shown = page.locator(".genner-panel .genner-word, .genner-panel .genner-token")
    assert "<script>alert(1)</script>" in "".join(shown.all_inner_texts())
    assert page.locator(".genner-panel script, .genner-panel b").count() == 0
    annotate(page, "An odd Oslo.")
    page.wait_for_selector(".genner-status-repaired")
    page.locator(".genner-issues summary").click()
    issue = page.locator(".genner-issues li").inner_text()
    assert issue == "copy_differs it was <i>odd</i>"
    annotate(page, "boom")
    page.wait_for_selector(".genner-status-failed")
    assert "it went off <i>here</i>" in page.locator(".genner-issues li").inner_text()
    assert "0 spans" in page.locator(".genner-panel").inner_text()


def test_files_are_opened(tried, visit, tmp_path):
    page = visit(tried).page
    alone(page)
    path = tmp_path / "texts.txt"
    path.write_text("Oslo\nPorto is old\nLisbon too\n", "utf8")
    page.locator("input[type=file]").set_input_files(path)
    wait_value(page, "#text textarea", "Oslo")
    number = page.locator("#number input[type=number]")
    number.fill("2")
    number.press("Enter")
    wait_value(page, "#text textarea", "Porto is old")
    wait_panels(page, [["GPE 0.95"]])
    (tmp_path / "bad.jsonl").write_text('{"texts": 1}\n', "utf8")
    page.locator("input[type=file]").set_input_files(tmp_path / "bad.jsonl")
    page.wait_for_selector("#drawing .genner-error")
    assert "[G881]" in page.locator("#drawing .genner-error").inner_text()


def test_labels(browser, tiny_models, serve, visit):
    page = visit(serve(tiny_models / "tiny", tiny_models / "base")).page
    labels = page.locator("#labels textarea")
    assert labels.is_disabled()
    assert labels.input_value() == "\n".join(LABELS)
    assert "Fixed" in page.locator("#labels").inner_text()
    page.locator("#model input").click()
    page.get_by_role("option", name="base").click()
    wait(page, "() => !document.querySelector('#labels textarea').disabled")
    alone(page)
    labels.fill("TOWN: a town\nTOWN")
    annotate(page, TEXTS[0][0])
    page.wait_for_selector("#drawing .genner-error")
    assert "[G421]" in page.locator("#drawing .genner-error").inner_text()
    labels.fill("TOWN: a town")
    page.locator("#run").click()
    page.wait_for_selector(".genner-panel")
    chips = page.locator(".genner-panel .genner-chip").all_inner_texts()
    assert all(chip.startswith("TOWN") for chip in chips)


# Correct


ROWS = [
    {"text": LISBON, "doc_id": "a"},
    {"text": HOSTILE, "doc_id": "<i>b</i>"},
    {"text": "An odd Oslo.", "doc_id": "c"},
]


def write_corpus(folder, rows=ROWS, name="in.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    return path


def saved(folder, name="in.corrected.jsonl"):
    lines = (folder / name).read_text("utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["review"]["number"]: row for row in rows}


def spans(row):
    text = row["text"]
    return [(text[s["start"] : s["end"]], s["label"], s["state"]) for s in row["spans"]]


class Editor:
    """The tab for corrections."""

    def __init__(self, page):
        self.page = page
        tab(page, "Correct")
        page.wait_for_selector(".genner-work", state="visible")

    def chips(self):
        texts = self.page.locator(".genner-page .genner-chip").all_inner_texts()
        return [" ".join(text.split()) for text in texts]

    def wait(self, expected):
        wait(
            self.page,
            """expected => JSON.stringify([...document.querySelectorAll(
                '.genner-page .genner-chip')].map(c => c.textContent.trim()))
                === JSON.stringify(expected)""",
            expected,
        )

    def press(self, *keys):
        for key in keys:
            self.page.locator(".genner-page").press(key)

    def select(self, index):
        self.page.locator(".genner-page .genner-chip").nth(index).click()

    def drag(self, first, last):
        """Drag the mouse over words."""
        boxes = [
            self.page.locator(f".genner-page [data-token='{number}']").bounding_box()
            for number in (first, last)
        ]
        mouse = self.page.mouse
        mouse.move(boxes[0]["x"] + 2, boxes[0]["y"] + 10)
        mouse.down()
        mouse.move(boxes[1]["x"] + boxes[1]["width"] - 3, boxes[1]["y"] + 10, steps=4)
        mouse.up()

    def mark(self, first, last):
        """Mark words with the mouse."""
        self.drag(first, last)
        self.page.wait_for_selector(".genner-page .genner-marked")

    def wait_text(self, selector, text):
        wait(
            self.page,
            "([selector, text]) => [...document.querySelectorAll(selector)].some("
            "found => !found.hidden && found.textContent.includes(text))",
            [selector, text],
        )

    def wait_document(self, number):
        wait(
            self.page,
            "number => document.querySelector('.genner-nav input').value === number",
            str(number),
        )


FIRST = ["GPE 0.95", "ORG 0.55", "GPE 0.95"]


def test_correct(browser, models, serve, visit, tmp_path):
    write_corpus(tmp_path)
    server = serve(models / "rules", "--corpus", "in.jsonl")
    editor = Editor(visit(server).page)
    page = editor.page
    editor.wait(FIRST)
    # Accept the first span by its key: the next suggestion is selected, and rejected.
    editor.press("Tab", "a")
    editor.wait(["✓ GPE 0.95", "ORG 0.55", "GPE 0.95"])
    editor.press("x")
    editor.wait(["✓ GPE 0.95", "✕ ORG 0.55", "GPE 0.95"])
    assert spans(saved(tmp_path)[1]) == [
        ("Lisbon", "GPE", "accepted"),
        ("Lisbon", "GPE", "suggested"),
    ]
    # Undo and redo.
    editor.press("u", "u")
    editor.wait(FIRST)
    editor.press("Control+y")
    editor.wait(["✓ GPE 0.95", "ORG 0.55", "GPE 0.95"])
    # Move the start of the university to the left, and give it another label.
    editor.select(1)
    editor.press("q")
    editor.wait(["✓ GPE 0.95", "✎ ORG", "GPE 0.95"])
    page.get_by_title("Start to the right (W)").click()
    editor.press("q")
    page.locator(".genner-labels button", has_text="GPE").click()
    editor.wait(["✓ GPE 0.95", "✎ GPE", "GPE 0.95"])
    changed = spans(saved(tmp_path)[1])[1]
    assert changed == ("the University of Lisbon", "GPE", "changed")
    # Mark words with the mouse, and add a span with a new label.
    editor.press("Escape")
    editor.mark(1, 1)
    page.get_by_label("Another label").fill("VERB")
    page.get_by_label("Another label").press("Enter")
    editor.wait(["✓ GPE 0.95", "+ VERB", "✎ GPE", "GPE 0.95"])
    # A crossing span is refused with a message.
    editor.press("Escape")
    editor.mark(0, 2)
    editor.press("1")
    editor.wait_text(".genner-error", "[G886]")
    editor.wait(["✓ GPE 0.95", "+ VERB", "✎ GPE", "GPE 0.95"])
    # Resize the verb to marked text, and delete it.
    editor.press("Escape")
    editor.select(1)
    editor.mark(0, 1)
    editor.press("e")
    editor.wait_text(".genner-what q", "Lisbon hosts")
    page.get_by_role("button", name="Delete").click()
    editor.wait(["✓ GPE 0.95", "✎ GPE", "GPE 0.95"])
    # Done: the other suggestions are accepted, and the next document is shown.
    editor.press("Enter")
    editor.wait_document(2)
    editor.wait(["PERSON 0.80", "GPE 0.95", "GPE 0.95"])
    counts = page.locator(".genner-counts").inner_text()
    assert counts == "1 done · 0 skipped · 2 left of 3"
    row = saved(tmp_path)[1]
    assert (row["answer"], row["doc_id"]) == ("accept", "a")
    assert [state for _, _, state in spans(row)] == ["accepted", "changed", "accepted"]
    # Hostile texts are text.
    assert page.locator(".genner-page b, .genner-page script").count() == 0
    assert "<i>b</i>" in page.locator(".genner-place").inner_text()
    # Skip. Then undo goes back to the document.
    editor.press("s")
    editor.wait_document(3)
    assert saved(tmp_path)[2]["answer"] == "ignore"
    editor.press("u")
    editor.wait_document(2)
    assert 2 not in saved(tmp_path)
    editor.press("r")
    editor.wait_document(2)
    editor.press("n")
    editor.wait_document(3)
    assert page.locator(".genner-status-repaired").count() == 1
    editor.press("b", "b")
    editor.wait_document(1)
    assert page.locator(".genner-doc-done").count() == 1
    page.get_by_role("button", name="Reopen").click()
    page.wait_for_selector(".genner-doc-open")
    # Nothing but the output and the lock was written beside the corpus.
    names = {path.name for path in tmp_path.iterdir()} - {"server.log"}
    assert names == {"in.jsonl", "in.corrected.jsonl", ".in.corrected.jsonl.lock"}


def test_mouse(browser, models, serve, visit, tmp_path):
    write_corpus(tmp_path)
    editor = Editor(visit(serve(models / "rules", "--corpus", "in.jsonl")).page)
    page = editor.page
    editor.wait(FIRST)
    selected = page.locator(".genner-inspector q")
    # A click on a word selects the innermost span, and then the next outer one.
    inner = page.locator(".genner-page [data-token='5'] .genner-word")
    inner.click(position={"x": 5, "y": 5})
    assert selected.inner_text() == "Lisbon"
    inner.click(position={"x": 5, "y": 5})
    assert selected.inner_text() == "University of Lisbon"
    page.get_by_role("button", name="Reject (X)").click()
    editor.wait(["GPE 0.95", "✕ ORG 0.55", "GPE 0.95"])
    # The next suggestion is selected, so that the button accepts it.
    page.get_by_role("button", name="Accept (A)").click()
    editor.wait(["GPE 0.95", "✕ ORG 0.55", "✓ GPE 0.95"])
    # A label that is chosen first is given to all text that is marked.
    editor.press("Escape")
    page.locator(".genner-labels button", has_text="ORG").click()
    editor.drag(1, 2)
    editor.wait(["GPE 0.95", "+ ORG", "✕ ORG 0.55", "✓ GPE 0.95"])
    assert spans(saved(tmp_path)[1])[1] == ("hosts the", "ORG", "added")
    page.get_by_role("button", name="Ask the model").click()
    editor.wait_text(".genner-note", "The model suggests 3 spans.")
    page.get_by_role("button", name="Done, next").click()
    editor.wait_document(2)
    page.locator(".genner-nav input").fill("3")
    page.locator(".genner-nav input").press("Enter")
    editor.wait_document(3)


def test_help_commands_and_another_corpus(browser, models, serve, visit, tmp_path):
    write_corpus(tmp_path, name="my corpus.jsonl")
    page = visit(serve(models / "rules")).page
    # The page of a server that was started without a corpus asks for one.
    tab(page, "Correct")
    page.wait_for_selector(".genner-form", state="visible")
    page.locator(".genner-form input[name=corpus]").fill("my corpus.jsonl")
    page.locator(".genner-form button[type=submit]").click()
    editor = Editor(page)
    editor.wait_document(1)
    editor.press("?")
    assert page.locator("dialog[open] dt").count() >= 15
    # Keys do nothing while the help is open.
    page.keyboard.press("n")
    page.locator("dialog[open] button").click()
    editor.wait_document(1)
    page.get_by_role("button", name="Commands").click()
    page.wait_for_selector("dialog[open] code")
    commands = page.locator("dialog[open] code").all_inner_texts()
    verbs = [command.split()[4] for command in commands]
    assert verbs == ["convert", "init-config", "train", "train"]
    assert "'my corpus.corrected.jsonl'" in commands[0]
    assert "--resume" in commands[-1]
    page.locator("dialog[open] header button").click()
    page.get_by_role("button", name="Open…").click()
    page.locator(".genner-form input[name=corpus]").fill("none.jsonl")
    page.locator(".genner-form button[type=submit]").click()
    editor.wait_text(".genner-error", "[G891]")
    write_corpus(tmp_path, ROWS[2:], name="other.jsonl")
    page.locator(".genner-form input[name=corpus]").fill("other.jsonl")
    page.locator(".genner-form button[type=submit]").click()
    page.wait_for_selector(".genner-work", state="visible")
    assert "other.jsonl" in page.locator(".genner-files").inner_text()
    editor.wait(["GPE 0.95"])


def test_order_by_uncertainty(browser, models, serve, visit, tmp_path):
    texts = ["It rains.", "Maria lives in Oslo.", LISBON, "boom"]
    write_corpus(tmp_path, [{"text": text} for text in texts])
    editor = Editor(visit(serve(models / "rules", "--corpus", "in.jsonl")).page)
    page = editor.page
    editor.wait_document(1)
    page.get_by_role("button", name="Score 3 documents").click()
    page.get_by_role("button", name="Order again").wait_for()
    page.get_by_label("Order of the documents").select_option("margin")
    # The text that failed comes first, and the text without spans last.
    for number in (4, 3, 2, 1):
        editor.wait_document(number)
        editor.press("n")
    editor.wait_text(".genner-note", "There is no further document")


def test_two_pages_and_two_servers(browser, models, serve, visit, tmp_path):
    write_corpus(tmp_path)
    server = serve("--corpus", "in.jsonl")
    first, second = Editor(visit(server).page), None
    first.wait_document(1)
    second = Editor(visit(server).page)
    second.wait_text(".genner-error", "[G890]")
    second.page.get_by_role("button", name="Continue here").click()
    second.wait_text(".genner-note", "This page continues")
    second.press("Enter")
    second.wait_document(2)
    first.press("Enter")
    first.wait_text(".genner-error", "[G890]")
    assert set(saved(tmp_path)) == {1}
    # Another server can't write the file.
    done = subprocess.run(
        [sys.executable, "-m", "spacy_genner", "app", "--corpus", "in.jsonl"]
        + ["--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "[G884]" in done.stderr


def test_a_killed_server_and_browser_lose_nothing(
    browser, models, serve, visit, tmp_path
):
    write_corpus(tmp_path)
    server = serve(models / "rules", "--corpus", "in.jsonl")
    watched = visit(server)
    editor = Editor(watched.page)
    editor.wait(FIRST)
    editor.press("Tab", "a", "x")
    editor.wait(["✓ GPE 0.95", "✕ ORG 0.55", "GPE 0.95"])
    server.stop(signal.SIGKILL)
    editor.press("n")
    editor.wait_text(".genner-error", "The server does not answer")
    # The failed requests are reported by the browser.
    watched.problems.clear()
    watched.page.close()
    before = saved(tmp_path)
    server.start()
    editor = Editor(visit(server).page)
    editor.wait(["✓ GPE 0.95", "✕ ORG 0.55", "GPE 0.95"])
    assert saved(tmp_path) == before
    editor.press("Enter")
    editor.wait_document(2)
    watched.problems.clear()


def test_a_long_document_in_a_large_corpus(browser, models, serve, visit, tmp_path):
    line = "The town of Oslo grew. It has a harbour and many hills.\n"
    rows = [{"text": line * 1800, "spans": []}]
    rows += [{"text": LISBON, "spans": []}] * 9999
    write_corpus(tmp_path, rows)
    editor = Editor(visit(serve(models / "rules", "--corpus", "in.jsonl")).page)
    page = editor.page
    editor.wait_text(".genner-parts", "part 1 of 2")
    editor.press("]", "]")
    editor.wait_text(".genner-parts", "part 3 of 2")
    token = page.locator(".genner-page .genner-token").first
    first = int(token.get_attribute("data-token"))
    editor.mark(first + 3, first + 3)
    page.get_by_label("Another label").fill("GPE")
    page.get_by_label("Another label").press("Enter")
    editor.wait(["+ GPE"])
    [span] = spans(saved(tmp_path)[1])
    assert span == ("Oslo", "GPE", "added")
    editor.press("Enter")
    editor.wait_document(2)
    assert "9999 left of 10000" in page.locator(".genner-counts").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_screen(browser, models, serve, visit, tmp_path, scheme):
    write_corpus(tmp_path)
    server = serve(models / "rules", models / "no-orgs", "--corpus", "in.jsonl")
    size = {"width": 390, "height": 844}
    page = visit(server, viewport=size, color_scheme=scheme, has_touch=True).page
    editor = Editor(page)
    editor.wait(FIRST)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 390
    # By touch alone: select a span, reject it, and finish.
    page.locator(".genner-page .genner-chip").nth(1).tap()
    page.get_by_role("button", name="Reject (X)").tap()
    editor.wait(["GPE 0.95", "✕ ORG 0.55", "GPE 0.95"])
    tab(page, "Try")
    page.locator("#run").tap()
    page.wait_for_selector(".genner-panel")
    assert page.evaluate(width) <= 390
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")


def test_other_sites_can_not_use_the_server(browser, models, serve, tmp_path):
    server = serve()
    for headers, expected in (
        ({}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": server.address}, 200),
    ):
        request = urllib.request.Request(server.address, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                found = answer.status
                assert "connect-src 'self'" in answer.headers["content-security-policy"]
        except urllib.error.HTTPError as error:
            found = error.code
            error.close()
        assert found == expected, headers
    server.stop()


@pytest.mark.parametrize("at_work", [False, True])
def test_an_interrupt_ends_the_command(
    browser, models, serve, visit, tmp_path, at_work
):
    """Neither the streams of an open page nor a pipeline at work keep it waiting."""
    write_corpus(tmp_path)
    server = serve(models / "rules", "--corpus", "in.jsonl")
    watched = visit(server)
    editor = Editor(watched.page)
    editor.wait(FIRST)
    editor.press("Tab", "a")
    editor.wait(["✓ GPE 0.95", "ORG 0.55", "GPE 0.95"])
    before = saved(tmp_path)
    if at_work:
        tab(watched.page, "Try")
        annotate(watched.page, "slow")
        wait_for(tmp_path / "at-work")
    start = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=30) == 0
    # Once the time for requests is over, only that of a busy machine is added.
    assert time.monotonic() - start < (10 if at_work else 5)
    assert server.process.stdout.read() == ""
    assert (tmp_path / "server.log").read_text("utf8") == ""
    assert saved(tmp_path) == before
    # The failed requests are reported by the browser.
    watched.page.close()
    watched.problems.clear()
    server.stop()


def wait_for(path):
    for _ in range(300):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(path)
