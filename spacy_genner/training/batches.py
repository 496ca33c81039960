"""Training examples as rows of tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.head import by_width
from ..prompts import Target


@dataclass(frozen=True)
class Row:
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


def collate(rows: Sequence[Row], device: torch.device) -> Batch:
    """Put rows into one batch.

    rows (Sequence[Row]): The rows, at least one.
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


def by_length(rows: Sequence[Row], max_tokens: int) -> Iterator[list[Row]]:
    """Rows of like lengths together, each group within a number of tokens.

    rows (Sequence[Row]): The rows.
    max_tokens (int): Tokens of a group, at most; a longer row goes alone.
    YIELDS (List[Row]): The groups.
    """
    group: list[Row] = []
    size = 0
    for row in sorted(rows, key=len, reverse=True):
        if group and size + len(row) > max_tokens:
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row)
    if group:
        yield group
