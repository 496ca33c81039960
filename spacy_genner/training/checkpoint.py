"""Checkpoints of a training run.

spaCy saves the components of a pipeline, but neither the optimizer nor the position in
the corpus. A checkpoint is a folder with everything that a run needs to continue to the
same weights, bit for bit:

- `components/`: the components, as they save themselves;
- `optimizer.safetensors`: the moments and averages of the optimizer;
- `random.safetensors`: the random states now and at the start of each epoch;
- `state.json`: the progress, the counts of the optimizer, and the identity of the run,
  which is its config and digests of its corpora.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model, Optimizer

from ..corpora.docbin import unaligned_spans
from ..errors import Errors
from ..io import check_folder, parse_json, replaced_folder
from ..models.adapter_files import check_seal, seal_weights
from ..models.language_model import LanguageModel

VERSION = 1
FOLDER = "checkpoint"
_STATE = "state.json"
_COMPONENTS = "components"
_OPTIMIZER = "optimizer.safetensors"
_RANDOM = "random.safetensors"
# The key of the checksum in `state.json`. Earlier versions wrote none.
_DIGEST = "sha256"
_OTHER_VERSION = "G315"
# Larger numbers in a state are damaged ones. A resumed run advances its schedules step
# by step, so a wrong number of steps would keep it busy.
_MAX_COUNT = 2**53
_MAX_STEPS = 10**9
# The maximum number of characters of a reason in a message.
_MESSAGE = 200

# The settings that may change in a resumed run: paths, and when to stop or evaluate.
_FREE_KEYS = {
    "training.max_steps",
    "training.max_epochs",
    "training.patience",
    "training.eval_frequency",
    "training.gpu_allocator",
    "system.gpu_allocator",
    "nlp.batch_size",
}
_FREE_SECTIONS = ("paths.", "training.logger.")
# The number of examples in the digest of a streamed corpus, which may be endless.
STREAMED = 1000

# The attributes of thinc's optimizer with an array or a count for each weight.
_ARRAYS = ("mom1", "mom2", "averages")
_COUNTS = ("nr_update", "last_seen")


@dataclass
class Progress:
    """The progress of a run.

    step (int): The next step, from 0.
    epoch (int): The epoch of the last step.
    epoch_batches (list[int]): The number of batches taken from each epoch so far.
    epoch_states (list[numpy.ndarray]): The state of Python's `random` at the start of
        each epoch, as `get_python_state` returns it.
    results (list[tuple[float, int]]): Score and step of each evaluation.
    losses (dict[str, float]): The losses since the last evaluation.
    words (int): The number of words seen.
    seconds (float): The duration of the run, interruptions excluded.
    performance (dict[str, Any]): The scores of the last evaluation in `nlp.meta`.
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
    """The properties that a resumed run shares with the interrupted one.

    config (dict[str, Any]): The interpolated config, dotted key to value.
    train (str): The digest of the training corpus.
    dev (str): The digest of the development corpus.
    """

    config: dict[str, Any]
    train: str
    dev: str

    def check(self, other: "Identity", folder: Path) -> None:
        """Check that this run may resume another.

        other (Identity): The identity of the interrupted run.
        folder (Path): Its checkpoint, for the message.
        RAISES (ValueError): The config or a corpus has changed.
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


def _is_free(key: str) -> bool:
    if key in _FREE_KEYS or key.startswith(_FREE_SECTIONS):
        return True
    section, last = key.split(".", 1)[0], key.rsplit(".", 1)[-1]
    if section in ("corpora", "initialize") and last == "path":
        return True
    return section == "components" and key.endswith(".model.device")


def flatten_config(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten the sections of a config.

    config (dict[str, Any]): An interpolated config.
    prefix (str): The start of each key.
    RETURNS (dict[str, Any]): Dotted key to value, with values as in JSON.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat.update(flatten_config(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value, default=str))
    return flat


def corpus_digest(
    corpus: Callable[[Language], Iterable[Example]],
    nlp: Language,
    limit: int | None = None,
    observe: Callable[[Example], None] = lambda example: None,
) -> str:
    """Compute a digest of the texts, tokens and annotations of a corpus, in order.

    The corpus is read with fixed random states, which are restored afterwards. A corpus
    that shuffles or augments therefore has the same digest each time.

    corpus (Callable[[Language], Iterable[Example]]): The corpus.
    nlp (Language): The pipeline, whose tokenizer the corpus uses.
    limit (int | None): The number of examples to read. None for all.
    observe (Callable[[Example], None]): Receives each example that is read.
    RETURNS (str): The SHA-256 in hexadecimal digits.
    """
    python, legacy = random.getstate(), numpy.random.get_state()
    try:
        random.seed(0)
        numpy.random.seed(0)
        digest = hashlib.sha256()
        for example in islice(corpus(nlp), limit):
            offsets = [token.idx for token in example.predicted]
            facts = [offsets, *_annotations(example.reference)]
            digest.update(json.dumps(facts).encode("utf8"))
            observe(example)
        return digest.hexdigest()
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)


def _annotations(doc: Doc) -> list[Any]:
    tokens = [(token.text, token.whitespace_, token.is_sent_start) for token in doc]
    groups = {
        key: [(span.start, span.end, span.label_) for span in doc.spans[key]]
        for key in sorted(doc.spans)
    }
    ents = [(span.start, span.end, span.label_) for span in doc.ents]
    unaligned = [list(span) for span in unaligned_spans(doc)]
    return [tokens, groups, ents, doc.cats, unaligned]


# The checkpoint


def write_checkpoint(
    folder: Path,
    nlp: Language,
    optimizer: Optimizer,
    progress: Progress,
    identity: Identity,
) -> None:
    """Write a checkpoint atomically.

    folder (Path): The folder, which is replaced.
    nlp (Language): The pipeline.
    optimizer (Optimizer): Its optimizer.
    progress (Progress): The progress of the run.
    identity (Identity): The identity of the run.
    """
    arrays, counts = optimizer_state(optimizer, nlp)
    randoms = get_random_states()
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
    state[_DIGEST] = _state_digest(json.loads(json.dumps(state, default=float)))
    with replaced_folder(folder) as fresh:
        (fresh / _COMPONENTS).mkdir()
        for name, pipe in nlp.pipeline:
            if hasattr(pipe, "to_disk"):
                pipe.to_disk(fresh / _COMPONENTS / name, exclude=["vocab"])
        # Written by Python and not by safetensors, so that a full disk raises an
        # OSError.
        (fresh / _OPTIMIZER).write_bytes(_sealed(arrays))
        (fresh / _RANDOM).write_bytes(_sealed(randoms))
        # Python's json module, unlike srsly, preserves floats to the last bit.
        text = json.dumps(state, indent=1, default=float)
        (fresh / _STATE).write_text(text, encoding="utf8")


def _sealed(arrays: dict[str, numpy.ndarray]) -> bytes:
    return seal_weights(
        save({name: numpy.ascontiguousarray(each) for name, each in arrays.items()})
    )


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint, apart from the components.

    folder (Path): The folder of the checkpoint.
    progress (Progress): The progress of the run.
    identity (Identity): The identity of the run.
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
        RAISES (ValueError): The checkpoint is missing or damaged, or has another
            version.
        """
        check_folder(folder)
        if not (folder / _STATE).is_file():
            raise ValueError(Errors.G311.format(folder=folder))
        file = folder / _STATE
        try:
            state = parse_json(file.read_text(encoding="utf8"))
            if not isinstance(state, dict) or "version" not in state:
                raise ValueError("it has no version")
            if state["version"] != VERSION:
                raise ValueError(
                    Errors.G315.format(folder=folder, found=state["version"])
                )
            _check_state(state)
            file = folder / _RANDOM
            randoms = _load_arrays(file)
            progress = Progress(**state["progress"])
            progress.results = [(float(s), int(at)) for s, at in progress.results]
            progress.epoch_states = [
                randoms.pop(f"epoch{epoch}")
                for epoch in range(len(progress.epoch_batches))
            ]
            _check_random_states(randoms, progress.epoch_states)
            file = folder / _OPTIMIZER
            arrays = _load_arrays(file)
            for name in arrays:
                if name.split("|")[0] not in _ARRAYS or name.count("|") < 3:
                    raise ValueError(f"it has an array {name!r}")
            identity = Identity(**state["identity"])
            return cls(folder, progress, identity, state["optimizer"], arrays, randoms)
        except OSError as error:
            reason = f"{file} cannot be read ({error.strerror or error})"
            raise ValueError(Errors.G312.format(reason=reason)) from error
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            if str(error).startswith(f"[{_OTHER_VERSION}]"):
                raise
            reason = f"{file} is damaged ({_shorten(error)})"
            raise ValueError(Errors.G312.format(reason=reason)) from error

    def restore(self, nlp: Language, optimizer: Optimizer) -> None:
        """Restore the state of a pipeline and its optimizer.

        nlp (Language): An initialized pipeline of the same config.
        optimizer (Optimizer): A new optimizer of the same config.
        RAISES (ValueError): A component is damaged, or the optimizer's state has
            weights that the pipeline lacks.
        """
        file = self.folder / _COMPONENTS
        try:
            for name, pipe in nlp.pipeline:
                file = self.folder / _COMPONENTS / name
                if hasattr(pipe, "from_disk"):
                    pipe.from_disk(file, exclude=["vocab"])
            file = self.folder / _OPTIMIZER
            restore_optimizer(
                optimizer, nlp, self._arrays, self._counts, self.progress.step
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            if str(error).startswith("[G"):
                raise
            reason = f"{file} is damaged ({_shorten(error)})"
            raise ValueError(Errors.G312.format(reason=reason)) from error
        nlp.meta["performance"] = dict(self.progress.performance)

    def restore_random_states(self) -> None:
        """Restore the random states after the last step."""
        set_random_states(self._randoms)

    def restore_epoch_start(self, epoch: int) -> None:
        """Restore the random state that the corpus was shuffled with.

        epoch (int): An epoch that the run had begun.
        """
        set_python_state(self.progress.epoch_states[epoch])


def _state_digest(state: dict[str, Any]) -> str:
    """The SHA-256 of a state, apart from the digest itself."""
    content = {key: value for key, value in state.items() if key != _DIGEST}
    text = json.dumps(content, sort_keys=True, default=float)
    return hashlib.sha256(text.encode("utf8")).hexdigest()


def _check_state(state: dict[str, Any]) -> None:
    """Check the types and the values of a state, so that a damaged one is refused
    before a step is made.

    RAISES (ValueError): The state has another checksum, or a value is wrong.
    """
    if _DIGEST in state and state[_DIGEST] != _state_digest(state):
        raise ValueError("its content does not have the checksum that it lists")
    progress = state.get("progress")
    expected = {each.name for each in fields(Progress)} - {"epoch_states"}
    _require(isinstance(progress, dict) and set(progress) == expected, "progress")
    assert progress is not None
    for key in ("step", "epoch", "words"):
        _require(_is_count(progress[key]), key)
    batches, results = progress["epoch_batches"], progress["results"]
    _require(isinstance(batches, list) and all(map(_is_count, batches)), "batches")
    # Every step takes one batch.
    _require(progress["step"] == sum(batches) <= _MAX_STEPS, "step")
    _require(
        isinstance(results, list)
        and all(
            isinstance(each, list)
            and len(each) == 2
            and _is_number(each[0])
            and _is_count(each[1])
            and each[1] <= progress["step"]
            for each in results
        ),
        "results",
    )
    _require(_is_mapping(progress["losses"], _is_number), "losses")
    seconds = progress["seconds"]
    _require(_is_number(seconds) and 0 <= seconds < math.inf, "seconds")
    _require(isinstance(progress["performance"], dict), "performance")
    counts = state.get("optimizer")
    _require(
        _is_mapping(counts, lambda kind: _is_mapping(kind, _is_count))
        and set(_COUNTS) <= set(counts or ()),
        "optimizer",
    )
    identity = state.get("identity")
    keys = {each.name for each in fields(Identity)}
    _require(
        isinstance(identity, dict)
        and set(identity) == keys
        and isinstance(identity["config"], dict)
        and isinstance(identity["train"], str)
        and isinstance(identity["dev"], str),
        "identity",
    )


def _require(holds: bool, key: str) -> None:
    if not holds:
        raise ValueError(f"the value of {key!r} is missing or wrong")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _MAX_COUNT)


def _is_mapping(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(check, value.values()))


def _load_arrays(path: Path) -> dict[str, numpy.ndarray]:
    data = path.read_bytes()
    check_seal(data, "file", str(path))
    return load(data)


def _check_random_states(
    states: dict[str, numpy.ndarray], epochs: list[numpy.ndarray]
) -> None:
    python = get_python_state()
    expected = {
        "numpy_keys": ((624,), "uint32"),
        "numpy_rest": ((3,), "float64"),
        "torch": (tuple(torch.get_rng_state().shape), "uint8"),
    }
    for state in (states["python"], *epochs):
        _require(state.shape == python.shape and state.dtype == python.dtype, "python")
    for name, (shape, dtype) in expected.items():
        found = states[name]
        _require(found.shape == shape and found.dtype == numpy.dtype(dtype), name)


def _shorten(error: Exception) -> str:
    text = str(error) if isinstance(error, ValueError) else repr(error)
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}..."


# The optimizer


def optimizer_state(
    optimizer: Optimizer, nlp: Language
) -> tuple[dict[str, numpy.ndarray], dict[str, dict[str, int]]]:
    """Get the state of an optimizer, with keys that are valid in other processes.

    thinc's keys contain ids that each process counts up. The keys here name the
    component, the node of its model, and the weight.

    optimizer (Optimizer): The optimizer.
    nlp (Language): The pipeline that it trains.
    RETURNS (tuple[dict[str, numpy.ndarray], dict[str, dict[str, int]]]): The moments
        and averages, and the counts.
    """
    names = _WeightNames(nlp)
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


def _to_numpy(array: Any) -> numpy.ndarray:
    return numpy.asarray(array.get() if hasattr(array, "get") else array)


def restore_optimizer(
    optimizer: Optimizer,
    nlp: Language,
    arrays: dict[str, numpy.ndarray],
    counts: dict[str, dict[str, int]],
    steps: int,
) -> None:
    """Restore the state of an optimizer.

    optimizer (Optimizer): A new optimizer of the same config.
    nlp (Language): The pipeline.
    arrays (dict[str, numpy.ndarray]): The moments and averages of `optimizer_state`.
    counts (dict[str, dict[str, int]]): The counts of `optimizer_state`.
    steps (int): The number of steps that the schedules have made.
    RAISES (ValueError): The state has weights that the pipeline lacks.
    """
    names = _WeightNames(nlp)
    for name, array in arrays.items():
        kind, _, rest = name.partition("|")
        key, ops = names.key(rest)
        state = getattr(optimizer, kind)
        if state is not None:
            # A copy, because thinc updates the moments in place.
            state[key] = array.copy() if ops is None else ops.asarray(array.copy())
    for kind in _COUNTS:
        for name, count in counts[kind].items():
            getattr(optimizer, kind)[names.key(name)[0]] = count
    # Schedules are generators, so they can only be advanced step by step.
    for _ in range(steps):
        optimizer.step_schedules()


class _WeightNames:
    """Maps the keys of thinc's optimizer to names that are valid in other processes.

    nlp (Language): The pipeline.
    """

    def __init__(self, nlp: Language):
        # Nodes and shims have separate ids, so a node and a shim may share a number.
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
                    self._owners[owner] = (shim.id, _ops_of_shim(shim, node))

    def name(self, key: tuple[int, str]) -> str:
        owner = self._nodes.get(key) or self._shims[key[0]]
        return f"{owner}|{key[1]}"

    def key(self, name: str) -> tuple[tuple[int, str], Any]:
        """RETURNS (tuple[tuple[int, str], Ops | None]): The key, and the ops of the
        weight. None for a NumPy array."""
        component, place, weight = name.split("|", 2)
        owner = self._owners.get(f"{component}|{place}")
        if owner is None:
            reason = f"the pipeline has no weight {name}"
            raise ValueError(Errors.G312.format(reason=reason))
        return (owner[0], weight), owner[1]


def _ops_of_shim(shim: Any, node: Model) -> Any:
    """The ops of a shim's weights. None for the weights of an adapter, which the
    optimizer receives as NumPy arrays for every device."""
    holds_adapter = isinstance(getattr(shim, "lm", None), LanguageModel)
    return None if holds_adapter else node.ops


# Random states


def get_python_state() -> numpy.ndarray:
    """Get the state of Python's `random`.

    RETURNS (numpy.ndarray): Version, 625 words of 32 bits, and the cached sample of the
        normal distribution, nan for none. Shape (627,), float64, which represents
        integers of 32 bits exactly.
    """
    version, words, cached = random.getstate()
    cached = numpy.nan if cached is None else cached
    return numpy.asarray([version, *words, cached], dtype="float64")


def set_python_state(state: numpy.ndarray) -> None:
    """Set the state of Python's `random`.

    state (numpy.ndarray): The result of `get_python_state`.
    """
    cached = None if numpy.isnan(state[-1]) else float(state[-1])
    words = tuple(int(word) for word in state[1:-1])
    random.setstate((int(state[0]), words, cached))


def get_random_states() -> dict[str, numpy.ndarray]:
    """Get the random states of Python, NumPy, torch and the GPUs.

    RETURNS (dict[str, numpy.ndarray]): The states, by name.
    """
    _, keys, position, has_cached, cached = numpy.random.get_state()
    states: dict[str, Any] = {
        "python": get_python_state(),
        "numpy_keys": keys,
        "numpy_rest": numpy.asarray([position, has_cached, cached], dtype="float64"),
        "torch": torch.get_rng_state().numpy(),
    }
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"cuda{index}"] = state.numpy()
    return states


def set_random_states(states: dict[str, numpy.ndarray]) -> None:
    """Set all random states. States of GPUs that this machine lacks are ignored.

    states (dict[str, numpy.ndarray]): The result of `get_random_states`.
    """
    set_python_state(states["python"])
    position, has_cached, cached = states["numpy_rest"]
    numpy.random.set_state(
        (
            "MT19937",
            states["numpy_keys"],
            int(position),
            int(has_cached),
            float(cached),
        )
    )
    torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
    for index in range(torch.cuda.device_count()):
        if f"cuda{index}" in states:
            state = torch.from_numpy(states[f"cuda{index}"].copy())
            torch.cuda.set_rng_state(state, index)
