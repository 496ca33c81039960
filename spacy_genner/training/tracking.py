"""Runs in Weights & Biases and in MLflow, through the loggers of spacy-loggers.

The loggers neither state the step of what they log nor continue the run of an
interrupted training. Here the training loop adds both: while a logger logs, its values
get the step of the training, and a resumed training continues its runs, whose ids are
kept beside the checkpoint. Neither library is imported here: a logger that needs one
has imported it.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..io import parse_json, read_text, write_json

FILE = "tracking.json"
STEP = "step"
# For each library the variable that names the run to continue.
RUN_ID = {"wandb": "WANDB_RUN_ID", "mlflow": "MLFLOW_RUN_ID"}
# MLflow truncates the values of parameters.
_MAX_PARAM = 6000
_MAX_TAG = 5000


class TrackedRuns:
    """The runs in Weights & Biases and MLflow that belong to a training.

    path (Path): The file with the ids of the runs.
    resumed (bool): Whether the training continues, so that its runs continue too.
    """

    def __init__(self, path: Path, resumed: bool):
        self.path = path
        self._known = self._read() if resumed else {}

    def _read(self) -> dict[str, str]:
        if not self.path.is_file():
            return {}
        try:
            known = parse_json(read_text(self.path))
            if not isinstance(known, dict) or not set(known) <= set(RUN_ID):
                raise ValueError(f"expected the keys {sorted(RUN_ID)}")
            if not all(isinstance(value, str) and value for value in known.values()):
                raise ValueError("an id is no text")
        except ValueError as err:
            raise ValueError(Errors.G620.format(path=self.path, reason=err)) from err
        return known

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Continue the known runs while the block sets up the loggers. The user's
        environment variables and the setting `run_id` of a logger take precedence.
        Afterwards the ids of the runs are written."""
        wandb, mlflow = sys.modules.get("wandb"), sys.modules.get("mlflow")
        with ExitStack() as stack:
            known = self._known.get("wandb")
            # Weights & Biases reads its variables only once in a process.
            if wandb is not None and known and RUN_ID["wandb"] not in os.environ:
                init = partial(wandb.init, id=known, resume="allow")
                stack.enter_context(_replaced(wandb, "init", init))
            if mlflow is not None:
                log = partial(_log_params, mlflow, mlflow.log_params)
                stack.enter_context(_replaced(mlflow, "log_params", log))
                known = self._known.get("mlflow")
                if known and RUN_ID["mlflow"] not in os.environ:
                    os.environ[RUN_ID["mlflow"]] = known
                    # MLflow removes the variable when it has used it.
                    stack.callback(os.environ.pop, RUN_ID["mlflow"], None)
            yield
        ids = _run_ids()
        if ids:
            write_json(self.path, self._known | ids)
        if "wandb" in ids:
            run = sys.modules["wandb"].run
            run.define_metric(STEP)
            run.define_metric("*", step_metric=STEP)

    @contextmanager
    def at_step(self, step: int) -> Iterator[None]:
        """State the step of what the block logs.

        step (int): The step of the training.
        """
        with ExitStack() as stack:
            ids = _run_ids()
            if "wandb" in ids:
                wandb = sys.modules["wandb"]
                # Each call makes a row of its own, so each gets the step.
                log = partial(_log_row, wandb.log, step)
                stack.enter_context(_replaced(wandb, "log", log))
            if "mlflow" in ids:
                mlflow = sys.modules["mlflow"]
                for name in ("log_metric", "log_metrics"):
                    log = partial(getattr(mlflow, name), step=step)
                    stack.enter_context(_replaced(mlflow, name, log))
            yield


def _run_ids() -> dict[str, str]:
    """The ids of the active runs."""
    ids = {}
    wandb, mlflow = sys.modules.get("wandb"), sys.modules.get("mlflow")
    run = getattr(wandb, "run", None)
    if run is not None:
        ids["wandb"] = str(run.id)
    active = None if mlflow is None else mlflow.active_run()
    if active is not None:
        ids["mlflow"] = str(active.info.run_id)
    return ids


@contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """spacy-loggers call the functions of the library's module, so this is the place
    where an argument can be added."""
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _log_row(
    log: Callable[..., Any], step: int, data: Mapping[str, Any], *args: Any, **kw: Any
) -> Any:
    return log({**data, STEP: step}, *args, **kw)


def _log_params(
    mlflow: Any, log_params: Callable[..., Any], params: Mapping[str, Any]
) -> None:
    """Log the parameters that a run lacks. MLflow refuses to change one, but a resumed
    training may have other paths or more steps: these become tags."""
    run_id = mlflow.active_run().info.run_id
    known = mlflow.get_run(run_id).data.params
    fresh = {key: value for key, value in params.items() if key not in known}
    if fresh:
        log_params(fresh)
    for key, value in params.items():
        if key in known and known[key] != str(value)[:_MAX_PARAM]:
            mlflow.set_tag(f"resumed.{key}", str(value)[:_MAX_TAG])
