"""`generate` held to a grammar by engines that compile one, where they are installed.

The grammar is that of `copy_grammars`, compiled anew for each text; the time that
takes is told apart from the rest.
"""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from contestants import CannotRun
from contestants_generate import LONGEST, Generate
from copy_grammars import copy_rules, ebnf, lark
from decoding_room import Input, Room

from spacy_genner.formats.inline import InlineBracketed


def need(package: str) -> None:
    """Check that an optional package is installed.

    package (str): The name it is imported by.
    RAISES (CannotRun): It is not.
    """
    if find_spec(package) is None:
        raise CannotRun(f"the package {package} is not installed")


def rules_of(room: Room, each: Input) -> dict[str, list[list[str]]]:
    """RETURNS (Dict[str, List[List[str]]]): The rules for one input.
    RAISES (CannotRun): Its format is another."""
    if not isinstance(room.encoder.format, InlineBracketed):
        raise CannotRun(
            f"there is no text grammar of {room.encoder.format.name} here, only of "
            f"{InlineBracketed.name}"
        )
    return copy_rules(each.source, room.encoder.labels, room.encoder.max_depth)


class Engine(Generate):
    """What the engines have in common.

    package (str): The name that the engine is imported by.
    """

    package: str

    def prepare(self, room: Room) -> None:
        need(self.package)
        super().prepare(room)
        # The vocabulary of the network, which may be longer than the tokenizer's.
        self._size = room.network.get_output_embeddings().weight.shape[0]
        self.load()

    def load(self) -> None:
        """Make ready what is the same for all texts."""
        raise AssertionError("abstract")

    def longest(self, batch: Sequence[Input]) -> int:
        return LONGEST

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        began = time.perf_counter()
        (each,) = batch
        processor = self.compiled(rules_of(self.room, each), start)
        return [processor], time.perf_counter() - began

    def compiled(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        """RETURNS (Callable): What holds one output to the rules."""
        raise AssertionError("abstract")


class Xgrammar(Engine):
    """Held by xgrammar, through its own processor for transformers."""

    package = "xgrammar"

    def load(self) -> None:
        import xgrammar

        info = xgrammar.TokenizerInfo.from_huggingface(
            self.room.tokenizer,
            vocab_size=self._size,
            stop_token_ids=[self.room.end_id],
        )
        threads = self.room.settings.threads
        # What it keeps of one text would be met again in the next repeat only.
        self._compiler = xgrammar.GrammarCompiler(
            info, max_threads=threads, cache_enabled=False
        )

    def compiled(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor(self._compiler.compile_grammar(ebnf(rules)))


class Llguidance(Engine):
    """Held by llguidance."""

    package = "llguidance"

    def load(self) -> None:
        from llguidance.hf import from_tokenizer

        self._tokenizer = from_tokenizer(
            self.room.tokenizer, n_vocab=self._size, eos_token=self.room.end_id
        )

    def compiled(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(lark(rules)))
        if matcher.is_error():
            raise RuntimeError(matcher.get_error())
        return _Guided(matcher, self._size, start)


class _Guided:
    """Leaves the tokens that a matcher of llguidance allows."""

    def __init__(self, matcher: Any, size: int, start: int):
        from llguidance.torch import allocate_token_bitmask

        self._matcher = matcher
        self._mask = allocate_token_bitmask(1, size)
        self._start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        from llguidance.torch import (
            apply_token_bitmask_inplace,
            fill_next_token_bitmask,
        )

        if input_ids.shape[1] > self._start:
            if not self._matcher.consume_token(int(input_ids[0, -1])):
                raise RuntimeError(self._matcher.get_error())
        fill_next_token_bitmask(self._matcher, self._mask, 0)
        apply_token_bitmask_inplace(scores, self._mask.to(scores.device))
        return scores
