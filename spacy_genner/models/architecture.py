"""The registered architecture: a thinc model around a language model.

Importing this module, and making the model, loads neither transformers nor peft
nor any weights.
"""

from collections.abc import Callable
from typing import Any, Dict, Optional, Union  # noqa: UP035

from thinc.api import Model

from ..errors import Errors
from .language_model import LanguageModel
from .shim import LoraShim


def build_lora_causal_lm(
    name: str,
    revision: Optional[str] = None,  # noqa: UP045
    lora: Optional[Dict[str, Any]] = None,  # noqa: UP006, UP045
    dtype: str = "auto",
    device: str = "auto",
    merge: Union[bool, str] = "auto",  # noqa: UP007
    draft_head: bool = True,
    gradient_checkpointing: bool = False,
) -> Model:
    """A causal language model with a LoRA adapter, `spacy-genner.LoraCausalLM.v1`.

    The weights are loaded at first use. Prediction and training do not go through
    thinc's forward pass: the component's decoder and trainer take the networks of
    `get_language_model(model)`. What thinc does is the optimizer's step, the
    averages of weights, and saving.

    name (str): The base: a hub id, a folder, or `pip:PACKAGE` for GGUF weights that
        an installed package carries.
    revision (Optional[str]): Branch, tag or commit of a hub id.
    lora (Optional[Dict[str, Any]]): Any of `rank` (32), `alpha` (64), `dropout` (0.0)
        and `target_modules` ("all-linear") of a new adapter; null for the base alone.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    merge (Union[bool, str]): Decode with merged copies of the adapted weights: true,
        false, or "auto" by the free memory.
    draft_head (bool): Whether training also trains a head that drafts outputs, for
        speed alone.
    gradient_checkpointing (bool): Whether training keeps the hidden states between
        layers alone and computes the rest once more: less memory, more time.
    RETURNS (Model[List[Ints1d], List[Floats2d]]): Token ids to last hidden states.
    RAISES (ValueError): If a setting can't be used.
    """
    lm = LanguageModel(
        name,
        revision,
        lora,
        dtype,
        device,
        merge,
        draft_head,
        gradient_checkpointing=gradient_checkpointing,
    )
    return Model("genner_lora_causal_lm", _forward, shims=[LoraShim(lm)])


def get_language_model(model: Model) -> LanguageModel:
    """The language model inside a thinc model.

    model (Model): What `build_lora_causal_lm` made.
    RETURNS (LanguageModel): Its language model.
    """
    shim = model.shims[0]
    assert isinstance(shim, LoraShim)
    return shim.lm


def _forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable]:
    """The last hidden states of sequences of token ids.

    X (List[Ints1d]): The token ids of each sequence.
    RETURNS (Tuple[List[Floats2d], Callable]): For each sequence an array of shape
        (length, hidden size) in float32. No gradient passes through: the callback
        raises.
    """
    import torch

    from .store import text_decoder

    lm = get_language_model(model)
    sizes = [getattr(ids, "ndim", None) for ids in X] if isinstance(X, list) else [None]
    if any(size != 1 for size in sizes):
        raise ValueError(Errors.G260.format(found=type(X).__name__))
    decoder = text_decoder(lm.decoding_network())
    result = []
    with torch.inference_mode():
        for ids in X:
            tensor = torch.tensor(ids.tolist(), dtype=torch.long, device=lm.device)
            hidden = decoder(input_ids=tensor[None], use_cache=False).last_hidden_state
            array = hidden[0].float().cpu().numpy()
            result.append(model.ops.asarray2f(array))

    def backprop(d_output: Any) -> Any:
        raise ValueError(Errors.G260.format(found="gradients"))

    return result, backprop
