"""`generate` of transformers: unconstrained, with prompt lookup, under the grammar."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import torch
from base import Context, Input, NotAvailable, Output, System
from transformers import DynamicCache
from unconstrained import is_well_formed, markup_after_space

from spacy_genner.models.base_model import text_decoder

# An unconstrained output has at most FACTOR times the tokens of its text, and EXTRA
# more.
FACTOR, EXTRA = 3, 64
# A grammar ends an output itself.
MAX_CONSTRAINED_TOKENS = 4096


class Generate(System):
    """Greedy and unconstrained. The format parses the output.

    name (str): The name in the results.
    batched (bool): Whether inputs run in batches, sorted by length and padded on the
        left, or one at a time.
    lookup (int): The number of tokens that prompt lookup drafts; 0 to switch it off.
    """

    def __init__(self, name: str, batched: bool = False, lookup: int = 0):
        self.name = name
        self.batched = batched
        self._lookup = lookup

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self._network = context.network
        self._network.set_attn_implementation(context.settings.attention)
        self._device = next(self._network.parameters()).device
        self._prefix = list(context.encoder.prefix_ids)
        self._pad = context.tokenizer.pad_token_id
        if self._pad is None:
            self._pad = context.end_id
        self._cache = self._prefix_cache() if context.settings.share_prefix else None

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        outputs: dict[int, Output] = {}
        for batch in self._batches(inputs):
            made = self._run([inputs[index] for index in batch])
            outputs.update(zip(batch, made, strict=True))
        return [outputs[index] for index in range(len(inputs))]

    def max_tokens(self, batch: Sequence[Input]) -> int:
        """RETURNS (int): The most tokens of an output in a batch."""
        return max(max_output_tokens(each) for each in batch)

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        """Make the logits processors of a batch.

        batch (Sequence[Input]): The inputs.
        start (int): The number of ids before the outputs, with padding.
        RETURNS (tuple[list[LogitsProcessor], float]): The processors, and the seconds
            spent on compiling grammars for them.
        """
        return [], 0.0

    def read(self, each: Input, ids: Sequence[int]) -> tuple[tuple, bool | None]:
        """Read the spans of an output.

        each (Input): The input.
        ids (Sequence[int]): The token ids of the output.
        RETURNS (tuple[tuple[CharSpan, ...], bool | None]): The spans, and whether
            parsing repaired nothing.
        """
        text = self.context.tokenizer.decode(ids, skip_special_tokens=True)
        return read_text(self.context, each, text)

    def _batches(self, inputs: Sequence[Input]) -> Iterator[list[int]]:
        order = list(range(len(inputs)))
        size = 1
        if self.batched:
            size = self.context.batch
            order.sort(key=lambda index: -len(inputs[index].prompt))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _run(self, batch: list[Input]) -> list[Output]:
        ids, mask = self._padded(batch)
        start = ids.shape[1]
        processors, compiling = self.processors(batch, start)
        options: dict[str, Any] = {}
        if self._cache is not None:
            shared = copy.deepcopy(self._cache)
            if len(batch) > 1:
                shared.batch_repeat_interleave(len(batch))
            options[_cache_argument(self._network)] = shared
        if self._lookup:
            options["prompt_lookup_num_tokens"] = self._lookup
        with _PassCounter(self._network) as counter:
            sequences = self._network.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.max_tokens(batch),
                eos_token_id=self.context.end_id,
                pad_token_id=self._pad,
                logits_processor=processors,
                **options,
            )
        outputs = []
        for each, row in zip(batch, sequences[:, start:].tolist(), strict=True):
            output = list(takewhile(lambda id_: id_ != self.context.end_id, row))
            spans, well_formed = self.read(each, output)
            passes, fed = counter.passes, counter.fed
            if len(batch) > 1:
                # Count the passes up to the end of this output, without padding. The
                # last token of an output is not run.
                passes = min(len(output) + 1, len(row))
                cached = len(self._prefix) if self._cache is not None else 0
                own = len(self._prefix) - cached + len(each.prompt)
                fed = own + passes - 1
            outputs.append(
                Output(
                    spans,
                    tuple(output),
                    passes,
                    fed,
                    well_formed,
                    compiling / len(batch),
                )
            )
        return outputs

    def _padded(self, batch: list[Input]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad the prompts on the left, and make the attention mask.

        RETURNS (tuple[Tensor, Tensor]): Ids and mask, each of shape (inputs, longest).
            A cached prefix comes first, and the padding stands behind it.
        """
        cached = self._prefix if self._cache is not None else []
        rows = [[*self._prefix[len(cached) :], *each.prompt] for each in batch]
        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        ids = [
            [*cached, *[self._pad] * gap, *row]
            for gap, row in zip(gaps, rows, strict=True)
        ]
        mask = [
            [1] * len(cached) + [0] * gap + [1] * len(row)
            for gap, row in zip(gaps, rows, strict=True)
        ]
        return (
            torch.tensor(ids, device=self._device),
            torch.tensor(mask, device=self._device),
        )

    @torch.no_grad()
    def _prefix_cache(self) -> DynamicCache:
        cache = DynamicCache(config=self._network.config.get_text_config())
        decoder = text_decoder(self._network)
        ids = torch.tensor([self._prefix], device=self._device)
        options = {_cache_argument(decoder.forward): cache}
        decoder(input_ids=ids, use_cache=True, **options)
        return cache


class GrammarGenerate(Generate):
    """Constrained by this project's grammar, with a logits processor that masks the
    whole vocabulary."""

    def max_tokens(self, batch: Sequence[Input]) -> int:
        return MAX_CONSTRAINED_TOKENS

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        # Making the grammar is part of the timed work, as in this project's decoders.
        grammars = [self.context.encoder.grammar(each.source) for each in batch]
        return [GrammarProcessor(grammars, start, self.context.end_id)], 0.0

    def read(self, each: Input, ids: Sequence[int]) -> tuple[tuple, bool | None]:
        state = self.context.encoder.grammar(each.source).walk(list(ids))[-1]
        if not state.finished:
            raise NotAvailable(
                f"an output did not end within {MAX_CONSTRAINED_TOKENS} tokens"
            )
        return self.context.char_spans(each.source, state.spans), None


class GrammarProcessor:
    """A logits processor that masks the tokens that a grammar forbids.

    grammars (Sequence[Grammar]): One grammar for each row.
    start (int): The number of ids before the outputs.
    end (int): The token id that ends an output.
    """

    def __init__(self, grammars: Sequence[Any], start: int, end: int):
        self._states = [grammar.start() for grammar in grammars]
        self._start = start
        self._end = end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        masked = torch.full_like(scores, -torch.inf)
        last = input_ids[:, -1].tolist() if input_ids.shape[1] > self._start else ()
        for row, id_ in enumerate(last):
            if not self._states[row].finished:
                self._states[row] = self._states[row].advance(id_)
        for row, state in enumerate(self._states):
            legal = state.choices or [self._end]
            masked[row, legal] = scores[row, legal]
        return masked


class _PassCounter:
    """Counts the forward passes of a network, and the tokens that they run."""

    def __init__(self, network: Any):
        self._decoder = text_decoder(network)
        self.passes = 0
        self.fed = 0

    def __enter__(self) -> "_PassCounter":
        self._hook = self._decoder.register_forward_pre_hook(
            self._count, with_kwargs=True
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._hook.remove()

    def _count(self, module: Any, args: tuple, kwargs: dict) -> None:
        self.passes += 1
        self.fed += (args[0] if args else kwargs["input_ids"]).numel()


def max_output_tokens(each: Input) -> int:
    """RETURNS (int): The most tokens of an unconstrained output for an input."""
    return FACTOR * len(each.source.flat_ids) + EXTRA


def read_text(context: Context, each: Input, output: str) -> tuple[tuple, bool]:
    """Parse the text of an output with the component's format.

    context (Context): The pipeline.
    each (Input): The input.
    output (str): The output, with markup before white space.
    RETURNS (tuple[tuple[CharSpan, ...], bool]): The spans, and whether parsing repaired
        nothing.
    """
    fmt, labels = context.encoder.format, list(context.encoder.labels)
    output = markup_after_space(output, each.text, fmt, labels)
    parsed = fmt.parse(output, each.text, labels)
    return tuple(parsed.spans), is_well_formed(parsed)


def _cache_argument(called: Any) -> str:
    """The name of the argument that passes a cache; it depends on the version of
    transformers and on the model."""
    forward = getattr(called, "forward", called)
    if "cache" in inspect.signature(forward).parameters:
        return "cache"
    return "past_key_values"
