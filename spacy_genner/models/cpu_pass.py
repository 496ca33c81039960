"""A forward pass for decoding on a CPU, with less work around the matrix products.

The modules of transformers serve all purposes, and on a CPU about half of their time
goes into small operations that are bound by memory. `CPUPass` computes the same layers
for the common architectures (`SUPPORTED`) with fewer of them:

- The tokens of all rows lie end to end, without padding. Only attention pads them.
- The prefix that all rows share has one copy of its keys and values. Its scores are
  one product for all rows (Juravsky et al., "Hydragen: High-Throughput LLM Inference
  with Shared Prefixes", 2024), and its part of the cache is not copied.
- Sums and norms are computed in float32 and rounded once, before the next product.
- The norm and the rotation of queries and keys are one step, which also scales.
- The activation of an MLP and its product with the other projection are the last step
  of the matrix products (oneDNN's post-ops).

A comparison with the model's own forward pass decides whether it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .attention import column_cuts
from .rms_norm import FrozenRMSNorm, frozen_norm

# The text decoders whose layers are computed here.
SUPPORTED = {
    "Gemma3TextModel",
    "LlamaModel",
    "MistralModel",
    "Qwen2Model",
    "Qwen3Model",
}
DTYPES = (torch.float32, torch.bfloat16)
# The kinds of activation, by class and by the names that oneDNN has for them.
_ACTIVATIONS = {
    "GELUTanh": ("gelu", "tanh"),
    "PytorchGELUTanh": ("gelu", "tanh"),
    "SiLUActivation": ("swish", ""),
    "SiLU": ("swish", ""),
}
# Longer rows are cut into blocks of this many tokens, which attend to no later keys.
BLOCK_LENGTH = 256
_SLIDING = "sliding_attention"


class UnsupportedLayer(Exception):
    """A layer has parts that are not computed here."""


class RowCache:
    """The keys and values of rows behind a shared prefix, by position.

    Any earlier position of a row can be written again, which takes rejected draft
    tokens back.

    prefix (Sequence[tuple[Tensor, Tensor]]): The keys and values of the prefix for each
        layer, shape (prefix, key heads, width) each.
    rows (int): The number of rows.
    capacity (int): The number of positions of a row behind the prefix.
    """

    def __init__(
        self, prefix: Sequence[tuple[Tensor, Tensor]], rows: int, capacity: int
    ):
        self.prefix = prefix
        self.rows = rows
        self.capacity = capacity
        self.layers = [
            tuple(like.new_zeros(rows, capacity, *like.shape[1:]) for like in pair)
            for pair in prefix
        ]

    @property
    def prefix_length(self) -> int:
        """RETURNS (int): The number of tokens of the prefix."""
        return len(self.prefix[0][0])

    def resized(self, rows: int, capacity: int) -> "RowCache":
        """Make a cache with room for more rows or longer ones.

        rows (int): The number of rows, at least the present number.
        capacity (int): The number of positions of a row. Positions beyond it are lost.
        RETURNS (RowCache): A cache with the same content.
        """
        other = RowCache(self.prefix, rows, capacity)
        size = min(capacity, self.capacity)
        for source, target in zip(self.layers, other.layers, strict=True):
            for old, new in zip(source, target, strict=True):
                new[: len(old), :size] = old[:, :size]
        return other

    def move(self, source: int, target: int) -> None:
        """Copy a row over another one.

        source (int): The index of the row.
        target (int): The index of the other row.
        """
        for pair in self.layers:
            for buffer in pair:
                buffer[target] = buffer[source]


class NewTokens:
    """The new tokens of a pass: where they are written, and what they attend to.

    rows (Sequence[int]): The index of each row in the cache.
    starts (Sequence[int]): The position of each row's first new token, counted from the
        end of the prefix.
    lengths (Sequence[int]): The number of new tokens of each row, at least one.
    cache (RowCache): The cache.
    group (int): The number of query heads for each key head.
    window (int | None): The number of keys that a query attends to in sliding layers.
    dtype (torch.dtype): The dtype of the scores.
    """

    def __init__(
        self,
        rows: Sequence[int],
        starts: Sequence[int],
        lengths: Sequence[int],
        cache: RowCache,
        group: int,
        window: int | None,
        dtype: torch.dtype,
    ):
        prefix = cache.prefix_length
        counts = torch.tensor(list(lengths))
        columns = torch.cat([torch.arange(length) for length in lengths])
        own = torch.repeat_interleave(torch.tensor(list(starts)), counts) + columns
        row_of = torch.repeat_interleave(torch.tensor(list(rows)), counts)
        self.positions = own + prefix
        self.slots = row_of * cache.capacity + own
        first_of = torch.tensor([0, *counts.cumsum(0).tolist()[:-1]])
        self.full: list[Block] = []
        self.sliding: list[Block] = []
        for first, last in column_cuts(lengths, BLOCK_LENGTH):
            part = [index for index, n in enumerate(lengths) if n > first]
            make = _BlockMaker(
                torch.tensor([rows[index] for index in part]),
                first_of[part],
                torch.tensor([starts[index] for index in part]),
                torch.tensor([min(lengths[index], last) for index in part]),
                (first, last),
                prefix,
                group,
                dtype,
            )
            block = make(None)
            self.full.append(block)
            self.sliding.append(make(window) if window is not None else block)


class Block(NamedTuple):
    """The new tokens in a range of columns, padded, and the keys that they attend to.

    A place is a cell of the padded block.

    tokens (Tensor): The index of each place's token, shape (rows * columns,). A place
        of padding repeats the index of another one.
    places (Tensor): The places with a token, shape (tokens,).
    targets (Tensor): The index of the token at each of these places.
    rows (Tensor): The rows in the cache, shape (rows,).
    keys (slice): The positions of the keys behind the prefix.
    mask (Tensor): Added to their scores, shape (rows, columns * group, keys).
    prefix_mask (Tensor | None): Added to the scores of the prefix, shape (rows, columns
        * group, prefix); None if all of it is visible.
    """

    tokens: Tensor
    places: Tensor
    targets: Tensor
    rows: Tensor
    keys: slice
    mask: Tensor
    prefix_mask: Tensor | None


class _BlockMaker:
    def __init__(
        self,
        rows: Tensor,
        first_tokens: Tensor,
        starts: Tensor,
        lengths: Tensor,
        span: tuple[int, int],
        prefix: int,
        group: int,
        dtype: torch.dtype,
    ):
        self.rows = rows
        self.prefix = prefix
        self.group = group
        self.dtype = dtype
        columns = torch.arange(*span)
        valid = columns < lengths[:, None]
        # Places without a token repeat the last one of their row.
        kept = torch.minimum(columns, lengths[:, None] - 1)
        self.tokens = (first_tokens[:, None] + kept).flatten()
        self.places = valid.flatten().nonzero()[:, 0]
        self.targets = self.tokens[self.places]
        self.queries = starts[:, None] + kept
        self.end = int((starts + lengths).max())
        self.start = int(self.queries.min())

    def __call__(self, window: int | None) -> Block:
        first, prefix_mask = 0, None
        if window is not None:
            first = max(0, self.start - window + 1)
            if self.end - 1 + self.prefix >= window:
                keys = torch.arange(-self.prefix, 0)
                prefix_mask = self._mask(keys, window)
        mask = self._mask(torch.arange(first, self.end), window)
        return Block(
            self.tokens,
            self.places,
            self.targets,
            self.rows,
            slice(first, self.end),
            mask,
            prefix_mask,
        )

    def _mask(self, keys: Tensor, window: int | None) -> Tensor:
        queries = self.queries[:, :, None]
        hidden = keys > queries
        if window is not None:
            hidden |= keys <= queries - window
        mask = torch.zeros(hidden.shape, dtype=self.dtype)
        mask.masked_fill_(hidden, torch.finfo(self.dtype).min)
        return mask.repeat_interleave(self.group, dim=1)


class _Norm:
    """An RMS norm.

    around_one (bool): Whether the saved weight is an offset from 1.
    """

    def __init__(self, module: nn.Module):
        norm = module if isinstance(module, FrozenRMSNorm) else frozen_norm(module)
        if norm is None:
            raise UnsupportedLayer(type(module).__name__)
        weight = norm.weight.detach().float()
        self.weight = weight + 1.0 if norm.around_one else weight.clone()
        self.eps = norm.eps

    def scale(self, wide: Tensor) -> Tensor:
        """RETURNS (Tensor): The reciprocal of the root mean square of the last
        dimension, with the dimension kept."""
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return norm.square_().div_(wide.shape[-1]).add_(self.eps).rsqrt_()

    def __call__(self, wide: Tensor, dtype: torch.dtype) -> Tensor:
        return (wide * self.scale(wide)).mul_(self.weight).to(dtype)


@cache
def has_post_ops() -> bool:
    """RETURNS (bool): Whether this build of torch and this processor have oneDNN's
    products in bfloat16. The builds for macOS lack them."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


class _Product:
    """A linear layer."""

    def __init__(self, module: nn.Module):
        self.module = module
        # The layer of an adapter that is not merged has a forward pass of its own.
        plain = type(module) is nn.Linear and module.weight.dtype == torch.bfloat16
        self.fuses = plain and has_post_ops()

    def __call__(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.module(inputs)
        return result

    def activated(self, inputs: Tensor, kind: tuple[str, str]) -> Tensor:
        """RETURNS (Tensor): The activation of the product."""
        weight, bias = self.module.weight, self.module.bias
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, weight, bias, kind[0], [], kind[1]
        )
        return result

    def times(self, inputs: Tensor, other: Tensor) -> Tensor:
        """RETURNS (Tensor): The product, multiplied with another tensor."""
        weight, bias = self.module.weight, self.module.bias
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            inputs, other, weight, bias, "mul"
        )
        return result


class _MLP:
    """A gated MLP."""

    def __init__(self, module: Any):
        self.gate = _Product(module.gate_proj)
        self.up = _Product(module.up_proj)
        self.down = _Product(module.down_proj)
        self.activation: Callable[[Tensor], Tensor] = module.act_fn
        self.kind = _ACTIVATIONS.get(type(module.act_fn).__name__)
        self.fuses = self.kind is not None and self.gate.fuses and self.up.fuses

    def __call__(self, inputs: Tensor) -> Tensor:
        if self.fuses and self.kind is not None:
            gate = self.gate.activated(inputs, self.kind)
            return self.down(self.up.times(inputs, gate))
        return self.down(self.activation(self.gate(inputs)).mul_(self.up(inputs)))


class _Attention:
    """Attention with rotary embeddings."""

    def __init__(self, module: Any, index: int, sliding: bool):
        if getattr(module, "attn_logit_softcapping", None) is not None:
            raise UnsupportedLayer("capped scores")
        self.index = index
        self.sliding = sliding
        self.query = _Product(module.q_proj)
        self.key = _Product(module.k_proj)
        self.value = _Product(module.v_proj)
        self.output = _Product(module.o_proj)
        self.width: int = module.head_dim
        self.scaling: float = module.scaling
        self.norms: tuple[_Norm, _Norm] | None = None
        if hasattr(module, "q_norm"):
            self.norms = _Norm(module.q_norm), _Norm(module.k_norm)

    def __call__(
        self, inputs: Tensor, rotary: "_Rotary", new: NewTokens, cache: RowCache
    ) -> Tensor:
        count = len(inputs)
        # (tokens, heads, width)
        query = self._rotated(self.query(inputs).view(count, -1, self.width), 0, rotary)
        key = self._rotated(self.key(inputs).view(count, -1, self.width), 1, rotary)
        value = self.value(inputs).view(count, -1, self.width)
        for buffer, states in zip(cache.layers[self.index], (key, value), strict=True):
            buffer.flatten(0, 1).index_copy_(0, new.slots, states)
        mixed = torch.empty_like(query)
        for block in new.sliding if self.sliding else new.full:
            places = self._attend(query, block, cache)
            # Every token has one place in one block.
            mixed.index_copy_(0, block.targets, places.index_select(0, block.places))
        return self.output(mixed.view(count, -1))

    def _rotated(self, states: Tensor, which: int, rotary: "_Rotary") -> Tensor:
        wide = states.float()
        if self.norms is not None:
            norm = self.norms[which]
            wide.mul_(norm.scale(wide)).mul_(norm.weight)
        return rotary(wide, self.scaling if which == 0 else 1.0).to(states.dtype)

    def _attend(self, query: Tensor, block: Block, cache: RowCache) -> Tensor:
        """RETURNS (Tensor): The output at the places of a block, shape (rows * columns,
        heads, width)."""
        keys, values = (
            buffer[:, block.keys].index_select(0, block.rows)
            for buffer in cache.layers[self.index]
        )
        prefix_keys, prefix_values = cache.prefix[self.index]
        count, length, key_heads, width = keys.shape
        queries = query.index_select(0, block.tokens)
        # (key heads, rows * columns * group, width): one product for all rows.
        queries = queries.view(len(queries), key_heads, -1, width)
        queries = queries.transpose(0, 1).reshape(key_heads, -1, width)
        by_row = queries.view(key_heads * count, -1, width)
        keys, values = (
            states.permute(2, 0, 1, 3).reshape(-1, length, width)
            for states in (keys, values)
        )
        mask = block.mask
        if key_heads > 1:
            mask = mask.repeat(key_heads, 1, 1)
        scores = torch.baddbmm(mask, by_row, keys.transpose(1, 2))
        size = len(prefix_keys)
        if size:
            shared = torch.bmm(queries, prefix_keys.permute(1, 2, 0))
            shared = shared.view(*scores.shape[:2], size)
            if block.prefix_mask is not None:
                hidden = block.prefix_mask
                shared.view(key_heads, *hidden.shape).add_(hidden)
            scores = torch.cat([shared, scores], dim=2)
        # The kernel accumulates in float32 whatever the dtype.
        weights = torch.softmax(scores, dim=-1)
        if size:
            own = weights[..., size:]
            shared = weights[..., :size].reshape(key_heads, -1, size)
            shared = torch.bmm(shared, prefix_values.transpose(0, 1))
            mixed = torch.baddbmm(shared.view(by_row.shape), own, values)
        else:
            mixed = torch.bmm(weights, values)
        places = mixed.view(key_heads, len(block.tokens), -1, width)
        return places.transpose(0, 1).reshape(len(block.tokens), -1, width)


class _Rotary:
    """Rotates pairs of dimensions by the position of the token.

    cos (Tensor): Shape (tokens, width).
    sin (Tensor): Shape (tokens, width).
    """

    def __init__(self, cos: Tensor, sin: Tensor):
        half = cos.shape[-1] // 2
        # The two halves of transformers' tables are equal.
        self.cos, self.sin = (
            table[:, None, :half].float().contiguous() for table in (cos, sin)
        )

    def __call__(self, wide: Tensor, scale: float) -> Tensor:
        """Rotate.

        wide (Tensor): Shape (tokens, heads, width), in float32.
        scale (float): A factor of the result.
        RETURNS (Tensor): The same shape.
        """
        cos, sin = self.cos, self.sin
        if scale != 1.0:
            cos, sin = cos * scale, sin * scale
        first, second = wide.chunk(2, dim=-1)
        result = torch.empty_like(wide)
        low, high = result.chunk(2, dim=-1)
        torch.mul(first, cos, out=low)
        low.addcmul_(second, sin, value=-1)
        torch.mul(second, cos, out=high)
        high.addcmul_(first, sin)
        return result


@dataclass
class _Layer:
    """The parts of a layer. The norms behind attention and MLP are Gemma's."""

    before_attention: _Norm
    attention: _Attention
    behind_attention: _Norm | None
    before_mlp: _Norm
    mlp: _MLP
    behind_mlp: _Norm | None

    @classmethod
    def from_module(cls, module: Any, index: int, sliding: bool) -> "_Layer":
        parts = {name for name, _ in module.named_children()}
        four = {"pre_feedforward_layernorm", "post_feedforward_layernorm"}
        known = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
        if parts not in (known, known | four):
            raise UnsupportedLayer(", ".join(sorted(parts)))
        attention = _Attention(module.self_attn, index, sliding)
        first = _Norm(module.input_layernorm)
        second = _Norm(module.post_attention_layernorm)
        mlp = _MLP(module.mlp)
        if parts == known:
            return cls(first, attention, None, second, mlp, None)
        before, behind = (
            _Norm(module.pre_feedforward_layernorm),
            _Norm(module.post_feedforward_layernorm),
        )
        return cls(first, attention, second, before, mlp, behind)

    def __call__(
        self, hidden: Tensor, rotary: _Rotary, new: NewTokens, cache: RowCache
    ) -> None:
        """Add the layer's output to hidden states in float32."""
        dtype = cache.prefix[0][0].dtype
        inputs = self.before_attention(hidden, dtype)
        output = self.attention(inputs, rotary, new, cache)
        self._add(hidden, output, self.behind_attention)
        output = self.mlp(self.before_mlp(hidden, dtype))
        self._add(hidden, output, self.behind_mlp)

    @staticmethod
    def _add(hidden: Tensor, output: Tensor, norm: _Norm | None) -> None:
        if norm is None:
            hidden.add_(output)
            return
        wide = output.float()
        hidden.addcmul_(wide.mul_(norm.scale(wide)), norm.weight)


class CPUPass:
    """The forward pass of a text decoder without its head, on a CPU.

    network (PreTrainedModel): The causal language model.
    decoder (nn.Module): Its text decoder.
    middle (int | None): The index of the layer whose hidden states follow those of the
        last layer; None for none.
    RAISES (UnsupportedLayer): The decoder is not one of those that are computed here.
    """

    def __init__(self, network: Any, decoder: Any, middle: int | None):
        config = network.config.get_text_config()
        if type(decoder).__name__ not in SUPPORTED or decoder.dtype not in DTYPES:
            raise UnsupportedLayer(f"{type(decoder).__name__}, {decoder.dtype}")
        if decoder.device.type != "cpu" or decoder.training:
            raise UnsupportedLayer(f"{decoder.device}")
        if getattr(config, "use_bidirectional_attention", False):
            raise UnsupportedLayer("attention in both directions")
        self.decoder = decoder
        self.middle = middle
        self.dtype: torch.dtype = decoder.dtype
        window: int | None = getattr(config, "sliding_window", None)
        types = getattr(config, "layer_types", None)
        count = len(decoder.layers)
        # A model whose config lists no layers has one mask for all of them (Mistral).
        default = "full_attention" if window is None else _SLIDING
        self._types: list[str] = list(types) if types else [default] * count
        self._by_type = hasattr(decoder.rotary_emb, "layer_types")
        self._window = window if _SLIDING in self._types else None
        self.layers = [
            _Layer.from_module(module, index, self._types[index] == _SLIDING)
            for index, module in enumerate(decoder.layers)
        ]
        self._norm = _Norm(decoder.norm)
        attention = decoder.layers[0].self_attn
        self._key_heads: int = attention.k_proj.out_features // attention.head_dim
        self._group: int = attention.num_key_value_groups

    def prefix_cache(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Run a prefix.

        ids (Sequence[int]): The ids of the prefix.
        RETURNS (list[tuple[Tensor, Tensor]]): Its keys and values, for `RowCache`.
        """
        width = self.layers[0].attention.width
        empty = torch.empty(0, self._key_heads, width, dtype=self.dtype)
        cache = RowCache([(empty, empty)] * len(self.layers), 1, len(ids))
        self.run(cache, [0], [ids], [0])
        return [(keys[0], values[0]) for keys, values in cache.layers]

    @torch.inference_mode()
    def run(
        self,
        cache: RowCache,
        rows: Sequence[int],
        ids: Sequence[Sequence[int]],
        starts: Sequence[int],
    ) -> Tensor:
        """Run new tokens of some rows.

        cache (RowCache): The rows, with room for the new tokens.
        rows (Sequence[int]): The indices of the rows.
        ids (Sequence[Sequence[int]]): The ids of the new tokens of each row, at least
            one.
        starts (Sequence[int]): The position of each row's first new token, counted from
            the end of the prefix.
        RETURNS (Tensor): Hidden states, one row after the other, shape (tokens, width)
            or (tokens, 2 * width).
        """
        lengths = [len(new) for new in ids]
        new = NewTokens(
            rows, starts, lengths, cache, self._group, self._window, self.dtype
        )
        flat = torch.tensor([id_ for each in ids for id_ in each])
        embedded: Tensor = self.decoder.embed_tokens(flat)
        rotary = self._rotary(embedded, new.positions)
        hidden = embedded.float()
        if hidden is embedded:
            hidden = embedded.clone()
        middle = None
        for index, layer in enumerate(self.layers):
            layer(hidden, rotary[self._types[index]], new, cache)
            if index == self.middle:
                middle = hidden.to(self.dtype, copy=True)
        last = self._norm(hidden, self.dtype)
        return last if middle is None else torch.cat([last, middle], dim=-1)

    def _rotary(self, embedded: Tensor, positions: Tensor) -> dict[str, _Rotary]:
        tables = self.decoder.rotary_emb
        found = {}
        for kind in set(self._types):
            arguments = (kind,) if self._by_type else ()
            cos, sin = tables(embedded[None], positions[None], *arguments)
            found[kind] = _Rotary(cos[0], sin[0])
        return found
