"""The comparison of two evaluations: its figures, the command and its errors."""

import json

import pytest
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import (
    Annotation,
    read_annotations,
    write_evaluation,
)
from spacy_genner.evaluation.significance import compare_files
from spacy_genner.evaluation.tables import format_comparison, format_p
from spacy_genner.formats import CharSpan

RUNNER = CliRunner()
A, B = CharSpan(0, 3, "X"), CharSpan(4, 7, "Y")


def rows(*predicted, gold=(A, B), text="one two"):
    return [
        Annotation(text, list(gold), list(found), [0.5] * len(found), "ok")
        for found in predicted
    ]


def written(folder, name, annotations):
    path = folder / f"{name}.json"
    write_evaluation(evaluate(annotations), annotations, path)
    return path


@pytest.fixture
def files(tmp_path):
    one = rows(*[[A, B]] * 20, *[[A]] * 10, [])
    two = rows(*[[A]] * 20, *[[B]] * 10, [A])
    return written(tmp_path, "one", one), written(tmp_path, "two", two)


def test_figures_by_hand(files):
    result = compare_files(*files, samples=500)
    assert (result["documents"], result["gold"]) == (31, 62)
    assert result["first"]["name"] == "one"
    assert result["first"]["micro_f"] == pytest.approx(2 * 50 / (62 + 50))
    assert result["second"]["micro_f"] == pytest.approx(2 * 31 / (62 + 31))
    difference = 2 * 50 / (62 + 50) - 2 * 31 / (62 + 31)
    assert result["difference"] == pytest.approx(difference)
    assert result["low"] < difference < result["high"]
    assert result["p"] < 0.01 and result["p_randomisation"] < 0.01
    # Found by both: A in 20 documents. By the first alone: B in 20 and A in 10. By the
    # second alone: B in 10 and A in one.
    assert result["both_correct"] == 20
    assert result["only_first_correct"] == 30
    assert result["only_second_correct"] == 11
    back = compare_files(*reversed(files), samples=500)
    assert back["difference"] == pytest.approx(-difference)
    assert back["only_first_correct"] == 11
    assert compare_files(files[0], files[0], samples=100)["p"] == 1.0


def test_the_command(files, tmp_path):
    output = tmp_path / "new" / "comparison.json"
    arguments = ["compare", *map(str, files), "--output", str(output)]
    result = RUNNER.invoke(app, [*arguments, "--samples", "200"])
    assert result.exit_code == 0, result.output
    saved = json.loads(output.read_text())
    assert saved == compare_files(*files, samples=200)
    assert result.stdout == format_comparison(saved) + "\n"
    for needed in ("one  F1 89.29", "two  F1 66.67", "difference +22.62", "p < 0.01"):
        assert needed in result.stdout, result.stdout


def test_p_has_no_more_digits_than_the_draws_support():
    assert format_p(1 / 1001, 1000) == "< 0.001"
    assert format_p(0.0123, 1000) == "0.012"
    assert format_p(0.0123, 10000) == "0.0123"
    assert format_p(1.0, 20) == "1.00"


def refused(code, *arguments):
    result = RUNNER.invoke(app, ["compare", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    message = " ".join(result.stderr.split())
    assert f"[{code}]" in message, message
    return message


@pytest.mark.parametrize(
    "other, expected",
    [
        (rows([A], [A], [B]), "2 documents and 3"),
        (
            rows([A]) + rows([A], text="one six"),
            "document 2 is 'one two' and 'one six'",
        ),
        (
            rows([A]) + rows([A], gold=[A]),
            "(4, 7, 'Y') is a reference span on one side",
        ),
    ],
)
def test_evaluations_of_other_documents_are_refused(tmp_path, other, expected):
    first = written(tmp_path, "first", rows([A], [A]))
    second = written(tmp_path, "second", other)
    assert expected in refused("G610", first, second)


def test_the_order_of_spans_does_not_matter(tmp_path):
    first = written(tmp_path, "first", rows([A, B]))
    second = written(tmp_path, "second", rows([B, A], gold=(B, A)))
    assert compare_files(first, second, samples=10)["difference"] == 0.0


def test_missing_damaged_and_unrelated_files(files, tmp_path):
    one, two = files
    comparison = tmp_path / "comparison.json"
    assert RUNNER.invoke(app, ["compare", *map(str, files), "-o", str(comparison)])
    refused("G618", one, comparison)
    refused("G520", one, tmp_path / "none.json")
    refused("G525", one, two, "--output", "out.txt")
    before = one.read_bytes()
    refused("G617", one, two, "--output", one)
    assert one.read_bytes() == before
    spans = one.with_suffix(".spans.jsonl")
    lines = spans.read_text().splitlines(keepends=True)
    spans.write_text("".join(lines[:-1]))
    assert "one.spans.jsonl" in refused("G612", one, two)
    spans.write_text("".join([*lines[:3], "{\n", *lines[4:]]))
    assert "line 4" in refused("G605", one, two)
    spans.unlink()
    assert "one.spans.jsonl" in refused("G611", one, two)
    for content in (b"{}", b"[]", b"{", b"\xff"):
        two.write_bytes(content)
        refused("G605", two, one)
    two.write_text('{"gold": 0, "predicted": 0, "correct": 0}')
    two.with_suffix(".spans.jsonl").write_text("")
    refused("G616", two, one)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"text": 3}, "'text' is 3"),
        ({"gold": [[0, 3]]}, "no label|label"),
        ({"gold": [[0, True, "X"]]}, "label"),
        ({"gold": [[0, 99, "X"]]}, "outside the text of 7"),
        ({"predicted": [[0, 3, "X"]]}, "no score"),
        ({"predicted": [[3, 0, "X", 0.5]]}, "outside the text"),
        ({"predicted": None}, "'predicted' is None"),
        ({"issues": ["bad"]}, "issue"),
        ({"status": None}, "'status' is None"),
    ],
)
def test_each_row_is_checked(tmp_path, change, expected):
    (good,) = rows([A])
    path = tmp_path / "x.spans.jsonl"
    path.write_text(json.dumps(good.to_json()) + "\n")
    assert list(read_annotations(path)) == [good]
    path.write_text(json.dumps(good.to_json() | change) + "\n")
    with pytest.raises(ValueError, match=f"G605.*x.spans.jsonl.*line 1.*({expected})"):
        list(read_annotations(path))
