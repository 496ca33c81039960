"""One update: the gradients of some rows behind a shared prefix."""

from collections.abc import Sequence
from typing import Any

import torch

from ..models.backbone import Backbone
from ..models.draft_head import DraftHead
from ..models.head import RestrictedHead
from ..settings import LossWeights
from .batches import Row, by_length, collate
from .losses import constrained_loss, lm_loss
from .texts import Text, texts_of


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

    def accumulate(self, rows: Sequence[Row]) -> float:
        """Add the gradients of some rows to those of the adapter.

        The loss is the mean over all choices plus the mean over all output tokens,
        each with its weight, whatever the rows are split into on the way.

        rows (Sequence[Row]): The rows.
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
                texts: list[Text] = []
                if self.draft_head is not None:
                    hidden, middle = hidden.chunk(2, dim=1)
                    # Its gradients stop at the hidden states.
                    texts += texts_of(group, batch.lengths, middle.detach())
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
