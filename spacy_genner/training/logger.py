"""The logger of training, and the JSONL logs of evaluations and of steps.

`training_log.jsonl` has one row for each evaluation. `training_steps.jsonl` has one for
each step, and is written by `genner train` alone: spaCy's loop passes losses to loggers
only with an evaluation.
"""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger_v3
from wasabi import Printer

from ..io import remove, replaced_file
from .targets import REASONS

NAME = "spacy-genner.JsonLogger.v1"
FILE = "training_log.jsonl"
STEPS_FILE = "training_steps.jsonl"
LogStep = Callable[[dict[str, Any] | None], None]


def make_json_logger(
    progress_bar: bool = True,
) -> Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]:
    """Make a logger. Registered as `spacy-genner.JsonLogger.v1`.

    The logger writes to the console as spaCy's console logger does, but with the mean
    loss of an update since the last evaluation rather than the sum. It writes each
    evaluation, with the sums, to `training_log.jsonl` beside `model-best` and
    `model-last`. After training it lists the reference spans that were skipped.

    progress_bar (bool): Whether to show the steps until the next evaluation.
    RETURNS (Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]): The
        logger.
    """
    console = console_logger_v3(progress_bar="eval" if progress_bar else None)

    def setup(
        nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        log_console, finalize_console = console(nlp, stdout, stderr)

        def log_step(info: dict[str, Any] | None) -> None:
            log_console(None if info is None else with_mean_losses(info))
            # spaCy passes the output folder to loggers only with an evaluation.
            if info is not None and "output_path" in info:
                write_row(Path(info["output_path"]).parent / FILE, info)

        def finalize() -> None:
            finalize_console()
            for line in skipped_spans(nlp):
                stdout.write(Printer(no_print=True).warn(line) + "\n")

        return log_step, finalize

    return setup


def with_mean_losses(info: dict[str, Any]) -> dict[str, Any]:
    """Divide the losses since the last evaluation by the number of updates. A sum
    grows with the number of steps between two evaluations.

    info (dict[str, Any]): The information about a step with an evaluation.
    RETURNS (dict[str, Any]): The same information with mean losses.
    """
    evaluated = [step for _, step in info["checkpoints"] if step < info["step"]]
    updates = info["step"] - max(evaluated, default=-1)
    losses = {name: float(loss) / updates for name, loss in info["losses"].items()}
    return {**info, "losses": losses}


def write_row(path: Path, info: dict[str, Any]) -> None:
    """Add an evaluation to a training log. The log is replaced atomically.

    Rows of the same step and of later steps are removed: they belong to an earlier run,
    or to steps that a resumed run repeats.

    path (Path): The log.
    info (dict[str, Any]): The information about a step that spaCy's training loop
        passes to loggers.
    """
    step = int(info["step"])
    row = {
        "step": step,
        "epoch": int(info["epoch"]),
        "seconds": info["seconds"],
        "words": int(info["words"]),
        "losses": _to_json(info["losses"]),
        "score": _to_json(info["score"]),
        "other_scores": _to_json(info["other_scores"]),
    }
    if step == 0:
        # The steps of an earlier run. Those of this run are written later.
        remove(path.with_name(STEPS_FILE))
    rows = [kept for kept in read_rows(path) if kept["step"] < step]
    _write_rows(path, [*rows, row])


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(each) + "\n" for each in rows)
    with replaced_file(path) as fresh:
        fresh.write_text(text, encoding="utf8")


class StepLog:
    """The log of the steps of a run. Rows are collected, and written by `flush`.

    path (Path): The log.
    first (int): The first step. Rows of this step and of later ones are replaced.
    """

    def __init__(self, path: Path, first: int):
        self.path = path
        self._first = first
        self._rows: list[dict[str, Any]] = []

    def add(
        self, step: int, epoch: int, losses: dict[str, Any], learn_rate: float
    ) -> None:
        """Add a step.

        step (int): The step.
        epoch (int): Its epoch.
        losses (dict[str, Any]): The loss of the step, by component.
        learn_rate (float): The learning rate of its update.
        """
        row = {"step": step, "epoch": epoch, "losses": losses, "learn_rate": learn_rate}
        self._rows.append(_to_json_row(row))

    def flush(self) -> None:
        """Write the rows that were added. The log is replaced atomically."""
        if self._rows:
            kept = [row for row in read_rows(self.path) if row["step"] < self._first]
            _write_rows(self.path, [*kept, *self._rows])
            self._first = self._rows[-1]["step"] + 1
            self._rows = []


def _to_json_row(row: dict[str, Any]) -> dict[str, Any]:
    whole = {key: int(row[key]) for key in ("step", "epoch")}
    return {**_to_json(row), **whole}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a training log.

    path (Path): The log, which may not exist.
    RETURNS (list[dict[str, Any]]): Its rows. Incomplete lines are skipped.
    """
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return [row for row in rows if isinstance(row, dict) and "step" in row]


def skipped_spans(nlp: Language) -> list[str]:
    """Describe the reference spans that training has skipped.

    nlp (Language): The pipeline.
    RETURNS (list[str]): A line for each component and kind of skipped spans.
    """
    lines = []
    for name, pipe in nlp.pipeline:
        counts = pipe.gold_counts() if hasattr(pipe, "gold_counts") else None
        if counts is None:
            continue
        for kind, count in counts.skipped.items():
            lines.append(
                f"{name}: {count} of the {counts.spans} spans seen in training "
                f"{REASONS[kind]} and were skipped. The first: "
                + ", ".join(counts.listed[kind])
            )
    return lines


def _to_json(value: Any) -> Any:
    """Convert NumPy's numbers to numbers, and nan and infinity to null."""
    if isinstance(value, dict):
        return {str(key): _to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(each) for each in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
