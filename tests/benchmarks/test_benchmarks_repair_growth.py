"""`benchmarks/repair_growth.py`: the growth of the time to parse damaged answers."""

import json
import sys

import pytest


def test_one_row_for_each_kind(monkeypatch, capsys, import_benchmark):
    script = import_benchmark("repair_growth")
    # Times of such short answers are too noisy to be judged.
    line = ["repair_growth.py", "--size", "8", "--repeats", "1", "--limit", "1000"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["case"] for row in rows] == [*script.CASES]
    assert all(len(row["growth"]) == 3 and row["mean_growth"] > 0 for row in rows)


@pytest.mark.parametrize("kind", ["repeated_word", "crossing_spans"])
def test_growth_is_below_quadratic(kind, import_benchmark):
    script = import_benchmark("repair_growth")
    times = [script.seconds(script.CASES[kind], 500 * 2**k, 3) for k in range(4)]
    # Quadratic growth is 64 over three doublings, and linear growth 8.
    assert times[-1] / times[0] < 3.4**3
