"""The settings of a network in a GGUF file, by family.

transformers does not look up all settings that a file states, such as the scaling of
positions and of queries. A `Family` adds them to the config of transformers.
`check_settings` refuses a setting that no family takes into account.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Errors

# The fields of a file by name.
Metadata = Mapping[str, Any]

# The settings of a network that are read for every family.
_COMMON = frozenset(
    {
        "attention.causal",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.layer_norm_epsilon",
        "attention.layer_norm_rms_epsilon",
        "attention.value_length",
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "rope.dimension_count",
        "rope.freq_base",
        "vocab_size",
    }
)
# Settings that describe the training, or that have no effect with these values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "pooling_type": (0,),
    "rope.scaling.finetuned": (True, False),
    "rope.scaling.type": ("none",),
}
_LINEAR = frozenset({"rope.scaling.type", "rope.scaling.factor"})
_YARN = _LINEAR | {"rope.scaling.original_context_length"}
# The tensor with the factors of Llama 3's rotary embedding.
ROPE_FACTORS = "rope_freqs.weight"
# The context of the training of Llama 3, on which its rotary embedding is based.
_LLAMA3_CONTEXT = 8192
# The layers of the largest models of Gemma 2 and 3, which scale queries otherwise.
_GEMMA2_27B_LAYERS, _GEMMA3_27B_LAYERS = 46, 62
_GEMMA3_LOCAL_THETA = 10_000.0


class GGUFSettings:
    """The settings of a network in a GGUF file, by their names without the
    architecture.

    metadata (Mapping[str, Any]): The fields of the file by name.
    architecture (str): The architecture in GGUF.
    """

    def __init__(self, metadata: Metadata, architecture: str) -> None:
        self.metadata = metadata
        self.architecture = architecture

    def get(self, name: str, default: Any = None) -> Any:
        """Get a setting.

        name (str): The name without the architecture.
        default (Any): The value of a setting that is not in the file.
        RETURNS (Any): The value.
        """
        return self.metadata.get(f"{self.architecture}.{name}", default)

    @property
    def hidden_per_head(self) -> int:
        """RETURNS (int): The hidden size by the number of heads."""
        size, heads = self.get("embedding_length"), self.get("attention.head_count")
        return int(size) // int(heads)

    @property
    def head_dim(self) -> int:
        """RETURNS (int): The width of a head."""
        width = self.get("rope.dimension_count", self.hidden_per_head)
        return int(self.get("attention.key_length", width))

    def rope(self, name: str) -> dict[str, Any]:
        """Get the parameters of the rotary embedding, as transformers names them.

        name (str): The name of the file, for the error message.
        RETURNS (dict[str, Any]): The parameters.
        RAISES (ValueError): The scaling of positions is not known.
        """
        parameters: dict[str, Any] = {
            "rope_theta": float(self.get("rope.freq_base", 10_000.0)),
            "rope_type": "default",
        }
        kind = self.get("rope.scaling.type", "none")
        if kind in ("linear", "yarn"):
            factor = float(self.get("rope.scaling.factor", 1.0))
            parameters.update(rope_type=kind, factor=factor)
        elif kind != "none":
            what = f"setting {self.architecture}.rope.scaling.type = {kind!r}"
            raise ValueError(Errors.G355.format(file=name, what=what))
        if kind == "yarn":
            original = self.get("rope.scaling.original_context_length")
            if original is None:
                what = "rotary scaling 'yarn' without its original context"
                raise ValueError(Errors.G355.format(file=name, what=what))
            parameters["original_max_position_embeddings"] = int(original)
        return parameters


def _correct_plain(
    config: Any, settings: GGUFSettings, tensors: Mapping[str, Any], name: str
) -> None:
    """Settings of the families of Llama and Qwen."""
    if settings.head_dim != settings.hidden_per_head or hasattr(config, "head_dim"):
        config.head_dim = settings.head_dim
    # Without a count for keys and values, it is that of the queries.
    heads = settings.get("attention.head_count")
    config.num_key_value_heads = settings.get("attention.head_count_kv", heads)
    config.rope_parameters = settings.rope(name)
    _share_embedding(config, tensors)


def _correct_llama(
    config: Any, settings: GGUFSettings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    config.attention_bias = "blk.0.attn_q.bias" in tensors
    config.mlp_bias = "blk.0.ffn_up.bias" in tensors
    if ROPE_FACTORS in tensors:
        factors = tensors[ROPE_FACTORS].data.astype("float64").ravel().tolist()
        config.rope_parameters = _llama3_rope(config.rope_parameters, factors, name)


def _llama3_rope(
    parameters: dict[str, Any], factors: Sequence[float], name: str
) -> dict[str, Any]:
    """Find the parameters of Llama 3's rotary embedding, of which GGUF has only the
    resulting factors."""
    if all(factor == 1 for factor in factors):
        return parameters
    found = {
        **parameters,
        "rope_type": "llama3",
        # The lowest frequencies are scaled by the whole factor.
        "factor": float(round(max(factors), 3)),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": _LLAMA3_CONTEXT,
    }
    expected = _llama3_factors(found, len(factors))
    if parameters["rope_type"] != "default" or any(
        not math.isclose(one, other, rel_tol=1e-4)
        for one, other in zip(factors, expected, strict=True)
    ):
        what = f"tensor {ROPE_FACTORS} with these values"
        raise ValueError(Errors.G355.format(file=name, what=what))
    return found


def _llama3_factors(parameters: Mapping[str, Any], count: int) -> list[float]:
    """The factors of the wave lengths, as llama.cpp writes them ("The Llama 3 Herd of
    Models", 2024)."""
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    context, factor = (
        parameters["original_max_position_embeddings"],
        parameters["factor"],
    )
    factors = []
    for index in range(count):
        length = 2 * math.pi * parameters["rope_theta"] ** (index / count)
        smooth = (context / length - low) / (high - low)
        smooth = min(max(smooth, 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _correct_gemma2(
    config: Any, settings: GGUFSettings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        value = settings.get(key)
        if value is not None:
            setattr(config, key, float(value))
    is_largest = config.num_hidden_layers == _GEMMA2_27B_LAYERS
    _scale_queries(config, settings, is_largest)


def _correct_gemma3(
    config: Any, settings: GGUFSettings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    local = float(settings.get("rope.freq_base_swa", _GEMMA3_LOCAL_THETA))
    config.rope_parameters = {
        "full_attention": config.rope_parameters,
        "sliding_attention": {"rope_theta": local, "rope_type": "default"},
    }
    capping = settings.get("final_logit_softcapping")
    if capping is not None:
        config.final_logit_softcapping = float(capping)
    pattern = settings.get("attention.sliding_window_pattern")
    if pattern is not None:
        layers = range(config.num_hidden_layers)
        is_local = (
            [bool((layer + 1) % int(pattern)) for layer in layers]
            if isinstance(pattern, int)
            else list(map(bool, pattern))
        )
        kinds = {True: "sliding_attention", False: "full_attention"}
        config.layer_types = [kinds[local] for local in is_local]
    is_largest = config.num_hidden_layers == _GEMMA3_27B_LAYERS
    _scale_queries(config, settings, is_largest)


def _scale_queries(config: Any, settings: GGUFSettings, is_largest: bool) -> None:
    """Gemma's largest models scale queries by the width that a head would have if the
    heads shared the hidden size."""
    config.query_pre_attn_scalar = (
        settings.hidden_per_head if is_largest else settings.head_dim
    )


def _share_embedding(config: Any, tensors: Mapping[str, Any]) -> None:
    config.tie_word_embeddings = "output.weight" not in tensors


_Correct = Callable[[Any, GGUFSettings, Mapping[str, Any], str], None]


@dataclass(frozen=True)
class Family:
    """An architecture of GGUF.

    keys (frozenset[str]): Its settings, beside the common ones.
    correct (Callable): Adds to a config of transformers what transformers leaves out.
    """

    keys: frozenset[str]
    correct: _Correct


FAMILIES = {
    "llama": Family(_YARN, _correct_llama),
    "qwen2": Family(_YARN, _correct_plain),
    "qwen3": Family(_YARN, _correct_plain),
    "gemma2": Family(
        frozenset(
            {
                "attention.sliding_window",
                "attn_logit_softcapping",
                "final_logit_softcapping",
            }
        ),
        _correct_gemma2,
    ),
    "gemma3": Family(
        _LINEAR
        | {
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "final_logit_softcapping",
            "rope.freq_base_swa",
        },
        _correct_gemma3,
    ),
}


def check_settings(
    name: str, metadata: Metadata, architecture: str, family: Family
) -> None:
    """Refuse settings of the network that are not taken into account.

    name (str): The name of the file, for the error message.
    metadata (Mapping[str, Any]): The fields of the file by name.
    architecture (str): The architecture in GGUF.
    family (Family): The family of the network.
    RAISES (ValueError): There is such a setting.
    """
    prefix = f"{architecture}."
    for key, value in metadata.items():
        if not key.startswith(prefix):
            continue
        short = key[len(prefix) :]
        if value in _NEUTRAL.get(short, ()):
            continue
        if short not in _COMMON | family.keys or short == "attention.causal":
            raise ValueError(
                Errors.G355.format(file=name, what=f"setting {key} = {value!r}")
            )
    settings = GGUFSettings(metadata, architecture)
    width = settings.head_dim
    for short in ("attention.value_length", "rope.dimension_count"):
        found = settings.get(short, width)
        if found != width:
            what = f"setting {prefix}{short} = {found!r} with heads of {width}"
            raise ValueError(Errors.G355.format(file=name, what=what))
