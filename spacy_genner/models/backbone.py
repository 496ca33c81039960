"""The text decoder below the head, run with masks and positions of one's own."""

import inspect
from typing import Any

import torch
from torch import Tensor

ATTENTION = {"full_attention", "sliding_attention", "attention"}


class Backbone:
    """A causal LM's text decoder.

    network (PreTrainedModel): The causal LM.
    decoder (nn.Module): Its text decoder, without the head.

    attention_only (bool): Whether all layers are attention, so that keys and values
        are all that a token leaves behind.
    limit (Optional[int]): The most positions the model was made for.
    """

    def __init__(self, network: Any, decoder: Any):
        self.decoder = decoder
        config = network.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        kinds |= set(getattr(config, "layers_block_type", None) or ())
        self.attention_only = kinds <= ATTENTION
        self.limit: int | None = getattr(config, "max_position_embeddings", None)
        self._sliding = "sliding_attention" in kinds
        self._window: int | None = getattr(config, "sliding_window", None)
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
        output: Tensor = self.decoder(
            input_ids=ids, attention_mask=mask, use_cache=False
        )[0]
        return output

    def cached(self, ids: Tensor, positions: Tensor, slots: int, cache: Any) -> Tensor:
        """Run tokens on top of a cache in which a slot's number is its position.

        ids (Tensor): Shape (batch, tokens).
        positions (Tensor): Their positions, shape (batch or 1, tokens).
        slots (int): How many slots the cache gives, those of the new tokens included.
        cache (Cache): The cache.
        RETURNS (Tensor): Hidden states, shape (batch, tokens, width).
        """
        output: Tensor = self.decoder(
            input_ids=ids,
            position_ids=positions,
            attention_mask=self._mask(positions, slots),
            use_cache=True,
            **{self._cache_name: cache},
        )[0]
        return output

    def _mask(self, positions: Tensor, slots: int) -> Any:
        """What each query sees, as numbers to be added: shape (batch or 1, 1, tokens,
        slots); one for each kind of layer where there are two."""
        place = torch.arange(slots, device=positions.device)
        query = positions[:, None, :, None]
        past = place <= query
        full = _additive(past, self.decoder.dtype)
        if not self._sliding or self._window is None:
            return full
        near = _additive(past & (place > query - self._window), self.decoder.dtype)
        return {"full_attention": full, "sliding_attention": near}


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)
