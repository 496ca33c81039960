"""Training sequences, their batches, and the texts that the draft head learns from.

A prompt begins with a prefix, usually the instruction, that all texts with the same
labels share. A training sequence consists of the prefix, the end of the prompt and the
reference output. A batch holds sequences with one prefix, one after the other and
without padding, together with the targets of the losses: choices among legal tokens,
and tokens of the outputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..models.lm_head import by_width
from ..prompts import Target

if TYPE_CHECKING:
    from ..models.backbone import Backbone


@dataclass(frozen=True)
class TrainingSequence:
    """A training example: a prefix that other sequences share, and the tokens after it.

    prefix (tuple[int, ...]): The ids of the prefix.
    prompt (tuple[int, ...]): The ids between the prefix and the output.
    target (Target): The reference output.
    end_id (int | None): The id that ends an output. None if the model has none.
    word_ends (tuple[int, ...]): The position in the prompt of the last id of each word,
        in the last reading of the text. Empty if the positions are not known.
    spans (tuple[tuple[int, int, int], ...]): The spans of the target: first word, end
        word (exclusive) and label index of each.
    """

    prefix: tuple[int, ...]
    prompt: tuple[int, ...]
    target: Target
    end_id: int | None
    word_ends: tuple[int, ...] = ()
    spans: tuple[tuple[int, int, int], ...] = ()

    @property
    def ids(self) -> list[int]:
        """RETURNS (list[int]): The ids of the forward pass, after the prefix. The last
        token of the output predicts nothing, unless the model learns the end of the
        output."""
        ids = [*self.prompt, *self.target.ids]
        return ids if self.end_id is not None else ids[:-1]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Choices:
    """Choices of a batch with a similar number of legal tokens.

    positions (Tensor): The position before each choice, shape (choices,).
    legal (Tensor): The legal ids, padded with the first of them, shape (choices,
        highest number of legal ids).
    counts (Tensor): The number of legal ids, shape (choices,).
    targets (Tensor): The index of the reference among the legal ids, shape (choices,).
    """

    positions: Tensor
    legal: Tensor
    counts: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Batch:
    """Sequences one after the other, with the targets of the losses.

    ids (Tensor): The input ids, shape (all tokens,). Positions are indices into it.
    lengths (Sequence[int]): The length of each sequence.
    choices (Sequence[Choices]): The choices, grouped by the number of legal tokens.
    token_positions (Tensor): The position before each output token, shape (tokens,).
    tokens (Tensor): The output tokens, shape (tokens,).
    """

    ids: Tensor
    lengths: Sequence[int]
    choices: Sequence[Choices]
    token_positions: Tensor
    tokens: Tensor


def collate(sequences: Sequence[TrainingSequence], device: torch.device) -> Batch:
    """Make a batch of sequences.

    sequences (Sequence[TrainingSequence]): The sequences, at least one.
    device (torch.device): The device of the tensors.
    RETURNS (Batch): The batch.
    """
    ids: list[int] = []
    positions, legal, targets = [], [], []
    token_positions: list[int] = []
    tokens: list[int] = []
    for sequence in sequences:
        before = len(ids) + len(sequence.prompt) - 1
        ids += sequence.ids
        for choice in sequence.target.choices:
            positions.append(before + choice.place)
            legal.append(choice.legal)
            targets.append(choice.right)
        output = [*sequence.target.ids]
        if sequence.end_id is not None:
            output.append(sequence.end_id)
        token_positions += range(before, before + len(output))
        tokens += output

    def tensor(values: list) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    def choices(group: list[int]) -> Choices:
        widest = max(len(legal[index]) for index in group)
        padded = [
            [*legal[index], *[legal[index][0]] * (widest - len(legal[index]))]
            for index in group
        ]
        return Choices(
            positions=tensor([positions[index] for index in group]),
            legal=tensor(padded),
            counts=tensor([len(legal[index]) for index in group]),
            targets=tensor([targets[index] for index in group]),
        )

    return Batch(
        ids=tensor(ids),
        lengths=[len(sequence) for sequence in sequences],
        choices=[choices(group) for group in by_width([len(each) for each in legal])],
        token_positions=tensor(token_positions),
        tokens=tensor(tokens),
    )


def by_length(
    sequences: Sequence[TrainingSequence], max_tokens: int
) -> Iterator[list[TrainingSequence]]:
    """Group sequences with the same prefix and a similar length.

    sequences (Sequence[TrainingSequence]): The sequences.
    max_tokens (int): The maximum number of tokens in a group, without the prefix. A
        longer sequence is a group of its own.
    YIELDS (list[TrainingSequence]): The groups, prefix by prefix, the longest sequences
        first.
    """
    by_prefix: dict[tuple[int, ...], list[TrainingSequence]] = {}
    for sequence in sequences:
        by_prefix.setdefault(sequence.prefix, []).append(sequence)
    for same in by_prefix.values():
        group: list[TrainingSequence] = []
        size = 0
        for sequence in sorted(same, key=len, reverse=True):
            if group and size + len(sequence) > max_tokens:
                yield group
                group, size = [], 0
            group.append(sequence)
            size += len(sequence)
        yield group


class DraftHeadExample(NamedTuple):
    """A text as the draft head learns from it.

    hidden (Tensor): The hidden state of each word, shape (words, width).
    spans (tuple[tuple[int, int, int], ...]): First word, end word (exclusive) and label
        index of each span.
    """

    hidden: Tensor
    spans: tuple[tuple[int, int, int], ...]


def draft_head_examples(
    sequences: Sequence[TrainingSequence], lengths: Sequence[int], hidden: Tensor
) -> Iterator[DraftHeadExample]:
    """Select the hidden states of words from those of a forward pass.

    sequences (Sequence[TrainingSequence]): The sequences.
    lengths (Sequence[int]): The number of tokens of each in the forward pass.
    hidden (Tensor): The hidden states of the sequences, one after the other, shape
        (tokens, width).
    YIELDS (DraftHeadExample): The text of each sequence with known word positions.
    """
    first = 0
    for sequence, length in zip(sequences, lengths, strict=True):
        if sequence.word_ends:
            positions = torch.tensor(sequence.word_ends, device=hidden.device) + first
            yield DraftHeadExample(hidden[positions], sequence.spans)
        first += length


class DraftHeadReader:
    """Computes the hidden states that the draft head learns from, with forward passes
    over the prompts alone.

    backbone (Backbone): The text decoder, which returns the hidden states of a middle
        layer as well (`middle_layer`).
    max_tokens (int): The maximum number of tokens in one forward pass.
    device (torch.device): The device of the model.
    """

    def __init__(self, backbone: "Backbone", max_tokens: int, device: torch.device):
        self.backbone = backbone
        self.max_tokens = max_tokens
        self.device = device

    @torch.no_grad()
    def read(self, sequences: Sequence[TrainingSequence]) -> list[DraftHeadExample]:
        """Compute the hidden states of the texts of sequences.

        sequences (Sequence[TrainingSequence]): The sequences.
        RETURNS (list[DraftHeadExample]): The texts with known word positions, in any
            order.
        """
        texts: list[DraftHeadExample] = []
        for group in by_length(sequences, self.max_tokens):
            self.backbone.check_packing(group[0].prefix, self.device)
            lengths = [len(sequence.prompt) for sequence in group]
            ids = [id_ for sequence in group for id_ in sequence.prompt]
            prefix = torch.tensor(group[0].prefix, device=self.device)
            input_ids = torch.tensor(ids, device=self.device)
            hidden = self.backbone.behind_prefix(prefix, input_ids, lengths)
            texts += draft_head_examples(group, lengths, hidden.chunk(2, dim=1)[1])
        return texts
