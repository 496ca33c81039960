"""`DraftDecoder` without one of the optimizations that make it fast, one at a time.

The spans stay the same, except for near ties that a different order of floating-point
sums decides differently: an optimization changes when something is computed, not what.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from base import Context, Input, Output
from systems.decoders import (
    ProjectDecoder,
    chunks,
    drafting_with,
    in_batches,
    make_tasks,
)

from spacy_genner.decoding import batcher, engine
from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import HeadDrafter
from spacy_genner.decoding.drafts import InlineDraft
from spacy_genner.decoding.engine import Engine
from spacy_genner.models.base_model import share_modules, text_decoder
from spacy_genner.models.lm_head import RestrictedHead


class Ablation(ProjectDecoder):
    """The decoder without one optimization.

    removed (str): The name of the optimization; the system is `without-REMOVED`.
    patched (Callable[[], AbstractContextManager]): Makes a context manager that is
        active while the decoder runs.
    """

    def __init__(
        self,
        removed: str,
        patched: Callable[[], AbstractContextManager] = nullcontext,
    ):
        super().__init__(f"without-{removed}", drafting_with(HeadDrafter()), slow=True)
        self._patched = patched

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        with self._patched():
            return super().run(inputs)


class WithoutBatching(Ablation):
    """One text a forward pass."""

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self.decoder.batch_tokens = 1


class WithoutReplacement(Ablation):
    """Static batches, which wait for their slowest sequence."""

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        outputs: dict[int, Output] = {}
        indices = {id(each): index for index, each in enumerate(inputs)}
        for chunk in chunks(inputs, self.context.settings.chunk):
            for batch in in_batches(chunk, _length, self.context.batch_tokens):
                found = super().run(batch)
                for each, output in zip(batch, found, strict=True):
                    outputs[indices[id(each)]] = output
        return [outputs[index] for index in range(len(inputs))]


class WithoutCPUPass(Ablation):
    """The forward pass of transformers, with a copy of the prefix in each row, and
    drafts of any length."""

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self.engine.cpu_pass = None


class WithoutPacking(Ablation):
    """Sequences that are padded to the longest."""

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self.engine.cpu_pass = None
        self.engine.backbone.packs = False


class WithoutAttention(Ablation):
    """torch's fused attention, which needs padded sequences."""

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        network = share_modules(context.network)
        network.set_attn_implementation("sdpa")
        self.engine = _make_engine(context, network, context.encoder.prefix_ids)
        self.engine.cpu_pass = None


class WithoutMerging(Ablation):
    """The adapter beside the weights of the base, not merged into them."""

    def prepare(self, context: Context) -> None:
        context.ner.lm.merge = False
        super().prepare(context)


class WithoutSharing(Ablation):
    """The instruction is run for each text. One token stays shared, because an engine
    needs a prefix."""

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        prefix = context.encoder.prefix_ids
        self._unshared = prefix[1:]
        self.engine = _make_engine(context, context.network, prefix[:1])

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        shift = len(self._unshared)
        return [
            DecodingTask(
                task.grammar,
                (*self._unshared, *task.prompt),
                tuple(end + shift for end in task.word_ends),
            )
            for task in make_tasks(self.context, inputs)
        ]


def make_ablations() -> list[Ablation]:
    """RETURNS (list[Ablation]): The ablations, in the order in which a text passes
    through the optimizations. `draft-copy` is the one without the draft head."""
    return [
        WithoutMerging("merging"),
        WithoutSharing("sharing"),
        WithoutBatching("company"),
        WithoutReplacement("replacement"),
        WithoutCPUPass("cpu-pass"),
        WithoutPacking("packing"),
        WithoutAttention("attention"),
        Ablation("gathering", _full_vocabulary),
        Ablation("mending", _fixed_drafts),
        Ablation("reach", _unlimited_drafts),
    ]


def _length(each: Input) -> int:
    assert each.source is not None
    return len(each.prompt) + len(each.source.flat_ids)


def _make_engine(context: Context, network: Any, prefix: Sequence[int]) -> Engine:
    lm = context.ner.lm
    head = lm.drafting.for_decoding(context.encoder.labels, lm.device)
    return Engine(network, text_decoder(network), list(prefix), head)


@contextmanager
def _full_vocabulary() -> Iterator[None]:
    """Compute the logits of the whole vocabulary, then select the legal ones."""

    def rows(
        head: RestrictedHead, hidden: torch.Tensor, ids: torch.Tensor
    ) -> torch.Tensor:
        return head.full(hidden.to(head.weight.dtype)).gather(1, ids)

    with patch.object(RestrictedHead, "rows", rows):
        yield


@contextmanager
def _fixed_drafts() -> Iterator[None]:
    """Keep the expected spans as they are after a rejected draft."""
    with patch.object(InlineDraft, "learn", lambda draft, *choices: None):
        yield


@contextmanager
def _unlimited_drafts() -> Iterator[None]:
    """Draft to the end of the output, even after a rejected draft."""
    with (
        patch.object(batcher, "MIN_DRAFT_LIMIT", sys.maxsize),
        patch.object(engine, "ROW_COST", math.inf),
    ):
        yield
