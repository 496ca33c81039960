"""`genner train`: train a pipeline as `spacy train` does, with checkpoints."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

from ..errors import Errors
from ._util import (
    CheckpointMinutes,
    Code,
    GpuId,
    app,
    choose_gpu,
    names_config,
    parse_overrides,
    reports_errors,
)


@app.command(
    "train",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@reports_errors
def train(
    ctx: typer.Context,
    config_path: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The training config.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The output folder."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="The output folder of an interrupted run. Training continues from its "
            "last checkpoint, in DIR or in --output.",
        ),
    ] = None,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume",
            help="Continue the run in --output if it has a checkpoint, and start a new "
            "one otherwise.",
        ),
    ] = False,
    code: Code = None,
    gpu_id: GpuId = -1,
    checkpoint_minutes: CheckpointMinutes = 10.0,
) -> None:
    """Train a pipeline as 'spacy train' does, with checkpoints.

    The result is the same as that of 'spacy train' with the same config. DIR contains
    model-best, model-last, training_log.jsonl, training_steps.jsonl and checkpoint. A
    run that continues with --resume has the same result as an uninterrupted run. Its
    config and corpora must be the same, except for paths, max_steps, max_epochs,
    patience and eval_frequency. Settings are overridden as in spaCy:
    --training.max_steps 100

    If 'total_steps' of the schedule spacy-genner.CosineWarmup.v1 is 0, it is computed
    from the corpus.

    \b
    Example:
      python -m spacy genner train configs/demo.cfg --output training/demo
      python -m spacy genner train configs/demo.cfg --resume training/demo
      python -m spacy genner train configs/demo.cfg -o training/demo --auto-resume
    """
    from spacy.cli._util import import_code

    from ..io import check_folder
    from ..training.checkpoint import FOLDER

    overrides = parse_overrides(ctx.args)
    if output is None and resume is None:
        raise typer.BadParameter(
            "Give --output DIR, or --resume DIR to continue a run."
        )
    if auto_resume:
        if output is None or resume is not None:
            raise typer.BadParameter(
                "--auto-resume is for --output DIR without --resume."
            )
        # A run is not started over because its checkpoint waits in the backup.
        check_folder(output / FOLDER)
        resume = output if (output / FOLDER).is_dir() else None
    if not config_path.is_file():
        raise ValueError(Errors.G520.format(path=config_path))
    import_code(code)
    target = output or resume
    assert target is not None
    run_training(
        config_path,
        target,
        resume=resume,
        overrides=overrides,
        gpu_id=gpu_id,
        checkpoint_minutes=checkpoint_minutes,
    )


def run_training(
    config_path: Path,
    target: Path,
    *,
    resume: Path | None = None,
    overrides: dict[str, Any] | None = None,
    gpu_id: int = -1,
    checkpoint_minutes: float = 10.0,
) -> None:
    """Train a pipeline from a config file.

    config_path (Path): The training config.
    target (Path): The output folder, which is created.
    resume (Path | None): The output folder of an interrupted run to continue.
    overrides (dict[str, Any] | None): Values that replace those of the config, by
        their dotted keys.
    gpu_id (int): The number of the GPU; -1 uses the device of the config.
    checkpoint_minutes (float): The maximum time between two checkpoints.
    RAISES (ValueError): The config is not valid, or differs from that of the
        interrupted run.
    RAISES (Exit): A signal stopped the run. The checkpoint is written.
    """
    from spacy.training.initialize import init_nlp
    from spacy.util import load_config_from_str

    from ..io import read_text
    from ..training.checkpoint import FOLDER, Checkpoint
    from ..training.loop import Stop, check_training_config, fill_total_steps
    from ..training.loop import train as train_pipeline

    checkpoint = None if resume is None else Checkpoint.read(resume / FOLDER)
    use_gpu = choose_gpu(gpu_id)
    with names_config(config_path):
        config = load_config_from_str(
            read_text(config_path), overrides=overrides or {}, interpolate=False
        )
        check_training_config(config, config_path)
    target.mkdir(parents=True, exist_ok=True)
    known = None if checkpoint is None else checkpoint.identity.config
    with names_config(config_path):
        total = fill_total_steps(config, known)
    if total is not None:
        msg.info(f"The learning rate falls over {total} steps")
    msg.divider("Initializing pipeline")
    with names_config(config_path):
        nlp = init_nlp(config, use_gpu=use_gpu)
    msg.good("Initialized pipeline")
    msg.divider("Training pipeline")
    if checkpoint is not None and resume is not None and not _same(target, resume):
        _copy_results(resume, target)
    with stop_signals() as stopped:
        try:
            train_pipeline(
                nlp,
                target,
                checkpoint=checkpoint,
                checkpoint_minutes=checkpoint_minutes,
                should_stop=lambda: bool(stopped),
                stdout=sys.stdout,
                stderr=sys.stderr,
            )
        except Stop:
            raise typer.Exit(128 + stopped[0]) from None


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Turn the first SIGINT or SIGTERM within the block into a graceful stop. The
    second signal has its usual effect.

    YIELDS (list[int]): The number of the signal, once it has arrived.
    """
    stopped: list[int] = []
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        stopped.append(number)
        msg.warn("Stopping after this step. Send the signal again to stop immediately.")
        _restore(previous)

    handler: Callable[[int, Any], None] = handle
    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handler)
    try:
        yield stopped
    finally:
        _restore(previous)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _copy_results(source: Path, target: Path) -> None:
    """Copy the models and the log of a run: its best model may remain the best."""
    from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST

    from ..io import copy_folder, replaced_file, replaced_folder
    from ..training.logger import FILE, STEPS_FILE
    from ..training.tracking import FILE as TRACKING

    for name in (DIR_MODEL_BEST, DIR_MODEL_LAST):
        if (source / name).is_dir():
            with replaced_folder(target / name) as folder:
                copy_folder(source / name, folder)
    for name in (FILE, STEPS_FILE, TRACKING):
        if (source / name).is_file():
            with replaced_file(target / name) as fresh:
                shutil.copyfile(source / name, fresh)
