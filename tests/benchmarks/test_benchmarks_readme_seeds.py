"""The benchmark of the README's example, on a tiny base."""

import json
import sys

import pytest


@pytest.fixture
def config(tiny_base):
    model = {"name": str(tiny_base("llama")), "dtype": "float32", "device": "cpu"}
    return {"readings": 1, "loss": "constrained", "model": model}


@pytest.fixture
def run(monkeypatch, capsys, import_benchmark, config):
    """Runs the script, and returns the lines that it prints."""
    script = import_benchmark("readme_seeds")
    code = script.readme_code().replace(
        'config={"labels"', f'config={{**{config!r}, "labels"'
    )
    assert "**{" in code
    monkeypatch.setattr(script, "readme_code", lambda: code)

    def run_script(*args):
        monkeypatch.setattr(sys, "argv", ["readme_seeds.py", *map(str, args)])
        script.main()
        return capsys.readouterr().out.splitlines()

    return run_script


def losses(lines):
    return [line.split()[5] for line in lines if line.startswith("seed")]


def test_the_example_of_the_readme(run):
    lines = run(1, 3, "--seeds", 2)
    assert [line.split()[:4] for line in lines[:4]] == [
        ["seed", seed, "updates", updates] for seed in "01" for updates in "13"
    ]
    right = sum(line.endswith("  right") for line in lines[1:4:2])
    assert lines[-1] == f"3 updates, learning rate 0.0003: {right} of 2"
    # The seed sets the initial weights. What happens between the evaluations does not
    # depend on them.
    assert losses(run(3, "--seeds", 2)) == losses(lines)[1::2]
    # A new adapter has no effect, so the first loss is that of the base.
    assert losses(lines)[0] == losses(lines)[2]
    assert losses(lines)[1] != losses(lines)[3]
    before = run(3, "--seeds", 1, "--spacy-default")
    assert "learning rate 0.001" in before[-1]
    assert losses(before)[0] != losses(lines)[1]


def test_other_sentences(run, tmp_path, config):
    """Three sentences of a file are learned, as their order shows."""
    texts = [
        "[Maria | WHO] lives in [Porto | WHERE].",
        "It rains.",
        "[Ana | WHO] left.",
    ]
    data = {"lang": "pt", "labels": ["WHO", "WHERE"], "texts": texts, "config": config}
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(data), encoding="utf8")
    lines = run(12, "--seeds", 1, "--texts", file, "--learn-rate", 0.02, "--losses")
    assert lines[-1] == "12 updates, learning rate 0.02: 1 of 1"
    assert len(lines[1].split()) == 12
    untrained = run(1, "--seeds", 1, "--texts", file, "--learn-rate", 0)
    assert "wrong: " in untrained[0] and untrained[-1].endswith("0 of 1")
