"""Settings of the component, the model, the adapter and the window."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import Errors

SET_ENTS = ("outer", "inner", "none")
CROSSING = ("refuse", "drop")
# The constrained loss alone never asks a model to copy or to stop; a mix does, over a
# share of the tokens, so that it costs little more.
NAMED_LOSSES = {
    "constrained": {"constrained": 1.0},
    "lm": {"lm": 1.0},
    "mixed": {"constrained": 1.0, "lm": 0.5, "lm_share": 0.125},
}


def check_choice(key: str, found: Any, expected: tuple[str, ...]) -> None:
    """Check a setting that takes one of a few words.

    key (str): The setting.
    found (Any): Its value.
    expected (Tuple[str, ...]): The words.
    RAISES (ValueError): It is none of them.
    """
    if found not in expected:
        raise ValueError(Errors.G407.format(key=key, found=found, expected=expected))


def check_flag(key: str, found: Any) -> bool:
    """Check a setting that is true or false.

    key (str): The setting.
    found (Any): Its value.
    RETURNS (bool): The same.
    RAISES (ValueError): It is something else.
    """
    if not isinstance(found, bool):
        expected = "true, false"
        raise ValueError(Errors.G407.format(key=key, found=found, expected=expected))
    return found


def check_spans_key(found: str) -> str:
    """Check the name of a group of spans.

    found (str): The name.
    RETURNS (str): The same.
    RAISES (ValueError): It is empty, or white space alone.
    """
    if not found.strip():
        raise ValueError(Errors.G435.format(found=found))
    return found


def check_probability(key: str, found: Any) -> float:
    """Check a setting that is a probability.

    key (str): The setting.
    found (Any): Its value; a config's variables arrive as strings.
    RETURNS (float): The number.
    RAISES (ValueError): It is no number from 0 to 1.
    """
    try:
        number = math.nan if isinstance(found, bool) else float(found)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(Errors.G409.format(key=key, found=found))
    return number


def is_count(found: Any) -> bool:
    """Whether the value of a setting is a whole number of at least 1.

    found (Any): The value; a config's variables arrive as strings.
    RETURNS (bool): Whether it is.
    """
    return str(found).isdecimal() and int(found) >= 1


def check_count(key: str, found: Any) -> int:
    """Check a setting that is a whole number of at least 1.

    key (str): The setting.
    found (Any): Its value; a config's variables arrive as strings.
    RETURNS (int): The number.
    RAISES (ValueError): It is something else.
    """
    if not is_count(found):
        raise ValueError(Errors.G106.format(key=key, found=found))
    return int(found)


@dataclass(frozen=True)
class LossWeights:
    """The weights of the two losses.

    constrained (float): Of the one over the legal tokens, where there are several.
    lm (float): Of the one over the whole vocabulary.
    lm_share (float): The share of output tokens, drawn anew at each update, over which
        the latter is computed: above 0, at most 1. Its expectation is that of all.
    """

    constrained: float = 0.0
    lm: float = 0.0
    lm_share: float = 1.0

    @classmethod
    def from_config(cls, loss: str | dict[str, float]) -> "LossWeights":
        """Check what the config says.

        loss (Union[str, Dict[str, float]]): "mixed", "constrained", "lm", or weights.
        RETURNS (LossWeights): The weights.
        RAISES (ValueError): It is something else, or all weights are 0.
        """
        if isinstance(loss, str) and loss in NAMED_LOSSES:
            return cls(**NAMED_LOSSES[loss])
        try:
            made = cls(**{key: float(value) for key, value in dict(loss).items()})  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(Errors.G408.format(found=loss)) from None
        weights = (made.constrained, made.lm)
        if not (min(weights) >= 0 < sum(weights) and 0 < made.lm_share <= 1):
            raise ValueError(Errors.G408.format(found=loss))
        return made


ALL_LINEAR = "all-linear"
DTYPES = ("auto", "float64", "float32", "bfloat16", "float16")
PIP_PREFIX = "pip:"
# With indices as torch reads them: no leading zeros, few digits.
_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]?))?")


@dataclass(frozen=True)
class LoraSettings:
    """Settings of a new LoRA adapter (Hu et al., 2021).

    rank (int): Rank of the update of a layer.
    alpha (float): The update is scaled by alpha / rank.
    dropout (float): Dropout of an adapted layer's input in training, from 0 to 1.
    target_modules (str | tuple[str, ...]): "all-linear" for every linear layer of
        the text decoder, or the last parts of the names of those to adapt.
    """

    rank: int = 32
    alpha: float = 64
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = ALL_LINEAR

    @classmethod
    def from_config(cls, lora: dict[str, Any]) -> "LoraSettings":
        """Check the dict of a config, and fill in the defaults.

        lora (dict): Any of rank, alpha, dropout and target_modules.
        RETURNS (LoraSettings): The settings.
        RAISES (ValueError): If a key is unknown or a value can't be used.
        """
        allowed = [field.name for field in fields(cls)]
        if not isinstance(lora, dict):
            raise ValueError(
                Errors.G241.format(
                    key="lora", value=lora, expected=f"a dict of {allowed}, or null"
                )
            )
        unknown = sorted(str(key) for key in lora if key not in allowed)
        if unknown:
            raise ValueError(
                Errors.G240.format(found=unknown, allowed=", ".join(allowed))
            )
        values = dict(lora)
        if "rank" in values:
            rank = _number("rank", values["rank"], "a whole number of at least 1")
            if rank < 1 or rank != int(rank):
                raise _bad("rank", values["rank"], "a whole number of at least 1")
            values["rank"] = int(rank)
        if "alpha" in values:
            alpha = _number("alpha", values["alpha"], "a number above 0")
            if alpha <= 0:
                raise _bad("alpha", values["alpha"], "a number above 0")
            values["alpha"] = int(alpha) if alpha == int(alpha) else alpha
        if "dropout" in values:
            expected = "a number from 0 to below 1"
            values["dropout"] = _number("dropout", values["dropout"], expected)
            if not 0 <= values["dropout"] < 1:
                raise _bad("dropout", values["dropout"], expected)
        if "target_modules" in values:
            values["target_modules"] = _targets(values["target_modules"])
        return cls(**values)

    def to_config(self) -> dict[str, Any]:
        """RETURNS (dict): The settings as a config holds them."""
        config = asdict(self)
        if not isinstance(self.target_modules, str):
            config["target_modules"] = list(self.target_modules)
        return config


def check_name(name: str) -> str:
    """Check that the name of a base says something.

    name (str): `pip:PACKAGE`, a folder or a hub id.
    RETURNS (str): The same.
    RAISES (ValueError): If it is empty.
    """
    if not isinstance(name, str) or name.strip() in ("", PIP_PREFIX):
        raise ValueError(Errors.G200.format(name=name))
    return name


def check_dtype(dtype: str) -> str:
    """Check the name of a dtype.

    dtype (str): One of `DTYPES`.
    RETURNS (str): The same.
    RAISES (ValueError): If it is something else.
    """
    if dtype not in DTYPES:
        allowed = ", ".join(map(repr, DTYPES))
        raise ValueError(Errors.G230.format(dtype=dtype, allowed=allowed))
    return dtype


def check_device(device: str) -> str:
    """Check the form of a device's name. Whether there is such a device is not asked:
    a pipeline may be made on one machine and run on another.

    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (str): The same.
    RAISES (ValueError): If it is something else.
    """
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise ValueError(Errors.G231.format(device=device))
    return device


def check_merge(merge: bool | str) -> bool | str:
    """Check the value of `merge`.

    merge (bool | str): True, False or "auto".
    RETURNS (bool | str): The same.
    RAISES (ValueError): If it is something else.
    """
    if isinstance(merge, bool) or merge == "auto":
        return merge
    raise ValueError(Errors.G243.format(value=merge))


def check_switch(key: str, value: bool) -> bool:
    """Check the value of a setting that is on or off.

    key (str): Its name.
    value (bool): Its value.
    RETURNS (bool): The same.
    RAISES (ValueError): If it is something else.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(Errors.G244.format(key=key, value=value))


def _bad(key: str, value: Any, expected: str) -> ValueError:
    return ValueError(Errors.G241.format(key=key, value=value, expected=expected))


def _number(key: str, value: Any, expected: str) -> float:
    # A config's variables arrive as strings.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _bad(key, value, expected)
    try:
        number = float(value)
    except ValueError as err:
        raise _bad(key, value, expected) from err
    if number != number or number in (float("inf"), float("-inf")):
        raise _bad(key, value, expected)
    return number


def _targets(value: Any) -> str | tuple[str, ...]:
    if value == ALL_LINEAR:
        return ALL_LINEAR
    names = not isinstance(value, str) and isinstance(value, Sequence) and list(value)
    if not names or not all(isinstance(name, str) and name for name in names):
        expected = f'"{ALL_LINEAR}" or a list of names of linear layers'
        raise _bad("target_modules", value, expected)
    return tuple(names)
