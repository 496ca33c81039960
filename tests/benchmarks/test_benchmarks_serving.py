"""The load test of the server, and the comparison of processes."""

import json
import sys

import pytest
from component_cases import TEXTS, trained_pipeline


def record(text, *spans, status="ok"):
    keys = ("start", "end", "label")
    spans = [dict(zip(keys, span, strict=True)) for span in spans]
    return {"text": text, "spans": spans, "status": status}


def test_lost_doubled_and_mixed_up_texts_are_counted(import_benchmark):
    clients = import_benchmark("serving_load").Clients("", ["a", "b", "c", "d", "e"], 1)
    span = (0, 1, "X")
    clients.records = [
        [record("a", span)],
        [],
        [record("c", span), record("c", span)],
        [record("e", span)],
        [record("e", status="failed")],
    ]
    assert clients.compare([[span]] * 5) == {
        "lost": 1,
        "doubled": 1,
        "mixed_up": 1,
        "failed": 1,
        "differ": 1,
    }


def test_the_latencies_of_a_run(import_benchmark):
    clients = import_benchmark("serving_load").Clients("", [], 1)
    clients.latencies = [float(number) for number in range(1, 101)]
    latency = clients.latency()
    assert (latency["mean"], latency["p50"]) == (50.5, 50.5)
    assert 95 <= latency["p95"] <= 96


@pytest.fixture
def run_script(monkeypatch, capsys, import_benchmark):
    def run(name, *args):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, args)])
        import_benchmark(name).main()
        lines = capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return run


@pytest.fixture
def model(tmp_path, tiny_base):
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    lines = [f"{text} {number}" for number in range(20) for text, _ in TEXTS]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_serving_load(run_script, model, texts):
    args = ("--clients", 8, "--size", 2, "--single")
    [row] = run_script("serving_load", model, texts, *args)
    assert row["documents"] == 80 and row["exit_codes"] == [0, 0]
    for part in (row["load"], row["beyond"], row["one_client"]):
        counts = [part[name] for name in ("lost", "doubled", "mixed_up", "failed")]
        assert counts == [0, 0, 0, 0] and part["differ"] == 0
        assert part["latency"]["p95"] >= part["latency"]["p50"] > 0
    beyond = row["beyond"]
    assert beyond["answered_200"] == 40 and beyond["refused_429"] > 0
    assert beyond["other"] == 0 and min(beyond["retry_after"]) >= 1


@pytest.mark.slow
def test_processes(run_script, model, texts):
    args = ("--cores", 2, "--batch-sizes", 4, 1)
    rows = run_script("processes", model, texts, *args)
    ways = [(row["batch_size"], row["n_process"], row["threads"]) for row in rows]
    assert ways == [(4, 1, 2), (1, 1, 2), (4, 1, 1), (4, 2, 1)]
    assert all(row["documents"] == 80 and row["failed"] == 0 for row in rows)
    assert rows[0]["ratio"] == 1.0 and all(row["peak_gb"] > 0 for row in rows)
