"""Training examples as rows of tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..prompts import Target


@dataclass(frozen=True)
class Row:
    """One training example: what follows the shared prefix.

    prompt (Tuple[int, ...]): The ids between prefix and output.
    target (Target): The reference output.
    end_id (Optional[int]): The id that ends an output.
    """

    prompt: tuple[int, ...]
    target: Target
    end_id: int | None

    @property
    def ids(self) -> list[int]:
        """What is run through the model: the last token decides nothing more, unless
        the end of the output is learnt after it."""
        ids = [*self.prompt, *self.target.ids]
        return ids if self.end_id is not None else ids[:-1]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length, with what is to be predicted.

    Positions are places in the padded batch laid flat: row * length + column.

    ids (Tensor): Shape (rows, length).
    lengths (Tensor): The length of each row, shape (rows,).
    choice_at (Tensor): Positions before a choice, shape (choices,).
    legal (Tensor): The ids legal there, the first repeated as padding, shape
        (choices, most legal ids).
    legal_count (Tensor): How many are legal, shape (choices,).
    right (Tensor): Index of the right one, shape (choices,).
    token_at (Tensor): Positions before an output token, shape (tokens,).
    token (Tensor): Those tokens, shape (tokens,).
    """

    ids: Tensor
    lengths: Tensor
    choice_at: Tensor
    legal: Tensor
    legal_count: Tensor
    right: Tensor
    token_at: Tensor
    token: Tensor


def collate(rows: Sequence[Row], device: torch.device) -> Batch:
    """Put rows into one batch.

    rows (Sequence[Row]): The rows, at least one.
    device (torch.device): Where the tensors go.
    RETURNS (Batch): The batch.
    """
    length = max(map(len, rows))
    ids, choice_at, legal, right = [], [], [], []
    token_at: list[int] = []
    token: list[int] = []
    for index, row in enumerate(rows):
        own = row.ids
        ids.append(own + [own[-1]] * (length - len(own)))
        before = index * length + len(row.prompt) - 1
        for choice in row.target.choices:
            choice_at.append(before + choice.place)
            legal.append(choice.legal)
            right.append(choice.right)
        tokens = [*row.target.ids]
        if row.end_id is not None:
            tokens.append(row.end_id)
        token_at += range(before, before + len(tokens))
        token += tokens
    widest = max(map(len, legal), default=1)
    padded = [[*each, *[each[0]] * (widest - len(each))] for each in legal]

    def tensor(values: list) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    return Batch(
        ids=tensor(ids),
        lengths=tensor([len(row) for row in rows]),
        choice_at=tensor(choice_at),
        legal=tensor(padded).reshape(len(padded), widest),
        legal_count=tensor([len(each) for each in legal]),
        right=tensor(right),
        token_at=tensor(token_at),
        token=tensor(token),
    )


def by_length(rows: Sequence[Row], max_tokens: int) -> Iterator[list[Row]]:
    """Rows of like lengths together, each group within a number of padded tokens.

    rows (Sequence[Row]): The rows.
    max_tokens (int): Rows times the longest row, at most; a longer row goes alone.
    YIELDS (List[Row]): The groups.
    """
    group: list[Row] = []
    for row in sorted(rows, key=len, reverse=True):
        if group and len(group[0]) * (len(group) + 1) > max_tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
