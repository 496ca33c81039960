"""`genner sweep`: train and compare pipelines over a grid of settings."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from wasabi import msg

from ..errors import Errors, Warnings
from ._util import (
    CONFIG_ERRORS,
    CheckpointMinutes,
    Code,
    GpuId,
    app,
    choice,
    names_config,
    parse_overrides,
    reports_errors,
    warn_on_stderr,
    without_values,
)
from .train import run_training, stop_signals

if TYPE_CHECKING:
    from ..evaluation.sweep import Sweep, SweepRun

RUNS = "runs"
LOCK = ".lock"
# Seconds. A process whose sweep was killed finishes its step and writes a checkpoint.
_WAIT = 300.0


@app.command(
    "sweep",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@reports_errors
def sweep(
    ctx: typer.Context,
    config_path: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The training config to vary.")
    ],
    grid: Annotated[
        Path,
        typer.Argument(
            metavar="GRID",
            help="The settings to vary (.json or .cfg): 'grid' with a list of values "
            "for each dotted key, 'cases' with settings that vary together, and "
            "'seeds'.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The folder of the sweep."),
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            metavar="FILE.spacy",
            help="Test documents, for the recipe that is the best on the development "
            "data.",
            show_default=False,
        ),
    ] = None,
    test_runs: Annotated[
        str,
        choice(
            "--test-runs",
            allowed=("best", "all"),
            help="The runs that --test scores: those of the best recipe, or all.",
        ),
    ] = "best",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the configs, list the runs, and stop."),
    ] = False,
    code: Code = None,
    gpu_id: GpuId = -1,
    checkpoint_minutes: CheckpointMinutes = 10.0,
) -> None:
    """Train and compare pipelines over a grid of settings.

    Each combination of settings and seed is a run: a training as 'genner train' does
    it, in a process of its own, and an evaluation on the development corpus of CONFIG.
    DIR contains results.jsonl with one line for each run, table.md, sweep.html with
    plots, and the models in runs. The same command continues a sweep that was
    interrupted: finished runs are not repeated, and a run continues from its
    checkpoint. Settings of all runs are overridden as in spaCy: --paths.train FILE

    \b
    Example:
      python -m spacy genner sweep configs/demo.cfg rates.json --output training/rates
    """
    from spacy.cli._util import import_code

    from ..evaluation.sweep import check_overrides, group_rows, read_sweep

    overrides = parse_overrides(ctx.args)
    for path in (config_path, grid, *([test] if test else [])):
        if not path.is_file():
            raise ValueError(Errors.G520.format(path=path))
    import_code(code)
    plan = read_sweep(grid)
    check_overrides(plan, overrides, grid)
    runs = _make_runs(plan, config_path, overrides, output)
    if test is not None:
        _check_test(test, config_path, overrides)
    if dry_run:
        for run in runs:
            msg.text(f"{'done' if run.row else 'open'}  {run.name}")
        return
    output.mkdir(parents=True, exist_ok=True)
    options = _Options(code, gpu_id, checkpoint_minutes)
    with _locked(output / LOCK, wait=0.0), stop_signals() as stopped:
        todo = [run for run in runs if run.row is None]
        msg.info(f"{len(runs)} runs, {len(runs) - len(todo)} of them done")
        for number, run in enumerate(todo, len(runs) - len(todo) + 1):
            run.prepare()
            run.finish(options, None, stopped, f"{number} of {len(runs)}")
            _write(output, runs)
        if test is not None:
            recipes = group_rows(run.row for run in runs if run.row)
            chosen = recipes[:1] if test_runs == "best" else recipes
            names = {row["run"] for recipe in chosen for row in recipe.rows}
            file = {"file": str(test), "sha256": _checksum(test)}
            for run in runs:
                if run.name in names and not run.is_tested(file):
                    run.finish(options, file, stopped, "test")
                    _write(output, runs)
        _write(output, runs)
    _report(output, runs)


def _check_test(test: Path, config_path: Path, overrides: dict[str, Any]) -> None:
    """Check the test documents before any run is trained."""
    from spacy import blank
    from spacy.util import load_config_from_str, load_model_from_config

    from ..corpora.docbin import load_docs
    from ..evaluation.evaluate import check_gold
    from ..io import read_text
    from ._util import find_component

    config = load_config_from_str(read_text(config_path), overrides=overrides)
    nlp = load_model_from_config(config, auto_fill=True)
    key = find_component(nlp, str(config_path)).key
    check_gold(list(load_docs(test, blank("xx").vocab)), key)


@dataclass(frozen=True)
class _Options:
    """The options of all runs: the Python file, the GPU, and the checkpoints."""

    code: Path | None
    gpu_id: int
    checkpoint_minutes: float


class _Run:
    """A run with its folder and its result.

    run (SweepRun): The run.
    config (str): Its config.
    folder (Path): Its folder.
    row (dict[str, Any] | None): Its result. None before it is finished.
    """

    def __init__(self, run: "SweepRun", config: str, folder: Path) -> None:
        self.run = run
        self.config = config
        self.folder = folder
        self.row: dict[str, Any] | None = None
        self.error: str | None = None

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def line(self) -> dict[str, Any]:
        """The line of the run in the results."""
        if self.row is not None:
            return self.row
        facts = {"overrides": self.run.overrides, "seed": self.run.seed}
        return {"run": self.name, **facts, "error": self.error or "not run"}

    def prepare(self) -> None:
        """Write the config of the run."""
        from ..evaluation.sweep import CONFIG
        from ..io import write_bytes

        write_bytes(self.folder / CONFIG, self.config.encode("utf8"))

    def is_tested(self, file: dict[str, str]) -> bool:
        found = (self.row or {}).get("test", {})
        return all(found.get(key) == value for key, value in file.items())

    def finish(
        self,
        options: _Options,
        test: dict[str, str] | None,
        stopped: list[int],
        number: str,
    ) -> None:
        """Train and score the run in a process of its own, or score it on test data."""
        from ..evaluation.sweep import LOG, RESULT

        job = _Job(self.run, self.folder, options, test)
        self.error = _run_job(job, stopped)
        if stopped:
            msg.warn("Stopped. The same command continues the sweep.")
            raise typer.Exit(128 + stopped[0])
        if self.error is not None:
            log = self.folder / LOG
            warn_on_stderr(
                Warnings.W920.format(name=self.name, reason=self.error, log=log)
            )
            return
        row = self.row = _read_result(self.folder / RESULT)
        part = "dev" if test is None else "test"
        minutes = f" ({row['minutes']:.1f} minutes)" if test is None else ""
        msg.good(
            f"{number}: {self.name}: {part} F1 {100 * row[part]['f']:.2f}{minutes}"
        )


@dataclass(frozen=True)
class _Job:
    """What the process of a run has to do.

    run (SweepRun): The run.
    folder (Path): Its folder.
    options (_Options): The options of all runs.
    test (dict[str, str] | None): The `file` and `sha256` of test data to score the
        trained pipeline on. None to train it, and to score it on development data.
    """

    run: "SweepRun"
    folder: Path
    options: _Options
    test: dict[str, str] | None


def _make_runs(
    plan: "Sweep", config_path: Path, overrides: dict[str, Any], output: Path
) -> list[_Run]:
    """Make the runs of a sweep, check their configs, and read the results of those that
    are finished."""
    from spacy.util import load_config_from_str

    from ..evaluation.sweep import check_config, check_keys, make_config
    from ..io import read_text
    from ..training.loop import check_training_config

    text = read_text(config_path)
    with names_config(config_path):
        # The mistakes of the config itself, without a setting of the sweep.
        plain = load_config_from_str(text, overrides=overrides, interpolate=False)
        check_training_config(plain, config_path)
        check_keys(plain, {key for each in plan.recipes for key in each}, config_path)
    runs: list[_Run] = []
    checked: set[str] = set()
    for each in plan.runs:
        try:
            config = make_config(text, each, overrides)
            recipe = repr(each.overrides)
            if recipe not in checked:
                check_config(config, config_path)
                checked.add(recipe)
        except CONFIG_ERRORS as error:
            reason = " ".join(without_values(error).split()).rstrip(".")
            message = Errors.G923.format(
                path=config_path, name=each.name, reason=reason
            )
            raise ValueError(message) from error
        run = _Run(each, config.to_str(), output / RUNS / each.name)
        run.row = _read_row(run)
        runs.append(run)
    return runs


def _read_row(run: _Run) -> dict[str, Any] | None:
    """The result of a run, if it is finished. A started run must have the same config,
    and a finished one the same data."""
    from thinc.api import Config

    from ..evaluation.sweep import CONFIG, RESULT, file_checksums
    from ..io import check_folder, read_text
    from ..training.checkpoint import FOLDER, flatten_config

    config_file, result_file = run.folder / CONFIG, run.folder / RESULT
    if not result_file.is_file():
        check_folder(run.folder / FOLDER)
    is_started = (run.folder / FOLDER).is_dir() or result_file.is_file()
    if not is_started or not config_file.is_file():
        return None
    try:
        saved = Config().from_str(read_text(config_file), interpolate=False)
    except CONFIG_ERRORS as error:
        reason = " ".join(without_values(error).split()).rstrip(".")
        raise ValueError(Errors.G994.format(path=config_file, reason=reason)) from error
    now = flatten_config(Config().from_str(run.config, interpolate=False))
    then = flatten_config(saved)
    changed = [
        f"{key} was {then.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(set(now) | set(then))
        if now.get(key) != then.get(key)
    ]
    row: dict[str, Any] | None = None
    if result_file.is_file():
        row = _read_result(result_file)
        data = row["data"]["files"]
        if not changed and data != file_checksums(Config().from_str(run.config)):
            changed = ["the files of its corpora"]
    if changed:
        found = "; ".join(changed[:5])
        raise ValueError(Errors.G924.format(folder=run.folder, changed=found))
    return row


def _read_result(path: Path) -> dict[str, Any]:
    """Read the result of a finished run."""
    from ..io import parse_json, read_text

    try:
        row = parse_json(read_text(path))
        # What the table and a continued sweep need.
        needed = [row[key] for key in ("run", "overrides", "seed", "minutes")]
        needed.append(row["data"]["files"])
        for part in ("dev", *(["test"] if "test" in row else [])):
            needed += [float(row[part]["f"]), row[part]["interval"]]
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error) if type(error) is ValueError else repr(error)
        raise ValueError(Errors.G994.format(path=path, reason=reason)) from error
    found: dict[str, Any] = row
    return found


@contextmanager
def _locked(path: Path, wait: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(Errors.G925.format(folder=path.parent)) from None
    try:
        yield
    finally:
        lock.release()


def _run_job(job: _Job, stopped: list[int]) -> str | None:
    """Run a job in a new process, whose memory is free afterwards.

    job (_Job): The job.
    stopped (list[int]): The signals that this process has received. The first is passed
        on.
    RETURNS (str | None): The reason of a failure. None if the job is done.
    """
    from multiprocessing import get_context

    # A forked child of a process that has used OpenMP can hang.
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender))
    process.start()
    sender.close()
    is_told = False
    while process.is_alive():
        process.join(0.2)
        if stopped and not is_told:
            process.terminate()
            is_told = True
    message: str | None = None
    with suppress(EOFError):
        if receiver.poll():
            message = receiver.recv()
    receiver.close()
    code = process.exitcode
    if message is None and code:
        message = f"its process ended with {f'signal {-code}' if code < 0 else code}"
    return message


def _work(job: _Job, sender: Any) -> None:
    """Do a job, in a process of its own."""
    from ..evaluation.sweep import LOG

    # The terminal's signals reach the sweep, which passes them on once.
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with (job.folder / LOG).open("a", encoding="utf8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    try:
        do_job(job)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except Exception as error:
        import traceback

        traceback.print_exc()
        message = str(error.args[0]) if error.args else str(error)
        sender.send(message or type(error).__name__)


def _end_with_parent() -> None:
    """Stop this process as a signal does when the sweep has been killed, so that the
    checkpoint is written and the folder is free for the next sweep."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def do_job(job: _Job) -> None:
    """Train and score a run, or score it on test data, and write its result.

    job (_Job): The job.
    """
    from spacy.cli._util import import_code
    from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST

    from ..evaluation.sweep import CONFIG, RESULT
    from ..io import remove, write_json
    from ..training.checkpoint import FOLDER

    folder, options = job.folder, job.options
    import_code(options.code)
    with _locked(folder / LOCK, _WAIT):
        if job.test is not None:
            row = _read_result(folder / RESULT)
            row["test"] = {**job.test, **_score(job, folder / "test.json")}
            write_json(folder / RESULT, row)
            return
        run_training(
            folder / CONFIG,
            folder,
            resume=folder if (folder / FOLDER).is_dir() else None,
            gpu_id=options.gpu_id,
            checkpoint_minutes=options.checkpoint_minutes,
        )
        row = _facts(job)
        row["dev"] = _score(job, folder / "dev.json")
        write_json(folder / RESULT, row)
        # A finished run is not continued, and these are as large as its model.
        for name in (FOLDER, DIR_MODEL_LAST):
            remove(folder / name)
    assert (folder / DIR_MODEL_BEST).is_dir()


def _facts(job: _Job) -> dict[str, Any]:
    """The facts about a trained run that its result states."""
    import platform

    import torch
    from thinc.api import Config

    from .. import __version__
    from ..evaluation.sweep import CONFIG, file_checksums, git_state
    from ..training.checkpoint import FOLDER, Checkpoint

    checkpoint = Checkpoint.read(job.folder / FOLDER)
    progress, identity = checkpoint.progress, checkpoint.identity
    config = Config().from_disk(job.folder / CONFIG)
    # The earliest of equal scores is the best.
    best = max(progress.results, key=lambda result: (result[0], -result[1]))
    return {
        "run": job.run.name,
        "overrides": job.run.overrides,
        "seed": config["training"].get("seed"),
        "git": git_state(),
        "data": {
            "files": file_checksums(config),
            "train": identity.train,
            "dev": identity.dev,
        },
        "minutes": progress.seconds / 60,
        "steps": progress.step,
        "best_step": best[1],
        "words": progress.words,
        "threads": torch.get_num_threads(),
        "versions": {
            "spacy_genner": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _score(job: _Job, output: Path) -> dict[str, Any]:
    """Score the best pipeline of a run on its development corpus, or on test data."""
    from spacy import load
    from spacy.training.loop import DIR_MODEL_BEST
    from spacy.util import resolve_dot_names

    from ..corpora.docbin import load_docs
    from ..evaluation.sweep import score_run
    from ._util import add_entity_group, choose_gpu, find_spans_key

    choose_gpu(job.options.gpu_id)
    place = job.folder / DIR_MODEL_BEST
    nlp = load(place)
    key = find_spans_key(nlp, str(place))
    if job.test is None:
        config = nlp.config.interpolate()
        [corpus] = resolve_dot_names(config, [config["training"]["dev_corpus"]])
        docs = [example.reference for example in corpus(nlp)]
    else:
        docs = list(load_docs(Path(job.test["file"]), nlp.vocab))
    add_entity_group(nlp, key)
    return score_run(nlp, docs, key, output)


def _checksum(path: Path) -> str:
    from ..models.gguf import joined_sha256

    return joined_sha256([path])


def _write(output: Path, runs: list[_Run]) -> None:
    from ..evaluation.sweep import write_results

    write_results(output, [run.line for run in runs])


def _report(output: Path, runs: list[_Run]) -> None:
    from ..evaluation.sweep import PAGE, RESULTS, TABLE, format_recipes, group_rows

    typer.echo(format_recipes(group_rows(run.line for run in runs)), nl=False)
    msg.good(f"{output / RESULTS}, {output / TABLE}, {output / PAGE}")
    failed = [run for run in runs if run.row is None or run.error is not None]
    if failed:
        names = ", ".join(run.name for run in failed[:5])
        raise ValueError(
            Errors.G926.format(count=len(failed), total=len(runs), names=names)
        )
