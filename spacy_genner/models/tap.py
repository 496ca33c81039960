"""Hidden states of a layer inside a network."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Tap:
    """Gives what a layer in the middle puts out, to the thread that runs the network.

    The last layers of a language model turn to the next token; what a word is in its
    sentence is best read off the middle (Tenney et al., "BERT Rediscovers the Classical
    NLP Pipeline", 2019).

    decoder (nn.Module): A text decoder whose layers are in `layers`; of any other
        nothing is given.
    """

    def __init__(self, decoder: nn.Module):
        # Not the tap itself: copies of the network have the hook, too.
        self._threads = threads = threading.local()

        def note(layer: nn.Module, given: Any, output: Any) -> None:
            taken = getattr(threads, "taken", None)
            if taken is not None:
                taken.append(output[0] if isinstance(output, tuple) else output)

        layers = getattr(decoder, "layers", None)
        if isinstance(layers, nn.ModuleList) and len(layers):
            middle = layers[max(0, len(layers) * 5 // 9 - 1)]
            handle = middle.register_forward_hook(note)
            weakref.finalize(self, handle.remove)

    @contextmanager
    def opened(self) -> Iterator[list[Tensor]]:
        """Take note of what the layer puts out within the block.

        YIELDS (List[Tensor]): Grows by one with each pass.
        """
        taken: list[Tensor] = []
        self._threads.taken = taken
        try:
            yield taken
        finally:
            self._threads.taken = None
