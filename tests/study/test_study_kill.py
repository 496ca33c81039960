"""A run that is killed for good (SIGKILL), in whatever stage it is, ends with the same
document as one that is not."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from study_cases import make_plain
from test_study_abilities import needs_harness, write_data
from test_study_document import write_results

pytest.importorskip("matplotlib")
# Kill after the first line of each of these stages. A stage that was interrupted runs
# again, so each run gets further than the one before.
STAGES = ("letters: training", "memorisation/shuffled_renamed", "abilities/copy-piqa")


def commands(files, data, folder):
    """The command lines of the last three steps of the workflow."""
    genner = [sys.executable, "-m", "spacy_genner", "study"]
    seconds = ["--output", folder / "metrics" / "genia"]
    return [
        [
            *(*genner, "memorisation", files["plain"], files["train"], files["test"]),
            *("--held-out", files["held_out"], "--name", "genia", *seconds),
            *("--training", folder / "training", "--corpus", folder / "corpus"),
        ],
        [
            *(*genner, "abilities", files["plain"], files["train"], "--data", data),
            *("--output", folder / "metrics", "--training", folder / "training"),
            *(
                "--corpus",
                folder / "corpus",
                "--limit",
                2,
                "--tasks",
                "piqa,extractive",
            ),
        ],
        [
            *(*genner, "document", folder / "metrics", folder / "study.md"),
            *("--corpora", "genia"),
        ],
    ]


def run(command, kill_at=None):
    """Run a command line, and kill it when it begins a stage."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in process.stdout:
        if kill_at is not None and kill_at in line:
            process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
@needs_harness
def test_a_run_that_is_killed_ends_with_the_same_document(tiny_base, tmp_path):
    files = make_plain(tmp_path, tiny_base("gemma3", "metaspace"))
    data = write_data(tmp_path / "general")
    documents = []
    for name, kills in (("whole", ()), ("killed", STAGES)):
        folder = tmp_path / name
        write_results(folder / "metrics")
        # Those of the last two questions are computed.
        shutil.rmtree(folder / "metrics" / "genia" / "memorisation")
        (folder / "metrics" / "genia" / "memorisation.json").unlink()
        (folder / "metrics" / "abilities.json").unlink()
        steps = commands(files, data, folder)
        for kill_at in kills:
            # A step in which the stage does not occur runs to its end.
            codes = (run(step, kill_at) for step in steps[:2])
            assert -signal.SIGKILL in codes, kill_at
            assert not (folder / "metrics" / "abilities.json").exists()
        assert [run(step) for step in steps] == [0, 0, 0]
        text = (folder / "study.md").read_text(encoding="utf8")
        documents.append(text.partition("## Time")[0])
    assert documents[0] == documents[1]
    summary = json.loads((tmp_path / "killed/metrics/abilities.json").read_text())
    assert all(summary["off_equals_base"].values())
