"""`python -m spacy genner sweep`."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from spacy.tokens import DocBin
from test_training_cli import config, run  # noqa: F401
from thinc.api import Config
from training_cases import write_corpus

from spacy_genner.cli import sweep
from spacy_genner.evaluation.sweep import CONFIG, LOG, PAGE, RESULT, RESULTS, TABLE
from spacy_genner.io import backup_of
from spacy_genner.training.checkpoint import FOLDER
from spacy_genner.training.logger import FILE, read_rows

RATE = "training.optimizer.learn_rate.initial_rate"
RANK = "components.generative_ner.model.lora.rank"


@pytest.fixture
def in_process(monkeypatch):
    """Do the jobs of runs in this process. Returns the jobs."""
    jobs = []

    def start(job, stopped):
        jobs.append((job.run.name, job.test is not None))
        try:
            sweep.do_job(job)
        except ValueError as error:
            return str(error)
        return None

    monkeypatch.setattr(sweep, "_run_job", start)
    return jobs


def write_grid(path, **content):
    path.write_text(json.dumps(content))
    return path


def rows_of(folder):
    return [json.loads(line) for line in (folder / RESULTS).read_text().splitlines()]


def test_a_sweep_is_trained_scored_and_extended(config, tmp_path, in_process):  # noqa: F811
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "grid.json", grid={RATE: [0.02, 1e-6]}, seeds=[1])
    common = ("sweep", config, grid, "-o", out, "--training.max_steps", 4)
    result = run(*common, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.count("open") == 2 and not out.exists()
    result = run(*common)
    assert result.exit_code == 0, result.output
    assert "| `initial_rate` | runs | dev F1 |" in result.output
    assert all((out / name).is_file() for name in (TABLE, PAGE))
    first, second = rows_of(out)
    assert first["overrides"] == {RATE: 0.02} and first["seed"] == 1
    assert first["steps"] == 5 and first["minutes"] > 0 and first["words"] > 0
    assert first["dev"]["f"] > second["dev"]["f"] and "test" not in first
    assert set(first["dev"]["labels"]) <= {"ORG", "GPE"}
    [(path, checksum)] = first["data"]["files"].items()
    assert path.endswith("train.spacy") and len(checksum) == 64
    assert first["data"]["train"] == second["data"]["train"]
    place = out / "runs" / first["run"]
    saved = (place / CONFIG).read_text()
    assert "initial_rate = 0.02" in saved and "seed = 1" in saved
    assert (place / "dev.spans.jsonl").is_file() and (place / "model-best").is_dir()
    assert not (place / FOLDER).exists() and not (place / "model-last").exists()
    # A finished run is not repeated. Test data is read for the best recipe.
    write_grid(grid, grid={RATE: [0.02, 1e-6, 0.01]}, seeds=[1])
    test = write_corpus(tmp_path / "test.spacy")
    done = len(in_process)
    result = run(*common, "--test", test)
    assert result.exit_code == 0, result.output
    assert "3 runs, 2 of them done" in result.output
    new = in_process[done:]
    rows = rows_of(out)
    assert new[0] == (rows[2]["run"], False)
    best = max(rows, key=lambda row: row["dev"]["f"])
    assert new[1:] == [(best["run"], True)]
    assert [row["run"] for row in rows if "test" in row] == [best["run"]]
    assert best["test"]["f"] == best["dev"]["f"]
    assert rows[0]["dev"] == first["dev"]
    done = len(in_process)
    assert run(*common, "--test", test, "--test-runs", "all").exit_code == 0
    assert [job[1] for job in in_process[done:]] == [True, True]
    # Other settings or data of a finished run are an error.
    result = run(*common[:-1], 5)
    assert result.exit_code == 1
    assert "G924" in result.output and "max_steps was 4, is 5" in result.output
    (tmp_path / "train.spacy").write_bytes(test.read_bytes() + b"\0")
    result = run(*common)
    assert result.exit_code == 1 and "the files of its corpora" in result.output


def test_a_failed_run_does_not_end_the_sweep(config, tmp_path, in_process):  # noqa: F811
    out = tmp_path / "out"
    cases = [{"initialize.components.generative_ner.labels": ["X"]}, {RANK: 4}]
    grid = write_grid(tmp_path / "grid.json", cases=cases)
    result = run("sweep", config, grid, "-o", out, "--training.max_steps", 1)
    assert result.exit_code == 1
    assert "W920" in result.output and "G926" in result.output
    assert "1 of 2 runs" in result.output
    assert "G303" in rows_of(out)[0]["error"]


@pytest.mark.parametrize(
    "content, error",
    [
        ({"grid": {"no.such": [1]}}, "G923.*no -> such"),
        ({"grid": {RANK: ["many"]}}, "G923.*rank"),
        ({"grid": {"training.dropuot": [0.1]}}, "G927.*dropuot.*dropout"),
        ({"grid": {"paths.tset": ["a"]}}, "G927.*tset"),
        ({"cases": [{"components.generative_ner.reading": 1}]}, "G923.*reading"),
    ],
)
def test_every_config_is_checked_first(config, tmp_path, content, error):  # noqa: F811
    grid = write_grid(tmp_path / "grid.json", **content)
    result = run("sweep", config, grid, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert re.search(error, result.output.replace("\n", " ")), result.output
    assert not (tmp_path / "out").exists()


def test_mistakes_are_found_before_the_first_run(config, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "grid.json", grid={RATE: [0.02]}, seeds=[0])
    common = ("sweep", config, grid, "-o", out)
    lost = run(*common, "--training.seed", 3)
    assert lost.exit_code == 1 and "G993" in lost.output
    (tmp_path / "bad.spacy").write_text("no DocBin")
    DocBin().to_disk(tmp_path / "empty.spacy")
    for name, code in (("bad", "G515"), ("empty", "G602")):
        result = run(*common, "--test", tmp_path / f"{name}.spacy")
        assert result.exit_code == 1 and code in result.output, result.output
    # The scores of a run are those of one component.
    both = Config().from_disk(config, interpolate=False)
    both["nlp"]["pipeline"].append("other")
    both["components"]["other"] = dict(both["components"]["generative_ner"])
    both.to_disk(config)
    result = run(*common)
    assert result.exit_code == 1 and "G992" in result.output, result.output
    assert not out.exists()


def test_damaged_files_of_runs_are_named(config, tmp_path, in_process):  # noqa: F811
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "grid.json", grid={RATE: [0.02]})
    common = ("sweep", config, grid, "-o", out, "--training.max_steps", 1)
    assert run(*common).exit_code == 0
    [place] = out.glob("runs/*")
    finished = (place / RESULT).read_text()
    for content in ("", "[]", "{}", json.dumps({**json.loads(finished), "dev": {}})):
        (place / RESULT).write_text(content)
        result = run(*common)
        assert result.exit_code == 1, result.exception
        assert "G994" in result.output and RESULT in result.output
    (place / RESULT).write_text(finished)
    saved = (place / CONFIG).read_text()
    (place / CONFIG).write_text("[training")
    result = run(*common)
    assert result.exit_code == 1 and "G994" in result.output
    (place / CONFIG).write_text(saved)
    # Killed while the checkpoint was replaced.
    (place / RESULT).unlink()
    backup_of(place / FOLDER).mkdir()
    result = run(*common)
    assert result.exit_code == 1 and "G251" in result.output


def test_usage(config, tmp_path):  # noqa: F811
    grid = write_grid(tmp_path / "grid.json", seeds=[0])
    assert run("sweep", config, grid).exit_code == 2
    wrong = run("sweep", config, grid, "-o", tmp_path, "--test-runs", "some")
    assert wrong.exit_code == 2
    missing = run("sweep", config, tmp_path / "no.json", "-o", tmp_path)
    assert missing.exit_code == 1 and "G520" in missing.output
    with sweep._locked(tmp_path / sweep.LOCK, 0.0):
        busy = run("sweep", config, grid, "-o", tmp_path)
    assert busy.exit_code == 1 and "G925" in busy.output


def test_a_killed_sweep_continues(config, tmp_path, in_process):  # noqa: F811
    out = tmp_path / "out"
    grid = write_grid(tmp_path / "grid.json", grid={RATE: [0.02]})
    # More steps than the test lets it make.
    settings = ("--training.max_steps", "5000", "--training.eval_frequency", "5")
    words = ["sweep", str(config), str(grid), "-o", str(out), *settings]
    command = [sys.executable, "-m", "spacy_genner", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() or list(out.glob("runs/*")))
        [place] = out.glob("runs/*")
        wait_for(lambda: (place / FOLDER).is_dir() and len(steps_of(place)) > 1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # The process of the run writes a checkpoint and ends.
    with sweep._locked(place / sweep.LOCK, 60.0):
        stopped_at = steps_of(place)[-1]
    assert "Stopping after this step" in (place / LOG).read_text()
    assert not (place / RESULT).exists()
    text = (place / CONFIG).read_text()
    limit = stopped_at + 10
    (place / CONFIG).write_text(text.replace("= 5000", f"= {limit}"))
    result = run(*[limit if word == "5000" else word for word in words])
    assert result.exit_code == 0, result.output
    [row] = rows_of(out)
    assert row["steps"] == limit + 1 and "Resuming after" in result.output
    steps = steps_of(place)
    assert steps == sorted(set(steps)) and steps[0] == 0


def test_a_signal_is_passed_on(config, tmp_path, monkeypatch):  # noqa: F811
    def start(job, stopped):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped
        return None

    monkeypatch.setattr(sweep, "_run_job", start)
    grid = write_grid(tmp_path / "grid.json", seeds=[0, 1])
    result = run("sweep", config, grid, "-o", tmp_path / "out")
    assert result.exit_code == 128 + signal.SIGTERM
    assert "The same command continues" in result.output


def steps_of(place):
    path = place / FILE
    return [row["step"] for row in read_rows(path)] if path.is_file() else []


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("It took too long.")
