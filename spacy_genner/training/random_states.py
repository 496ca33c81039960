"""The random states of Python, NumPy and torch, as arrays that need no pickle."""

import random
from typing import Any

import numpy


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
