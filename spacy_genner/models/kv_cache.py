"""Key-value caches of a batch and of the shared prefix."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache


class BatchCacheLayers(Cache):
    """A key-value cache whose slots are positions, with a cursor for each row.

    Whatever a row feeds is written to the slots of its positions. To take tokens
    back, a row feeds the next ones at an earlier position: what stands beyond is
    hidden by the causal mask until it is overwritten. So a rejected draft costs
    nothing, and rows need not be at the same place.

    rows (int): How many rows.
    capacity (int): Slots that a row begins with.
    """

    def __init__(self, rows: int, capacity: int):
        super().__init__(layers=[])
        self.capacity = capacity
        self._rows = rows
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._selected: Tensor | None = None
        self._token_rows = torch.empty(0, dtype=torch.long)
        self._slots = torch.empty(0, dtype=torch.long)
        self._count = 0
        self._width = 0

    def aim(
        self,
        selected: Tensor | None,
        token_rows: Tensor,
        slots: Tensor,
        count: int,
        width: int,
    ) -> None:
        """Say where the next forward pass writes and what it reads.

        selected (Optional[Tensor]): The rows that take part, shape (count,); None for
            the first `count` rows.
        token_rows (Tensor): The row of each token, shape (batch, tokens).
        slots (Tensor): The slot of each token, shape (batch, tokens).
        count (int): How many rows take part: as many as the batch has, or more where
            the batch is one sequence of rows end to end.
        width (int): The slots that are read; more than there are make all rows longer.
        """
        if width > self.capacity:
            self._grow(max(width, self.capacity * 3 // 2))
        self._selected = selected
        self._token_rows = token_rows
        self._slots = slots.clamp(max=self.capacity)
        self._count = count
        self._width = width

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values, and read those of the whole rows.

        key_states (Tensor): Shape (batch, heads, tokens, width).
        value_states (Tensor): Shape (batch, heads, tokens, width).
        layer_idx (int): The layer.
        RETURNS (Tuple[Tensor, Tensor]): Shape (batch, heads, slots, width).
        """
        return (
            self._write(self._keys, layer_idx, key_states),
            self._write(self._values, layer_idx, value_states),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._width

    def fork(self, rows: int, capacity: int, length: int) -> "BatchCacheLayers":
        """A cache whose every row begins with the first slots of row 0 of this one.

        rows (int): How many rows.
        capacity (int): Slots a row has.
        length (int): How many slots are taken over.
        RETURNS (BatchCacheLayers): The new cache.
        """
        other = BatchCacheLayers(rows, capacity)
        for mine, its in ((self._keys, other._keys), (self._values, other._values)):
            for layer, buffer in mine.items():
                its[layer] = other._buffer(buffer)
                its[layer][:, :, :length] = buffer[:1, :, :length]
        return other

    def move(self, row: int, to: int) -> None:
        """Copy what a row holds over another.

        row (int): The row.
        to (int): The other.
        """
        for buffers in (self._keys, self._values):
            for buffer in buffers.values():
                buffer[to] = buffer[row]

    def take(self, other: "BatchCacheLayers") -> None:
        """Copy all rows of a cache that has fewer, as far as there is room.

        other (BatchCacheLayers): The cache.
        """
        count, size = other._rows, min(self.capacity, other.capacity)
        for mine, its in ((self._keys, other._keys), (self._values, other._values)):
            for layer, buffer in its.items():
                mine[layer][:count, :, :size] = buffer[:, :, :size]

    def _grow(self, capacity: int) -> None:
        old, self.capacity = self.capacity, capacity
        for buffers in (self._keys, self._values):
            for layer, buffer in buffers.items():
                buffers[layer] = self._buffer(buffer)
                buffers[layer][:, :, :old] = buffer[:, :, :old]

    def _write(self, buffers: dict[int, Tensor], layer: int, new: Tensor) -> Tensor:
        if layer not in buffers:
            buffers[layer] = self._buffer(new)
        buffer, selected = buffers[layer], self._selected
        buffer[self._token_rows, :, self._slots] = new.transpose(1, 2)
        if selected is None:
            return buffer[: self._count, :, : self._width]
        return buffer[:, :, : self._width].index_select(0, selected)

    def _buffer(self, like: Tensor) -> Tensor:
        # One slot more than the capacity takes what padding writes.
        shape = (self._rows, like.shape[1], self.capacity + 1, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)


class PrefixCache(Cache):
    """Keys and values of one shared prefix, put before those of every row.

    Gradients flow back through them, so a prefix that is run once learns from all
    the rows as if each had run it for itself.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}
        self._recording = True

    def share(self) -> None:
        """Stop recording: what comes next are rows behind the prefix."""
        self._recording = False

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Keep the prefix's keys and values, or put them before a layer's new ones.

        key_states (Tensor): Shape (batch, heads, tokens, width).
        value_states (Tensor): Shape (batch, heads, tokens, width).
        layer_idx (int): The layer.
        RETURNS (Tuple[Tensor, Tensor]): Shape (batch, heads, slots, width).
        """
        if self._recording:
            self._stored[layer_idx] = (key_states, value_states)
            return key_states, value_states
        keys, values = self._stored[layer_idx]
        batch = key_states.shape[0]
        return (
            torch.cat([keys.expand(batch, -1, -1, -1), key_states], dim=2),
            torch.cat([values.expand(batch, -1, -1, -1), value_states], dim=2),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        stored = self._stored.get(layer_idx)
        return 0 if stored is None else stored[0].shape[2]
