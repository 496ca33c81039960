"""Losses, gradients of the adapter, and training of the draft head."""

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

# Rows of logits held at once; 128 of Gemma's 262,144 entries are 134 MB in float32.
CHUNK = 128


def constrained_loss(head: RestrictedHead, hidden: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over the legal tokens, where there are several.

    What the decoder asks is what is trained, as in ASP (Liu et al.,
    "Autoregressive Structured Prediction with Language Models", 2022).

    head (RestrictedHead): The model's head.
    hidden (Tensor): Of the batch's tokens, shape (tokens, width).
    batch (Batch): The batch.
    RETURNS (Tensor): The sum over the choices, a scalar.
    """
    if not batch.choices:
        return hidden.sum() * 0.0
    total = hidden.new_zeros((), dtype=head.dtype)
    for choices in batch.choices:
        logits = head.rows(hidden[choices.at], choices.legal)
        places = torch.arange(logits.shape[1], device=logits.device)
        logits = logits.masked_fill(places >= choices.count[:, None], -torch.inf)
        total = total + functional.cross_entropy(logits, choices.right, reduction="sum")
    return total


def lm_loss(
    head: RestrictedHead, hidden: Tensor, batch: Batch, share: float = 1.0
) -> Tensor:
    """Cross-entropy over the whole vocabulary, at the tokens of the output.

    head (RestrictedHead): The model's head.
    hidden (Tensor): Of the batch's tokens, shape (tokens, width).
    batch (Batch): The batch.
    share (float): The share of tokens that are drawn, above 0 and at most 1. They
        stand for all: the expectation of loss and gradient does not depend on it.
    RETURNS (Tensor): The sum over the tokens, a scalar.
    """
    at, token, scale = batch.token_at, batch.token, 1.0
    count = len(token)
    drawn = max(1, round(share * count))
    if drawn < count:
        # By the CPU's random numbers, so that the device does not matter.
        chosen = torch.randperm(count)[:drawn].to(token.device)
        at, token, scale = at[chosen], token[chosen], count / drawn
    total: Tensor = _VocabularyLoss.apply(hidden[at], head, token)  # type: ignore[no-untyped-call]
    return scale * total


class _VocabularyLoss(torch.autograd.Function):
    """The loss with its gradient computed on the way there, some rows at a time, so
    that logits never stand in memory whole and are computed once (as in Hsu et al.,
    "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024).

    The head is frozen: the gradient is that of the hidden states alone.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: RestrictedHead, token: Tensor
    ) -> Tensor:
        total = hidden.new_zeros((), dtype=head.dtype)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            with torch.enable_grad():
                part = hidden[rows].detach().requires_grad_()
                loss = functional.cross_entropy(
                    head.full(part), token[rows], reduction="sum"
                )
                (gradient[rows],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None


class Trainer:
    """Computes gradients; the optimizer is somebody else's.

    network (PreTrainedModel): The causal LM with its adapter.
    decoder (nn.Module): Its text decoder, without the head.
    prefix (Sequence[int]): The ids that every row begins with.
    loss (LossWeights): The weights of the losses.
    max_tokens (int): Tokens that are run at once.
    draft_head (Optional[DraftHead]): What is trained to guess the spans.
    """

    def __init__(
        self,
        network: Any,
        decoder: Any,
        prefix: Sequence[int],
        loss: LossWeights,
        max_tokens: int,
        draft_head: DraftHead | None = None,
    ):
        self.network = network
        self.backbone = Backbone(network, decoder, tapped=draft_head is not None)
        self.head = RestrictedHead(network)
        self.prefix = torch.tensor(list(prefix), device=self.head.weight.device)
        self.loss = loss
        self.max_tokens = max_tokens
        self.draft_head = draft_head
        # Without dropout: no random number is drawn before the first step.
        network.eval()
        self.backbone.settle(list(prefix), self.prefix.device)

    def accumulate(self, rows: Sequence[TrainingSequence]) -> float:
        """Add the gradients of some rows to those of the adapter.

        The loss is the mean over all choices plus the mean over all output tokens,
        each with its weight, whatever the rows are split into on the way.

        rows (Sequence[TrainingSequence]): The rows.
        RETURNS (float): The loss.
        """
        choices = max(1, sum(len(row.target.choices) for row in rows))
        ends = sum(row.end_id is not None for row in rows)
        tokens = max(1, ends + sum(len(row.target.ids) for row in rows))
        total = 0.0
        self.network.train()
        try:
            for group in by_length(rows, self.max_tokens):
                batch = collate(group, self.prefix.device)
                hidden = self.backbone.behind_prefix(
                    self.prefix, batch.ids, batch.lengths
                )
                texts: list[DraftHeadExample] = []
                if self.draft_head is not None:
                    hidden, middle = hidden.chunk(2, dim=1)
                    # Its gradients stop at the hidden states.
                    texts += draft_head_examples(group, batch.lengths, middle.detach())
                loss = hidden.new_zeros((), dtype=self.head.dtype)
                if self.loss.constrained:
                    part = constrained_loss(self.head, hidden, batch)
                    loss = loss + self.loss.constrained * part / choices
                if self.loss.lm:
                    part = lm_loss(self.head, hidden, batch, self.loss.lm_share)
                    loss = loss + self.loss.lm * part / tokens
                total += float(loss.detach())
                if self.draft_head is not None:
                    loss = loss + self.draft_head.learn(texts) / len(rows)
                loss.backward()
        finally:
            self.network.eval()
        return total


# Enough for texts of like lengths to find each other.
READ_AT_ONCE = 128
# How often the head learns from each text, and how many updates it takes at least.
EPOCHS = 3
UPDATES = 500


class DraftHeadPipe(Protocol):
    """A pipeline component with a draft head to train, as `GenerativeNER` has one."""

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
    shown: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[float]:
    """Train a new draft head for a component. Its adapter stays as it is.

    Texts are read once, and what was read is held in memory: it is the reading that
    takes time.

    pipe (DraftHeadPipe): The component.
    examples (Sequence[Example]): The examples.
    learn_rate (float): The highest learning rate of Adam.
    epochs (Optional[int]): How often the head learns from each; None: as often as it
        takes for `UPDATES` updates, and `EPOCHS` times at least.
    batch_size (int): Texts of an update.
    seed (int): Fixes their order.
    shown (Callable): Wraps the batches that are read, for a progress bar.
    RETURNS (List[float]): The loss of each update.
    RAISES (ValueError): The component has no adapter, or wants no draft head; or an
        example can't be used.
    """
    texts: list[DraftHeadExample] = []
    for batch in shown(list(minibatch(examples, size=READ_AT_ONCE))):
        texts += pipe.read_for_draft_head(batch)
    pipe.reset_draft_head()
    if epochs is None:
        batches_each = max(1, math.ceil(len(texts) / batch_size))
        epochs = max(EPOCHS, math.ceil(UPDATES / batches_each))
    choose = random.Random(seed)
    batches = [
        batch
        for _ in range(epochs)
        for batch in minibatch(choose.sample(texts, len(texts)), size=batch_size)
    ]
    rates = cosine_warmup(learn_rate, max(1, len(batches)))
    optimizer = Adam(learn_rate, L2=0.0)
    losses = []
    for batch, rate in zip(batches, rates, strict=False):
        optimizer.learn_rate = rate
        losses.append(pipe.update_draft_head(batch, sgd=optimizer))
    return losses
