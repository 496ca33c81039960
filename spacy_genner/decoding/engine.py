"""Run the model over a batch of rows that share an instruction prefix.

The prompts of a component begin with the same instruction. `Engine` runs it once and
keeps its keys and values; every batch starts from a copy of them. A batch
(`BatchCache`) accepts new tokens of any of its rows, at any earlier position, and
returns their hidden states. The engine then decides among the tokens that the grammar
allows. Layers that carry a state, such as Mamba, cannot go back to an earlier token:
their rows are recomputed at each pass, which is slower and equally correct.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.attention import PackedLayout
from ..models.backbone import (
    UNSUPPORTED_CALL,
    Backbone,
    middle_index,
    same_hidden_states,
)
from ..models.cpu_pass import CPUPass, RowCache, UnsupportedLayer
from ..models.draft_head import DraftHead, HeadSpanProposer
from ..models.kv_cache import BatchKVCache
from ..models.lm_head import RestrictedHead, by_width

if TYPE_CHECKING:
    from ..grammar.base import Encode

# The number of tokens that an engine runs to check itself against the model.
PROBE_LENGTH = 6
# The padding, in tokens, above which one more forward pass is cheaper.
MAX_PADDING = 48
# The cost of a forward pass on a CPU, and of each row in it, in tokens.
PASS_COST = 48.0
ROW_COST = 4.0
_YES_NO = ("yes", "no")


class BatchCache:
    """The rows of a batch that share a prefix, numbered from 0."""

    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        """Run new tokens of some rows.

        If a start lies before the end of a row, the tokens from there on are removed
        from the cache first.

        rows (Sequence[int]): The indices of the rows.
        ids (Sequence[Sequence[int]]): The ids of the new tokens of each row, at least
            one.
        starts (Sequence[int]): The position of each row's first new token, counted from
            the end of the prefix.
        RETURNS (list[Tensor]): Hidden states of each row, shape (new tokens, width).
            With a draft head the hidden states of a middle layer follow those of the
            last layer.
        """
        raise AssertionError("abstract")

    def move(self, source: int, target: int) -> None:
        """Move a row to the index of another row, whose tokens are dropped.

        source (int): The index of the row.
        target (int): Its new index.
        """
        raise AssertionError("abstract")

    def resize(self, count: int, capacity: int) -> None:
        """Make room for more rows or longer ones. The content of the rows is kept.

        count (int): The number of rows, at least the present number.
        capacity (int): The number of tokens behind the prefix that a row may have.
        """
        raise AssertionError("abstract")


class Engine:
    """A causal language model that runs rows behind a shared prefix.

    network (PreTrainedModel): The model, in evaluation mode.
    decoder (nn.Module): Its text decoder, without the head.
    prefix (Sequence[int]): The ids that every row begins with, at least one.
    draft_head (DraftHead | None): The head that proposes the spans of a text.
    head_weight (float): The weight of the head's log-odds in the choices of an inline
        output; see `SpanOdds`.
    RAISES (ValueError): The model's head is not a plain linear layer.

    cached (bool): Whether rows keep their keys and values from pass to pass. Otherwise
        they are recomputed.
    """

    def __init__(
        self,
        network: Any,
        decoder: Any,
        prefix: Sequence[int],
        draft_head: DraftHead | None = None,
        head_weight: float = 0.0,
    ):
        self.backbone = Backbone(network, decoder, middle_layer=draft_head is not None)
        self.head = RestrictedHead(network)
        self.prefix = list(prefix)
        self.draft_head = draft_head
        self.head_weight = head_weight
        self.device = self.head.weight.device
        self.cached = self.backbone.attention_only
        self._prefix_cache: BatchKVCache | None = None
        self._shared: list[tuple[Tensor, Tensor]] | None = None
        self.cpu_pass: CPUPass | None = None
        if self.cached:
            self.cpu_pass = self._make_cpu_pass(network, decoder)
        self._probe(network)

    def _make_cpu_pass(self, network: Any, decoder: Any) -> CPUPass | None:
        middle = None
        if self.draft_head is not None:
            middle = middle_index(len(decoder.layers))
        try:
            return CPUPass(network, decoder, middle)
        except UnsupportedLayer:
            return None

    @torch.inference_mode()
    def _probe(self, network: Any) -> None:
        """Compare the head, the pass for CPUs, packing and the KV cache with the
        model's forward pass.

        The head must agree. What else does not agree is switched off. Packing and the
        KV cache are only checked if the pass for CPUs does not take their place.
        """
        ids = (self.prefix * PROBE_LENGTH)[:PROBE_LENGTH]
        batch = torch.tensor([ids], device=self.device)
        hidden = self.backbone.forward_padded(batch)
        logits = network(input_ids=batch, use_cache=False).logits[0]
        self.head.check(network, self.last_layer(hidden[0]), logits)
        if self.cpu_pass is not None:
            if self._agrees(ids, hidden[0]):
                return
            self.cpu_pass = None
        self.backbone.check_packing(ids, self.device)
        if self.cached:
            try:
                rows = KeyValueBatch(self, BatchKVCache(2, PROBE_LENGTH), 0)
                first, _ = rows.feed([0, 1], [ids[:4], ids[:2]], [0, 0])
                second = rows.feed([0], [ids[3:]], [3])[0]
            except UNSUPPORTED_CALL:
                self.cached = False
            else:
                found = torch.cat([first[:3], second])
                self.cached = same_hidden_states(found, hidden[0])

    def _agrees(self, ids: Sequence[int], expected: Tensor) -> bool:
        """Whether the pass for CPUs has the expected hidden states."""
        assert self.cpu_pass is not None
        try:
            shared = self.cpu_pass.prefix_cache(ids[:2])
            cache = RowCache(shared, 2, len(ids))
            first = self.cpu_pass.run(cache, [0, 1], [ids[2:5], ids[2:3]], [0, 0])
            second = self.cpu_pass.run(cache, [0], [ids[4:]], [2])
        except UNSUPPORTED_CALL:
            return False
        found = torch.cat([first[[0, 1, 3]], second])
        return same_hidden_states(found, expected[[2, 3, 2, *range(4, len(ids))]])

    @property
    def shares_prefix(self) -> bool:
        """RETURNS (bool): Whether rows do without a copy of the prefix."""
        return self.cpu_pass is not None

    def pass_cost(self, rows: int) -> float:
        """Estimate what one more forward pass costs a row.

        rows (int): The number of rows that share the pass.
        RETURNS (float): The cost in tokens. Infinite on devices on which a pass of few
            tokens takes as long as one of many.
        """
        if self.cpu_pass is None:
            return math.inf
        return PASS_COST / rows + ROW_COST

    def rows(self, count: int, capacity: int) -> BatchCache:
        """Create a batch whose rows hold the prefix.

        count (int): The number of rows.
        capacity (int): The number of tokens behind the prefix that a row may have.
        RETURNS (BatchCache): The batch.
        """
        if not self.cached:
            return RecomputedBatch(self, count)
        if self.cpu_pass is not None:
            if self._shared is None:
                self._shared = self.cpu_pass.prefix_cache(self.prefix)
            return CPUBatch(self.cpu_pass, RowCache(self._shared, count, capacity))
        cache = self.fork_prefix(count, capacity)
        return KeyValueBatch(self, cache, len(self.prefix))

    def fork_prefix(self, count: int, capacity: int) -> BatchKVCache:
        """Create a KV cache whose rows hold the prefix, which runs only once.

        count (int): The number of rows.
        capacity (int): The number of positions of each row behind the prefix.
        RETURNS (BatchKVCache): The cache.
        """
        length = len(self.prefix)
        if self._prefix_cache is None:
            cache = BatchKVCache(1, length)
            KeyValueBatch(self, cache, 0).feed([0], [self.prefix], [0])
            self._prefix_cache = cache
        return self._prefix_cache.fork(count, length + capacity, length)

    def span_proposer(self, hidden: Tensor) -> HeadSpanProposer:
        """Run the draft head over a text.

        hidden (Tensor): The result of `BatchCache.feed` for the last token of each
            word, shape (words, 2 * width).
        RETURNS (HeadSpanProposer): Proposes the spans of the text.
        """
        assert self.draft_head is not None
        return HeadSpanProposer(self.draft_head, hidden[:, hidden.shape[1] // 2 :])

    def last_layer(self, hidden: Tensor) -> Tensor:
        """Select the hidden states of the last layer, the input of the LM head.

        hidden (Tensor): The result of `BatchCache.feed`, shape (..., width), or (...,
            2 * width) with a draft head.
        RETURNS (Tensor): Shape (..., width).
        """
        return hidden if self.draft_head is None else hidden.chunk(2, dim=-1)[0]

    def choose(
        self,
        hidden: Sequence[Tensor],
        ids: Sequence[Sequence[int]],
        biases: Sequence[Sequence[float]] | None = None,
    ) -> tuple[list[int], list[float], list[float]]:
        """Choose the most probable of the allowed tokens at each decision.

        hidden (Sequence[Tensor]): The result of `BatchCache.feed` for each decision,
            shape (width,) or (2 * width,) each.
        ids (Sequence[Sequence[int]]): The allowed ids of each decision, at least two.
            The first of equally probable ids is chosen.
        biases (Sequence[Sequence[float]] | None): Added to the logits of these ids.
        RETURNS (tuple[list[int], list[float], list[float]]): The chosen ids, the
            natural logarithms of their probabilities among the allowed ones, and the
            margins of their logits over the second best.
        """
        chosen = [0] * len(ids)
        logps, margins = [0.0] * len(ids), [0.0] * len(ids)
        for group in by_width([len(allowed) for allowed in ids]):
            results = self._choose(
                [hidden[index] for index in group],
                [ids[index] for index in group],
                None if biases is None else [biases[index] for index in group],
            )
            for index, id_, logp, margin in zip(group, *results, strict=True):
                chosen[index], logps[index], margins[index] = id_, logp, margin
        return chosen, logps, margins

    def _choose(
        self,
        hidden: Sequence[Tensor],
        ids: Sequence[Sequence[int]],
        biases: Sequence[Sequence[float]] | None,
    ) -> tuple[list[int], list[float], list[float]]:
        """`choose` for decisions of similar width, padded to one table of ids."""
        width = max(len(allowed) for allowed in ids)
        padded = [[*allowed, *[allowed[0]] * (width - len(allowed))] for allowed in ids]
        counts = torch.tensor([len(allowed) for allowed in ids], device=self.device)
        table = torch.tensor(padded, device=self.device)
        logits = self.head.rows(self.last_layer(torch.stack(list(hidden))), table)
        if biases is not None:
            added = [[*own, *[0.0] * (width - len(own))] for own in biases]
            logits = logits + torch.tensor(added, device=self.device)
        columns = torch.arange(width, device=self.device)
        logits = logits.masked_fill(columns >= counts[:, None], -torch.inf)
        best, second = logits.topk(2, dim=1).values.unbind(1)
        index = torch.where(logits == best[:, None], columns, width).amin(1)
        chosen = table.gather(1, index[:, None])[:, 0]
        logp = best - logits.logsumexp(1)
        return chosen.tolist(), logp.tolist(), (best - second).tolist()


class CPUBatch(BatchCache):
    """A batch for `CPUPass`, whose rows share the keys and values of the prefix.

    cpu_pass (CPUPass): The forward pass.
    cache (RowCache): The keys and values of the rows.
    """

    def __init__(self, cpu_pass: CPUPass, cache: RowCache):
        self.cpu_pass = cpu_pass
        self.cache = cache

    @torch.inference_mode()
    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        needed = max(start + len(new) for start, new in zip(starts, ids, strict=True))
        if needed > self.cache.capacity:
            capacity = max(needed, self.cache.capacity * 3 // 2)
            self.cache = self.cache.resized(self.cache.rows, capacity)
        hidden = self.cpu_pass.run(self.cache, rows, ids, starts)
        return list(hidden.split([len(new) for new in ids]))

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        self.cache.move(source, target)

    @torch.inference_mode()
    def resize(self, count: int, capacity: int) -> None:
        self.cache = self.cache.resized(count, capacity)


class KeyValueBatch(BatchCache):
    """A batch that keeps the keys and values of its rows.

    engine (Engine): The model.
    cache (BatchKVCache): Holds the prefix in every row.
    offset (int): The number of prefix tokens.
    """

    def __init__(self, engine: Engine, cache: BatchKVCache, offset: int):
        self.engine = engine
        self.cache = cache
        self.offset = offset

    @torch.inference_mode()
    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        if self.engine.backbone.packs:
            return self._feed_packed(rows, ids, starts)
        hidden: dict[int, Tensor] = {}
        for group in _groups([len(new) for new in ids]):
            group_hidden = self._feed_padded(
                [rows[index] for index in group],
                [ids[index] for index in group],
                [starts[index] for index in group],
            )
            hidden.update(zip(group, group_hidden, strict=True))
        return [hidden[index] for index in range(len(rows))]

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        self.cache.copy_row(source, target)

    @torch.inference_mode()
    def resize(self, count: int, capacity: int) -> None:
        old, self.cache = self.cache, self.engine.fork_prefix(count, capacity)
        self.cache.copy_from(old)

    def _feed_packed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        lengths = [len(new) for new in ids]
        packed = PackedLayout.from_lengths(0, lengths, self.engine.device)
        row_index, first = self._row_index_and_starts(rows, starts)
        positions = first[packed.token_rows] + packed.token_columns
        kv_length = self._kv_length(ids, starts)
        token_rows = row_index[packed.token_rows][None]
        self._set_write_positions(rows, token_rows, positions[None], kv_length)
        flat = torch.tensor([id_ for new in ids for id_ in new], device=first.device)
        hidden = self.engine.backbone.forward_cached_packed(
            flat, packed, first, kv_length, self.cache
        )
        return list(hidden.split(lengths))

    def _feed_padded(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        row_index, first = self._row_index_and_starts(rows, starts)
        batch = _padded(ids, first.device)
        columns = torch.arange(batch.shape[1], device=first.device)
        positions = first[:, None] + columns
        kv_length = self._kv_length(ids, starts)
        token_rows = row_index[:, None].expand_as(positions)
        self._set_write_positions(rows, token_rows, positions, kv_length)
        hidden = self.engine.backbone.forward_cached(
            batch, positions, kv_length, self.cache
        )
        return [hidden[index, : len(new)] for index, new in enumerate(ids)]

    def _row_index_and_starts(
        self, rows: Sequence[int], starts: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The indices of the rows, and the positions of their first new tokens."""
        device = self.engine.device
        first = torch.tensor(starts, device=device) + self.offset
        return torch.tensor(rows, device=device), first

    def _kv_length(self, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> int:
        """The number of positions up to the last new token, padding left out."""
        ends = (start + len(new) for start, new in zip(starts, ids, strict=True))
        return self.offset + max(ends)

    def _set_write_positions(
        self,
        rows: Sequence[int],
        token_rows: Tensor,
        positions: Tensor,
        kv_length: int,
    ) -> None:
        leading = list(rows) == list(range(len(rows)))
        selected = None if leading else torch.tensor(rows, device=positions.device)
        self.cache.set_write_positions(
            selected, token_rows, positions, len(rows), kv_length
        )


class RecomputedBatch(BatchCache):
    """A batch that recomputes its rows at each pass, for layers of every kind.

    engine (Engine): The model.
    count (int): The number of rows.
    """

    def __init__(self, engine: Engine, count: int):
        self.engine = engine
        self._ids: list[list[int]] = [[] for _ in range(count)]

    @torch.inference_mode()
    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        whole = []
        for row, new, start in zip(rows, ids, starts, strict=True):
            self._ids[row] = [*self._ids[row][:start], *new]
            whole.append([*self.engine.prefix, *self._ids[row]])
        device = self.engine.device
        lengths = torch.tensor([len(row) for row in whole], device=device)
        hidden = self.engine.backbone.forward_padded(_padded(whole, device), lengths)
        return [
            hidden[index, len(row) - len(new) : len(row)]
            for index, (row, new) in enumerate(zip(whole, ids, strict=True))
        ]

    def move(self, source: int, target: int) -> None:
        self._ids[target] = self._ids[source]

    def resize(self, count: int, capacity: int) -> None:
        self._ids += [[] for _ in range(count - len(self._ids))]


def _padded(ids: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """RETURNS (Tensor): The ids, each row padded with its last id, shape (rows,
    longest)."""
    longest = max(map(len, ids))
    return torch.tensor(
        [[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=device
    )


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group rows of similar lengths, so that padding a group costs less than one more
    forward pass.

    lengths (Sequence[int]): The number of tokens of each row.
    YIELDS (list[int]): The indices of a group of rows, in ascending order.
    """
    group: list[int] = []
    padding = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if group:
            padding += lengths[group[0]] - lengths[index]
            if padding > MAX_PADDING:
                yield sorted(group)
                group, padding = [], 0
        group.append(index)
    if group:
        yield sorted(group)


class YesNoScorer:
    """Scores "yes" against "no" as the next token of a prompt.

    engine (Engine): The model behind the prefix that the prompts share.
    encode (Callable[[str], Sequence[int]]): Encodes a text.
    batch_tokens (int): The maximum number of tokens of one batch.
    """

    def __init__(self, engine: Engine, encode: "Encode", batch_tokens: int = 2048):
        self.engine = engine
        self.batch_tokens = batch_tokens
        yes, no = (_first_ids(word, encode) for word in _YES_NO)
        self._ids = [sorted(yes - no), sorted(no - yes)]

    @torch.inference_mode()
    def probabilities(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Compute the probability of "yes" after each prompt.

        prompts (Sequence[Sequence[int]]): The ids behind the prefix, at least one each.
        RETURNS (list[float]): P(yes) / (P(yes) + P(no)) for each prompt, summed over
            the spellings of the words, with and without a space before them.
        """
        scores = [0.0] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        while order:
            # The first prompt is the longest.
            count = max(1, self.batch_tokens // len(prompts[order[0]]))
            batch, order = order[:count], order[count:]
            batch_scores = self._batch_scores([prompts[index] for index in batch])
            for index, score in zip(batch, batch_scores, strict=True):
                scores[index] = score
        return scores

    def _batch_scores(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        rows = self.engine.rows(len(prompts), max(map(len, prompts)))
        hidden = rows.feed(range(len(prompts)), prompts, [0] * len(prompts))
        last = torch.stack([states[-1] for states in hidden])
        yes, no = (
            self.engine.head.rows(
                last, torch.tensor([ids] * len(prompts), device=last.device)
            ).logsumexp(1)
            for ids in self._ids
        )
        scores: list[float] = torch.sigmoid(yes - no).tolist()
        return scores


def _first_ids(word: str, encode: "Encode") -> set[int]:
    spellings = (word, word.capitalize(), word.upper())
    return {encode(space + each)[0] for space in ("", " ") for each in spellings}
