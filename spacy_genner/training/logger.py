"""The JSON logger of training."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger_v3
from wasabi import Printer

from ..io import replaced_file
from .targets import REASONS

NAME = "spacy-genner.JsonLogger.v1"
FILE = "training_log.jsonl"
LogStep = Callable[[dict[str, Any] | None], None]


def make_json_logger(
    progress_bar: bool = True,
) -> Callable[[Language, IO, IO], tuple[LogStep, Callable[[], None]]]:
    """Registered as `spacy-genner.JsonLogger.v1`: spaCy's console logger, which also
    writes `training_log.jsonl` beside `model-best` and `model-last`, and says at the
    end what training could not use of the reference.

    progress_bar (bool): Whether to show the steps until the next evaluation.
    RETURNS (Callable[[Language, IO, IO], Tuple[Callable, Callable]]): The logger.
    """
    console = console_logger_v3(progress_bar="eval" if progress_bar else None)

    def setup(
        nlp: Language, stdout: IO = sys.stdout, stderr: IO = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        log_console, finalize_console = console(nlp, stdout, stderr)

        def log_step(info: dict[str, Any] | None) -> None:
            log_console(info)
            # Only here does a logger learn where the models go.
            if info is not None and "output_path" in info:
                write_row(Path(info["output_path"]).parent / FILE, info)

        def finalize() -> None:
            finalize_console()
            for line in lost_spans(nlp):
                stdout.write(Printer(no_print=True).warn(line) + "\n")

        return log_step, finalize

    return setup


def write_row(path: Path, info: dict[str, Any]) -> None:
    """Add an evaluation to a training log.

    Rows of the same and of later steps are taken out: they are of an earlier run, or
    of a part that a resumed run does again. A kill leaves the log as it was or whole.

    path (Path): The log.
    info (Dict[str, Any]): What spaCy's training loop tells loggers.
    """
    step = int(info["step"])
    row = {
        "step": step,
        "epoch": int(info["epoch"]),
        "seconds": info["seconds"],
        "words": int(info["words"]),
        "losses": _plain(info["losses"]),
        "score": _plain(info["score"]),
        "other_scores": _plain(info["other_scores"]),
    }
    rows = [kept for kept in read_rows(path) if kept["step"] < step]
    text = "".join(json.dumps(each) + "\n" for each in [*rows, row])
    with replaced_file(path) as fresh:
        fresh.write_text(text, encoding="utf8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a training log.

    path (Path): The log.
    RETURNS (List[Dict[str, Any]]): Its rows. A line that was cut off is left out.
    """
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return [row for row in rows if isinstance(row, dict) and "step" in row]


def lost_spans(nlp: Language) -> list[str]:
    """Say what training could not use.

    nlp (Language): The pipeline.
    RETURNS (List[str]): A line for each component and kind of loss.
    """
    lines = []
    for name, pipe in nlp.pipeline:
        counts = pipe.gold_counts() if hasattr(pipe, "gold_counts") else None
        if counts is None:
            continue
        for kind, count in counts.lost.items():
            listed = ", ".join(counts.listed[kind])
            lines.append(
                f"{name}: {count} of the {counts.spans} spans seen {REASONS[kind]}, "
                f"so training went without them: {listed}"
            )
    return lines


def _plain(value: Any) -> Any:
    """A value as JSON holds it: NumPy's numbers as numbers, nan as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
