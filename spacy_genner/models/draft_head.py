"""A light head that guesses a text's spans before the text is marked.

It reads hidden states of the text's last reading in the prompt, which have seen the
whole sentence where the prompt holds it twice. What it says is a draft alone: the
language model decides. It passes no gradient on: the adapter is trained as if it
were not there.
"""

from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..errors import Errors

# The width at which neighbouring units are mixed, in so many layers, and how many units
# each layer sees at once.
MIXED = 128
LAYERS = 2
KERNEL = 3
# Rank of the product of a span's first and last unit.
RANK = 64
# The most units of a span that is guessed.
LONGEST = 64
# The log-odds of every stretch before training: about one in a thousand is a span.
UNLIKELY = -7.0
# Weights are stored so much smaller than they are used: an optimizer with the learning
# rate of an adapter then moves them as a new layer wants it.
GAIN = 10.0
# The least weight of a batch in what is known of the hidden states' scale.
MOMENTUM = 0.02


class DraftHead(nn.Module):
    """Scores each stretch of units as a span of each label: a biaffine product of its
    first and its last unit, of low rank (Yu et al., "Named Entity Recognition as
    Dependency Parsing", 2020), and a bias for its length. What a unit is takes its
    neighbours in, by convolutions (Collobert et al., "Natural Language Processing
    (Almost) from Scratch", 2011): the language model itself reads to the left alone.

    width (int): The size of a hidden state.
    labels (int): How many labels there are.
    seed (int): Fixes the first weights.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, width: int, labels: int, seed: int = 0):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, fan_in: int) -> nn.Parameter:
            values = torch.randn(*shape, generator=draw) * fan_in**-0.5
            return nn.Parameter(values / GAIN)

        self.narrow = drawn(MIXED, width, fan_in=width)
        self.mix = drawn(LAYERS, MIXED, MIXED, KERNEL, fan_in=KERNEL * MIXED)
        self.mix_bias = nn.Parameter(torch.zeros(LAYERS, MIXED))
        self.start = drawn(RANK, MIXED, fan_in=MIXED)
        self.end = drawn(RANK, MIXED, fan_in=MIXED)
        self.start_bias = nn.Parameter(torch.zeros(RANK))
        self.end_bias = nn.Parameter(torch.zeros(RANK))
        self.pair = drawn(labels, RANK, fan_in=RANK)
        self.first = nn.Parameter(torch.zeros(labels, RANK))
        self.last = nn.Parameter(torch.zeros(labels, RANK))
        self.length = nn.Parameter(torch.full((LONGEST, labels), UNLIKELY / GAIN))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def labels(self) -> int:
        """RETURNS (int): How many labels there are."""
        return len(self.pair)

    @property
    def trained(self) -> bool:
        """RETURNS (bool): Whether it has learnt anything."""
        return bool(self.batches)

    def edges(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What units are as the first and as the last of a span.

        hidden (Tensor): A hidden state for each unit, shape (units, width).
        RETURNS (Tuple[Tensor, Tensor]): Shape (units, rank) each.
        """
        # Some dimensions of a language model are hundreds of times as wide as others.
        centred = hidden.to(self.mean.dtype) - self.mean
        scaled = centred * (self.variance + 1e-6).rsqrt()
        mixed = self._mixed(scaled.clamp(-10.0, 10.0)) * GAIN
        start = nn.functional.gelu(mixed @ self.start.T + GAIN * self.start_bias)
        end = nn.functional.gelu(mixed @ self.end.T + GAIN * self.end_bias)
        return start, end

    def _mixed(self, units: Tensor) -> Tensor:
        """Units with what their neighbours are, shape (units, MIXED)."""
        mixed = nn.functional.layer_norm(units @ self.narrow.T, (MIXED,)).T
        for weight, bias in zip(self.mix, self.mix_bias, strict=True):
            seen = nn.functional.conv1d(
                GAIN * mixed, weight, GAIN * bias, padding=KERNEL // 2
            )
            mixed = mixed + nn.functional.gelu(seen)
        return nn.functional.layer_norm(mixed.T, (MIXED,))

    def logits(self, start: Tensor, end: Tensor, gap: int = 0) -> Tensor:
        """Log-odds of spans.

        start (Tensor): First units, shape (starts, rank).
        end (Tensor): Last units, shape (ends, rank).
        gap (int): How far the first of the last units is behind the first of the
            first units.
        RETURNS (Tensor): Shape (starts, ends, labels); minus infinity where a span
            would end before it starts, or be too long.
        """
        product = torch.einsum("sr,lr,er->sel", start, self.pair, end)
        product = product + (start @ self.first.T)[:, None] + end @ self.last.T
        at = torch.arange(len(end), device=end.device) + gap
        length = at - torch.arange(len(start), device=start.device)[:, None]
        product = (product + self.length[length.clamp(0, LONGEST - 1)]) * GAIN
        outside = (length < 0) | (length >= LONGEST)
        return product.masked_fill(outside[..., None], -torch.inf)

    def learn(
        self, texts: Sequence[tuple[Tensor, Sequence[tuple[int, int, int]]]]
    ) -> Tensor:
        """Take note of the scale of some texts' hidden states, and give the loss.

        texts (Sequence[Tuple[Tensor, Sequence[Tuple[int, int, int]]]]): Of each text a
            hidden state for each unit, and its spans, as `loss` takes them.
        RETURNS (Tensor): The sum of the losses.
        """
        total = self.start.new_zeros(())
        if not texts:
            return total
        with torch.no_grad():
            units = torch.cat([hidden for hidden, _ in texts]).to(self.mean.dtype)
            self.batches += 1
            weight = max(MOMENTUM, 1.0 / int(self.batches))
            self.mean.lerp_(units.mean(0), weight)
            self.variance.lerp_((units - self.mean).square().mean(0), weight)
        for hidden, spans in texts:
            total = total + self.loss(hidden, spans)
        return total

    def loss(self, hidden: Tensor, spans: Sequence[tuple[int, int, int]]) -> Tensor:
        """Cross entropy over all stretches of a text and all labels.

        hidden (Tensor): A hidden state for each unit, shape (units, width).
        spans (Sequence[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each.
        RETURNS (Tensor): The sum.
        """
        total = hidden.new_zeros((), dtype=self.start.dtype)
        start, end = self.edges(hidden)
        for first in range(0, len(hidden), LONGEST):
            block = slice(first, first + LONGEST)
            reach = slice(first, first + 2 * LONGEST)
            logits = self.logits(start[block], end[reach])
            wanted = torch.zeros_like(logits)
            for begin, after, label in spans:
                if first <= begin < first + LONGEST and after - begin <= LONGEST:
                    wanted[begin - first, after - 1 - first, label] = 1
            legal = logits > -torch.inf
            total = total + nn.functional.binary_cross_entropy_with_logits(
                logits[legal], wanted[legal], reduction="sum"
            )
        return total

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The weights, as safetensors."""
        weights = {
            name: value.contiguous() for name, value in self.state_dict().items()
        }
        return save(weights)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "DraftHead":
        """Read what `to_bytes` gave.

        data (bytes): The weights.
        where (str): Where they come from, for messages.
        RETURNS (DraftHead): The head.
        RAISES (ValueError): They are something else.
        """
        try:
            weights = load(data)
            head = cls(weights["narrow"].shape[1], len(weights["pair"]))
            head.load_state_dict(weights)
        except (SafetensorError, KeyError, RuntimeError, IndexError) as error:
            raise ValueError(Errors.G264.format(where=where, reason=error)) from error
        return head


class HeadSpanProposer:
    """What a head says of one text.

    head (DraftHead): The head.
    hidden (Tensor): A hidden state for each unit, shape (units, width).
    """

    @torch.no_grad()
    def __init__(self, head: DraftHead, hidden: Tensor):
        self.head = head
        self.start, self.end = head.edges(hidden)

    @torch.no_grad()
    def likely(self) -> list[tuple[int, int, int]]:
        """RETURNS (List[Tuple[int, int, int]]): The spans that are more likely than
        not, none crossing another, the likeliest of those that do."""
        found: list[tuple[float, int, int, int]] = []
        for first in range(0, len(self.start), LONGEST):
            logits = self.head.logits(
                self.start[first : first + LONGEST],
                self.end[first : first + 2 * LONGEST],
            )
            places = (logits > 0).nonzero()
            scores = logits[tuple(places.T)].tolist()
            for score, (start, last, label) in zip(
                scores, places.tolist(), strict=True
            ):
                found.append((score, first + start, first + last + 1, label))
        kept: list[tuple[int, int, int]] = []
        for _, start, end, label in sorted(found, reverse=True):
            if not any(s < start < e < end or start < s < end < e for s, e, _ in kept):
                kept.append((start, end, label))
        return sorted(kept)

    @torch.no_grad()
    def best(self, start: int, first: int, last: int) -> tuple[int, int]:
        """The likeliest span with a given start.

        start (int): Its first unit.
        first (int): The least unit that may follow its last.
        last (int): The greatest, not below `first`.
        RETURNS (Tuple[int, int]): The unit after its last, and its label index.
        """
        last = max(first, min(last, start + LONGEST))
        ends = self.end[first - 1 : last]
        logits = self.head.logits(
            self.start[start : start + 1], ends, first - 1 - start
        )
        place = int(logits[0].argmax())
        return first + place // self.head.labels, place % self.head.labels
