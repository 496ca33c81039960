"""This project's decoders, and the floor below them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from contestants import Answer, Contestant
from decoding_room import Input, Room

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import CopyDrafter, DraftDecoder, StepDecoder

Item = TypeVar("Item")
REFERENCE = "step"
# Those that run on all documents.
DECODERS: dict[str, Callable[[int], StepDecoder]] = {
    REFERENCE: StepDecoder,
    "draft": DraftDecoder,
}
# With other drafters, on the sample; one more is one more line.
OTHER_DRAFTERS: dict[str, Callable[[int], StepDecoder]] = {
    "draft-copy": lambda batch_tokens: DraftDecoder(batch_tokens, CopyDrafter()),
}


class Own(Contestant):
    """A decoder of this project, given as many documents at once as `chunk` says.

    name (str): How the results call it.
    make (Callable[[int], StepDecoder]): Makes it, of the most tokens of a batch.
    slow (bool): Whether the sample is enough for it.
    """

    def __init__(
        self, name: str, make: Callable[[int], StepDecoder], slow: bool = False
    ):
        self.name = name
        self.slow = slow
        self._make = make

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self.decoder = self._make(room.batch_tokens)
        self.annotator = room.runtime.annotator(self.decoder)
        self.engine = self.annotator.engine

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        answers = []
        for chunk in chunks(inputs, self.room.settings.chunk):
            # The grammars are made anew for each text, so they are part of the work.
            decoded = self.decoder.decode(self.engine, self.tasks(chunk))
            for each, result in zip(chunk, decoded, strict=True):
                spans = self.room.said(each.source, result.spans)
                answers.append(Answer(spans, result.ids, result.passes, result.fed))
        return answers

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        """RETURNS (List[DecodingTask]): What the decoder is given."""
        return tasks(self.room, inputs)


class Floor(Contestant):
    """One pass over each prompt and the output that the reference wrote for it, in the
    batches of the decoders, behind the same cached prefix; nothing is decided."""

    name = "floor"
    slow = False

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self.decoder = DraftDecoder(room.batch_tokens)
        self.engine = room.runtime.annotator(self.decoder).engine
        # Tasks say how the decoders make batches of them, and are not timed here.
        self._places = {}
        self._tasks = []
        for place, each in enumerate(room.inputs(room.gold.documents)):
            self._places[each.document, each.start] = place
            self._tasks += tasks(room, [each])

    @torch.inference_mode()
    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        answers = []
        for chunk in chunks(inputs, self.room.settings.chunk):
            places = [self._places[each.document, each.start] for each in chunk]
            for batch in in_batches(places, self._length, self.room.batch_tokens):
                self._pass(batch)
            for each, place in zip(chunk, places, strict=True):
                answers.append(self._answer(each, place))
        return answers

    def _length(self, place: int) -> int:
        return len(self._tasks[place])

    def _pass(self, places: Sequence[int]) -> None:
        whole = [[*self._tasks[p].prompt, *self.room.targets[p]] for p in places]
        rows = self.engine.rows(len(whole), max(map(len, whole)))
        rows.feed(range(len(whole)), whole, [0] * len(whole))

    def _answer(self, each: Input, place: int) -> Answer:
        target = self.room.targets[place]
        return Answer((), tuple(target), 1, len(each.prompt) + len(target))


def tasks(room: Room, inputs: Sequence[Input]) -> list[DecodingTask]:
    """RETURNS (List[DecodingTask]): What the decoders are given for some inputs."""
    encoder = room.encoder
    return [
        DecodingTask(
            encoder.grammar(i.source), i.prompt, encoder.unit_ends(i.source, i.prompt)
        )
        for i in inputs
    ]


def in_batches(
    items: Sequence[Item], length: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """Long ones together with long ones, as many tokens as the decoders take.

    items (Sequence[Item]): What is to be parted.
    length (Callable[[Item], int]): How many tokens one has.
    most (int): The most tokens of a batch.
    YIELDS (List[Item]): The batches.
    """
    batch: list[Item] = []
    for item in sorted(items, key=length, reverse=True):
        if batch and length(batch[0]) * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def chunks(inputs: Sequence[Input], size: int) -> Iterator[Sequence[Input]]:
    """YIELDS (Sequence[Input]): So many inputs at a time."""
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]
