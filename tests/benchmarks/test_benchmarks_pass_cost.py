"""`benchmarks/pass_cost.py`: a line for each shape, and the fitted costs."""

import json
import sys

import pytest
from component_cases import NESTED, trained_pipeline


def test_each_shape_is_timed(
    tmp_path, monkeypatch, capsys, tiny_base, import_benchmark
):
    trained_pipeline(tiny_base("llama"), NESTED).to_disk(tmp_path / "model")
    script = import_benchmark("pass_cost")
    line = ["pass_cost.py", str(tmp_path / "model"), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", line)
    script.main()
    *rows, found = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["tokens"] for row in rows] == [
        count * length for count, length, _ in script.SHAPES
    ]
    assert all(row["seconds"] > 0 for row in rows)
    assert found["ms_a_token"] > 0 and found["threads"] >= 1


def test_the_fit_finds_the_costs(import_benchmark):
    script = import_benchmark("pass_cost")
    rows = [
        {
            "rows": count,
            "tokens": count * length,
            "seconds": 0.0005 * (count * length + 120.0 + 1.5 * count),
        }
        for count, length, _ in script.SHAPES
    ]
    assert script.fit(rows) == {
        "ms_a_token": pytest.approx(0.5),
        "pass_cost": pytest.approx(120.0),
        "row_cost": pytest.approx(1.5),
    }
