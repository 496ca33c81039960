"""`generate` constrained by engines that compile a grammar: xgrammar and llguidance.

Both packages are optional. `copy_grammars` writes a grammar for each text. The time
that compiling it takes is reported separately.
"""

import time
from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from base import Context, Input, NotAvailable
from copy_grammars import copy_rules, ebnf, lark

from spacy_genner.formats.inline import InlineBracketed

from .generate import MAX_CONSTRAINED_TOKENS, Generate


def require_package(package: str) -> None:
    """Check that an optional package is installed.

    package (str): The name to import it by.
    RAISES (NotAvailable): The package is not installed.
    """
    if find_spec(package) is None:
        raise NotAvailable(f"the package {package} is not installed")


def make_rules(context: Context, each: Input) -> dict[str, list[list[str]]]:
    """Make the grammar of one input.

    context (Context): The pipeline.
    each (Input): The input.
    RETURNS (dict[str, list[list[str]]]): The rules.
    RAISES (NotAvailable): There is no text grammar for the component's format.
    """
    encoder = context.encoder
    if not isinstance(encoder.format, InlineBracketed):
        raise NotAvailable(
            f"there is no text grammar for {encoder.format.name}, only for "
            f"{InlineBracketed.name}"
        )
    return copy_rules(each.source, encoder.labels, encoder.max_depth)


class StructuredOutput(Generate):
    """Base class of the engines.

    package (str): The package of the engine.
    """

    package: str

    def prepare(self, context: Context) -> None:
        require_package(self.package)
        super().prepare(context)
        # The network's vocabulary may be larger than the tokenizer's.
        self._size = context.network.get_output_embeddings().weight.shape[0]
        self.load()

    @abstractmethod
    def load(self) -> None:
        """Load what all texts share."""

    def max_tokens(self, batch: Sequence[Input]) -> int:
        return MAX_CONSTRAINED_TOKENS

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        started = time.perf_counter()
        (each,) = batch
        processor = self.compile(make_rules(self.context, each), start)
        return [processor], time.perf_counter() - started

    @abstractmethod
    def compile(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        """Compile the grammar of one output.

        rules (dict[str, list[list[str]]]): The grammar.
        start (int): The number of ids before the output.
        RETURNS (LogitsProcessor): Masks the tokens that the grammar forbids.
        """


class Xgrammar(StructuredOutput):
    """xgrammar, with its own processor for transformers."""

    package = "xgrammar"

    def load(self) -> None:
        import xgrammar

        info = xgrammar.TokenizerInfo.from_huggingface(
            self.context.tokenizer,
            vocab_size=self._size,
            stop_token_ids=[self.context.end_id],
        )
        threads = self.context.settings.threads
        # A cached grammar would only be used again in the next repeat.
        self._compiler = xgrammar.GrammarCompiler(
            info, max_threads=threads, cache_enabled=False
        )

    def compile(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor(self._compiler.compile_grammar(ebnf(rules)))


class Llguidance(StructuredOutput):
    """llguidance."""

    package = "llguidance"

    def load(self) -> None:
        from llguidance.hf import from_tokenizer

        self._tokenizer = from_tokenizer(
            self.context.tokenizer, n_vocab=self._size, eos_token=self.context.end_id
        )

    def compile(self, rules: dict[str, list[list[str]]], start: int) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(lark(rules)))
        if matcher.is_error():
            raise RuntimeError(matcher.get_error())
        return _LlguidanceProcessor(matcher, self._size, start)


class _LlguidanceProcessor:
    """Masks the tokens that a matcher of llguidance forbids."""

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
