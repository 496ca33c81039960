"""Texts as the draft head learns from them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.backbone import Backbone
from .batches import Row, by_length


class Text(NamedTuple):
    """A text that the language model has read.

    hidden (Tensor): A hidden state for each unit, shape (units, width).
    spans (Tuple[Tuple[int, int, int], ...]): First unit, unit after the last, and label
        index of each span.
    """

    hidden: Tensor
    spans: tuple[tuple[int, int, int], ...]


def texts_of(
    rows: Sequence[Row], lengths: Sequence[int], hidden: Tensor
) -> Iterator[Text]:
    """Find the texts in what was run.

    rows (Sequence[Row]): The rows.
    lengths (Sequence[int]): How many tokens of each were run.
    hidden (Tensor): Hidden states of the rows end to end, shape (tokens, width).
    YIELDS (Text): The text of each row whose units are known.
    """
    first = 0
    for row, length in zip(rows, lengths, strict=True):
        if row.unit_ends:
            at = torch.tensor(row.unit_ends, device=hidden.device) + first
            yield Text(hidden[at], row.spans)
        first += length


class TextReader:
    """Runs prompts alone.

    backbone (Backbone): The text decoder, tapped.
    prefix (Sequence[int]): The ids that every row begins with.
    max_tokens (int): Tokens that are run at once.
    device (torch.device): Where the model is.
    """

    def __init__(
        self,
        backbone: Backbone,
        prefix: Sequence[int],
        max_tokens: int,
        device: torch.device,
    ):
        self.backbone = backbone
        self.prefix = torch.tensor(list(prefix), device=device)
        self.max_tokens = max_tokens
        backbone.settle(list(prefix), device)

    @torch.no_grad()
    def read(self, rows: Sequence[Row]) -> list[Text]:
        """Read the texts of some rows.

        rows (Sequence[Row]): The rows.
        RETURNS (List[Text]): The texts, in any order.
        """
        texts: list[Text] = []
        for group in by_length(rows, self.max_tokens):
            ids = [id_ for row in group for id_ in row.prompt]
            lengths = [len(row.prompt) for row in group]
            placed = torch.tensor(ids, device=self.prefix.device)
            hidden = self.backbone.behind_prefix(self.prefix, placed, lengths)
            texts += texts_of(group, lengths, hidden.chunk(2, dim=1)[1])
        return texts
