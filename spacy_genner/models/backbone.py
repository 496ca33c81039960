"""The forward pass without the language-model head."""

import inspect
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .attention import NAME, Packed
from .kv_cache import PrefixCache


class HiddenStateHook:
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


ATTENTION = {"full_attention", "sliding_attention", "attention"}
# What a model raises that was made for other calls.
UNFIT = (TypeError, AttributeError, KeyError, RuntimeError, IndexError)


def close(found: Tensor, wanted: Tensor) -> bool:
    """Whether hidden states agree up to what the dtype rounds away.

    found (Tensor): Hidden states.
    wanted (Tensor): Those they ought to be, of the same shape.
    RETURNS (bool): Whether they do.
    """
    gap = (found.float() - wanted.float()).abs().max()
    return bool(gap <= 0.05 * wanted.float().abs().max())


class Backbone:
    """A causal LM's text decoder.

    network (PreTrainedModel): The causal LM.
    decoder (nn.Module): Its text decoder, without the head.
    tapped (bool): Whether hidden states are those of the last layer and, behind them,
        those of a layer in the middle: twice as wide.

    attention_only (bool): Whether all layers are attention, so that keys and values
        are all that a token leaves behind.
    packs (bool): Whether its attention takes rows end to end.
    """

    def __init__(self, network: Any, decoder: Any, tapped: bool = False):
        self.decoder = decoder
        self._tap = HiddenStateHook(decoder) if tapped else None
        config = network.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        kinds |= set(getattr(config, "layers_block_type", None) or ())
        self.attention_only = kinds <= ATTENTION
        # A model whose config lists no layers has one mask for all (Mistral, Phi 3).
        self._listed = bool(kinds)
        slides = not kinds or "sliding_attention" in kinds
        window: int | None = getattr(config, "sliding_window", None)
        self._window = window if slides else None
        implementation = getattr(config, "_attn_implementation", None)
        self.packs = self.attention_only and implementation == NAME
        # Layers that are run once more for their gradients take no cache.
        self._caches = self.attention_only and not any(
            getattr(module, "gradient_checkpointing", False)
            for module in decoder.modules()
        )
        names = inspect.signature(type(decoder).forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"

    def plain(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run whole sequences, padded on the right.

        ids (Tensor): Shape (batch, length).
        lengths (Optional[Tensor]): How long each is, shape (batch,); None for all.
        RETURNS (Tensor): Hidden states, shape (batch, length, width).
        """
        mask = None
        if lengths is not None:
            columns = torch.arange(ids.shape[1], device=ids.device)
            mask = (columns < lengths[:, None]).long()
        return self._hidden(input_ids=ids, attention_mask=mask, use_cache=False)

    @torch.no_grad()
    def settle(self, ids: Sequence[int], device: torch.device) -> None:
        """Hold rows end to end against a plain pass; where a model of a kind not known
        here does not take them so, rows are padded.

        ids (Sequence[int]): Any ids, at least one.
        device (torch.device): Where the model is.
        """
        if not self.packs:
            return
        sample = torch.tensor([ids[place % len(ids)] for place in range(4)])
        sample = sample.to(device)
        expected = self.plain(sample[None])[0]
        try:
            rows = torch.cat([sample[2:], sample[2:3]])
            found = self.behind_prefix(sample[:2], rows, [2, 1])
        except UNFIT:
            self.packs = False
        else:
            wanted = torch.cat([expected[2:], expected[2:3]])
            self.packs = close(found, wanted)

    def cached(self, ids: Tensor, positions: Tensor, slots: int, cache: Any) -> Tensor:
        """Run tokens on top of a cache in which a slot's number is its position.

        ids (Tensor): Shape (batch, tokens).
        positions (Tensor): Their positions, shape (batch or 1, tokens).
        slots (int): How many slots the cache gives, those of the new tokens included.
        cache (Cache): The cache.
        RETURNS (Tensor): Hidden states, shape (batch, tokens, width).
        """
        given = {self._cache_name: cache}
        mask = self._mask(positions, slots)
        return self._run(ids, positions, mask, use_cache=True, **given)

    def cached_packed(
        self, ids: Tensor, packed: Packed, starts: Tensor, slots: int, cache: Any
    ) -> Tensor:
        """Run rows end to end on top of a cache in which a slot's number is its
        position. Only where `packs` is true.

        ids (Tensor): Shape (tokens,).
        packed (Packed): Their layout.
        starts (Tensor): The position at which each row starts, shape (rows,).
        slots (int): How many slots the cache gives, those of the new tokens included.
        cache (Cache): The cache.
        RETURNS (Tensor): Hidden states, shape (tokens, width).
        """
        columns = torch.arange(packed.longest, device=ids.device)
        mask = self._mask(starts[:, None] + columns, slots)
        positions = (starts[packed.row] + packed.column)[None]
        given = {self._cache_name: cache, "packed": packed}
        return self._run(ids[None], positions, mask, use_cache=True, **given)[0]

    def _run(self, ids: Tensor, positions: Tensor, mask: Any, **more: Any) -> Tensor:
        return self._hidden(
            input_ids=ids, position_ids=positions, attention_mask=mask, **more
        )

    def _hidden(self, **given: Any) -> Tensor:
        if self._tap is None:
            last: Tensor = self.decoder(**given)[0]
            return last
        with self._tap.opened() as taken:
            last = self.decoder(**given)[0]
        return torch.cat([last, taken[0] if taken else last], dim=-1)

    def behind_prefix(
        self, prefix: Tensor, ids: Tensor, lengths: Sequence[int]
    ) -> Tensor:
        """Run rows that share a prefix, with gradients where they are wanted.

        prefix (Tensor): Its ids, shape (prefix,).
        ids (Tensor): The ids of the rows end to end, shape (tokens,).
        lengths (Sequence[int]): How long each row is.
        RETURNS (Tensor): Hidden states of the rows end to end, shape (tokens, width).
        """
        size = len(prefix)
        packed = Packed.of(size, lengths, ids.device)
        slots = size + packed.longest
        places = torch.arange(slots, device=ids.device)[None]
        if self.packs:
            whole = torch.cat([prefix, ids])[None]
            mask = self._mask(places, slots)
            hidden = self._run(
                whole, packed.positions, mask, use_cache=False, packed=packed
            )
            return hidden[0, size:]
        padded = ids.new_zeros(packed.rows * packed.longest)
        padded = padded.index_copy(0, packed.places, ids).view(packed.rows, -1)
        if self._caches:
            cache = PrefixCache()
            self.cached(prefix[None], places[:, :size], size, cache)
            cache.share()
            behind = places[:, size:].expand(packed.rows, -1)
            return packed.end_to_end(self.cached(padded, behind, slots, cache))
        whole = torch.cat([prefix.expand(packed.rows, -1), padded], dim=1)
        sizes = torch.tensor(list(lengths), device=ids.device) + size
        return packed.end_to_end(self.plain(whole, sizes)[:, size:])

    def _mask(self, positions: Tensor, slots: int) -> Any:
        """What each query sees, as numbers to be added: shape (batch or 1, 1, tokens,
        slots); one for each kind of layer where the config lists them."""
        dtype = self.decoder.dtype
        near = _additive_mask(positions, slots, self._window, dtype)
        if self._window is None or not self._listed:
            return near
        full = _additive_mask(positions, slots, None, dtype)
        return {"full_attention": full, "sliding_attention": near}


def _additive_mask(
    positions: Tensor, slots: int, window: int | None, dtype: torch.dtype
) -> Tensor:
    """A causal mask of slots whose numbers are positions.

    positions (Tensor): The positions of the queries, shape (batch or 1, tokens).
    slots (int): How many slots there are.
    window (Optional[int]): How far back a query sees; None for all.
    dtype (torch.dtype): The dtype of the scores.
    RETURNS (Tensor): To be added to scores, shape (batch or 1, 1, tokens, slots).
    """
    place = torch.arange(slots, device=positions.device)
    query = positions[:, None, :, None]
    seen = place <= query
    if window is not None:
        seen = seen & (place > query - window)
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)
