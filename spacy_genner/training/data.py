"""Training sequences and batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.backbone import Backbone
from ..models.lm_head import by_width
from ..prompts import Target


@dataclass(frozen=True)
class TrainingSequence:
    """One training example: what follows the shared prefix.

    prompt (Tuple[int, ...]): The ids between prefix and output.
    target (Target): The reference output.
    end_id (Optional[int]): The id that ends an output.
    unit_ends (Tuple[int, ...]): Where the prompt has the last id of each unit, in the
        last reading of the text; empty where that is not known.
    spans (Tuple[Tuple[int, int, int], ...]): What the target says: first unit, unit
        after the last, and label index of each span.
    """

    prompt: tuple[int, ...]
    target: Target
    end_id: int | None
    unit_ends: tuple[int, ...] = ()
    spans: tuple[tuple[int, int, int], ...] = ()

    @property
    def ids(self) -> list[int]:
        """What is run through the model: the last token decides nothing more, unless
        the end of the output is learnt after it."""
        ids = [*self.prompt, *self.target.ids]
        return ids if self.end_id is not None else ids[:-1]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Choices:
    """The choices of a batch among about as many tokens.

    at (Tensor): Positions before a choice, shape (choices,).
    legal (Tensor): The ids legal there, the first repeated as padding, shape
        (choices, most legal ids).
    count (Tensor): How many are legal, shape (choices,).
    right (Tensor): Index of the right one, shape (choices,).
    """

    at: Tensor
    legal: Tensor
    count: Tensor
    right: Tensor


@dataclass(frozen=True)
class Batch:
    """Rows end to end, with what is to be predicted.

    ids (Tensor): Shape (all tokens,). Positions are places in it.
    lengths (Sequence[int]): The length of each row.
    choices (Sequence[Choices]): The choices.
    token_at (Tensor): Positions before an output token, shape (tokens,).
    token (Tensor): Those tokens, shape (tokens,).
    """

    ids: Tensor
    lengths: Sequence[int]
    choices: Sequence[Choices]
    token_at: Tensor
    token: Tensor


def collate(rows: Sequence[TrainingSequence], device: torch.device) -> Batch:
    """Put rows into one batch.

    rows (Sequence[TrainingSequence]): The rows, at least one.
    device (torch.device): Where the tensors go.
    RETURNS (Batch): The batch.
    """
    choice_at, legal, right = [], [], []
    ids: list[int] = []
    token_at: list[int] = []
    token: list[int] = []
    for row in rows:
        before = len(ids) + len(row.prompt) - 1
        ids += row.ids
        for choice in row.target.choices:
            choice_at.append(before + choice.place)
            legal.append(choice.legal)
            right.append(choice.right)
        tokens = [*row.target.ids]
        if row.end_id is not None:
            tokens.append(row.end_id)
        token_at += range(before, before + len(tokens))
        token += tokens

    def tensor(values: list) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    def choices(group: list[int]) -> Choices:
        widest = max(len(legal[index]) for index in group)
        padded = [
            [*legal[index], *[legal[index][0]] * (widest - len(legal[index]))]
            for index in group
        ]
        return Choices(
            at=tensor([choice_at[index] for index in group]),
            legal=tensor(padded),
            count=tensor([len(legal[index]) for index in group]),
            right=tensor([right[index] for index in group]),
        )

    return Batch(
        ids=tensor(ids),
        lengths=[len(row) for row in rows],
        choices=[choices(group) for group in by_width([len(each) for each in legal])],
        token_at=tensor(token_at),
        token=tensor(token),
    )


def by_length(
    rows: Sequence[TrainingSequence], max_tokens: int
) -> Iterator[list[TrainingSequence]]:
    """Rows of like lengths together, each group within a number of tokens.

    rows (Sequence[TrainingSequence]): The rows.
    max_tokens (int): Tokens of a group, at most; a longer row goes alone.
    YIELDS (List[TrainingSequence]): The groups.
    """
    group: list[TrainingSequence] = []
    size = 0
    for row in sorted(rows, key=len, reverse=True):
        if group and size + len(row) > max_tokens:
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row)
    if group:
        yield group


class DraftHeadExample(NamedTuple):
    """A text that the language model has read.

    hidden (Tensor): A hidden state for each unit, shape (units, width).
    spans (Tuple[Tuple[int, int, int], ...]): First unit, unit after the last, and label
        index of each span.
    """

    hidden: Tensor
    spans: tuple[tuple[int, int, int], ...]


def draft_head_examples(
    rows: Sequence[TrainingSequence], lengths: Sequence[int], hidden: Tensor
) -> Iterator[DraftHeadExample]:
    """Find the texts in what was run.

    rows (Sequence[TrainingSequence]): The rows.
    lengths (Sequence[int]): How many tokens of each were run.
    hidden (Tensor): Hidden states of the rows end to end, shape (tokens, width).
    YIELDS (DraftHeadExample): The text of each row whose units are known.
    """
    first = 0
    for row, length in zip(rows, lengths, strict=True):
        if row.unit_ends:
            at = torch.tensor(row.unit_ends, device=hidden.device) + first
            yield DraftHeadExample(hidden[at], row.spans)
        first += length


class DraftHeadReader:
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
    def read(self, rows: Sequence[TrainingSequence]) -> list[DraftHeadExample]:
        """Read the texts of some rows.

        rows (Sequence[TrainingSequence]): The rows.
        RETURNS (List[DraftHeadExample]): The texts, in any order.
        """
        texts: list[DraftHeadExample] = []
        for group in by_length(rows, self.max_tokens):
            ids = [id_ for row in group for id_ in row.prompt]
            lengths = [len(row.prompt) for row in group]
            placed = torch.tensor(ids, device=self.prefix.device)
            hidden = self.backbone.behind_prefix(self.prefix, placed, lengths)
            texts += draft_head_examples(group, lengths, hidden.chunk(2, dim=1)[1])
        return texts
