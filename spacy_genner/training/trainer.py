"""Losses, the gradients of the adapter, and the training of the draft head.

The adapter has two losses. The constrained loss is a cross-entropy over the tokens that
the grammar allows, at the positions with a choice. The language-model loss is a
cross-entropy over the whole vocabulary, at all tokens of the output. `Trainer` adds
their gradients to the weights of the adapter; thinc's optimizer applies them.

A draft head learns together with the adapter, or later on its own: see
`train_draft_head`.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam, Optimizer
from torch import Tensor
from torch.nn import functional

from ..config.settings import LossWeights
from ..models.backbone import Backbone
from ..models.draft_head import DraftHead
from ..models.lm_head import RestrictedHead
from .data import (
    Batch,
    DraftHeadExample,
    TrainingSequence,
    by_length,
    collate,
    draft_head_examples,
)
from .schedules import cosine_warmup

# The number of tokens whose logits are in memory together. The logits of 128 tokens
# over Gemma's vocabulary of 262,144 take 134 MB in float32.
CHUNK_SIZE = 128
# The language-model loss samples at least this many tokens of a batch. The gradient of
# a few tokens is so noisy that training on a handful of sentences does not settle.
MIN_SAMPLED = 128
# The number of examples that are encoded together for the draft head, enough to group
# texts of similar length.
READ_BATCH_SIZE = 128
# A draft head learns from each text at least this many times, and makes at least this
# many updates.
MIN_EPOCHS = 3
MIN_UPDATES = 500


def constrained_loss(head: RestrictedHead, hidden: Tensor, batch: Batch) -> Tensor:
    """Compute the cross-entropy over the legal tokens, at the positions with several.

    Training then optimizes the decisions that decoding makes, as ASP does (Liu et al.,
    "Autoregressive Structured Prediction with Language Models", 2022).

    head (RestrictedHead): The language-model head.
    hidden (Tensor): The hidden states of the batch, shape (tokens, width).
    batch (Batch): The batch.
    RETURNS (Tensor): The sum over the choices, a scalar.
    """
    if not batch.choices:
        return hidden.sum() * 0.0
    total = hidden.new_zeros((), dtype=head.dtype)
    for choices in batch.choices:
        logits = head.rows(hidden[choices.positions], choices.legal)
        columns = torch.arange(logits.shape[1], device=logits.device)
        logits = logits.masked_fill(columns >= choices.counts[:, None], -torch.inf)
        total = total + functional.cross_entropy(
            logits, choices.targets, reduction="sum"
        )
    return total


def lm_loss(
    head: RestrictedHead, hidden: Tensor, batch: Batch, share: float = 1.0
) -> Tensor:
    """Compute the cross-entropy over the whole vocabulary, at the output tokens.

    head (RestrictedHead): The language-model head.
    hidden (Tensor): The hidden states of the batch, shape (tokens, width).
    batch (Batch): The batch.
    share (float): The share of the tokens to sample, above 0 and at most 1. At least
        `MIN_SAMPLED` tokens are sampled, or all. The loss of the sample is scaled up,
        so the expected loss and gradient are those of all tokens.
    RETURNS (Tensor): The sum over the tokens, a scalar.
    """
    positions, tokens, scale = batch.token_positions, batch.tokens, 1.0
    count = len(tokens)
    sampled = max(MIN_SAMPLED, round(share * count))
    if sampled < count:
        # Sampled on the CPU, so that the sample does not depend on the device.
        chosen = torch.randperm(count)[:sampled].to(tokens.device)
        positions, tokens, scale = positions[chosen], tokens[chosen], count / sampled
    total: Tensor = _VocabularyLoss.apply(hidden[positions], head, tokens)  # type: ignore[no-untyped-call]
    return scale * total


class _VocabularyLoss(torch.autograd.Function):
    """Computes the gradient together with the loss, in chunks of tokens. The logits are
    then computed once and never all in memory (Hsu et al., "Liger Kernel: Efficient
    Triton Kernels for LLM Training", 2024).

    The head is frozen, so only the hidden states have a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: RestrictedHead, tokens: Tensor
    ) -> Tensor:
        total = hidden.new_zeros((), dtype=head.dtype)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), CHUNK_SIZE):
            chunk = slice(start, start + CHUNK_SIZE)
            loss, gradient[chunk] = head.cross_entropy(hidden[chunk], tokens[chunk])
            total += loss
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None


class Trainer:
    """Computes the gradients of the adapter. The caller owns the optimizer.

    network (PreTrainedModel): The causal language model with its adapter.
    decoder (nn.Module): Its text decoder, without the head.
    loss (LossWeights): The weights of the losses.
    max_tokens (int): The maximum number of tokens in one forward pass.
    draft_head (DraftHead | None): The draft head to train with the adapter.
    """

    def __init__(
        self,
        network: Any,
        decoder: Any,
        loss: LossWeights,
        max_tokens: int,
        draft_head: DraftHead | None = None,
    ):
        self.network = network
        self.backbone = Backbone(network, decoder, middle_layer=draft_head is not None)
        self.head = RestrictedHead(network)
        self.device = self.head.weight.device
        self.loss = loss
        self.max_tokens = max_tokens
        self.draft_head = draft_head
        # Without dropout, so that no random number is drawn before the first step.
        network.eval()

    def accumulate(self, sequences: Sequence[TrainingSequence]) -> float:
        """Add the gradients of sequences to those of the adapter.

        The loss is the weighted sum of the mean over all choices and the mean over all
        output tokens. It does not depend on how the sequences are grouped into forward
        passes.

        sequences (Sequence[TrainingSequence]): The sequences.
        RETURNS (float): The loss, without that of the draft head.
        """
        choices = max(1, sum(len(each.target.choices) for each in sequences))
        ends = sum(each.end_id is not None for each in sequences)
        tokens = max(1, ends + sum(len(each.target.ids) for each in sequences))
        total = 0.0
        if sequences:
            self.backbone.check_packing(sequences[0].prefix, self.device)
        self.network.train()
        try:
            for group in by_length(sequences, self.max_tokens):
                batch = collate(group, self.device)
                prefix = torch.tensor(group[0].prefix, device=self.device)
                hidden = self.backbone.behind_prefix(prefix, batch.ids, batch.lengths)
                texts: list[DraftHeadExample] = []
                if self.draft_head is not None:
                    hidden, middle = hidden.chunk(2, dim=1)
                    # The values of `middle`, with the gradient scaled by `loss.spans`.
                    states = middle.detach()
                    if self.loss.spans:
                        states = states + self.loss.spans * (middle - states)
                    texts += draft_head_examples(group, batch.lengths, states)
                loss = hidden.new_zeros((), dtype=self.head.dtype)
                if self.loss.constrained:
                    part = constrained_loss(self.head, hidden, batch)
                    loss = loss + self.loss.constrained * part / choices
                if self.loss.lm:
                    part = lm_loss(self.head, hidden, batch, self.loss.lm_share)
                    loss = loss + self.loss.lm * part / tokens
                total += float(loss.detach())
                if self.draft_head is not None:
                    loss = loss + self.draft_head.learn(texts) / len(sequences)
                loss.backward()
        finally:
            self.network.eval()
        return total


class DraftHeadPipe(Protocol):
    """A pipeline component with a draft head to train, such as `GenerativeNER`."""

    def read_for_draft_head(
        self, examples: Iterable[Example]
    ) -> list[DraftHeadExample]: ...

    def reset_draft_head(self) -> None: ...

    def update_draft_head(
        self, texts: Sequence[DraftHeadExample], *, sgd: Optimizer | None = None
    ) -> float: ...


def train_draft_head(
    pipe: DraftHeadPipe,
    examples: Sequence[Example],
    learn_rate: float = 5e-4,
    epochs: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    learning: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[float]:
    """Train a new draft head for a component, whose adapter does not change.

    The language model encodes each text once, which takes most of the time. The hidden
    states are kept in memory.

    pipe (DraftHeadPipe): The component.
    examples (Sequence[Example]): The examples.
    learn_rate (float): The highest learning rate of Adam.
    epochs (int | None): The number of epochs. None for the lowest number that gives
        `MIN_EPOCHS` epochs and `MIN_UPDATES` updates.
    batch_size (int): The number of texts in an update.
    seed (int): The seed of the order of the texts.
    progress (Callable[[Iterable[Any]], Iterable[Any]]): Wraps the batches that are
        encoded, such as with a progress bar.
    learning (Callable[[Iterable[Any]], Iterable[Any]]): Wraps the batches of the
        updates.
    RETURNS (list[float]): The mean loss of a text in each update.
    RAISES (ValueError): The component has no adapter or no draft head, or an example is
        invalid.
    """
    texts: list[DraftHeadExample] = []
    for batch in progress(list(minibatch(examples, size=READ_BATCH_SIZE))):
        texts += pipe.read_for_draft_head(batch)
    pipe.reset_draft_head()
    if epochs is None:
        batches_per_epoch = max(1, math.ceil(len(texts) / batch_size))
        epochs = max(MIN_EPOCHS, math.ceil(MIN_UPDATES / batches_per_epoch))
    generator = random.Random(seed)
    batches = [
        batch
        for _ in range(epochs)
        for batch in minibatch(generator.sample(texts, len(texts)), size=batch_size)
    ]
    rates = cosine_warmup(learn_rate, max(1, len(batches)))
    optimizer = Adam(learn_rate, L2=0.0)
    losses = []
    for batch, rate in zip(learning(batches), rates, strict=False):
        optimizer.learn_rate = rate
        losses.append(pipe.update_draft_head(batch, sgd=optimizer))
    return losses
