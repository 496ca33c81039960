"""The registered architecture `spacy-genner.LoraCausalLM.v1`.

thinc runs the optimizer, averages weights and saves the adapter. Prediction and
training do not go through thinc's forward pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Dict, Optional, Union  # noqa: UP035

from thinc.api import Model, Optimizer

from ..errors import Errors
from ..models.language_model import LanguageModel
from .local import LocalPredictor
from .predictor import PredictorConfig, PredictorShim, get_shim


class LoraShim(PredictorShim):
    """Passes the weights of an adapter to thinc's optimizer, and saves them alone.

    thinc sees float32 arrays in main memory for every device and dtype of the base, so
    that training on a GPU does not need CuPy.

    lm (LanguageModel): The language model.
    """

    is_trainable = True
    is_token_aligned = True
    lm: LanguageModel

    def make_predictor(self, config: PredictorConfig) -> LocalPredictor:
        """Load the base and make its predictor.

        config (PredictorConfig): The settings of the component.
        RETURNS (LocalPredictor): The predictor.
        RAISES (ValueError): See `LocalPredictor`.
        """
        return LocalPredictor(self.lm, config)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the adapter by its gradients, and clear them.

        optimizer (Optimizer): thinc's optimizer. It is called once for each weight
            matrix, with the id of the shim and the name of the matrix as key. Gradients
            are therefore clipped (`grad_clip`) by matrix.
        """
        if not self.lm.is_loaded:
            # Nothing has been trained since the adapter was loaded.
            return
        changed = False
        for name, parameter in self.lm.trainable_parameters().items():
            if parameter.grad is None:
                continue
            weights, _ = optimizer(
                (self.id, name),
                _to_array(parameter.data),
                _to_array(parameter.grad),
            )
            _from_array(parameter, weights)
            # None instead of zero: momentum then skips a layer without gradients.
            parameter.grad = None
            changed = True
        if changed:
            self.lm.mark_changed()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Use other weights within the block, such as the averages of the optimizer.

        params (dict[Any, Any]): (shim id, name) to array. Other weights stay.
        """
        if not self.lm.is_loaded:
            yield
            return
        own = self.lm.trainable_parameters()
        kept = {
            name: own[name].data.clone() for name in own if (self.id, name) in params
        }
        for name in kept:
            _from_array(own[name], params[(self.id, name)])
        if kept:
            self.lm.mark_changed()
        try:
            yield
        finally:
            for name, tensor in kept.items():
                own[name].data.copy_(tensor)
            if kept:
                self.lm.mark_changed()


def _to_array(tensor: Any) -> Any:
    # A copy, since thinc's optimizer works in place.
    return tensor.detach().to("cpu", copy=True).contiguous().numpy()


def _from_array(parameter: Any, array: Any) -> None:
    import torch

    # Averages are CuPy arrays if spaCy uses the GPU.
    array = array.get() if hasattr(array, "get") else array
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))


def build_lora_causal_lm(
    name: str,
    revision: Optional[str] = None,  # noqa: UP045
    lora: Optional[Dict[str, Any]] = None,  # noqa: UP006, UP045
    dtype: str = "auto",
    device: str = "auto",
    merge: Union[bool, str] = "auto",  # noqa: UP007
    draft_head: bool = True,
    gradient_checkpointing: bool = False,
    adapter: Optional[str] = None,  # noqa: UP045
    head_weight: float = 0.0,
) -> Model:
    """Make a causal language model with a LoRA adapter. Registered as
    `spacy-genner.LoraCausalLM.v1`. The weights are loaded at first use.

    name (str): The base: a hub id, a folder, a GGUF file, a GGUF file of the hub
        (`ORG/REPO:FILE.gguf`), or `pip:PACKAGE` for GGUF weights in an installed
        package.
    revision (str | None): Branch, tag or commit of a hub id.
    lora (dict[str, Any] | None): Any of `rank` (32), `alpha` (64), `dropout` (0.0) and
        `target_modules` ("all-linear") of a new adapter. None for the base alone.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    merge (bool | str): Whether to decode with merged copies of the adapted weights.
        "auto" decides by the free memory.
    draft_head (bool): Whether to train a head that drafts outputs, which makes decoding
        faster.
    gradient_checkpointing (bool): Whether training recomputes the activations inside a
        layer for the backward pass. This takes less memory and more time.
    adapter (str | None): The adapter that prediction and training start from:
        "universal", a folder, or a hub id. None for a new adapter.
    head_weight (float): The weight of the draft head's scores in the choices of an
        inline output, from 0 to 10. With 0 the head does not change the results.
    RETURNS (Model[list[Ints1d], list[Floats2d]]): Token ids to last hidden states.
    RAISES (ValueError): A setting is invalid.
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
        adapter=adapter,
        head_weight=head_weight,
    )
    return Model("genner_lora_causal_lm", _forward, shims=[LoraShim(lm)])


def _forward(model: Model, X: Any, is_train: bool) -> tuple[Any, Callable]:
    """Compute the last hidden states of sequences of token ids.

    X (list[Ints1d]): The token ids of each sequence.
    RETURNS (tuple[list[Floats2d], Callable]): For each sequence an array of shape
        (length, hidden size) in float32, and a callback that raises, since gradients do
        not pass through.
    """
    import torch

    from ..models.base_model import text_decoder

    lm = get_shim(model).lm
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
