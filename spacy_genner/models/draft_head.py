"""A light head that proposes the spans of a text before the text is decoded.

The head reads the hidden states of the last reading of the text in the prompt. If the
prompt holds the text twice, these hidden states have seen the whole text. The spans are
a draft, which the language model verifies. Unless the model weighs the head's scores
(`head_weight`), the head changes the speed of decoding and not its results. Unless the
loss has a weight for it (`spans`), it passes no gradient to the language model, and the
adapter trains as if there were no head.

In this module a word is a spaCy token. The end of a span is the word after its last.
"""

import copy
import json
import math
from collections.abc import Iterator, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..errors import Errors
from .adapter_files import HEAD_LABELS, check_seal, head_labels, seal_weights

# The width of a word's features, the number of convolutions over them, and the number
# of words that each convolution sees.
MIXED_WIDTH = 128
CONVOLUTIONS = 2
KERNEL_SIZE = 3
# The rank of the product of a span's first and last word.
RANK = 64
# The maximum number of words of a span.
MAX_SPAN_LENGTH = 64
# The log-odds of every candidate before training: about one in a thousand is a span.
INITIAL_LOGIT = -7.0
# Stored weights are smaller than effective ones by this factor, so that the learning
# rate of an adapter trains the new head fast enough.
WEIGHT_SCALE = 10.0
# The minimum weight of a batch in the running statistics of the hidden states.
MOMENTUM = 0.02


class DraftHead(nn.Module):
    """Scores every candidate span with every label.

    The score is a biaffine product, of low rank, of the first and the last word (Yu et
    al., "Named Entity Recognition as Dependency Parsing", 2020), and a bias for the
    length. Convolutions add the neighbours to the features of a word (Collobert et al.,
    "Natural Language Processing (Almost) from Scratch", 2011), because the language
    model reads from left to right only.

    width (int): The size of a hidden state.
    labels (int): The number of labels.
    seed (int): The seed of the initial weights.
    names (Sequence[str]): The labels, in the order of the scores. Empty if they are not
        known, as in the files of earlier versions.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(
        self, width: int, labels: int, seed: int = 0, names: Sequence[str] = ()
    ):
        super().__init__()
        self.names = tuple(names)
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int, fan_in: int) -> nn.Parameter:
            values = torch.randn(*shape, generator=generator) * fan_in**-0.5
            return nn.Parameter(values / WEIGHT_SCALE)

        self.narrow = random(MIXED_WIDTH, width, fan_in=width)
        self.mix = random(
            CONVOLUTIONS,
            MIXED_WIDTH,
            MIXED_WIDTH,
            KERNEL_SIZE,
            fan_in=KERNEL_SIZE * MIXED_WIDTH,
        )
        self.mix_bias = nn.Parameter(torch.zeros(CONVOLUTIONS, MIXED_WIDTH))
        self.start = random(RANK, MIXED_WIDTH, fan_in=MIXED_WIDTH)
        self.end = random(RANK, MIXED_WIDTH, fan_in=MIXED_WIDTH)
        self.start_bias = nn.Parameter(torch.zeros(RANK))
        self.end_bias = nn.Parameter(torch.zeros(RANK))
        self.pair = random(labels, RANK, fan_in=RANK)
        self.first = nn.Parameter(torch.zeros(labels, RANK))
        self.last = nn.Parameter(torch.zeros(labels, RANK))
        self.length = nn.Parameter(
            torch.full((MAX_SPAN_LENGTH, labels), INITIAL_LOGIT / WEIGHT_SCALE)
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def labels(self) -> int:
        """RETURNS (int): The number of labels."""
        return len(self.pair)

    def for_labels(self, names: Sequence[str]) -> "DraftHead | None":
        """Get the head for a list of labels.

        names (Sequence[str]): The labels.
        RETURNS (DraftHead | None): This head, or a copy with the scores in the order of
            the labels. None if it was made for other labels.
        """
        if self.names == tuple(names):
            return self
        if not self.names:
            # All that is known is the number.
            return self if self.labels == len(names) else None
        if sorted(self.names) != sorted(names):
            return None
        order = [self.names.index(name) for name in names]
        other = copy.deepcopy(self)
        other.names = tuple(names)
        with torch.no_grad():
            for weights in (other.pair, other.first, other.last):
                weights.copy_(weights[order])
            other.length.copy_(other.length[:, order])
        return other

    @property
    def trained(self) -> bool:
        """RETURNS (bool): Whether the head has learned from any batch."""
        return bool(self.batches)

    def edges(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of words as the first and as the last word of a span.

        hidden (Tensor): The hidden state of each word, shape (words, width).
        RETURNS (tuple[Tensor, Tensor]): Shape (words, rank) each.
        """
        # Some dimensions of hidden states vary hundreds of times more than others.
        centred = hidden.to(self.mean.dtype) - self.mean
        scaled = centred * (self.variance + 1e-6).rsqrt()
        mixed = self._mixed(scaled.clamp(-10.0, 10.0)) * WEIGHT_SCALE
        gelu = nn.functional.gelu
        start = gelu(mixed @ self.start.T + WEIGHT_SCALE * self.start_bias)
        end = gelu(mixed @ self.end.T + WEIGHT_SCALE * self.end_bias)
        return start, end

    def _mixed(self, words: Tensor) -> Tensor:
        """RETURNS (Tensor): Features with those of the neighbours mixed in, shape
        (words, MIXED_WIDTH)."""
        mixed = nn.functional.layer_norm(words @ self.narrow.T, (MIXED_WIDTH,)).T
        for weight, bias in zip(self.mix, self.mix_bias, strict=True):
            neighbours = nn.functional.conv1d(
                WEIGHT_SCALE * mixed,
                weight,
                WEIGHT_SCALE * bias,
                padding=KERNEL_SIZE // 2,
            )
            mixed = mixed + nn.functional.gelu(neighbours)
        return nn.functional.layer_norm(mixed.T, (MIXED_WIDTH,))

    def logits(self, start: Tensor, end: Tensor, gap: int = 0) -> Tensor:
        """Compute the log-odds of candidate spans.

        start (Tensor): Features of first words, shape (starts, rank).
        end (Tensor): Features of last words, shape (ends, rank).
        gap (int): The index of the first of the last words, counted from the first of
            the first words.
        RETURNS (Tensor): Shape (starts, ends, labels); minus infinity for a span that
            would end before it starts or be too long.
        """
        product = torch.einsum("sr,lr,er->sel", start, self.pair, end)
        product = product + (start @ self.first.T)[:, None] + end @ self.last.T
        last_word = torch.arange(len(end), device=end.device) + gap
        # The number of words, less one.
        length = last_word - torch.arange(len(start), device=start.device)[:, None]
        bias = self.length[length.clamp(0, MAX_SPAN_LENGTH - 1)]
        product = (product + bias) * WEIGHT_SCALE
        outside = (length < 0) | (length >= MAX_SPAN_LENGTH)
        return product.masked_fill(outside[..., None], -torch.inf)

    def block_logits(self, start: Tensor, end: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Compute the log-odds of all candidates of a text, in blocks of first words.

        start (Tensor): Features of the words as first words, shape (words, rank).
        end (Tensor): Features of the words as last words, shape (words, rank).
        YIELDS (tuple[int, Tensor]): The first word of the block, and the log-odds of
            the spans that start in it, shape (starts, ends, labels). Ends are counted
            from the first word of the block.
        """
        for first in range(0, len(start), MAX_SPAN_LENGTH):
            starts = slice(first, first + MAX_SPAN_LENGTH)
            ends = slice(first, first + 2 * MAX_SPAN_LENGTH)
            yield first, self.logits(start[starts], end[ends])

    def learn(
        self, texts: Sequence[tuple[Tensor, Sequence[tuple[int, int, int]]]]
    ) -> Tensor:
        """Update the statistics of the hidden states, and compute the loss of a batch.

        texts (Sequence[tuple[Tensor, Sequence[tuple[int, int, int]]]]): The hidden
            state of each word, shape (words, width), and the spans of each text, as
            `loss` takes them.
        RETURNS (Tensor): The sum of the losses, a scalar.
        """
        total = self.start.new_zeros(())
        if not texts:
            return total
        with torch.no_grad():
            words = torch.cat([hidden for hidden, _ in texts]).to(self.mean.dtype)
            self.batches += 1
            weight = max(MOMENTUM, 1.0 / int(self.batches))
            self.mean.lerp_(words.mean(0), weight)
            self.variance.lerp_((words - self.mean).square().mean(0), weight)
        for hidden, spans in texts:
            total = total + self.loss(hidden, spans)
        return total

    def loss(self, hidden: Tensor, spans: Sequence[tuple[int, int, int]]) -> Tensor:
        """Compute the cross-entropy over all candidates of a text and all labels.

        hidden (Tensor): The hidden state of each word, shape (words, width).
        spans (Sequence[tuple[int, int, int]]): First word, end word (exclusive) and
            label index of each span. Spans that are too long are ignored.
        RETURNS (Tensor): The sum over the candidates, a scalar.
        """
        total = hidden.new_zeros((), dtype=self.start.dtype)
        for first, logits in self.block_logits(*self.edges(hidden)):
            target = torch.zeros_like(logits)
            for start, end, label in spans:
                in_block = first <= start < first + MAX_SPAN_LENGTH
                if in_block and end - start <= MAX_SPAN_LENGTH:
                    target[start - first, end - 1 - first, label] = 1
            valid = logits > -torch.inf
            total = total + nn.functional.binary_cross_entropy_with_logits(
                logits[valid], target[valid], reduction="sum"
            )
        return total

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The weights, as safetensors with the labels and a
        checksum."""
        weights = {
            name: value.contiguous() for name, value in self.state_dict().items()
        }
        metadata = {HEAD_LABELS: json.dumps(self.names)} if self.names else None
        return seal_weights(save(weights, metadata))

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "DraftHead":
        """Load a head from the result of `to_bytes`.

        data (bytes): The weights, as safetensors.
        where (str): Their origin, for messages.
        RETURNS (DraftHead): The head.
        RAISES (ValueError): The bytes are not the weights of a draft head, or have
            another checksum than when they were saved.
        """
        check_seal(data, "draft head", where)
        try:
            weights = load(data)
            names = head_labels(data)
            count = len(weights["pair"])
            if names and len(names) != count:
                raise ValueError(f"{count} labels are scored and {len(names)} named")
            head = cls(weights["narrow"].shape[1], count, names=names)
            head.load_state_dict(weights)
        except (
            SafetensorError,
            KeyError,
            RuntimeError,
            IndexError,
            ValueError,
            TypeError,
        ) as error:
            raise ValueError(Errors.G264.format(where=where, reason=error)) from error
        return head


class HeadSpanProposer:
    """Proposes the spans of one text with a draft head.

    head (DraftHead): The head.
    hidden (Tensor): The hidden state of each word, shape (words, width).
    """

    @torch.no_grad()
    def __init__(self, head: DraftHead, hidden: Tensor):
        self.head = head
        self.start, self.end = head.edges(hidden)
        self._spans: list[float] = []
        self._words: list[float] = []

    @torch.no_grad()
    def likely_spans(self) -> list[tuple[int, int, int]]:
        """Get the spans that are more likely than not.

        RETURNS (list[tuple[int, int, int]]): First word, end word (exclusive) and label
            index of each span, sorted. Of crossing spans the most likely is kept.
        """
        found: list[tuple[float, int, int, int]] = []
        absent: list[float] = []
        for first, logits in self.head.block_logits(self.start, self.end):
            # The logarithm of the probability that no unlikely span starts at a word.
            unlikely = nn.functional.logsigmoid(-logits.masked_fill(logits > 0, -1e4))
            absent += unlikely.sum((1, 2)).tolist()
            indices = (logits > 0).nonzero()
            scores = logits[tuple(indices.T)].tolist()
            for score, (start, last, label) in zip(
                scores, indices.tolist(), strict=True
            ):
                found.append((score, first + start, first + last + 1, label))
        kept: list[tuple[int, int, int]] = []
        odds: dict[tuple[int, int, int], float] = {}
        for score, start, end, label in sorted(found, reverse=True):
            if not any(s < start < e < end or start < s < end < e for s, e, _ in kept):
                kept.append((start, end, label))
                odds[kept[-1]] = score
        kept.sort()
        self._spans = [1.0 / (1.0 + math.exp(-odds[span])) for span in kept]
        self._words = [math.exp(value) for value in absent]
        return kept

    @torch.no_grad()
    def log_odds(self) -> Tensor:
        """Get the log-odds of all candidate spans by first word and length.

        RETURNS (Tensor): Shape (words, lengths, labels): the index 0 of the second
            dimension is a span of one word, the highest length is `MAX_SPAN_LENGTH` or
            the number of words. Minus infinity for a span that ends behind the text.
        """
        count = len(self.start)
        lengths = torch.arange(min(MAX_SPAN_LENGTH, count), device=self.start.device)
        shape = (count, len(lengths), self.head.labels)
        odds = self.start.new_full(shape, -torch.inf)
        for first, logits in self.head.block_logits(self.start, self.end):
            rows = torch.arange(len(logits), device=logits.device)[:, None]
            ends = rows + lengths
            inside = ends < logits.shape[1]
            found = logits[rows, ends.clamp(max=logits.shape[1] - 1)]
            odds[first : first + len(logits)] = found.masked_fill(
                ~inside[..., None], -torch.inf
            )
        return odds

    def certainty(self) -> tuple[list[float], list[float]]:
        """Get the probabilities behind `likely_spans`.

        RETURNS (tuple[list[float], list[float]]): The probability of each span, and for
            each word the probability that none of the other spans starts there.
        """
        return self._spans, self._words

    @torch.no_grad()
    def best_ending(self, start: int, first: int, last: int) -> tuple[int, int]:
        """Get the most likely end and label of a span with a given start.

        start (int): The first word of the span.
        first (int): The lowest possible end.
        last (int): The highest possible end, at least `first`.
        RETURNS (tuple[int, int]): The end word (exclusive) and the label index.
        """
        last = max(first, min(last, start + MAX_SPAN_LENGTH))
        ends = self.end[first - 1 : last]
        logits = self.head.logits(
            self.start[start : start + 1], ends, first - 1 - start
        )
        index = int(logits[0].argmax())
        return first + index // self.head.labels, index % self.head.labels
