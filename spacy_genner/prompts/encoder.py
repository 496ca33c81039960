"""Encode prompts and training targets as token ids.

A `TaskEncoder` is bound to a tokenizer, an output format and a prompt. Prediction and
training get their prompts and grammars from it, so that both see the same ids.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from ..formats import Format
from ..grammar import Grammar, Source, make_grammars, make_source
from ..grammar.base import Encode
from ..models.tokenization import ChatFrame, chat_frame
from .examples import Demonstration
from .layout import OUTPUT_FACTOR, PromptLayout

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span


class Choice(NamedTuple):
    """A position of a target at which several tokens are legal.

    place (int): The position in the target.
    legal (tuple[int, ...]): The legal ids.
    right (int): The index of the target's id among the legal ids.
    """

    place: int
    legal: tuple[int, ...]
    right: int


class Target(NamedTuple):
    """A reference output.

    ids (tuple[int, ...]): The ids, without the id that ends an output.
    choices (tuple[Choice, ...]): The positions at which decoding has a choice.
    """

    ids: tuple[int, ...]
    choices: tuple[Choice, ...]


class TaskEncoder:
    """Encodes prompts, grammars and targets.

    fmt (Format): The output format.
    layout (PromptLayout): The layout of the prompt, including the labels.
    encode (TokenAlignedEncoder): Encodes a string as data, without control tokens.
    begin_ids (Sequence[int]): The ids before every prompt.
    max_depth (int): The maximum depth of nested spans.
    after_ids (Sequence[int]): The ids between prompt and output.
    limit (int | None): The maximum number of positions of the model.

    labels (tuple[str, ...]): The labels, in order.
    prefix_ids (tuple[int, ...]): The start of the prompt that all documents share.
    """

    def __init__(
        self,
        fmt: Format,
        layout: PromptLayout,
        encode: Encode,
        begin_ids: Sequence[int],
        max_depth: int,
        after_ids: Sequence[int] = (),
        limit: int | None = None,
    ):
        self.format = fmt
        self.layout = layout
        self.encode = encode
        self.max_depth = max_depth
        self.limit = limit
        self.labels = layout.labels
        self._grammar = make_grammars(fmt, layout.labels, encode, max_depth)
        self.prefix_ids: tuple[int, ...] = (*begin_ids, *encode(layout.prefix))
        self._after_ids = tuple(after_ids)
        self._plain = self._encode_parts(layout.around())

    def source(self, words: Sequence[str], spaces: Sequence[bool]) -> Source:
        """Encode a tokenized text as the source of an output.

        words (Sequence[str]): The texts of the tokens.
        spaces (Sequence[bool]): Whether a single space follows each token.
        RETURNS (Source): The source.
        """
        return make_source(words, spaces, self.encode)

    def source_of(self, part: "Doc | Span") -> Source:
        """Encode a document, or a window of it, as the source of an output.

        part (Doc | Span): The tokens.
        RETURNS (Source): The source.
        """
        return self.source(
            [token.text for token in part],
            [bool(token.whitespace_) for token in part],
        )

    def grammar(self, source: Source) -> Grammar:
        """The legal outputs for a source.

        source (Source): The source.
        RETURNS (Grammar): The grammar.
        """
        return self._grammar(source)

    def prompt(self, source: Source) -> tuple[int, ...]:
        """Encode the part of the prompt between the shared prefix and the output.

        source (Source): The source.
        RETURNS (tuple[int, ...]): The ids.
        """
        text = source.flat_ids
        around = self._around(source.text.strip(), len(text))
        ids = list(around[0])
        for part in around[1:]:
            ids += [*text, *part]
        return tuple(ids)

    def word_ends(self, source: Source, prompt: Sequence[int]) -> tuple[int, ...]:
        """Find the words of a source in the last reading of its prompt.

        source (Source): The source.
        prompt (Sequence[int]): The result of `prompt(source)`.
        RETURNS (tuple[int, ...]): The position in the prompt of the last id of each
            word. Empty if the prompt does not end with the text.
        """
        text = source.flat_ids
        start = len(prompt) - len(self._plain[-1]) - len(text)
        if start < 0 or list(prompt[start : start + len(text)]) != text:
            return ()
        ends = accumulate(map(len, source.ids), initial=start - 1)
        return tuple(ends)[1:]

    def prompt_length(self, text_ids: int) -> int:
        """The length of a prompt without demonstrations for its text.

        text_ids (int): The number of ids of the text.
        RETURNS (int): The number of ids between prefix and output.
        """
        return self.readings * text_ids + sum(map(len, self._plain))

    @property
    def readings(self) -> int:
        """RETURNS (int): How many times a prompt holds the text."""
        return len(self._plain) - 1

    def _around(self, text: str, text_ids: int) -> list[tuple[int, ...]]:
        """The ids around a text, with the demonstrations that fit."""
        if self.layout.neighbours is None:
            return self._plain
        needed = len(self.prefix_ids) + (self.readings + OUTPUT_FACTOR) * text_ids

        def size(shown: Sequence[Demonstration]) -> int:
            return needed + sum(map(len, self._encode_parts(self.layout.around(shown))))

        # One position stays free for the id that ends an output.
        limit = None if self.limit is None else self.limit - 1
        shown = self.layout.fit_neighbours(text, size, limit)
        return self._encode_parts(self.layout.around(shown)) if shown else self._plain

    def _encode_parts(self, parts: Sequence[str]) -> list[tuple[int, ...]]:
        ids = [tuple(self.encode(part)) if part else () for part in parts]
        return [*ids[:-1], (*ids[-1], *self._after_ids)]

    def target(
        self, grammar: Grammar, spans: Sequence[tuple[int, int, int]]
    ) -> tuple[Target, list[tuple[int, int, int]]]:
        """Encode the reference output of some spans, with its choices.

        grammar (Grammar): The legal outputs of the source.
        spans (Sequence[tuple[int, int, int]]): The first word, the word after the last
            and the index of the label of each span. In the inline formats no span may
            cross another.
        RETURNS (tuple[Target, list[tuple[int, int, int]]]): The output, and the spans
            that no legal output represents. They are left out.
        """
        lost = grammar.unsayable(spans)
        kept = sorted(
            set(spans).difference(lost), key=lambda span: (span[0] - span[1], span)
        )
        while True:
            ids = grammar.target(kept)
            choices: list[Choice] = []
            state = grammar.start()
            for place, id_ in enumerate(ids):
                legal = state.choices
                if id_ not in legal:
                    break
                if len(legal) > 1:
                    choices.append(Choice(place, tuple(legal), legal.index(id_)))
                state = state.advance(id_)
            else:
                found = {(span.start, span.end, span.label) for span in state.spans}
                if state.finished and found == set(kept):
                    return Target(tuple(ids), tuple(choices)), lost
            # The tag that the automaton refuses belongs to one of the spans. Drop the
            # spans that cannot be represented even alone, or else the shortest.
            alone = [span for span in kept if not self._is_representable(grammar, span)]
            out = alone or [min(kept, key=lambda span: span[1] - span[0])]
            lost += out
            kept = [span for span in kept if span not in out]

    def _is_representable(self, grammar: Grammar, span: tuple[int, int, int]) -> bool:
        ids = grammar.target([span])
        state = grammar.start()
        for id_ in ids:
            if id_ not in state.choices:
                return False
            state = state.advance(id_)
        found = [(span.start, span.end, span.label) for span in state.spans]
        return state.finished and found == [span]


def resolve_chat(
    tokenizer: Any, chat: bool | str, auto: bool, error: str
) -> ChatFrame | None:
    """Resolve the setting `chat` of a component or a model.

    tokenizer (PreTrainedTokenizerBase): The tokenizer, which may have a chat template.
    chat (bool | str): Whether a prompt is a turn of a chat: true, false or "auto".
    auto (bool): Whether "auto" uses the chat template, if there is one.
    error (str): The message for a `chat` of true and a tokenizer without a template.
    RETURNS (ChatFrame | None): The ids around a prompt. None if it is no chat turn.
    RAISES (ValueError): `chat` is true and the tokenizer has no chat template.
    """
    if chat is False or (chat == "auto" and not auto):
        return None
    frame = chat_frame(tokenizer)
    if frame is None and chat is True:
        raise ValueError(error)
    return frame
