"""`python -m spacy genner train` and `init-config`."""

import json
import re
import signal
import subprocess
import sys

import pytest
from spacy.tokens import DocBin
from spacy.util import load_config
from training_cases import (
    TEXTS,
    docs,
    make_config,
    weights,
    write_config,
    write_corpus,
)
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.io import backup_of
from spacy_genner.study.stages import train_pipeline
from spacy_genner.training.checkpoint import FOLDER
from spacy_genner.training.logger import FILE, read_rows

RUNNER = CliRunner()


def run(*args):
    return RUNNER.invoke(app, [str(arg) for arg in args])


@pytest.fixture
def config(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    return write_config(
        tmp_path / "tiny.cfg",
        make_config(
            tiny_base("llama"), corpus, training__optimizer__learn_rate__total_steps=0
        ),
    )


def test_train_and_resume(config, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = run("train", config, "--output", whole)
    assert result.exit_code == 0, result.output
    assert "falls over 9 steps" in result.output
    result = run("train", config, "--output", parts, "--training.max_steps", 4)
    assert result.exit_code == 0, result.output
    # The resumed run keeps the number of 5 steps.
    result = run("train", config, "--resume", parts)
    assert result.exit_code == 0, result.output
    assert "Resuming after 5 steps" in result.output
    assert [row["step"] for row in read_rows(parts / FILE)] == [0, 4, 8]
    saved = load_config(parts / "model-last" / "config.cfg")
    assert saved["training"]["optimizer"]["learn_rate"]["total_steps"] == 5
    saved = load_config(whole / "model-last" / "config.cfg")
    assert saved["training"]["optimizer"]["learn_rate"]["total_steps"] == 9


def test_auto_resume(config, tmp_path):
    args = ["train", config, "--output", tmp_path / "out", "--auto-resume"]
    result = run(*args, "--training.max_steps", 4)
    assert result.exit_code == 0 and "Resuming" not in result.output, result.output
    result = run(*args)
    assert result.exit_code == 0 and "Resuming after 5 steps" in result.output
    rows = read_rows(tmp_path / "out" / FILE)
    assert [row["step"] for row in rows] == [0, 4, 8]
    assert run("train", config, "--auto-resume").exit_code == 2
    both = run(*args, "--resume", tmp_path / "out")
    assert both.exit_code == 2 and "--auto-resume" in both.output


def test_a_checkpoint_in_the_backup_is_not_lost(config, tmp_path):
    """A process that is killed while it replaces the checkpoint leaves the backup."""
    out = tmp_path / "out"
    args = ["train", config, "--output", out, "--auto-resume"]
    assert run(*args, "--training.max_steps", 1).exit_code == 0
    backup = backup_of(out / FOLDER)
    (out / FOLDER).rename(backup)
    result = run(*args)
    assert result.exit_code == 1 and "G251" in result.output
    with pytest.raises(ValueError, match="G251"):
        train_pipeline(config, {}, out)
    assert backup.is_dir()
    backup.rename(out / FOLDER)
    assert "Resuming after 2 steps" in run(*args).output


def test_resume_in_another_folder(config, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    share = ["--training.optimizer.learn_rate.final_share", 0.5]
    assert run("train", config, "--output", first, *share).exit_code == 0
    before = weights(first / "model-best")
    result = run(
        "train", config, "--resume", first, "--output", second,
        "--training.max_steps", 12, "--training.eval_frequency", 100, *share,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    # Without another evaluation, the best model is that of the first run.
    assert weights(second / "model-best") == before
    assert weights(second / "model-last") != weights(first / "model-last")
    assert [row["step"] for row in read_rows(second / FILE)] == [0, 4, 8]


def test_exit_codes(config, tmp_path):
    result = run("train", config)
    assert result.exit_code == 2
    result = run("train", config, "--output", tmp_path / "x", "--max-steps", 3)
    assert result.exit_code == 2
    result = run("train", tmp_path / "none.cfg", "--output", tmp_path / "x")
    assert result.exit_code == 1 and "G520" in result.output
    result = run("train", config, "--output", config)
    assert result.exit_code == 1 and "G572" in result.output
    result = run(
        "train", config, "--output", tmp_path / "x", "--checkpoint-minutes", -1
    )
    assert result.exit_code == 2
    result = run("train", config, "--resume", tmp_path / "nothing")
    assert result.exit_code == 1 and "G311" in result.output
    result = run("train", config, "--output", tmp_path / "x", "--gpu-id", 99)
    assert result.exit_code == 1 and "G317" in result.output
    assert run("train", config, "--output", tmp_path / "out").exit_code == 0
    result = run("train", config, "--resume", tmp_path / "out", "--system.seed", 9)
    assert result.exit_code == 1 and "G313" in result.output


def test_spacy_train_with_total_steps_of_0(config, tmp_path):
    from spacy.cli.train import train

    with pytest.raises(ValueError, match=r"\[G301\].*init-config"):
        train(config, tmp_path / "out")


@pytest.fixture
def interrupted(tmp_path):
    """A file that arms a callback, which sends the signal in the file once before step
    5, and the arguments that use the callback."""
    code = tmp_path / "code.py"
    armed = tmp_path / "armed"
    code.write_text(
        "import os\nfrom pathlib import Path\nimport spacy\n\n"
        "@spacy.registry.callbacks('interrupt')\n"
        "def make(armed: str):\n"
        "    def before_update(nlp, info):\n"
        "        if info['step'] == 5 and Path(armed).exists():\n"
        "            number = int(Path(armed).read_text())\n"
        "            Path(armed).unlink()\n"
        "            os.kill(os.getpid(), number)\n"
        "    return before_update\n"
    )
    callback = json.dumps({"@callbacks": "interrupt", "armed": str(armed)})
    return armed, ["--code", code, "--training.before_update", callback]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_after_its_step(config, tmp_path, interrupted, number):
    armed, args = interrupted
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("train", config, *args, "--output", whole).exit_code == 0
    armed.write_text(str(int(number)))
    handler = signal.getsignal(number)
    result = run("train", config, *args, "--output", parts)
    assert result.exit_code == 128 + number, result.output
    assert signal.getsignal(number) == handler
    assert not armed.exists()
    result = run("train", config, *args, "--resume", parts)
    assert result.exit_code == 0 and "after 6 steps" in result.output
    assert weights(whole / "model-last") == weights(parts / "model-last")


@pytest.mark.slow
def test_a_killed_process_is_resumed(config, tmp_path, interrupted):
    armed, args = interrupted
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("train", config, *args, "--output", whole).exit_code == 0
    armed.write_text(str(int(signal.SIGKILL)))
    command = [sys.executable, "-m", "spacy", "genner", "train", config, *args]
    command += ["--checkpoint-minutes", "0", "--output", parts]
    done = subprocess.run(list(map(str, command)), timeout=120)
    assert done.returncode == -signal.SIGKILL
    result = run("train", config, *args, "--resume", parts)
    assert result.exit_code == 0 and "after 5 steps" in result.output
    assert weights(whole / "model-last") == weights(parts / "model-last")


def test_init_config(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    output = tmp_path / "new" / "made.cfg"
    args = ["init-config", corpus, output, "--dev", corpus, "--base"]
    result = run(*args, tiny_base("llama"), "--steps", 4)
    assert result.exit_code == 0, result.output
    assert "s per training step" in result.output
    result = run("train", output, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "model-best" / "generative_ner" / "adapter").is_dir()
    missing = ["init-config", corpus, output, "--dev", tmp_path / "none.spacy"]
    result = run(*missing)
    assert result.exit_code == 1 and "G520" in result.output
    assert run("init-config", corpus, output).exit_code == 2


def entities_alone(path):
    """Write a corpus whose spans are in doc.ents only."""
    made = []
    for doc in docs([TEXTS[0], TEXTS[1]]):
        doc.set_ents(list(doc.spans["sc"]))
        doc.spans.clear()
        made.append(doc)
    DocBin(docs=made).to_disk(path)
    return path


@pytest.mark.parametrize("corpus", ["train", "dev"])
def test_corpora_with_entities_alone_are_refused(config, tmp_path, corpus):
    """Otherwise each evaluation has the score 0, and the best model is arbitrary."""
    entities = entities_alone(tmp_path / "ents.spacy")
    args = ["train", config, "--output", tmp_path / "out"]
    result = run(*args, f"--paths.{corpus}", entities)
    assert result.exit_code == 1
    assert "G346" in result.output and "genner convert" in result.output
    assert not (tmp_path / "out" / "model-last").exists()
    good = tmp_path / "train.spacy"
    pair = {"train": good, "dev": good} | {corpus: entities}
    result = run(
        "init-config", pair["train"], tmp_path / "x.cfg", "--dev", pair["dev"],
        "--base", "nowhere",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "G346" in result.output and str(entities) in result.output
    # The advice of the message.
    converted = tmp_path / "converted.spacy"
    result = run("convert", entities, converted, "--from", "docbin")
    assert result.exit_code == 0, result.output
    result = run(*args, f"--paths.{corpus}", converted, "--training.max_steps", 4)
    assert result.exit_code == 0, result.output


def test_a_development_corpus_without_the_group_is_refused(config, tmp_path):
    made = list(docs())
    for doc in made:
        doc.spans["other"] = doc.spans.pop("sc")
    DocBin(docs=made).to_disk(tmp_path / "other.spacy")
    paths = ["--paths.dev", tmp_path / "other.spacy"]
    result = run("train", config, "--output", tmp_path / "out", *paths)
    assert result.exit_code == 1 and "G347" in result.output
    assert "'other'" in result.output


def test_the_output_of_a_run(config, tmp_path):
    """The learning rate is readable, the loss is a mean, and the end names the best
    score and the next command."""
    out = tmp_path / "out"
    rate = ["--training.optimizer.learn_rate.initial_rate", 0.0001234567]
    result = run("train", config, "--output", out, *rate)
    assert result.exit_code == 0, result.output
    assert re.search(r"Learn rate: \d\.\d\de-\d\d\b", result.output)
    rows = read_rows(out / FILE)
    shown = re.findall(r"^ +\d+ +(\d+) +(\d+\.\d+)", result.output, re.MULTILINE)
    assert (
        [int(step) for step, _ in shown] == [row["step"] for row in rows] == [0, 4, 8]
    )
    for updates, (_, loss), row in zip([1, 4, 4], shown, rows, strict=True):
        # The log keeps the sum.
        total = row["losses"]["generative_ner"]
        assert float(loss) == pytest.approx(total / updates, abs=0.006)
    best = max(rows, key=lambda row: (row["score"], -row["step"]))
    end = f"Best score: {best['score']:.4f} at step {best['step']}, saved in"
    assert f"{end} {out / 'model-best'}\n" in result.output
    assert f"genner evaluate {out / 'model-best'} TEST.spacy" in result.output


def test_commands_report_their_progress_without_a_terminal(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    result = run(
        "init-config", corpus, tmp_path / "made.cfg", "--dev", corpus,
        "--base", tiny_base("llama"), "--steps", 4,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for line in ("Reading", "Loading the base", "training steps: 1 of 7", "documents"):
        assert line in result.stderr
    # Each note is a line.
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("Expected: ")]
    assert [line for line in lines if line.startswith("Measured on this machine")]


def test_logs_have_no_progress_bars_and_no_source_lines(config, tmp_path):
    """W302 and the loading of weights, in `genner train` and `spacy train`."""
    text = "Lisbon hosts the X1bound University ."
    for command in (["genner", "train"], ["train"]):
        made = list(docs([(text, [(0, 1, "GPE")])]))
        made[0].user_data["genner_unaligned"] = [[19, 24, "ORG"]]
        DocBin(docs=made, store_user_data=True).to_disk(tmp_path / "x.spacy")
        paths = [f"--paths.{name}={tmp_path / 'x.spacy'}" for name in ("train", "dev")]
        total = "--training.optimizer.learn_rate.total_steps=9"
        done = subprocess.run(
            [sys.executable, "-m", "spacy", *command, str(config), *paths, total,
             "--output", str(tmp_path / "out")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "[W302]" in done.stderr
        assert ".py" not in done.stderr and "warn(" not in done.stderr
        assert "Loading weights" not in done.stderr
