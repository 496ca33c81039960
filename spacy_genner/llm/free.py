"""Prompts answered freely: any token at any place."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import Errors, Warnings, warn
from ..isolation import isolated
from ..models.chat import ChatFrame, chat_frame
from ..models.language_model import LanguageModel
from ..models.pieces import PieceEncoder
from .adapters import Tuned, chat_of_questions
from .exchange import Answer, Question


class _Prompt(NamedTuple):
    """A prompt to be answered.

    place (int): Its place among all.
    ids (Tuple[int, ...]): Its ids.
    room (int): The most tokens of its answer.
    """

    place: int
    ids: tuple[int, ...]
    room: int


class FreeWriter:
    """Answers prompts greedily, up to a token that ends an answer.

    lm (LanguageModel): The model.
    tuned (Optional[Tuned]): What its adapter was tuned on, where that is known.
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
        tuned: Tuned | None,
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
        self.encode = PieceEncoder(lm.tokenizer)
        self._plain = ChatFrame(self.encode.begin_ids, (), self.encode.end_id)
        self._chat = None if chat is False else chat_frame(lm.tokenizer)
        if chat is True and self._chat is None:
            raise ValueError(Errors.G745.format(name=lm.name))

    def answers(self, prompts: Sequence[Any]) -> list[Answer]:
        """Answer some prompts.

        prompts (Sequence[str]): The prompts, of any lengths.
        RETURNS (List[Answer]): An answer for each, or the error that stood in its way.
        """
        made: dict[int, Answer] = {}
        ready = []
        for index, prompt in enumerate(prompts):
            try:
                ready.append(self._prompt(index, prompt))
            except Exception as error:
                made[index] = Answer(error=error)
        for batch in self._batches(ready):
            found = isolated(self._generate, batch, lambda _, e: Answer(error=e))
            made.update((p.place, a) for p, a in zip(batch, found, strict=True))
        return [made[index] for index in range(len(prompts))]

    def ids(self, prompt: str) -> tuple[int, ...]:
        """Encode a prompt: its text as data, and around it what a chat has.

        prompt (str): The prompt.
        RETURNS (Tuple[int, ...]): Its ids.
        """
        text, frame = str(prompt), self._chat or self._plain
        if isinstance(prompt, Question):
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

    def _generate(self, batch: Sequence[_Prompt]) -> list[Answer]:
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
        return [Answer(self._text(row, ends)) for row in rows]

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
