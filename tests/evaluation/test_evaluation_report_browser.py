"""The report in a browser: drawing, filters, sorting, downloads, keyboard and width.

The tests need playwright and chromium, and are skipped without them. The environment
variable CHROMIUM names another browser.
"""

import csv
import io
import json
import os
import shutil

import pytest
from test_evaluation_report import HOSTILE, annotation, write_log

from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import write_evaluation
from spacy_genner.evaluation.report import write_report

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
DOCUMENTS = [
    annotation(
        [(0, 20, "ORG"), (14, 20, "GPE"), (29, 35, "PERSON")],
        [(0, 20, "LOC"), (14, 20, "GPE"), (25, 35, "PERSON"), (40, 44, "ORG")],
        "University of Lisbon and Mr. Pessoa and Faro.",
        [0.75, 0.95, 0.5, 0.25],
    ),
    annotation([(0, 4, "GPE")], [], "=Faro, 1888"),
    annotation([], [], "Nothing here."),
    *HOSTILE,
]


@pytest.fixture(scope="module")
def browser():
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
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    many = [
        annotation([(0, 3, "A")], [(0, 3, "B")], f"one {number}", [number / 2000])
        for number in range(2000)
    ]
    for name, rows in (("first", DOCUMENTS), ("many", many)):
        write_evaluation(evaluate(rows), rows, folder / f"{name}.json")
    output = folder / "report.html"
    write_report(folder, output, write_log(folder / "training_log.jsonl"))
    return output


@pytest.fixture
def page(browser, report):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("dialog", lambda dialog: problems.append("dialog"))
    opened.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "blob:"))
            else problems.append(request.url)
        ),
    )
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert problems == []


def shown(page, run=0):
    return page.locator(f"#run-{run} .example")


def expect_count(page, count, run=0):
    # The content security policy forbids what `wait_for_function` evaluates.
    from playwright.sync_api import expect

    expect(shown(page, run)).to_have_count(count)


def found(page, run=0):
    return page.locator(f"#run-{run} .found").inner_text()


def test_gold_is_drawn_above_and_predictions_below(page):
    example = shown(page).first
    above = example.locator(".bit .tag").evaluate_all(
        "tags => tags.filter(tag => tag.style.bottom).map(tag => tag.textContent)"
    )
    below = example.locator(".bit .tag").evaluate_all(
        "tags => tags.filter(tag => tag.style.top).map(tag => tag.textContent)"
    )
    assert sorted(above) == ["GPE", "ORG", "PERSON"]
    assert sorted(below) == [
        "GPE 0.95",
        "ORG 0.25 spurious",
        "ORG → LOC 0.75",
        "PERSON 0.50",
    ]
    boxes = example.locator(".rule").evaluate_all(
        """rules => rules.map(rule => {
            const text = rule.parentElement.getClientRects()[0];
            const line = rule.getBoundingClientRect();
            return rule.style.bottom ? text.top - line.bottom : line.top - text.bottom;
        })"""
    )
    # Lines are next to the text, or one or more levels away from it.
    assert all(-1 <= box < 60 for box in boxes) and max(boxes) > 10


def test_the_examples_are_filtered_searched_and_sorted(page):
    assert found(page).startswith("4 of 6 passages, with 6 matching spans")
    form = page.locator("#run-0 form")
    form.get_by_label("no spans").check()
    expect_count(page, 5)
    form.get_by_label("Search").fill("NOTHING")
    expect_count(page, 1)
    assert "Nothing here." in shown(page).first.inner_text()
    form.get_by_role("button", name="Reset").click()
    expect_count(page, 4)
    form.locator("[name=label]").select_option(label="GPE")
    expect_count(page, 2)
    form.get_by_label("Score from").fill("0.4")
    expect_count(page, 1)
    assert found(page).startswith("1 of 6 passages, with 1 matching spans")
    form.get_by_role("button", name="Reset").click()
    form.locator("[name=order]").select_option("confident")
    page.wait_for_timeout(300)
    assert "Lisbon" in shown(page).first.inner_text()
    # A cell of the confusion matrix shows its examples.
    cell = page.locator('#run-0 button.pair[data-gold="ORG"][data-predicted="LOC"]')
    cell.focus()
    page.keyboard.press("Enter")
    expect_count(page, 1)
    chosen = page.locator("#run-0 .chosen button")
    assert chosen.inner_text().startswith("ORG → LOC")
    chosen.click()
    expect_count(page, 4)


def test_hostile_texts_are_shown_as_text(page):
    lines = page.locator("#run-0 .drawn").evaluate_all(
        """lines => lines.map(line => {
            const copy = line.cloneNode(true);
            copy.querySelectorAll('.tag').forEach(tag => tag.remove());
            return copy.textContent;
        })"""
    )
    assert HOSTILE[0].text in lines
    assert page.locator("#run-0 .list script, #run-0 .list b").count() == 0
    arabic = shown(page).filter(has_text="محمود").locator(".drawn")
    assert arabic.evaluate("line => getComputedStyle(line).direction") == "rtl"
    emoji = page.locator("#run-0 form").get_by_label("correct")
    emoji.check()
    page.locator("#run-0 [name=label]").select_option(label="X")
    expect_count(page, 1)
    marked = (
        shown(page)
        .first.locator(".bit")
        .evaluate_all("bits => bits.map(bit => bit.firstChild.textContent).join('')")
    )
    assert marked == "👍🏽"


def test_thousands_of_examples_stay_fast(page):
    page.get_by_role("tab", name="many").click()
    assert found(page, 1).startswith("2,000 of 2,000 passages")
    assert shown(page, 1).count() <= 25
    page.locator("#run-1 .more").scroll_into_view_if_needed()
    shown(page, 1).nth(40).wait_for()
    took = page.evaluate(
        """() => {
            const search = document.querySelector('#run-1 input[name=search]');
            const started = performance.now();
            search.value = 'one 1999';
            search.dispatchEvent(new Event('input', {bubbles: true}));
            return new Promise(
                done => setTimeout(() => done(performance.now() - started), 130)
            );
        }"""
    )
    expect_count(page, 1, 1)
    assert took < 2000


def test_tables_sort_by_column(page):
    table = page.locator("#labels-0-table")
    names = lambda: table.locator("tbody th").all_inner_texts()  # noqa: E731
    original = names()
    head = table.get_by_role("button", name="Gold")
    head.focus()
    page.keyboard.press("Enter")
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("Gold")
    assert names()[0] in ("ORG", "GPE") and names() != original
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert names() == original


def download(page, button):
    with page.expect_download() as waiting:
        button.click()
    return waiting.value.path().read_text(encoding="utf8")


def test_downloads_have_the_selection(page):
    section = page.locator("#run-0 .examples")
    text = download(page, section.get_by_role("button", name="JSON of the selection"))
    examples = json.loads(text)
    assert [each["document"] for each in examples] == [1, 2, 4, 5]
    assert examples[0]["text"] == DOCUMENTS[0].text
    assert examples[0]["spans"][0] == {
        "kind": "label",
        "gold": {"start": 0, "end": 20, "label": "ORG"},
        "predicted": {"start": 0, "end": 20, "label": "LOC", "score": 0.75},
    }
    text = download(page, section.get_by_role("button", name="CSV of the selection"))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 4 + 1 + 2 + 1
    assert rows[0]["gold_text"] == "University of Lisbon"
    # A text that a spreadsheet would run as a formula.
    assert rows[4]["text"] == "'=Faro, 1888"
    text = download(page, page.locator('button[data-table="labels-0-table"]'))
    assert text.splitlines()[0] == "Label,F1,Precision,Recall,Gold,Predicted"
    everything = json.loads(download(page, page.locator("#everything")))
    assert [each["name"] for each in everything["evaluations"]] == ["first", "many"]
    assert len(everything["evaluations"][1]["examples"]) == 2000


def test_tabs_and_theme_by_keyboard(page):
    page.get_by_role("tab", name="first").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="many").get_attribute("aria-selected") == "true"
    assert (
        page.locator("#run-1").is_visible() and not page.locator("#run-0").is_visible()
    )
    page.keyboard.press("Home")
    assert page.locator("#run-0").is_visible()
    color = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(color)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(color) != light
    page.reload()
    assert page.evaluate(color) != light
    page.emulate_media(color_scheme="dark")
    page.locator("#theme").click()
    assert page.evaluate(color) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_narrow_screen(browser, report, scheme):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # No tag is drawn outside its line.
    outside = page.locator(".tag").evaluate_all(
        """tags => tags.filter(tag => {
            const box = tag.closest('.drawn').getBoundingClientRect();
            const at = tag.getBoundingClientRect();
            return box.width && (at.right > box.right + 1 || at.left < box.left - 1);
        }).length"""
    )
    assert outside == 0
    context.close()


def test_the_report_prints(page, tmp_path):
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    page.emulate_media(media="print")
    assert not page.locator("#run-0 .filters").is_visible()
    assert page.locator("#run-0 .example").first.is_visible()


def test_without_scripts_all_scores_are_shown(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#run-0").is_visible() and page.locator("#run-1").is_visible()
    assert "need JavaScript" in page.locator("body").inner_text()
    context.close()
