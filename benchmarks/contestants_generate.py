"""transformers' `generate`: free, with prompt lookup, and held to the grammar."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import torch
from contestants import Answer, CannotRun, Contestant
from decoding_room import Input, Room
from free_outputs import marks_after_space, well_formed
from transformers import DynamicCache

from spacy_genner.models.base_model import text_decoder

# The most tokens of a free output: so many times those of the text, and some more.
ROOM = (3, 64)
# An output under a grammar ends by itself.
LONGEST = 4096


class Generate(Contestant):
    """Greedy, any token at any place; the output is read by its format.

    name (str): How the results call it.
    batched (bool): Whether several inputs go together, sorted by length and padded on
        the left; else each goes alone.
    lookup (int): How many tokens are guessed from the prompt (prompt lookup); 0 for
        none.
    """

    def __init__(self, name: str, batched: bool = False, lookup: int = 0):
        self.name = name
        self.batched = batched
        self._lookup = lookup

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self._network = room.network
        self._network.set_attn_implementation(room.settings.attention)
        self._device = next(self._network.parameters()).device
        self._prefix = list(room.encoder.prefix_ids)
        self._pad = room.tokenizer.pad_token_id
        if self._pad is None:
            self._pad = room.end_id
        self._cache = self._prefix_cache() if room.settings.share_prefix else None

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        for batch in self._batches(inputs):
            made = self._run([inputs[index] for index in batch])
            answers.update(zip(batch, made, strict=True))
        return [answers[index] for index in range(len(inputs))]

    def longest(self, batch: Sequence[Input]) -> int:
        """RETURNS (int): The most tokens of an output of a batch."""
        times, more = ROOM
        return max(times * len(each.source.flat_ids) + more for each in batch)

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        """What changes the scores of the next tokens.

        batch (Sequence[Input]): The inputs.
        start (int): How many ids stand before the outputs, padding included.
        RETURNS (Tuple[List[Callable], float]): The processors, and the seconds in which
            grammars were compiled for them.
        """
        return [], 0.0

    def read(self, each: Input, ids: Sequence[int]) -> tuple[tuple, bool | None]:
        """RETURNS (Tuple[Tuple[CharSpan, ...], Optional[bool]]): The spans that an
        output says, and whether there was nothing to repair."""
        return read_text(
            self.room, each, self.room.tokenizer.decode(ids, skip_special_tokens=True)
        )

    def _batches(self, inputs: Sequence[Input]) -> Iterator[list[int]]:
        order = list(range(len(inputs)))
        size = 1
        if self.batched:
            size = self.room.batch
            order.sort(key=lambda index: -len(inputs[index].prompt))
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _run(self, batch: list[Input]) -> list[Answer]:
        ids, mask = self._padded(batch)
        start = ids.shape[1]
        processors, compiling = self.processors(batch, start)
        given: dict[str, Any] = {}
        if self._cache is not None:
            shared = copy.deepcopy(self._cache)
            if len(batch) > 1:
                shared.batch_repeat_interleave(len(batch))
            given[_cache_name(self._network)] = shared
        if self._lookup:
            given["prompt_lookup_num_tokens"] = self._lookup
        with _Counter(self._network) as counter:
            whole = self._network.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.longest(batch),
                eos_token_id=self.room.end_id,
                pad_token_id=self._pad,
                logits_processor=processors,
                **given,
            )
        answers = []
        for each, row in zip(batch, whole[:, start:].tolist(), strict=True):
            output = list(takewhile(lambda id_: id_ != self.room.end_id, row))
            spans, fine = self.read(each, output)
            passes, fed = counter.passes, counter.fed
            if len(batch) > 1:
                # Those up to the row's own end, padding left out. The last token of an
                # output is not run.
                passes = min(len(output) + 1, len(row))
                shared_ids = len(self._prefix) if self._cache is not None else 0
                own = len(self._prefix) - shared_ids + len(each.prompt)
                fed = own + passes - 1
            answer = Answer(
                spans, tuple(output), passes, fed, fine, compiling / len(batch)
            )
            answers.append(answer)
        return answers

    def _padded(self, batch: Sequence[Input]) -> tuple[torch.Tensor, torch.Tensor]:
        """Prefix and prompts, and which of the ids are no padding. A prefix that is
        kept comes first, and the padding stands behind it."""
        kept = self._prefix if self._cache is not None else []
        rows = [[*self._prefix[len(kept) :], *each.prompt] for each in batch]
        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        ids = [
            [*kept, *[self._pad] * gap, *row]
            for gap, row in zip(gaps, rows, strict=True)
        ]
        mask = [
            [1] * len(kept) + [0] * gap + [1] * len(row)
            for gap, row in zip(gaps, rows, strict=True)
        ]
        made = (torch.tensor(ids), torch.tensor(mask))
        return made[0].to(self._device), made[1].to(self._device)

    @torch.no_grad()
    def _prefix_cache(self) -> DynamicCache:
        cache = DynamicCache(config=self._network.config.get_text_config())
        decoder = text_decoder(self._network)
        ids = torch.tensor([self._prefix], device=self._device)
        given = {_cache_name(decoder.forward): cache}
        decoder(input_ids=ids, use_cache=True, **given)
        return cache


class GrammarGenerate(Generate):
    """Held to this project's grammar: it is walked token by token, and a mask over the
    whole vocabulary leaves what it allows."""

    def longest(self, batch: Sequence[Input]) -> int:
        return LONGEST

    def processors(self, batch: Sequence[Input], start: int) -> tuple[list, float]:
        # As in the decoders of this project, where it is part of decoding.
        grammars = [self.room.encoder.grammar(each.source) for each in batch]
        return [Held(grammars, start, self.room.end_id)], 0.0

    def read(self, each: Input, ids: Sequence[int]) -> tuple[tuple, bool | None]:
        state = self.room.encoder.grammar(each.source).walk(list(ids))[-1]
        if not state.finished:
            raise CannotRun(f"an output did not end within {LONGEST} tokens")
        return self.room.said(each.source, state.marked), None


class Held:
    """Leaves the tokens that automata allow.

    grammars (Sequence[OutputGrammar]): One for each row.
    start (int): How many ids stand before the outputs.
    end (int): The id that ends an output.
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


def read_text(room: Room, each: Input, output: str) -> tuple[tuple, bool]:
    """Read what a model wrote by the component's format.

    room (Room): Knows format and labels.
    each (Input): What it was given.
    output (str): The output, marks before white space.
    RETURNS (Tuple[Tuple[CharSpan, ...], bool]): The spans, and whether there was
        nothing to repair.
    """
    fmt, labels = room.encoder.format, list(room.encoder.labels)
    output = marks_after_space(output, each.text, fmt, labels)
    parsed = fmt.parse(output, each.text, labels)
    return tuple(parsed.spans), well_formed(parsed)


class _Counter:
    """Counts forward passes of a network, and the tokens that they run."""

    def __init__(self, network: Any):
        self._decoder = text_decoder(network)
        self.passes = 0
        self.fed = 0

    def __enter__(self) -> "_Counter":
        self._hook = self._decoder.register_forward_pre_hook(
            self._count, with_kwargs=True
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._hook.remove()

    def _count(self, module: Any, args: tuple, kwargs: dict) -> None:
        self.passes += 1
        self.fed += (args[0] if args else kwargs["input_ids"]).numel()


def _cache_name(called: Any) -> str:
    """What a network, or its text decoder's `forward`, calls the cache it is given."""
    forward = getattr(called, "forward", called)
    return (
        "cache"
        if "cache" in inspect.signature(forward).parameters
        else ("past_key_values")
    )
