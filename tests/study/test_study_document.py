"""The document: complete, from results alone, and the same for the same results."""

import json
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest
from spacy.cli import app
from study_cases import DEFINITIONS, HELD_OUT, TEST, TRAIN, read, spans
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401
from spacy_genner.evaluation.breakdowns import Mentions
from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import Annotation
from spacy_genner.formats import FORMATS
from spacy_genner.study.abilities import LOCAL, ROWS, summarize
from spacy_genner.study.document import BASELINES, StudyDocument
from spacy_genner.study.figures import COLOURS, INK, Bar, draw_intervals
from spacy_genner.study.memorisation import (
    RUNS,
    habit_scores,
    recall_by_kind,
    score_row,
)
from spacy_genner.study.published import LETTERS, MEAN_BY_FORMAT, OTHER_SYSTEMS

pytest.importorskip("matplotlib")
CORPORA = ("genia", "wikigold")
TEXTS = list(read([*TRAIN, *HELD_OUT, *TEST]))
RUN = {"seconds": 60.0, "device": "cpu", "threads": 2, "cpus": 2}
RUN |= {"versions": {"torch": "2.13.0"}}


def annotations(share, seed):
    """Documents in which a share of the spans was found."""
    generator = random.Random(seed)
    rows = []
    for text in TEXTS:
        found = [span for span in text.spans if generator.random() < share]
        scores = [1.0] * len(found)
        rows.append(Annotation(text.text, list(text.spans), found, scores, "ok"))
    return rows


def evaluation(share, seed, seconds=30):
    result = evaluate(annotations(share, seed))
    training = {"seconds": seconds}
    result["pipeline"] = {"base": "tiny", "training": training}
    return {**result, "run": {**RUN, "seconds": float(seconds)}}


def memorisation(seconds):
    """A summary as `MemorisationStudy` writes it."""
    mentions = Mentions(pair for text in TEXTS[:6] for pair in spans(text))
    plain_names = {label: label for label in DEFINITIONS}
    runs = {}
    for seed, name in enumerate(RUNS):
        runs[name] = score_row(evaluation(0.6, seed))
        if seed:
            runs[name]["against_plain"] = {
                **{"difference": -0.123, "low": -0.2, "high": 0.01, "p": 0.2}
            }
        if name.endswith("exchanged"):
            share = 0.1 if name.startswith("shuffled") else 1.0
            rows = annotations(share, seed)
            runs[name]["habit"] = habit_scores(rows, plain_names, 0)
    return {
        "name": "tiny",
        "seed": 0,
        "train_documents": 1234,
        "test_documents": len(TEXTS),
        "labels": DEFINITIONS,
        "runs": runs,
        "recall": recall_by_kind(annotations(0.6, 0), mentions, 0),
        "replaced": {"swapped": 17, "random": 18, "masked": 0},
        "kept": {"swapped": 1, "random": 0, "masked": 0},
        "seconds": {"training": seconds, "evaluation": seconds},
    }


def abilities(seconds, equal=True):
    generator = random.Random(0)
    scores = {}
    for task in LOCAL:
        scores[task] = {}
        for row in ROWS:
            words = 2 if row == "ner" else 12
            answers = [
                {"score": generator.random(), "words": words, "answer": "x"}
                | ({"f1_cut": 0.5, "em": 0.1, "contains": 0.7} if "ext" in task else {})
                for _ in range(20)
            ]
            scores[task][row] = summarize(answers, 100, 0)
    return {
        "limit": 20,
        "seed": 0,
        "scores": scores,
        "off_equals_base": {task: equal or task != "piqa" for task in LOCAL},
        "seconds": {"training": seconds, "evaluation": seconds},
    }


def write_results(folder, seconds=30.0, equal=True):
    def write(name, content):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    for corpus in CORPORA:
        for number, name in enumerate(BASELINES):
            result = evaluation(0.5, number, seconds)
            # The pipelines of spaCy have no metadata of this project's training.
            del result["pipeline"]["training"]
            write(f"{corpus}/baselines/{name}.json", result)
        for number, name in enumerate(FORMATS):
            result = evaluation(0.8 - number / 10, number, seconds)
            result["free"] = {"well_formed": 0.25, "micro_f": 0.125, "documents": 7}
            result["grammar"] = {"micro_f": 0.375}
            write(f"{corpus}/formats/{name}.json", result)
        write(f"{corpus}/memorisation.json", memorisation(seconds))
        write(f"{corpus}/memorisation/plain.json", evaluation(0.6, 0, seconds))
    write("abilities.json", abilities(seconds, equal))
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("document")
    write_results(folder / "metrics")
    output = folder / "docs" / "study.md"
    files = StudyDocument(folder / "metrics", CORPORA).write(output)
    return output, files


def test_four_questions_with_tables_figures_and_a_verdict(written):
    output, files = written
    text = output.read_text(encoding="utf8")
    sections = re.split(r"\n## ", text)
    titles = [section.partition("\n")[0] for section in sections[1:]]
    assert [t.partition("(")[2].rstrip(")") for t in titles[:4]] == [
        *("RQ1", "RQ2", "RQ3", "RQ4")
    ]
    assert titles[4:] == ["What was not run", "Commands", "Time"]
    for section in sections[1:5]:
        assert section.count("**What this says.**") == 1
        assert section.count("**What it cannot say.**") == 1
        assert "\n| --- |" in section and "![" in section
    linked = re.findall(r"\]\((images/[^)]+)\)", text)
    assert sorted(output.parent / path for path in linked) == sorted(files[1:])
    # Every row of a table has as many cells as its header.
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block
    assert "1,234 training" in text and "None" not in text and "nan" not in text


def test_every_figure_of_the_study_stands_beside_what_was_found(written):
    text = written[0].read_text(encoding="utf8")
    for values in OTHER_SYSTEMS.values():
        assert all(f"{value:.2f}" in text for value in values if value is not None)
    assert all(f"{row['genia']:.2f}" in text for row in MEAN_BY_FORMAT.values())
    assert all(f"{change:+.2f}" in text for change in LETTERS.values())
    assert "+25 to +45" in text
    found = 100 * evaluation(0.8, 0)["micro_f"]
    assert f"| `generative_ner` | {found:.1f} |" in text


def test_verdicts_follow_from_the_results(written, tmp_path):
    text = written[0].read_text(encoding="utf8")
    assert "the plain run still uses the names of its training (F1 " in text
    assert "the adapter with shuffled labels follows the prompt (F1 " in text
    assert "of the base, bit for bit" in text
    assert "points if the answers are cut" in text
    write_results(tmp_path / "metrics", equal=False)
    StudyDocument(tmp_path / "metrics", CORPORA).write(tmp_path / "study.md")
    other = (tmp_path / "study.md").read_text(encoding="utf8")
    assert "differs from the base in: piqa." in other
    assert "bit for bit" not in other


def test_runs_that_took_another_time_differ_in_the_last_section_alone(
    written, tmp_path
):
    output, files = written
    write_results(tmp_path / "metrics", seconds=900.0)
    again = StudyDocument(tmp_path / "metrics", CORPORA).write(tmp_path / "d/study.md")
    (one, time), (other, other_time) = (
        path.read_text(encoding="utf8").split("## Time") for path in (output, again[0])
    )
    assert one == other and time != other_time
    for figure, same in zip(files[1:], again[1:], strict=True):
        assert figure.read_bytes() == same.read_bytes()


def luminance(colour):
    """The relative luminance of a colour (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#ffffff", "#1e2129"])
def test_figures_are_legible_on_light_and_dark_pages(written, page):
    for colour in (INK, *COLOURS):
        pair = sorted((luminance(colour), luminance(page)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) > 2.4, colour
    for path in written[1][1:]:
        text = path.read_text(encoding="utf8")
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg")
        # Text can be read by a screen reader, and no background covers the page.
        assert "<text" in text and "fill: #ffffff" not in text
        assert "#000000" not in text


def test_the_title_of_a_figure_is_in_it(tmp_path):
    draw_intervals("A title", [Bar("one", 3, None, None)], "F1", tmp_path / "x.svg")
    assert "A title" in (tmp_path / "x.svg").read_text(encoding="utf8")


@pytest.mark.parametrize("content", ["{}", "[]", '{"micro_f": "x"}'])
def test_a_result_of_something_else_is_named(tmp_path, content):
    write_results(tmp_path / "metrics")
    other = tmp_path / "metrics" / "genia" / "baselines" / "ner.json"
    other.write_text(content)
    line = ["genner", "study", "document", tmp_path / "metrics", tmp_path / "study.md"]
    result = CliRunner().invoke(app, list(map(str, line)))
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "G996" in result.output or "G941" in result.output
    assert not (tmp_path / "study.md").exists()


def test_a_missing_result_is_named(tmp_path):
    write_results(tmp_path / "metrics")
    missing = tmp_path / "metrics" / "wikigold" / "formats" / "inline_xml.json"
    missing.unlink()
    line = ["genner", "study", "document", tmp_path / "metrics", tmp_path / "study.md"]
    result = CliRunner().invoke(app, list(map(str, line)))
    assert result.exit_code == 1 and "G949" in result.output
    assert "inline_xml.json" in result.output.replace("\n", "")
    assert not (tmp_path / "study.md").exists()
