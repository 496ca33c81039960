"""Run the model over a batch of sequences that share an instruction prefix."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.attention import Packed
from ..models.backbone import UNFIT, Backbone, close
from ..models.draft_head import DraftHead, HeadSpanProposer
from ..models.kv_cache import BatchCacheLayers
from ..models.lm_head import RestrictedHead, by_width

if TYPE_CHECKING:
    from ..grammar.base import Encode


PROBE = 6
# Padding, in tokens, for which a forward pass of its own is the better bargain.
SLACK = 48


class BatchCache:
    """BatchCache that share a prefix. BatchCache are numbered from 0.

    `feed` gives the hidden states of new tokens, with a draft head those of a layer in
    the middle behind those of the last one; feeding at an earlier place than
    where a row ended takes back what stood there.
    """

    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        """Run new tokens of some rows.

        rows (Sequence[int]): The rows.
        ids (Sequence[Sequence[int]]): New ids for each, at least one.
        starts (Sequence[int]): Where each row's new ids start, counted from the end
            of the prefix.
        RETURNS (List[Tensor]): Hidden states for each row, shape (new ids, width).
        """
        raise AssertionError("abstract")

    def move(self, row: int, to: int) -> None:
        """Let a row take the place of another, whose tokens are forgotten.

        row (int): The row.
        to (int): Where it goes.
        """
        raise AssertionError("abstract")

    def resize(self, count: int, capacity: int) -> None:
        """Make room for more rows. What the rows hold is kept.

        count (int): How many rows, at least as many as there are.
        capacity (int): The most tokens that one of them will hold.
        """
        raise AssertionError("abstract")


class Engine:
    """A causal LM that runs rows behind a shared prefix.

    network (PreTrainedModel): The model, in evaluation mode.
    decoder (nn.Module): Its text decoder, without the head.
    prefix (Sequence[int]): The ids that every row begins with, at least one.
    draft_head (Optional[DraftHead]): What guesses the spans of a text that was read.
    """

    def __init__(
        self,
        network: Any,
        decoder: Any,
        prefix: Sequence[int],
        draft_head: DraftHead | None = None,
    ):
        self.backbone = Backbone(network, decoder, tapped=draft_head is not None)
        self.head = RestrictedHead(network)
        self.prefix = list(prefix)
        self.draft_head = draft_head
        self.device = self.head.weight.device
        self.cached = self.backbone.attention_only
        self._prefix_cache: BatchCacheLayers | None = None
        self._probe(network)

    @torch.inference_mode()
    def _probe(self, network: Any) -> None:
        """Hold what is computed here against the model's own forward pass.

        The head must agree; where keys and values kept by row do not, as with
        layers that carry a state, rows are computed anew at each pass.
        """
        ids = (self.prefix * PROBE)[:PROBE]
        batch = torch.tensor([ids], device=self.device)
        hidden = self.backbone.plain(batch)
        logits = network(input_ids=batch, use_cache=False).logits[0]
        self.head.check(network, self.last_layer(hidden[0]), logits)
        self.backbone.settle(ids, self.device)
        if self.cached:
            try:
                rows = KeyValueBatch(self, BatchCacheLayers(2, PROBE), 0)
                first, _ = rows.feed([0, 1], [ids[:4], ids[:2]], [0, 0])
                second = rows.feed([0], [ids[3:]], [3])[0]
            except UNFIT:
                self.cached = False
            else:
                self.cached = close(torch.cat([first[:3], second]), hidden[0])

    def rows(self, count: int, capacity: int) -> BatchCache:
        """New rows.

        count (int): How many.
        capacity (int): The most tokens that one of them will hold.
        RETURNS (BatchCache): The rows.
        """
        if not self.cached:
            return RecomputedBatch(self, count)
        return KeyValueBatch(self, self.fork(count, capacity), len(self.prefix))

    def fork(self, count: int, capacity: int) -> BatchCacheLayers:
        """A cache of rows that hold the prefix, which is run once.

        count (int): How many.
        capacity (int): The most tokens that one of them will hold behind it.
        RETURNS (BatchCacheLayers): The cache.
        """
        length = len(self.prefix)
        if self._prefix_cache is None:
            cache = BatchCacheLayers(1, length)
            KeyValueBatch(self, cache, 0).feed([0], [self.prefix], [0])
            self._prefix_cache = cache
        return self._prefix_cache.fork(count, length + capacity, length)

    def guesser(self, hidden: Tensor) -> HeadSpanProposer:
        """Ask the draft head about a text.

        hidden (Tensor): What `Rows.feed` gave for the last token of each unit.
        RETURNS (HeadSpanProposer): What it says.
        """
        assert self.draft_head is not None
        return HeadSpanProposer(self.draft_head, hidden[:, hidden.shape[1] // 2 :])

    def last_layer(self, hidden: Tensor) -> Tensor:
        """What the language model's head takes.

        hidden (Tensor): What `Rows.feed` gave, shape (..., width).
        RETURNS (Tensor): The hidden states of the last layer alone.
        """
        return hidden if self.draft_head is None else hidden.chunk(2, dim=-1)[0]

    def choose(
        self, hidden: Sequence[Tensor], ids: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[float], list[float]]:
        """Decide among the allowed tokens.

        hidden (Sequence[Tensor]): What `Rows.feed` gave for each decision.
        ids (Sequence[Sequence[int]]): The allowed ids for each, in the order that
            settles ties.
        RETURNS (Tuple[List[int], List[float], List[float]]): The ids chosen, the
            natural logarithms of their probabilities among the allowed ones, and by
            how much their logits lead the second best.
        """
        ids_chosen = [0] * len(ids)
        logps, margins = [0.0] * len(ids), [0.0] * len(ids)
        for group in by_width([len(row) for row in ids]):
            answers = self._choose(
                [hidden[index] for index in group], [ids[index] for index in group]
            )
            for index, id_, logp, margin in zip(group, *answers, strict=True):
                ids_chosen[index], logps[index], margins[index] = id_, logp, margin
        return ids_chosen, logps, margins

    def _choose(
        self, hidden: Sequence[Tensor], ids: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[float], list[float]]:
        """Decide among tables of about the same width."""
        width = max(len(row) for row in ids)
        padded = [[*row, *[row[0]] * (width - len(row))] for row in ids]
        sizes = torch.tensor([len(row) for row in ids], device=self.device)
        table = torch.tensor(padded, device=self.device)
        logits = self.head.rows(self.last_layer(torch.stack(list(hidden))), table)
        places = torch.arange(width, device=self.device)
        logits = logits.masked_fill(places >= sizes[:, None], -torch.inf)
        best, second = logits.topk(2, dim=1).values.unbind(1)
        index = torch.where(logits == best[:, None], places, width).amin(1)
        chosen = table.gather(1, index[:, None])[:, 0]
        logp = best - logits.logsumexp(1)
        return chosen.tolist(), logp.tolist(), (best - second).tolist()


class KeyValueBatch(BatchCache):
    """BatchCache whose keys and values are kept.

    engine (Engine): The model.
    cache (BatchCacheLayers): Holds the prefix of every row, and room for more.
    offset (int): Tokens of the prefix.
    """

    def __init__(self, engine: Engine, cache: BatchCacheLayers, offset: int):
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
        for group in _groups([len(row) for row in ids]):
            fed = self._feed_padded(
                [rows[index] for index in group],
                [ids[index] for index in group],
                [starts[index] for index in group],
            )
            hidden.update(zip(group, fed, strict=True))
        return [hidden[index] for index in range(len(rows))]

    @torch.inference_mode()
    def move(self, row: int, to: int) -> None:
        self.cache.move(row, to)

    @torch.inference_mode()
    def resize(self, count: int, capacity: int) -> None:
        old, self.cache = self.cache, self.engine.fork(count, capacity)
        self.cache.take(old)

    def _feed_packed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        lengths = [len(row) for row in ids]
        packed = Packed.of(0, lengths, self.engine.device)
        numbers, first = self._placed(rows, starts)
        slots = first[packed.row] + packed.column
        used = self._used(ids, starts)
        self._aim(rows, numbers[packed.row][None], slots[None], used)
        flat = torch.tensor([id_ for row in ids for id_ in row], device=first.device)
        backbone = self.engine.backbone
        hidden = backbone.cached_packed(flat, packed, first, used, self.cache)
        return list(hidden.split(lengths))

    def _feed_padded(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        longest = max(map(len, ids))
        padded = [[*row, *[row[-1]] * (longest - len(row))] for row in ids]
        numbers, first = self._placed(rows, starts)
        slots = first[:, None] + torch.arange(longest, device=first.device)
        used = self._used(ids, starts)
        self._aim(rows, numbers[:, None].expand_as(slots), slots, used)
        batch = torch.tensor(padded, device=first.device)
        hidden = self.engine.backbone.cached(batch, slots, used, self.cache)
        return [hidden[index, : len(row)] for index, row in enumerate(ids)]

    def _placed(
        self, rows: Sequence[int], starts: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The rows' numbers, and the slots at which their new tokens start."""
        device = self.engine.device
        first = torch.tensor(starts, device=device) + self.offset
        return torch.tensor(rows, device=device), first

    def _used(self, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> int:
        """The slots up to the last new token, padding left out."""
        ends = (start + len(row) for start, row in zip(starts, ids, strict=True))
        return self.offset + max(ends)

    def _aim(
        self, rows: Sequence[int], token_rows: Tensor, slots: Tensor, used: int
    ) -> None:
        whole = list(rows) == list(range(len(rows)))
        selected = None if whole else torch.tensor(rows, device=slots.device)
        self.cache.aim(selected, token_rows, slots, len(rows), used)


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows of like lengths, so that padding them costs less than another
    forward pass would."""
    group: list[int] = []
    slack = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if group:
            slack += lengths[group[0]] - lengths[index]
            if slack > SLACK:
                yield sorted(group)
                group, slack = [], 0
        group.append(index)
    if group:
        yield sorted(group)


class RecomputedBatch(BatchCache):
    """Rows that are computed anew at each pass: right for every kind of layer."""

    def __init__(self, engine: Engine, count: int):
        self.engine = engine
        self._ids: list[list[int]] = [[] for _ in range(count)]

    @torch.inference_mode()
    def feed(
        self, rows: Sequence[int], ids: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[Tensor]:
        prefix = self.engine.prefix
        whole = []
        for row, new, start in zip(rows, ids, starts, strict=True):
            self._ids[row] = [*self._ids[row][:start], *new]
            whole.append([*prefix, *self._ids[row]])
        longest = max(len(row) for row in whole)
        device = self.engine.device
        batch = torch.tensor(
            [[*row, *[row[-1]] * (longest - len(row))] for row in whole], device=device
        )
        lengths = torch.tensor([len(row) for row in whole], device=device)
        hidden = self.engine.backbone.plain(batch, lengths)
        return [
            hidden[index, len(row) - len(new) : len(row)]
            for index, (row, new) in enumerate(zip(whole, ids, strict=True))
        ]

    def move(self, row: int, to: int) -> None:
        self._ids[to] = self._ids[row]

    def resize(self, count: int, capacity: int) -> None:
        self._ids += [[] for _ in range(count - len(self._ids))]


WORDS = ("yes", "no")


class YesNoScorer:
    """Weighs the two words as a model's next token.

    engine (Engine): The model behind the prefix that the prompts share.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text.
    batch_tokens (int): The most tokens of one batch.
    """

    def __init__(self, engine: "Engine", encode: "Encode", batch_tokens: int = 2048):
        self.engine = engine
        self.batch_tokens = batch_tokens
        yes, no = (_first_ids(word, encode) for word in WORDS)
        self._ids = [sorted(yes - no), sorted(no - yes)]

    @torch.inference_mode()
    def probabilities(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Weigh the words after each prompt.

        prompts (Sequence[Sequence[int]]): The ids behind the prefix, at least one each.
        RETURNS (List[float]): The probability of yes, of yes and no together, in any
            spelling with or without a space before it.
        """
        found = [0.0] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        while order:
            # The first is the longest.
            count = max(1, self.batch_tokens // len(prompts[order[0]]))
            batch, order = order[:count], order[count:]
            for index, odds in zip(batch, self._weighed(prompts, batch), strict=True):
                found[index] = odds
        return found

    def _weighed(
        self, prompts: Sequence[Sequence[int]], batch: list[int]
    ) -> list[float]:
        feeding = [prompts[index] for index in batch]
        rows = self.engine.rows(len(batch), max(map(len, feeding)))
        states = rows.feed(range(len(batch)), feeding, [0] * len(batch))
        last = torch.stack([hidden[-1] for hidden in states])
        yes, no = (
            self.engine.head.rows(
                last, torch.tensor([ids] * len(batch), device=last.device)
            ).logsumexp(1)
            for ids in self._ids
        )
        odds: list[float] = torch.sigmoid(yes - no).tolist()
        return odds


def _first_ids(word: str, encode: "Encode") -> set[int]:
    spellings = (word, word.capitalize(), word.upper())
    return {encode(before + each)[0] for before in ("", " ") for each in spellings}
