"""Settings of the component, its model, adapter, prompt, windows and losses.

The types come first, then the settings that use them. A config's variables arrive as
strings, so a number may be given as a string. A bool is not a number.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from ..errors import Errors
from .base import ErrorCode, Settings, check

PIP_PREFIX = "pip:"
ALL_LINEAR: Final = "all-linear"
# The constrained loss alone trains a model neither to copy nor to stop. "mixed" does,
# over a share of the tokens, which keeps its extra cost low. With "joint" the adapter
# learns from the loss of the draft head, too.
_MIXED = {"constrained": 1.0, "lm": 0.5, "lm_share": 0.125}
NAMED_LOSSES = {
    "constrained": {"constrained": 1.0},
    "lm": {"lm": 1.0},
    "mixed": _MIXED,
    "joint": {**_MIXED, "spans": 0.02},
}


# pydantic catches a ValueError of a validator, but no TypeError or OverflowError.
def _to_int(value: Any) -> int:
    try:
        return int(value)
    except (OverflowError, TypeError) as error:
        raise ValueError(value) from error


def _to_number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    try:
        return float(value)
    except (OverflowError, TypeError) as error:
        raise ValueError(value) from error


def _to_whole_number(value: Any) -> int:
    number = _to_number(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _to_count(value: Any) -> int:
    if not str(value).isdecimal():
        raise ValueError(value)
    return int(str(value))


def _to_tuple(value: Any) -> tuple[Any, ...]:
    # A set is refused: its order would differ from run to run.
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(value)
    return tuple(value)


def _to_chat(value: Any) -> Any:
    return {"true": True, "false": False}.get(str(value), value)


def _check_base_name(name: str) -> str:
    if name.strip() in ("", PIP_PREFIX):
        raise ValueError(name)
    return name


SpansKey = Annotated[str, Field(strict=True, pattern=r"\S"), ErrorCode("G435")]
SetEnts = Annotated[Literal["outer", "inner", "none"], ErrorCode("G407")]
Crossing = Annotated[Literal["refuse", "drop"], ErrorCode("G407")]
Flag = Annotated[StrictBool, ErrorCode("G407", "true or false")]
Count = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_to_count),
    ErrorCode("G106", "a whole number of at least 1"),
]
Number = Annotated[
    float,
    Field(allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G407", "a number"),
]
Probability = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G409", "a number from 0 to 1"),
]

Unit = Annotated[Literal["auto", "sentence", "doc"], ErrorCode("G401")]
WindowTokens = Annotated[
    int, BeforeValidator(_to_int), ErrorCode("G404", "a whole number")
]
Chat = Annotated[
    StrictBool | Literal["auto"],
    BeforeValidator(_to_chat),
    ErrorCode("G407", "true, false or 'auto'"),
]

BaseName = Annotated[StrictStr, AfterValidator(_check_base_name), ErrorCode("G200")]
AdapterName = Annotated[
    Annotated[str, Field(strict=True, pattern=r"\S")] | None,
    ErrorCode("G241", 'null, "universal", a folder or a hub id'),
]
Dtype = Annotated[
    Literal["auto", "float64", "float32", "bfloat16", "float16"], ErrorCode("G230")
]
# Indices as torch reads them: no leading zeros and few digits. A pipeline may be made
# on one machine and run on another, so the device need not exist here.
Device = Annotated[
    str,
    Field(strict=True, pattern=r"^(auto|(cpu|cuda|mps)(:(0|[1-9][0-9]?))?)$"),
    ErrorCode("G231", "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"),
]
Merge = Annotated[
    StrictBool | Literal["auto"], ErrorCode("G243", "true, false or 'auto'")
]
ModelFlag = Annotated[StrictBool, ErrorCode("G244", "true or false")]

# The head's log-odds are at most 9, so with the highest weight the head alone decides.
HeadWeight = Annotated[
    float,
    Field(ge=0, le=10, allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G241", "a number from 0 to 10"),
]

Rank = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_to_whole_number),
    ErrorCode("G241", "a whole number of at least 1"),
]
Alpha = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_to_number),
    # 64, not 64.0, in the adapter's config.
    AfterValidator(lambda value: int(value) if value.is_integer() else value),
    ErrorCode("G241", "a number above 0"),
]
Dropout = Annotated[
    float,
    Field(ge=0, lt=1, allow_inf_nan=False),
    BeforeValidator(_to_number),
    ErrorCode("G241", "a number from 0 to below 1"),
]
TargetModules = Annotated[
    Literal["all-linear"]
    | Annotated[
        tuple[Annotated[StrictStr, Field(min_length=1)], ...],
        Field(min_length=1),
        BeforeValidator(_to_tuple),
    ],
    ErrorCode("G241", f"'{ALL_LINEAR}' or a list of names of linear layers"),
]


class LossWeights(Settings):
    """Weights of the training losses. `constrained` or `lm` is above 0."""

    constrained: float = Field(
        0.0,
        ge=0,
        description="Weight of the loss over the legal tokens, at each position that "
        "has several.",
    )
    lm: float = Field(
        0.0, ge=0, description="Weight of the loss over the whole vocabulary."
    )
    lm_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the output tokens that the loss over the whole "
        "vocabulary is computed on. They are sampled anew at each update, so its "
        "expectation is the loss over all tokens.",
    )
    spans: float = Field(
        0.0,
        ge=0,
        description="Weight of the draft head's loss in the gradient of the adapter. "
        "The head itself learns as with any weight. Without a draft head it has no "
        "effect.",
    )

    @classmethod
    def from_config(cls, loss: str | dict[str, float]) -> "LossWeights":
        """Read the setting `loss`.

        loss (str | dict[str, float]): "mixed", "joint", "constrained", "lm", or a
            weight for each.
        RETURNS (LossWeights): The weights.
        RAISES (ValueError): The setting can't be used, or all weights are 0.
        """
        if isinstance(loss, str) and loss in NAMED_LOSSES:
            return cls(**NAMED_LOSSES[loss])
        try:
            return cls(**{str(key): value for key, value in dict(loss).items()})  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(Errors.G408.format(found=loss)) from None

    @classmethod
    def explain(cls, values: dict[str, Any], problems: Sequence[Any]) -> str:
        """Write the message for weights that can't be used."""
        return Errors.G408.format(found=values)

    @model_validator(mode="after")
    def _check_sum(self) -> "LossWeights":
        if self.constrained + self.lm == 0:
            raise ValueError
        return self


class WindowSettings(Settings):
    """How documents are cut into windows."""

    section: ClassVar[str] = "window"
    unknown_code: ClassVar[str] = "G403"

    unit: Unit = Field(
        "auto",
        description='What is cut: "sentence", "doc", or "auto" for sentences if the '
        "document has sentence boundaries and for the document otherwise.",
    )
    max_tokens: WindowTokens = Field(
        512, description="Maximum number of model tokens of text in a window: from 1."
    )
    overlap: WindowTokens = Field(
        64,
        description="Approximate number of model tokens that two neighboring windows "
        "of a unit share: from 0 to below `max_tokens`.",
    )

    @classmethod
    def from_config(cls, window: dict[str, Any]) -> "WindowSettings":
        """Read the section `window`.

        window (dict[str, Any]): Any of unit, max_tokens and overlap.
        RETURNS (WindowSettings): The settings.
        RAISES (ValueError): A key is unknown or a value can't be used.
        """
        return cls(**window)

    @model_validator(mode="after")
    def _check_sizes(self) -> "WindowSettings":
        if self.max_tokens < 1 or not 0 <= self.overlap < self.max_tokens:
            raise ValueError(
                Errors.G402.format(max_tokens=self.max_tokens, overlap=self.overlap)
            )
        return self


class PromptConfig(Settings):
    """The section `prompt`. The template is read by `PromptSettings`."""

    section: ClassVar[str] = "prompt"
    unknown_code: ClassVar[str] = "G112"

    template: Annotated[str, BeforeValidator(lambda v: str(v or "compact"))] = Field(
        "compact",
        description="The name of a template, or a file that ends in .jinja or .j2.",
    )
    instruction: Annotated[str, BeforeValidator(lambda v: str(v or ""))] = Field(
        "", description="The instruction. If empty, that of the output format."
    )
    chat: Chat = Field(
        "auto",
        description="Whether the prompt is a turn of a chat in the tokenizer's chat "
        'template. "auto" uses the template if there is one and the model has no '
        "adapter.",
    )


class ComponentSettings(Settings):
    """Settings of the component that need no other part of the package."""

    spans_key: SpansKey = Field(
        "sc", description="The group of `doc.spans` that the spans are written to."
    )
    set_ents: SetEnts = Field(
        "outer",
        description='The spans that are also written to `doc.ents`: "outer", "inner" '
        'or "none".',
    )
    overwrite_ents: Flag = Field(
        False, description="Whether to replace entities that the document has already."
    )
    min_score: Probability = Field(
        0.0, description="The probability below which a span is left out."
    )
    max_depth: Annotated[Count, ErrorCode("G103", "a whole number of at least 1")] = (
        Field(6, description="Maximum depth of nested spans: from 1.")
    )
    crossing: Crossing = Field(
        "refuse",
        description="What training does with spans that the format can't represent: "
        '"refuse" raises an error, "drop" leaves them out.',
    )
    batch_tokens: Count = Field(
        2048, description="Number of tokens in one forward pass of training: from 1."
    )


class LoraSettings(Settings):
    """Settings of a new LoRA adapter (Hu et al., 2021)."""

    section: ClassVar[str] = "model.lora"
    unknown_code: ClassVar[str] = "G240"

    rank: Rank = Field(32, description="Rank of the update of a layer: from 1.")
    alpha: Alpha = Field(
        64, description="The update is scaled by alpha / rank. Above 0."
    )
    dropout: Dropout = Field(
        0.0,
        description="Dropout on the input of an adapted layer in training, from 0 to "
        "below 1.",
    )
    target_modules: TargetModules = Field(
        ALL_LINEAR,
        description='"all-linear" for every linear layer of the text decoder, or the '
        "last parts of the names of the layers to adapt.",
    )

    @classmethod
    def from_config(cls, lora: dict[str, Any]) -> "LoraSettings":
        """Read the section `model.lora`.

        lora (dict[str, Any]): Any of rank, alpha, dropout and target_modules.
        RETURNS (LoraSettings): The settings.
        RAISES (ValueError): A key is unknown or a value can't be used.
        """
        if not isinstance(lora, dict):
            expected = f"a dict of {', '.join(cls.model_fields)}, or null"
            raise ValueError(
                Errors.G241.format(key=cls.section, found=lora, expected=expected)
            )
        return cls(**{str(key): value for key, value in lora.items()})

    def to_config(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings as a config holds them."""
        config = self.model_dump()
        if not isinstance(self.target_modules, str):
            config["target_modules"] = list(self.target_modules)
        return config


class ModelSettings(Settings):
    """Settings of a base model and its adapter."""

    section: ClassVar[str] = "model"

    name: BaseName = Field(
        description="`pip:PACKAGE`, a folder, a hub id, or a GGUF file."
    )
    lora: Annotated[
        LoraSettings | None,
        BeforeValidator(
            lambda value: None if value is None else LoraSettings.from_config(value)
        ),
    ] = Field(None, description="A new adapter, or None for the base model alone.")
    dtype: Dtype = Field(
        "auto",
        description="The data type of the base model's weights and products.",
    )
    device: Device = Field(
        "auto", description="The device that the base model is loaded on."
    )
    merge: Merge = Field(
        "auto",
        description="Whether to decode with copies of the adapted weights that have "
        'the adapter merged in. "auto" decides by the free memory.',
    )
    draft_head: ModelFlag = Field(
        True,
        description="Whether to train a draft head with the adapter. Decoding is "
        "faster with one.",
    )
    head_weight: HeadWeight = Field(
        0.0,
        description="Weight of the draft head's scores in the choices of an inline "
        "output: from 0 to 10. With 0 the head does not change the results.",
    )
    gradient_checkpointing: ModelFlag = Field(
        False,
        description="Whether training recomputes activations in the backward pass "
        "instead of storing them.",
    )
    adapter: AdapterName = Field(
        None,
        description="The adapter that prediction and training start from: "
        '"universal", a folder, or a hub id.',
    )


def check_flag(key: str, value: Any) -> bool:
    """Check a setting that is true or false.

    key (str): The path of the setting.
    value (Any): Its value.
    RETURNS (bool): The value.
    RAISES (ValueError): The value is not a bool.
    """
    return bool(check(Flag, key, value))


def check_count(key: str, value: Any) -> int:
    """Check a setting that is a whole number of at least 1.

    key (str): The path of the setting.
    value (Any): Its value, which may be a string.
    RETURNS (int): The number.
    RAISES (ValueError): The value is something else.
    """
    return int(check(Count, key, value))


def check_number(key: str, value: Any) -> float:
    """Check a setting that is a finite number.

    key (str): The path of the setting.
    value (Any): Its value, which may be a string.
    RETURNS (float): The number.
    RAISES (ValueError): The value is something else.
    """
    return float(check(Number, key, value))


def check_made(key: str, value: Any, method: str, name: str) -> None:
    """Check a setting that a registered function makes.

    key (str): The path of the setting.
    value (Any): Its value.
    method (str): A method that the value must have.
    name (str): The name of such a function, for the message.
    RAISES (ValueError): The value is something else.
    """
    if not hasattr(value, method):
        expected = f'a block with @misc = "{name}" or another such function'
        raise ValueError(Errors.G407.format(key=key, found=value, expected=expected))


def check_probability(key: str, value: Any) -> float:
    """Check a setting that is a probability.

    key (str): The path of the setting.
    value (Any): Its value, which may be a string.
    RETURNS (float): The number.
    RAISES (ValueError): The value is not a number from 0 to 1.
    """
    return float(check(Probability, key, value))


def check_name(name: Any) -> str:
    """Check the name of a base model.

    name (Any): `pip:PACKAGE`, a folder, a hub id, or a GGUF file.
    RETURNS (str): The name.
    RAISES (ValueError): The name is empty or not a string.
    """
    return str(check(BaseName, "model.name", name))


def check_dtype(dtype: Any) -> str:
    """Check the name of a data type.

    dtype (Any): "auto", "float64", "float32", "bfloat16" or "float16".
    RETURNS (str): The name.
    RAISES (ValueError): The name is something else.
    """
    return str(check(Dtype, "model.dtype", dtype))


def check_device(device: Any) -> str:
    """Check the form of a device's name. The device need not exist on this machine.

    device (Any): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (str): The name.
    RAISES (ValueError): The name is something else.
    """
    return str(check(Device, "model.device", device))
