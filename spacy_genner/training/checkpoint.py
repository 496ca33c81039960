"""Checkpoints of a training run: all that the next step depends on, without pickle."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from spacy.language import Language
from thinc.api import Optimizer

from ..errors import Errors
from ..storage.folders import check_folder, replaced_folder
from .optimizer_state import optimizer_arrays, restore_optimizer
from .random_states import random_states, set_python_state, set_random_states

VERSION = 1
FOLDER = "checkpoint"
_STATE = "state.json"
_COMPONENTS = "components"
_OPTIMIZER = "optimizer.safetensors"
_RANDOM = "random.safetensors"
# What may be another one in a run that goes on: places, and when to stop and look.
_FREE = {
    "training.max_steps",
    "training.max_epochs",
    "training.patience",
    "training.eval_frequency",
    "training.gpu_allocator",
    "system.gpu_allocator",
    "nlp.batch_size",
}
_FREE_SECTIONS = ("paths.", "training.logger.")


@dataclass
class Progress:
    """How far a run is.

    step (int): The next step, from 0.
    epoch (int): The epoch of the step before.
    epoch_batches (List[int]): Batches taken from each epoch so far.
    epoch_states (List[numpy.ndarray]): Python's random state where each began.
    results (List[Tuple[float, int]]): Score and step of each evaluation.
    losses (Dict[str, float]): Losses since the last evaluation.
    words (int): Words seen.
    seconds (float): How long the run took, all its parts together.
    performance (Dict[str, Any]): What `nlp.meta` says of the last evaluation.
    """

    step: int = 0
    epoch: int = 0
    epoch_batches: list[int] = field(default_factory=list)
    epoch_states: list[numpy.ndarray] = field(default_factory=list)
    results: list[tuple[float, int]] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    words: int = 0
    seconds: float = 0.0
    performance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """What a run that goes on must have in common with the one that stopped.

    config (Dict[str, Any]): The interpolated config, dotted key to value.
    train (str): The training corpus's digest.
    dev (str): The development corpus's digest.
    """

    config: dict[str, Any]
    train: str
    dev: str

    def check(self, other: "Identity", folder: Path) -> None:
        """Check that a run may go on.

        other (Identity): The one of the run that stopped.
        folder (Path): Its checkpoint, for the message.
        RAISES (ValueError): It was another config or corpus.
        """
        keys = sorted(set(self.config) | set(other.config))
        changed = [
            f"{key} was {other.config.get(key)!r}, is {self.config.get(key)!r}"
            for key in keys
            if not _is_free(key) and self.config.get(key) != other.config.get(key)
        ]
        if changed:
            raise ValueError(
                Errors.G313.format(folder=folder, changed="; ".join(changed[:5]))
            )
        for name in ("train", "dev"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(Errors.G314.format(folder=folder, name=name))


def flat_config(config: Any, prefix: str = "") -> dict[str, Any]:
    """Lay a config flat.

    config (Dict[str, Any]): An interpolated config.
    RETURNS (Dict[str, Any]): Dotted key to value, as JSON has it.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat.update(flat_config(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value, default=str))
    return flat


def write_checkpoint(
    folder: Path,
    nlp: Language,
    optimizer: Optimizer,
    progress: Progress,
    identity: Identity,
) -> None:
    """Write a checkpoint, as a whole or not at all.

    folder (Path): The folder to write or replace.
    nlp (Language): The pipeline.
    optimizer (Optimizer): Its optimizer.
    progress (Progress): How far the run is.
    identity (Identity): What it is a run of.
    """
    arrays, counts = optimizer_arrays(optimizer, nlp)
    randoms = random_states()
    for epoch, before in enumerate(progress.epoch_states):
        randoms[f"epoch{epoch}"] = before
    facts = asdict(progress)
    del facts["epoch_states"]
    state = {
        "version": VERSION,
        "progress": facts,
        "optimizer": counts,
        "identity": asdict(identity),
    }
    with replaced_folder(folder) as fresh:
        (fresh / _COMPONENTS).mkdir()
        for name, pipe in nlp.pipeline:
            if hasattr(pipe, "to_disk"):
                pipe.to_disk(fresh / _COMPONENTS / name, exclude=["vocab"])
        # Written by Python, whose errors tell a full disk from others.
        (fresh / _OPTIMIZER).write_bytes(save(_contiguous(arrays)))
        (fresh / _RANDOM).write_bytes(save(_contiguous(randoms)))
        # Python's own JSON gives floats back to the last bit.
        text = json.dumps(state, indent=1, default=float)
        (fresh / _STATE).write_text(text, encoding="utf8")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read.

    folder (Path): Where it is.
    progress (Progress): How far the run was.
    identity (Identity): What it was a run of.
    """

    folder: Path
    progress: Progress
    identity: Identity
    _counts: dict[str, dict[str, int]]
    _arrays: dict[str, numpy.ndarray]
    _randoms: dict[str, numpy.ndarray]

    @classmethod
    def read(cls, folder: Path) -> "Checkpoint":
        """Read a checkpoint.

        folder (Path): The folder.
        RETURNS (Checkpoint): The checkpoint.
        RAISES (ValueError): There is none, or it is damaged or of another version.
        """
        check_folder(folder)
        if not (folder / _STATE).is_file():
            raise ValueError(Errors.G311.format(folder=folder))
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf8"))
            if state["version"] != VERSION:
                raise ValueError(
                    Errors.G315.format(folder=folder, found=state["version"])
                )
            randoms = load_file(folder / _RANDOM)
            progress = Progress(**state["progress"])
            progress.results = [(float(s), int(at)) for s, at in progress.results]
            progress.epoch_states = [
                randoms.pop(f"epoch{epoch}")
                for epoch in range(len(progress.epoch_batches))
            ]
            return cls(
                folder,
                progress,
                Identity(**state["identity"]),
                state["optimizer"],
                load_file(folder / _OPTIMIZER),
                randoms,
            )
        except (KeyError, TypeError, OSError, SafetensorError) as error:
            reason = f"{folder}: {error!r}"
            raise ValueError(Errors.G312.format(reason=reason)) from error
        except json.JSONDecodeError as error:
            reason = f"{folder / _STATE}: {error}"
            raise ValueError(Errors.G312.format(reason=reason)) from error

    def restore(self, nlp: Language, optimizer: Optimizer) -> None:
        """Put a pipeline and its optimizer where the run was.

        nlp (Language): An initialized pipeline of the same config.
        optimizer (Optimizer): A new optimizer of the same config.
        """
        for name, pipe in nlp.pipeline:
            if hasattr(pipe, "from_disk"):
                pipe.from_disk(self.folder / _COMPONENTS / name, exclude=["vocab"])
        restore_optimizer(
            optimizer, nlp, self._arrays, self._counts, self.progress.step
        )
        nlp.meta["performance"] = dict(self.progress.performance)

    def restore_random_states(self) -> None:
        """Set every random state as it was after the last step."""
        set_random_states(self._randoms)

    def enter_epoch(self, epoch: int) -> None:
        """Set the random state that the corpus is shuffled with.

        epoch (int): An epoch that the run had begun.
        """
        set_python_state(self.progress.epoch_states[epoch])


def _is_free(key: str) -> bool:
    if key in _FREE or key.startswith(_FREE_SECTIONS):
        return True
    section, last = key.split(".", 1)[0], key.rsplit(".", 1)[-1]
    if section in ("corpora", "initialize") and last == "path":
        return True
    return section == "components" and key.endswith(".model.device")


def _contiguous(arrays: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    return {name: numpy.ascontiguousarray(array) for name, array in arrays.items()}
