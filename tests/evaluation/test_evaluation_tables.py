"""The table of several evaluations."""

import json

import pytest
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import Annotation
from spacy_genner.evaluation.tables import (
    FREE_HEADER,
    GRAMMAR_HEADER,
    HEADER,
    breakdown_rows,
    format_table,
    read_evaluations,
    side_by_side,
    structure_rows,
)
from spacy_genner.formats import CharSpan


def evaluation(f, **more):
    shares = ("micro_p", "micro_r", "nested_f", "nested_r", "flat_f")
    interval = {"low": f - 0.05, "high": f + 0.05}
    return {
        "micro_f": f,
        "interval": interval,
        "gold": 7,
        **dict.fromkeys(shares, 0.5),
    } | more


def write(path, result):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))
    return path


def test_the_best_comes_first(tmp_path):
    write(tmp_path / "a.json", evaluation(0.25))
    write(tmp_path / "b.json", evaluation(0.75, nested_r=0.125))
    table = side_by_side(read_evaluations([tmp_path]), markdown=True)
    lines = table.splitlines()
    assert lines[0] == f"| {' | '.join(HEADER)} |"
    assert lines[1:] == [
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| b | 75.0 | 70.0 to 80.0 | 50.0 | 50.0 | 50.0 | 12.5 | 50.0 | 7 |",
        "| a | 25.0 | 20.0 to 30.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 7 |",
    ]
    shown = side_by_side(read_evaluations([tmp_path]))
    assert shown.index("75.0") < shown.index("25.0")
    assert shown.endswith("\n") and not shown.startswith("\n")


def test_unconstrained_outputs_have_columns_if_any_evaluation_has_them(tmp_path):
    free = {"well_formed": 0.9, "micro_f": 0.4}
    write(tmp_path / "a.json", evaluation(0.5, free=free))
    write(tmp_path / "b.json", evaluation(0.25))
    lines = side_by_side(read_evaluations([tmp_path]), markdown=True).splitlines()
    assert lines[0].endswith("| gold spans | well formed, free | F1, free |")
    assert lines[2].endswith("| 7 | 90.0 | 40.0 |")
    assert lines[3].endswith("| 7 |  |  |")


def test_constrained_outputs_have_columns_if_any_evaluation_has_them(tmp_path):
    grammar = {"well_formed": 1.0, "tokens": 48.25, "seconds": 0.2504}
    write(tmp_path / "a.json", evaluation(0.5, grammar=grammar))
    free = {"well_formed": 0.9, "micro_f": 0.4}
    write(tmp_path / "b.json", evaluation(0.25, free=free))
    lines = side_by_side(read_evaluations([tmp_path]), markdown=True).splitlines()
    assert lines[0].endswith(
        "| well formed | output tokens | ms a document | well formed, free | F1, free |"
    )
    assert lines[2].endswith("| 7 | 100.0 | 48.2 | 250 |  |  |")
    assert lines[3].endswith("| 7 |  |  |  | 90.0 | 40.0 |")


def test_help_names_the_columns():
    shown = " ".join(CliRunner().invoke(app, ["table", "--help"]).output.split())
    assert "five columns" in shown
    assert len(GRAMMAR_HEADER + FREE_HEADER) == 5
    assert all(name in shown for name in GRAMMAR_HEADER + FREE_HEADER)


def test_files_folders_and_duplicate_names(tmp_path):
    one = write(tmp_path / "one" / "x.json", evaluation(0.5))
    two = write(tmp_path / "two" / "x.json", evaluation(0.5))
    write(tmp_path / "two" / "y|z.json", evaluation(0.5))
    # A comparison is not an evaluation.
    write(tmp_path / "two" / "c.json", {"kind": "comparison"})
    found = read_evaluations([one, tmp_path / "two"])
    assert set(found) == {str(one), str(two), "y|z"}
    # A file given twice is one row.
    assert list(read_evaluations([one, one.parent])) == ["x"]
    assert "| y\\|z |" in side_by_side(found, markdown=True)


def test_files_that_are_not_evaluations(tmp_path):
    with pytest.raises(ValueError, match="G604"):
        read_evaluations([tmp_path])
    no_number = json.dumps(evaluation(0.5, micro_p="x"))
    for content in ("{", "[]", "{}", no_number):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match="G605.*bad.json"):
            read_evaluations([tmp_path])
    write(tmp_path / "bad.json", {"kind": "comparison"})
    with pytest.raises(ValueError, match="G604"):
        read_evaluations([tmp_path])


def test_columns_on_nesting_need_a_nested_reference(tmp_path):
    write(tmp_path / "a.json", evaluation(0.75, nested_gold=0))
    write(tmp_path / "b.json", evaluation(0.5, nested_gold=0))
    lines = side_by_side(read_evaluations([tmp_path]), markdown=True).splitlines()
    assert lines[0] == "|  | F1 | 95 % interval | P | R | gold spans |"
    assert lines[2] == "| a | 75.0 | 70.0 to 80.0 | 50.0 | 50.0 | 7 |"
    assert "flat" not in side_by_side(read_evaluations([tmp_path]))
    # Another reference has nested spans.
    write(tmp_path / "b.json", evaluation(0.5, nested_gold=2))
    lines = side_by_side(read_evaluations([tmp_path]), markdown=True).splitlines()
    assert lines[0] == f"| {' | '.join(HEADER)} |"
    assert lines[2] == "| a | 75.0 | 70.0 to 80.0 | 50.0 | 50.0 |  |  |  | 7 |"
    assert (
        lines[3] == "| b | 50.0 | 45.0 to 55.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 7 |"
    )


def test_rows_on_nesting_need_a_nested_reference():
    def shown(gold, predicted):
        rows = [
            Annotation(
                "x" * 50, gold, predicted, [0.9] * len(predicted), "ok", [], 0, {}, []
            )
        ]
        for row in rows:
            sizes = {(s.start, s.end): 1 for s in [*gold, *predicted]}
            row.lengths.update(sizes)
        result = evaluate(rows)
        names = [name for name, _ in structure_rows(result) + breakdown_rows(result)]
        return names, format_table(result)

    outer, inner = CharSpan(0, 10, "ORG"), CharSpan(2, 4, "GPE")
    deeper = CharSpan(3, 4, "GPE")
    names, text = shown([outer], [outer, inner, deeper])
    assert names == ["all", "tokens 1"]
    assert not any(word in text for word in ("nested", "flat", "depth", "containing"))
    assert "best min_score on these documents: 0.9, with F1 50.00" in text
    names, text = shown([outer, inner, deeper], [outer, inner])
    assert {"nested", "flat", "depth 1", "depth 2", "- containing"} <= set(names)
    assert "nested" in text
