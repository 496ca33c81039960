"""The state of thinc's optimizer, under names that another process knows."""

from typing import Any

import numpy
from spacy.language import Language
from thinc.api import Model, Optimizer

from ..errors import Errors

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
