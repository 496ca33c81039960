"""The forward pass of a causal language model without its head.

`Backbone` runs the text decoder in the layouts that training and decoding need: padded
sequences, new tokens on top of a KV cache, and rows behind a prefix that all of them
share. The prefix, usually the instruction, runs once for the whole batch. Rows are
packed (see `attention`) if the model supports it and padded otherwise; a comparison
with a plain forward pass decides. For the draft head a forward hook returns the hidden
states of a middle layer together with those of the last layer.
"""

import inspect
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .attention import NAME, PackedLayout
from .kv_cache import PrefixKVCache

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "attention"}
# The errors of a model class that does not support a packed or cached call.
UNSUPPORTED_CALL = (TypeError, AttributeError, KeyError, RuntimeError, IndexError)


def same_hidden_states(found: Tensor, expected: Tensor) -> bool:
    """Check whether hidden states are equal up to rounding in their dtype.

    found (Tensor): Hidden states, any shape.
    expected (Tensor): The expected hidden states, the same shape.
    RETURNS (bool): Whether no difference exceeds 5 % of the largest expected value.
    """
    gap = (found.float() - expected.float()).abs().max()
    return bool(gap <= 0.05 * expected.float().abs().max())


def middle_index(count: int) -> int:
    """Choose the middle layer, whose hidden states the draft head reads.

    count (int): The number of layers.
    RETURNS (int): The index of the layer.
    """
    return max(0, count * 5 // 9 - 1)


class HiddenStateHook:
    """A forward hook that records the output of a middle layer, thread by thread.

    The last layers of a language model turn to the next token. The role of a word in
    its sentence is best read from the middle layers (Tenney et al., "BERT Rediscovers
    the Classical NLP Pipeline", 2019).

    decoder (nn.Module): A text decoder with its layers in `layers`. Nothing is recorded
        for any other module.
    """

    def __init__(self, decoder: nn.Module):
        # The hook must not refer to `self`: copies of the network carry it, too.
        self._local = local = threading.local()

        def record(layer: nn.Module, args: Any, output: Any) -> None:
            outputs = getattr(local, "outputs", None)
            if outputs is not None:
                outputs.append(output[0] if isinstance(output, tuple) else output)

        layers = getattr(decoder, "layers", None)
        if isinstance(layers, nn.ModuleList) and len(layers):
            middle = layers[middle_index(len(layers))]
            handle = middle.register_forward_hook(record)
            weakref.finalize(self, handle.remove)

    @contextmanager
    def recording(self) -> Iterator[list[Tensor]]:
        """Record the outputs of the layer in this thread within the block.

        YIELDS (list[Tensor]): The hidden states of each forward pass so far, shape
            (batch, tokens, width) each.
        """
        outputs: list[Tensor] = []
        self._local.outputs = outputs
        try:
            yield outputs
        finally:
            self._local.outputs = None


class Backbone:
    """The text decoder of a causal language model.

    Hidden states have the width of the model. With `middle_layer` they are twice as
    wide: those of the last layer, followed by those of a middle layer.

    network (PreTrainedModel): The causal language model.
    decoder (nn.Module): Its text decoder, without the head.
    middle_layer (bool): Whether to append the hidden states of a middle layer.

    attention_only (bool): Whether all layers are attention layers, so that keys and
        values are the only state that a token leaves behind.
    packs (bool): Whether rows are packed; see `settle`.
    """

    def __init__(self, network: Any, decoder: Any, middle_layer: bool = False):
        self.decoder = decoder
        self._hook = HiddenStateHook(decoder) if middle_layer else None
        config = network.config.get_text_config()
        layer_types = set(getattr(config, "layer_types", None) or ())
        layer_types |= set(getattr(config, "layers_block_type", None) or ())
        self.attention_only = layer_types <= ATTENTION_LAYERS
        # A model whose config lists no layers has one mask for all of them (Mistral,
        # Phi 3).
        self._mask_by_type = bool(layer_types)
        slides = not layer_types or "sliding_attention" in layer_types
        window: int | None = getattr(config, "sliding_window", None)
        self._window = window if slides else None
        implementation = getattr(config, "_attn_implementation", None)
        self.packs = self.attention_only and implementation == NAME
        # Layers that run again for their gradients take no cache.
        self._can_cache = self.attention_only and not any(
            getattr(module, "gradient_checkpointing", False)
            for module in decoder.modules()
        )
        parameters = inspect.signature(type(decoder).forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self._is_checked = False

    @torch.no_grad()
    def check_packing(self, ids: Sequence[int], device: torch.device) -> None:
        """Check packing: compare packed rows with a plain forward pass.

        If a model class does not support packing, or computes something else, `packs`
        becomes false and rows are padded. Only the first call computes anything.

        ids (Sequence[int]): Any token ids, at least one.
        device (torch.device): The device of the model.
        """
        if not self.packs or self._is_checked:
            return
        self._is_checked = True
        sample = torch.tensor([ids[index % len(ids)] for index in range(4)])
        sample = sample.to(device)
        plain = self.forward_padded(sample[None])[0]
        try:
            rows = torch.cat([sample[2:], sample[2:3]])
            found = self.behind_prefix(sample[:2], rows, [2, 1])
        except UNSUPPORTED_CALL:
            self.packs = False
        else:
            expected = torch.cat([plain[2:], plain[2:3]])
            self.packs = same_hidden_states(found, expected)

    def forward_padded(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run whole sequences, padded on the right, without a cache.

        ids (Tensor): The token ids, shape (batch, length).
        lengths (Tensor | None): The number of tokens of each sequence, shape (batch,);
            None if nothing is padded.
        RETURNS (Tensor): Hidden states, shape (batch, length, width).
        """
        mask = None
        if lengths is not None:
            columns = torch.arange(ids.shape[1], device=ids.device)
            mask = (columns < lengths[:, None]).long()
        return self._hidden(input_ids=ids, attention_mask=mask, use_cache=False)

    def forward_cached(
        self, ids: Tensor, positions: Tensor, kv_length: int, cache: Any
    ) -> Tensor:
        """Run new tokens of padded rows on top of a cache that is indexed by position.

        ids (Tensor): The ids of the new tokens, shape (batch, tokens).
        positions (Tensor): Their positions, shape (batch or 1, tokens).
        kv_length (int): The number of positions that the cache returns, those of the
            new tokens included.
        cache (Cache): The cache.
        RETURNS (Tensor): Hidden states, shape (batch, tokens, width).
        """
        options = {self._cache_name: cache}
        mask = self._mask(positions, kv_length)
        return self._run(ids, positions, mask, use_cache=True, **options)

    def forward_cached_packed(
        self,
        ids: Tensor,
        packed: PackedLayout,
        starts: Tensor,
        kv_length: int,
        cache: Any,
    ) -> Tensor:
        """Run new tokens of packed rows on top of a cache that is indexed by position.

        Call this only if `packs` is true.

        ids (Tensor): The ids of the new tokens, shape (tokens,).
        packed (PackedLayout): The layout of the new tokens.
        starts (Tensor): The position of the first new token of each row, shape (rows,).
        kv_length (int): The number of positions that the cache returns, those of the
            new tokens included.
        cache (Cache): The cache.
        RETURNS (Tensor): Hidden states, shape (tokens, width).
        """
        columns = torch.arange(packed.max_length, device=ids.device)
        mask = self._mask(starts[:, None] + columns, kv_length)
        positions = (starts[packed.token_rows] + packed.token_columns)[None]
        options = {self._cache_name: cache, "packed": packed}
        return self._run(ids[None], positions, mask, use_cache=True, **options)[0]

    def behind_prefix(
        self, prefix: Tensor, ids: Tensor, lengths: Sequence[int]
    ) -> Tensor:
        """Run rows that share a prefix, which runs once if the model allows it.

        Gradients flow back to the prefix from all rows.

        prefix (Tensor): The ids of the prefix, shape (prefix,).
        ids (Tensor): The ids of the rows, one row after the other, shape (tokens,).
        lengths (Sequence[int]): The number of tokens of each row.
        RETURNS (Tensor): Hidden states of the rows, one row after the other, shape
            (tokens, width).
        """
        size = len(prefix)
        packed = PackedLayout.from_lengths(size, lengths, ids.device)
        kv_length = size + packed.max_length
        positions = torch.arange(kv_length, device=ids.device)[None]
        if self.packs:
            whole = torch.cat([prefix, ids])[None]
            mask = self._mask(positions, kv_length)
            hidden = self._run(
                whole, packed.positions, mask, use_cache=False, packed=packed
            )
            return hidden[0, size:]
        padded = ids.new_zeros(packed.batch_size * packed.max_length)
        padded = padded.index_copy(0, packed.padded_index, ids)
        padded = padded.view(packed.batch_size, -1)
        if self._can_cache:
            cache = PrefixKVCache()
            self.forward_cached(prefix[None], positions[:, :size], size, cache)
            cache.stop_recording()
            own = positions[:, size:].expand(packed.batch_size, -1)
            return packed.unpad(self.forward_cached(padded, own, kv_length, cache))
        whole = torch.cat([prefix.expand(packed.batch_size, -1), padded], dim=1)
        sizes = torch.tensor(list(lengths), device=ids.device) + size
        return packed.unpad(self.forward_padded(whole, sizes)[:, size:])

    def _run(self, ids: Tensor, positions: Tensor, mask: Any, **options: Any) -> Tensor:
        return self._hidden(
            input_ids=ids, position_ids=positions, attention_mask=mask, **options
        )

    def _hidden(self, **inputs: Any) -> Tensor:
        if self._hook is None:
            last: Tensor = self.decoder(**inputs)[0]
            return last
        with self._hook.recording() as outputs:
            last = self.decoder(**inputs)[0]
        return torch.cat([last, outputs[0] if outputs else last], dim=-1)

    def _mask(self, positions: Tensor, kv_length: int) -> Any:
        """The additive mask, shape (batch or 1, 1, tokens, kv_length); a dict with one
        mask for each layer type if the config lists the layers."""
        dtype = self.decoder.dtype
        sliding = _additive_mask(positions, kv_length, self._window, dtype)
        if self._window is None or not self._mask_by_type:
            return sliding
        full = _additive_mask(positions, kv_length, None, dtype)
        return {"full_attention": full, "sliding_attention": sliding}


def _additive_mask(
    positions: Tensor, kv_length: int, window: int | None, dtype: torch.dtype
) -> Tensor:
    """Make a causal mask for keys that are indexed by position.

    positions (Tensor): The positions of the queries, shape (batch or 1, tokens).
    kv_length (int): The number of keys.
    window (int | None): The number of keys that a query attends to; None for all.
    dtype (torch.dtype): The dtype of the scores.
    RETURNS (Tensor): Added to the scores, shape (batch or 1, 1, tokens, kv_length).
    """
    keys = torch.arange(kv_length, device=positions.device)
    queries = positions[:, None, :, None]
    visible = keys <= queries
    if window is not None:
        visible = visible & (keys > queries - window)
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)
