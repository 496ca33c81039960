"""Checkpoints: optimizer, random states and the identity of a run."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Optional

import numpy
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model, Optimizer

from ..corpora.docbin import unaligned_spans
from ..errors import Errors
from ..io import check_folder, replaced_folder

# What an optimizer keeps for each weight.
_ARRAYS = ("mom1", "mom2", "averages")
_COUNTS = ("nr_update", "last_seen")


def optimizer_arrays(
    optimizer: Optimizer, nlp: Language
) -> tuple[dict[str, numpy.ndarray], dict[str, dict[str, int]]]:
    """The state of an optimizer.

    Its own keys hold ids that thinc counts up in each process; here they are
    component, node and weight.

    optimizer (Optimizer): The optimizer.
    nlp (Language): The pipeline that it trains.
    RETURNS (Tuple[Dict[str, numpy.ndarray], Dict[str, Dict[str, int]]]): Its
        moments and averages, and its counts.
    """
    names = _Names(nlp)
    arrays = {
        f"{kind}|{names.name(key)}": _to_numpy(array)
        for kind in _ARRAYS
        for key, array in (getattr(optimizer, kind) or {}).items()
    }
    counts = {
        kind: {
            names.name(key): int(count)
            for key, count in getattr(optimizer, kind).items()
        }
        for kind in _COUNTS
    }
    return arrays, counts


def restore_optimizer(
    optimizer: Optimizer,
    nlp: Language,
    arrays: dict[str, numpy.ndarray],
    counts: dict[str, dict[str, int]],
    steps: int,
) -> None:
    """Put an optimizer where another one was.

    optimizer (Optimizer): A new optimizer of the same config.
    nlp (Language): The pipeline.
    arrays (Dict[str, numpy.ndarray]): What `optimizer_arrays` gave.
    counts (Dict[str, Dict[str, int]]): What `optimizer_arrays` gave.
    steps (int): How many steps its schedules have made.
    RAISES (ValueError): The state has weights that the pipeline lacks.
    """
    names = _Names(nlp)
    for name, array in arrays.items():
        kind, _, rest = name.partition("|")
        key, ops = names.key(rest)
        held = getattr(optimizer, kind)
        if held is not None:
            # A copy: thinc writes its moments in place.
            held[key] = array.copy() if ops is None else ops.asarray(array.copy())
    for kind in _COUNTS:
        for name, count in counts[kind].items():
            getattr(optimizer, kind)[names.key(name)[0]] = count
    # Schedules are generators: the only way to a place in them leads past all others.
    for _ in range(steps):
        optimizer.step_schedules()


class _Names:
    """Optimizer keys and lasting names, each from the other."""

    def __init__(self, nlp: Language):
        # Nodes and shims are counted apart, so one number may mean either.
        self._nodes: dict[tuple[int, str], str] = {}
        self._shims: dict[int, str] = {}
        self._owners: dict[str, tuple[int, Any]] = {}
        for component, pipe in nlp.pipeline:
            model = getattr(pipe, "model", None)
            if not isinstance(model, Model):
                continue
            for place, node in enumerate(model.walk()):
                owner = f"{component}|{place}"
                self._owners[owner] = (node.id, node.ops)
                for weight in node.param_names:
                    self._nodes[(node.id, weight)] = owner
                for index, shim in enumerate(node.shims):
                    owner = f"{component}|{place}.{index}"
                    self._shims[shim.id] = owner
                    # An adapter's weights are NumPy's on every device.
                    own = type(shim).__name__ == "LoraShim"
                    self._owners[owner] = (shim.id, None if own else node.ops)

    def name(self, key: tuple[int, str]) -> str:
        owner = self._nodes.get(key) or self._shims[key[0]]
        return f"{owner}|{key[1]}"

    def key(self, name: str) -> tuple[tuple[int, str], Any]:
        component, place, weight = name.split("|", 2)
        owner = self._owners.get(f"{component}|{place}")
        if owner is None:
            reason = f"the pipeline has no weight {name}"
            raise ValueError(Errors.G312.format(reason=reason))
        return (owner[0], weight), owner[1]


def _to_numpy(array: Any) -> numpy.ndarray:
    return numpy.asarray(array.get() if hasattr(array, "get") else array)


def python_state() -> numpy.ndarray:
    """RETURNS (numpy.ndarray): The state of Python's `random`, shape (627,), float64:
    version, 625 words of 32 bits, and the normal kept back (nan for none)."""
    version, words, kept = random.getstate()
    kept = numpy.nan if kept is None else kept
    # float64 holds whole numbers of 32 bits exactly.
    return numpy.asarray([version, *words, kept], dtype="float64")


def set_python_state(state: numpy.ndarray) -> None:
    """Set the state of Python's `random`.

    state (numpy.ndarray): What `python_state` gave.
    """
    kept = None if numpy.isnan(state[-1]) else float(state[-1])
    words = tuple(int(word) for word in state[1:-1])
    random.setstate((int(state[0]), words, kept))


def random_states() -> dict[str, numpy.ndarray]:
    """RETURNS (Dict[str, numpy.ndarray]): Every random state, by name."""
    import torch

    _, keys, place, has_kept, kept = numpy.random.get_state()
    states: dict[str, Any] = {
        "python": python_state(),
        "numpy_keys": keys,
        "numpy_rest": numpy.asarray([place, has_kept, kept], dtype="float64"),
        "torch": torch.get_rng_state().numpy(),
    }
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"cuda{index}"] = state.numpy()
    return states


def set_random_states(states: dict[str, numpy.ndarray]) -> None:
    """Set every random state. Those of GPUs that are not here are left out.

    states (Dict[str, numpy.ndarray]): What `random_states` gave.
    """
    import torch

    set_python_state(states["python"])
    place, has_kept, kept = states["numpy_rest"]
    keys = states["numpy_keys"]
    numpy.random.set_state(("MT19937", keys, int(place), int(has_kept), float(kept)))
    torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
    for index in range(torch.cuda.device_count()):
        if f"cuda{index}" in states:
            state = torch.from_numpy(states[f"cuda{index}"].copy())
            torch.cuda.set_rng_state(state, index)


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


# Of a corpus that is streamed, and may be without end, only the beginning is read.
STREAMED = 1000


def corpus_digest(
    corpus: Callable[[Language], Iterable[Example]],
    nlp: Language,
    limit: Optional[int] = None,  # noqa: UP045
) -> str:
    """Digest what a corpus gives: texts, tokens and annotations, in order.

    The random states are as before afterwards; a corpus that augments or shuffles
    gives the same digest each time.

    corpus (Callable[[Language], Iterable[Example]]): The corpus.
    nlp (Language): The pipeline, whose tokenizer cuts the texts.
    limit (Optional[int]): How many examples to read; None for all.
    RETURNS (str): The SHA-256, as hexadecimal digits.
    """
    python, legacy = random.getstate(), numpy.random.get_state()
    try:
        random.seed(0)
        numpy.random.seed(0)
        digest = hashlib.sha256()
        for example in islice(corpus(nlp), limit):
            facts = [[token.idx for token in example.predicted]]
            facts += _annotations(example.reference)
            digest.update(json.dumps(facts).encode("utf8"))
        return digest.hexdigest()
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)


def _annotations(doc: Doc) -> list:
    groups = {
        key: [(span.start, span.end, span.label_) for span in doc.spans[key]]
        for key in sorted(doc.spans)
    }
    ents = [(span.start, span.end, span.label_) for span in doc.ents]
    tokens = [(token.text, token.whitespace_, token.is_sent_start) for token in doc]
    lost = [list(span) for span in unaligned_spans(doc)]
    return [tokens, groups, ents, doc.cats, lost]
