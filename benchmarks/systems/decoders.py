"""This project's decoders, and a lower bound on their time."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from base import Context, Input, Output, System

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import (
    CopyDrafter,
    DraftDecoder,
    Drafter,
    HeadDrafter,
    StepDecoder,
)

Item = TypeVar("Item")
# All systems are compared with this one.
REFERENCE = "step"
FLOOR = "floor"


class ProjectDecoder(System):
    """A decoder of this project. It gets `Settings.chunk` inputs a call.

    name (str): The name in the results.
    make (Callable[[int, float], StepDecoder]): Makes the decoder from the most tokens
        in a batch and the bias of opening a span, which is the pipeline's.
    slow (bool): Whether the system runs on the sample only.
    """

    def __init__(
        self, name: str, make: Callable[[int, float], StepDecoder], slow: bool = False
    ):
        self.name = name
        self.slow = slow
        self._make = make

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        bias = context.ner.decoder.opening_bias
        self.decoder = self._make(context.batch_tokens, bias)
        self.engine = context.predictor.engine()

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        outputs = []
        for chunk in chunks(inputs, self.context.settings.chunk):
            # Each text has its own grammar, so making it is part of the timed work.
            decoded = self.decoder.decode(self.engine, self.tasks(chunk))
            for each, result in zip(chunk, decoded, strict=True):
                spans = self.context.char_spans(each.source, result.spans)
                outputs.append(Output(spans, result.ids, result.passes, result.fed))
        return outputs

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        """Make the tasks of the decoder.

        inputs (Sequence[Input]): The inputs.
        RETURNS (list[DecodingTask]): One task for each.
        """
        return make_tasks(self.context, inputs)


class Floor(System):
    """A lower bound: one forward pass over each prompt and the output of the reference.

    The batches and the cached prefix are those of the decoders. Nothing is decoded.
    """

    name = FLOOR
    slow = False
    annotates = False

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self.engine = context.predictor.engine()
        # The lengths of the tasks determine the batches. Making tasks is not timed.
        self._indices = {}
        self._tasks = []
        for index, each in enumerate(context.inputs(context.dataset.documents)):
            self._indices[each.document, each.start] = index
            self._tasks += make_tasks(context, [each])

    @torch.inference_mode()
    def run(self, inputs: Sequence[Input]) -> list[Output]:
        outputs = []
        for chunk in chunks(inputs, self.context.settings.chunk):
            indices = [self._indices[each.document, each.start] for each in chunk]
            for batch in in_batches(indices, self._length, self.context.batch_tokens):
                self._run(batch)
            for each, index in zip(chunk, indices, strict=True):
                outputs.append(self._output(each, index))
        return outputs

    def _length(self, index: int) -> int:
        return len(self._tasks[index])

    def _run(self, indices: Sequence[int]) -> None:
        targets = self.context.targets
        sequences = [[*self._tasks[i].prompt, *targets[i]] for i in indices]
        rows = self.engine.rows(len(sequences), max(map(len, sequences)))
        rows.feed(range(len(sequences)), sequences, [0] * len(sequences))

    def _output(self, each: Input, index: int) -> Output:
        target = self.context.targets[index]
        return Output((), tuple(target), 1, len(each.prompt) + len(target))


def make_decoders() -> list[ProjectDecoder]:
    """RETURNS (list[ProjectDecoder]): The decoders, the reference first."""
    return [
        ProjectDecoder(REFERENCE, StepDecoder),
        ProjectDecoder("draft", drafting_with(HeadDrafter())),
        # Other drafters run on the sample only.
        ProjectDecoder("draft-copy", drafting_with(CopyDrafter()), slow=True),
    ]


def drafting_with(drafter: Drafter) -> Callable[[int, float], DraftDecoder]:
    """Get the argument `make` of `ProjectDecoder` for a drafter.

    drafter (Drafter): The drafter.
    RETURNS (Callable[[int, float], DraftDecoder]): Makes a decoder with this drafter.
    """
    return lambda batch_tokens, bias: DraftDecoder(batch_tokens, drafter, bias)


def make_tasks(context: Context, inputs: Sequence[Input]) -> list[DecodingTask]:
    """Make decoding tasks without expected spans.

    context (Context): The pipeline.
    inputs (Sequence[Input]): The inputs.
    RETURNS (list[DecodingTask]): One task for each.
    """
    encoder = context.encoder
    return [
        DecodingTask(
            encoder.grammar(i.source), i.prompt, encoder.word_ends(i.source, i.prompt)
        )
        for i in inputs
    ]


def in_batches(
    items: Sequence[Item], length: Callable[[Item], int], max_tokens: int
) -> Iterator[list[Item]]:
    """Batch items of similar length, the longest first.

    items (Sequence[Item]): The items.
    length (Callable[[Item], int]): Returns the number of tokens of an item.
    max_tokens (int): The most tokens in a batch, with padding.
    YIELDS (list[Item]): The batches.
    """
    batch: list[Item] = []
    for item in sorted(items, key=length, reverse=True):
        if batch and length(batch[0]) * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def chunks(inputs: Sequence[Input], size: int) -> Iterator[Sequence[Input]]:
    """YIELDS (Sequence[Input]): Consecutive inputs, `size` at a time."""
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]
