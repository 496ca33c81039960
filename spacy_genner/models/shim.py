"""The bridge between a language model and thinc: optimizer, averages, bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinc.api import Optimizer
from thinc.shims.shim import Shim

from .language_model import LanguageModel


class LoraShim(Shim):
    """Hands an adapter's weights to thinc's optimizer, and saves them alone.

    thinc sees float32 arrays in main memory whatever the base's device and dtype
    are, so that training on a GPU does not need cupy.

    lm (LanguageModel): The language model.
    """

    def __init__(self, lm: LanguageModel) -> None:
        super().__init__(None)
        self.lm = lm

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let an optimizer change the adapter by its gradients, and clear these.

        optimizer (Optimizer): thinc's optimizer. It is called once a weight matrix,
            with the shim's id and the matrix's name as key, so its clipping of
            gradients (`grad_clip`) is one matrix at a time.
        """
        if not self.lm.is_loaded:
            # Nothing has been trained since the adapter was read.
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
            # None, not zero: the trainer's next backward pass then allocates it,
            # and a layer that took no part is left alone by momentum.
            parameter.grad = None
            changed = True
        if changed:
            self.lm.touch()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Use other weights within the block, such as the optimizer's averages.

        params (dict): (shim id, name) to array; what is not there stays.
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
            self.lm.touch()
        try:
            yield
        finally:
            for name, tensor in kept.items():
                own[name].data.copy_(tensor)
            if kept:
                self.lm.touch()

    def to_device(self, device_type: str, device_id: int) -> None:
        """Does nothing: the device is a setting of the language model."""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter, without the base."""
        return self.lm.to_bytes()

    def from_bytes(self, bytes_data: bytes) -> "LoraShim":
        """Take an adapter; the base is not loaded by this.

        bytes_data (bytes): What `to_bytes` gave.
        RETURNS (LoraShim): Itself.
        """
        self.lm.from_bytes(bytes_data)
        return self


def _to_array(tensor: Any) -> Any:
    # A copy: thinc's optimizer works in place.
    return tensor.detach().to("cpu", copy=True).contiguous().numpy()


def _from_array(parameter: Any, array: Any) -> None:
    import torch

    # Averages are cupy arrays where spaCy uses the GPU.
    array = array.get() if hasattr(array, "get") else array
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))
