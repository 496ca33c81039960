"""`DraftDecoder` without one of the ideas that make it fast, each alone.

Spans are the same, up to what another order of sums rounds otherwise: an idea changes
when something is computed, never what.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from contestants import Answer
from contestants_own import Own, chunks, in_batches, tasks
from decoding_room import Input, Room

from spacy_genner.decoding import batcher
from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import DraftDecoder
from spacy_genner.decoding.drafts import InlineDraft
from spacy_genner.decoding.engine import Engine
from spacy_genner.models.base_model import share_modules, text_decoder
from spacy_genner.models.lm_head import RestrictedHead


class Without(Own):
    """The decoder without an idea.

    idea (str): Which; the name of the contestant is `without-` and this.
    patched (Callable): Gives what holds while it runs.
    """

    def __init__(
        self,
        idea: str,
        patched: Callable[[], AbstractContextManager] = nullcontext,
    ):
        super().__init__(f"without-{idea}", DraftDecoder, slow=True)
        self._patched = patched

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        with self._patched():
            return super().run(inputs)


class WithoutCompany(Without):
    """One text at a time."""

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self.decoder.batch_tokens = 1


class WithoutReplacement(Without):
    """Batches that wait for their slowest row."""

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        places = {id(each): place for place, each in enumerate(inputs)}
        for chunk in chunks(inputs, self.room.settings.chunk):
            for batch in in_batches(chunk, _length, self.room.batch_tokens):
                found = super().run(batch)
                for each, answer in zip(batch, found, strict=True):
                    answers[places[id(each)]] = answer
        return [answers[place] for place in range(len(inputs))]


class WithoutPacking(Without):
    """Rows that are padded to the longest."""

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self.engine.backbone.packs = False


class WithoutAttention(Without):
    """torch's fused attention, which takes padded rows alone."""

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        network = share_modules(room.network)
        network.set_attn_implementation("sdpa")
        self.engine = _engine(room, network, room.encoder.prefix_ids)


class WithoutMerging(Without):
    """The adapter beside the weights."""

    def prepare(self, room: Room) -> None:
        room.ner.lm.merge = False
        super().prepare(room)


class WithoutSharing(Without):
    """The instruction with each text. One token is shared, as something has to be."""

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self._own = room.encoder.prefix_ids[1:]
        self.engine = _engine(room, room.network, room.encoder.prefix_ids[:1])

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        shift = len(self._own)
        return [
            DecodingTask(
                task.grammar,
                (*self._own, *task.prompt),
                tuple(end + shift for end in task.unit_ends),
            )
            for task in tasks(self.room, inputs)
        ]


def _length(each: Input) -> int:
    assert each.source is not None
    return len(each.prompt) + len(each.source.flat_ids)


def _engine(room: Room, network: Any, prefix: Sequence[int]) -> Engine:
    head = room.ner.lm.drafting.for_decoding(
        len(room.encoder.labels), room.ner.lm.device
    )
    return Engine(network, text_decoder(network), list(prefix), head)


@contextmanager
def _whole_vocabulary() -> Iterator[None]:
    """Logits of all tokens, of which the legal ones are taken."""

    def rows(
        head: RestrictedHead, hidden: torch.Tensor, ids: torch.Tensor
    ) -> torch.Tensor:
        return head.full(hidden.to(head.weight.dtype)).gather(1, ids)

    with patch.object(RestrictedHead, "rows", rows):
        yield


@contextmanager
def _without_mending() -> Iterator[None]:
    """What was expected is expected still, however the model decides."""
    with patch.object(InlineDraft, "learn", lambda draft, place, chosen: None):
        yield


@contextmanager
def _without_reach() -> Iterator[None]:
    """Drafts to the end of the output, however wrong the last one was."""
    with patch.object(batcher, "SHORTEST", sys.maxsize):
        yield


# In the order in which a text meets them. Without the head: `draft-copy`.
IDEAS: list[Without] = [
    WithoutMerging("merging"),
    WithoutSharing("sharing"),
    WithoutCompany("company"),
    WithoutReplacement("replacement"),
    WithoutPacking("packing"),
    WithoutAttention("attention"),
    Without("gathering", _whole_vocabulary),
    Without("mending", _without_mending),
    Without("reach", _without_reach),
]
