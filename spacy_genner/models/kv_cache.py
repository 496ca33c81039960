"""Key-value (KV) caches: one for the rows of a batch, one for their shared prefix.

Both put the keys and values of a token at the index of its position. Any earlier
position of a row can therefore be written again, which takes rejected draft tokens back
without a copy, and the rows of a batch need not be at the same position.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache


class BatchKVCache(Cache):
    """A KV cache in which each row of the batch has its own write position.

    Every token that a row feeds is written at its position. To take tokens back, a row
    feeds the next ones at an earlier position: the causal mask hides the rest until it
    is overwritten. A rejected draft therefore costs nothing.

    rows (int): The number of rows.
    capacity (int): The number of positions that each row has at first.
    """

    def __init__(self, rows: int, capacity: int):
        super().__init__(layers=[])
        self.capacity = capacity
        self._rows = rows
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        # Set by `set_write_positions` for the next forward pass.
        self._selected: Tensor | None = None
        self._token_rows = torch.empty(0, dtype=torch.long)
        self._positions = torch.empty(0, dtype=torch.long)
        self._row_count = 0
        self._kv_length = 0

    def set_write_positions(
        self,
        selected: Tensor | None,
        token_rows: Tensor,
        positions: Tensor,
        row_count: int,
        kv_length: int,
    ) -> None:
        """Set what the next forward pass writes and reads.

        selected (Tensor | None): The indices of the rows that take part, shape
            (row_count,); None for the first `row_count` rows.
        token_rows (Tensor): The row of each new token, shape (batch, tokens).
        positions (Tensor): The position of each new token, shape (batch, tokens).
        row_count (int): The number of rows that take part. It is the batch size of the
            forward pass, or more if the rows are packed into one sequence.
        kv_length (int): The number of positions that are read. All rows grow if this
            exceeds the capacity.
        """
        if kv_length > self.capacity:
            self._grow(max(kv_length, self.capacity * 3 // 2))
        self._selected = selected
        self._token_rows = token_rows
        self._positions = positions.clamp(max=self.capacity)
        self._row_count = row_count
        self._kv_length = kv_length

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values, and return those of the whole rows.

        key_states (Tensor): Shape (batch, heads, tokens, width).
        value_states (Tensor): Shape (batch, heads, tokens, width).
        layer_idx (int): The index of the layer.
        RETURNS (tuple[Tensor, Tensor]): Keys and values, shape (row_count, heads,
            kv_length, width) each.
        """
        return (
            self._write(self._keys, layer_idx, key_states),
            self._write(self._values, layer_idx, value_states),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._kv_length

    def fork(self, rows: int, capacity: int, length: int) -> "BatchKVCache":
        """Create a cache in which each row starts with the content of row 0.

        rows (int): The number of rows of the new cache.
        capacity (int): The number of positions that each of its rows has.
        length (int): The number of positions to copy.
        RETURNS (BatchKVCache): The new cache.
        """
        other = BatchKVCache(rows, capacity)
        for source, target in self._pairs(other):
            for layer, buffer in source.items():
                target[layer] = other._new_buffer(buffer)
                target[layer][:, :, :length] = buffer[:1, :, :length]
        return other

    def copy_row(self, source: int, target: int) -> None:
        """Copy the content of one row over that of another.

        source (int): The index of the row to read.
        target (int): The index of the row to overwrite.
        """
        for buffers in (self._keys, self._values):
            for buffer in buffers.values():
                buffer[target] = buffer[source]

    def copy_from(self, other: "BatchKVCache") -> None:
        """Copy all rows of another cache over the first rows of this one.

        other (BatchKVCache): A cache with at most as many rows. Positions beyond the
            capacity of this cache are left out.
        """
        count, size = other._rows, min(self.capacity, other.capacity)
        for target, source in self._pairs(other):
            for layer, buffer in source.items():
                target[layer][:count, :, :size] = buffer[:, :, :size]

    def _pairs(
        self, other: "BatchKVCache"
    ) -> tuple[tuple[dict[int, Tensor], dict[int, Tensor]], ...]:
        return (self._keys, other._keys), (self._values, other._values)

    def _grow(self, capacity: int) -> None:
        old, self.capacity = self.capacity, capacity
        for buffers in (self._keys, self._values):
            for layer, buffer in buffers.items():
                buffers[layer] = self._new_buffer(buffer)
                buffers[layer][:, :, :old] = buffer[:, :, :old]

    def _write(self, buffers: dict[int, Tensor], layer: int, new: Tensor) -> Tensor:
        if layer not in buffers:
            buffers[layer] = self._new_buffer(new)
        buffer, selected = buffers[layer], self._selected
        buffer[self._token_rows, :, self._positions] = new.transpose(1, 2)
        if selected is None:
            return buffer[: self._row_count, :, : self._kv_length]
        return buffer[:, :, : self._kv_length].index_select(0, selected)

    def _new_buffer(self, like: Tensor) -> Tensor:
        # The position after the last one receives the keys and values of padding.
        shape = (self._rows, like.shape[1], self.capacity + 1, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)


class PrefixKVCache(Cache):
    """The keys and values of one shared prefix, prepended to those of every row.

    Gradients flow back through them. A prefix that runs once therefore receives the
    gradients of all rows, as if each row had run the prefix.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}
        self._recording = True

    def stop_recording(self) -> None:
        """End the prefix: the next forward pass runs the rows behind it."""
        self._recording = False

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Record a layer's keys and values, or prepend the recorded ones to them.

        key_states (Tensor): Shape (batch, heads, tokens, width).
        value_states (Tensor): Shape (batch, heads, tokens, width).
        layer_idx (int): The index of the layer.
        RETURNS (tuple[Tensor, Tensor]): Keys and values, shape (batch, heads,
            kv_length, width) each.
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
