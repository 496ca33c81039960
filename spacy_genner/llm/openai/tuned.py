"""The predictor of a tuned adapter that runs on a server.

The server is asked exactly as the local decoder asks: with the token ids of the prompt
that the adapter was tuned on, in which no token of the model crosses the boundary of a
spaCy token. An answer is read with the automaton of the output format, over characters
instead of token ids, so that the decisions of each span are known.

The grammar that the server gets is a little wider than the automaton of an inline
format. Where an answer leaves the automaton, the server is asked again: for the rest of
the output, with a grammar that excludes this choice. The model has made every choice
before that place among the choices of the automaton, so the result is that of the
automaton. An answer that the automaton still does not accept is aligned like that of
any other remote model.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...export.gbnf import MAX_GRAMMAR_BYTES, Continuation, copy_grammar
from ...formats import InlineFormat
from ...grammar import Grammar, MarkedSpan, Source, State, make_grammars
from ...grammar.inline import InlineState
from ...models.tokenization import ChatFrame, TokenAlignedEncoder
from ...pipeline.predictor import PredictorConfig
from ...pipeline.results import (
    OK,
    REPAIRED,
    Prediction,
    TokenSpan,
    failed_prediction,
    merge_windows,
)
from ...pipeline.verifier import Verdict
from ...prompts import PromptLayout, TaskEncoder
from ...prompts.encoder import resolve_chat
from ...prompts.windows import Window, WindowCutter
from ..alignment import aligned
from ..messages import Completion, make_prompt
from .protocol import (
    ParsedResponse,
    TokenIds,
    TokenProbability,
    TokenPrompt,
    answer_limit,
    next_cue,
    token_probabilities,
)
from .retry import STRUCTURE, RemoteError
from .settings import AUTO

if TYPE_CHECKING:
    from ...export.served import ServedAdapter
    from .predictor import RemoteLanguageModel

# Tokens beyond a complete output, such as the one that ends it.
_AROUND = 16
# How often the server is asked for the rest of one output.
_MAX_CONTINUATIONS = 16
# Stands for bytes that are no whole character.
_PARTIAL = "\ufffd"


class _Input(NamedTuple):
    """A window that is sent to the server.

    doc (int): The index of its document.
    number (int): The number of the window in the document.
    source (Source): The text of the window.
    """

    doc: int
    number: int
    source: Source


# A token of an output, and the character at which it begins.
_PlacedToken = tuple[int, TokenProbability]


class Answer(NamedTuple):
    """What the server has written for a window, in one response or several.

    text (str): The output.
    tokens (tuple[tuple[int, TokenProbability], ...]): Its tokens, as far as they
        have probabilities.
    has_scores (bool): Whether all parts have probabilities.
    truncated (bool): Whether the output was cut off at the token limit.
    """

    text: str = ""
    tokens: tuple[_PlacedToken, ...] = ()
    has_scores: bool = True
    truncated: bool = False

    def until(self, end: int) -> "Answer":
        """RETURNS (Answer): The beginning of the output, up to a character. A token
        that goes beyond it is left out."""
        kept = (each for each in self.tokens if each[0] + len(each[1].text) <= end)
        return Answer(self.text[:end], tuple(kept), self.has_scores)

    def extended(self, response: ParsedResponse, text: str) -> "Answer":
        """Append a response.

        response (ParsedResponse): The response.
        text (str): Its text, without noise around it.
        RETURNS (Answer): The longer answer.
        """
        tokens, complete = _place_tokens(text, token_probabilities(response.logprobs))
        begin = len(self.text)
        placed = ((begin + at, token) for at, token in tokens)
        return Answer(
            self.text + text,
            (*self.tokens, *placed),
            self.has_scores and complete,
            response.truncated,
        )


class _Part(NamedTuple):
    """What the server is asked for: an output, or the rest of one.

    prompt (TokenPrompt): The prompt.
    begin (Answer): The beginning of the output, which the prompt contains.
    next_texts (tuple[str, ...]): With what the rest may begin. Empty for a whole
        output.
    """

    prompt: TokenPrompt
    begin: Answer = Answer()
    next_texts: tuple[str, ...] = ()


class TunedPredictor:
    """Predicts with a tuned adapter that runs on a server.

    lm (RemoteLanguageModel): The remote model.
    served (ServedAdapter): The prompt and the tokenizer of the adapter.
    config (PredictorConfig): The settings of the component.
    RAISES (ValueError): The tokenizer can't be read, or the prompt leaves no room for
        text.

    layout (PromptLayout): The prompt, with the demonstrations that fit.
    checksum (str): The checksum of the base's weights that the adapter was tuned on.
    encoder (TaskEncoder): Makes prompts.
    cutter (WindowCutter): Cuts documents into windows.
    """

    def __init__(
        self,
        lm: "RemoteLanguageModel",
        served: "ServedAdapter",
        config: PredictorConfig,
    ):
        self.lm = lm
        self.checksum = served.state.checksum or ""
        tokenizer = served.read_tokenizer()
        encode = TokenAlignedEncoder(tokenizer)
        plain = ChatFrame(encode.begin_ids, (), encode.end_id)
        error = Errors.G113.format(name=served.folder)
        frame = resolve_chat(tokenizer, served.chat, False, error) or plain
        limit = lm.settings.context_length or served.context_length

        def count(text: str) -> int:
            return len(encode(text))

        self.layout = config.layout.fit_demonstrations(
            count, limit, config.window.max_tokens
        )
        self.encoder = TaskEncoder(
            config.format,
            self.layout,
            encode,
            frame.before,
            config.max_depth,
            frame.after,
            limit,
        )
        self.cutter = WindowCutter(
            config.window,
            count,
            limit=limit,
            fixed=len(self.encoder.prefix_ids) + self.encoder.prompt_length(0),
            readings=self.encoder.readings,
        )
        chosen = lm.settings.server
        self._server = served.server if chosen == AUTO else chosen
        self._tokenizer = tokenizer
        self._begin_ids = encode.begin_ids
        # The server ends an output at the tokenizer's own end. A chat may have another.
        self._end_id = None if frame.end_id == encode.end_id else frame.end_id
        self._control = _control_tokens(tokenizer)
        # The automaton over characters, which reads the outputs of any tokenizer.
        self._make_grammar = make_grammars(
            config.format, self.layout.labels, _characters, config.max_depth
        )
        self._warned_of_size = False
        self._warned_of_scores = False

    def predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Predict the spans of some documents, whose prompts are sent concurrently. A
        document that fails does not affect the others.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (list[Prediction]): One prediction for each.
        RAISES (ValueError): The API key of the server is missing.
        """
        windows: list[list[Window]] = []
        parts: list[list[Prediction]] = []
        failed: dict[int, Prediction] = {}
        inputs: list[_Input] = []
        prompts: list[TokenPrompt] = []
        for index, doc in enumerate(docs):
            windows.append([])
            parts.append([])
            try:
                cut = self.cutter.windows(doc)
                made = list(self._inputs(doc, index, cut))
                asked = [
                    self.prompt(doc, cut[each.number], each.source) for each in made
                ]
            except Exception as error:
                failed[index] = failed_prediction(doc, error)
                continue
            windows[index] = cut
            parts[index] = [self._empty(doc, window) for window in cut]
            inputs += made
            prompts += asked
        for each, answer in zip(
            inputs, self._answers(docs, windows, inputs, prompts), strict=True
        ):
            doc, window = docs[each.doc], windows[each.doc][each.number]
            try:
                if isinstance(answer, Exception):
                    raise answer
                part = self.window_prediction(doc, window, each.source, answer)
            except Exception as error:
                part = failed_prediction(doc[window.start : window.end], error)
            if self.lm.keep_answers:
                part.answers = [answer.text if isinstance(answer, Answer) else ""]
            parts[each.doc][each.number] = part
        return [
            failed[index] if index in failed else self._merged(doc, cut, found)
            for index, (doc, cut, found) in enumerate(
                zip(docs, windows, parts, strict=True)
            )
        ]

    def _answers(
        self,
        docs: Sequence[Doc],
        windows: Sequence[Sequence[Window]],
        inputs: Sequence[_Input],
        prompts: Sequence[TokenPrompt],
    ) -> list[Answer | RemoteError]:
        """Ask for the outputs of some windows, and again for the rest of those that
        leave the automaton."""
        answers: list[Answer | RemoteError] = [Answer() for _ in inputs]
        asked = {index: _Part(prompt) for index, prompt in enumerate(prompts)}
        for _ in range(_MAX_CONTINUATIONS + 1):
            responses = self.lm.client.complete(
                (part.prompt for part in asked.values()), self._server
            )
            again = {}
            for (index, part), response in zip(asked.items(), responses, strict=True):
                if isinstance(response, RemoteError):
                    answers[index] = response
                    continue
                self._check_scores(response)
                each = inputs[index]
                window, text = windows[each.doc][each.number], response.text
                # Line breaks around an output are noise unless the text has some, too.
                if not docs[each.doc][window.start : window.end].text.endswith("\n"):
                    text = text.rstrip("\n")
                if part.next_texts and not text.startswith(part.next_texts):
                    # The server ignores the grammar, so its first answer stands.
                    continue
                answer = answers[index] = part.begin.extended(response, text)
                if prompts[index].grammar is not None and STRUCTURE.isdisjoint(
                    response.dropped
                ):
                    rest = self._rest(each.source, prompts[index], answer)
                    if rest is not None:
                        again[index] = rest
            asked = again
            if not asked:
                break
        return answers

    def _rest(
        self, source: Source, prompt: TokenPrompt, answer: Answer
    ) -> "_Part | None":
        """Ask for the rest of an output that leaves the automaton.

        source (Source): The source of the window.
        prompt (TokenPrompt): Its first prompt.
        answer (Answer): The output.
        RETURNS (_Part | None): The rest. None if the output stays in the automaton, or
            does not follow the grammar that was sent.
        """
        states = _walk(self._make_grammar(_by_characters(source)), answer.text)
        if len(states) > len(answer.text):
            return None
        bounds = [
            (at, state)
            for at, state in enumerate(states)
            if isinstance(state, InlineState) and state.at_boundary
        ]
        if not bounds:
            return None
        end, state = bounds[-1]
        fmt, labels = self.encoder.format, self.encoder.labels
        assert isinstance(fmt, InlineFormat)
        position = state.position
        word = source.word_texts[position.word : position.word + 1]
        texts = (*word, *map(fmt.open_tag, labels), *map(fmt.close_tag, labels))
        if not answer.text.startswith(texts, end):
            return None
        legal = tuple(text for text in dict.fromkeys(texts) if _follows(state, text))
        start = Continuation(position.word, len(position.stack), legal)
        grammar = copy_grammar(fmt, source, labels, self.encoder.max_depth, start)
        written = self._encode_output(source, answer.text, bounds)
        first = prompt.ids
        ids = TokenIds(
            [*first, *written], first.text + answer.text[:end], first.control
        )
        size = max(1, prompt.max_tokens - len(written))
        rest = prompt._replace(ids=ids, max_tokens=size, grammar=grammar)
        return _Part(rest, answer.until(end), legal)

    def _encode_output(
        self, source: Source, output: str, bounds: Sequence[tuple[int, InlineState]]
    ) -> list[int]:
        """Encode an output up to the last of some boundaries, as in the training: each
        word and each tag by itself."""
        ids: list[int] = []
        for (begin, before), (end, after) in pairwise(bounds):
            words = range(before.position.word, after.position.word)
            if "".join(source.word_texts[word] for word in words) == output[begin:end]:
                ids += [id_ for word in words for id_ in source.ids[word]]
            else:
                ids += self.encoder.encode(output[begin:end])
        return ids

    def _merged(
        self, doc: Doc, windows: Sequence[Window], parts: Sequence[Prediction]
    ) -> Prediction:
        allow_crossing = self.encoder.format.allows_crossing
        labels = self.encoder.labels
        merged = merge_windows(doc, windows, parts, labels, allow_crossing)
        merged.answers = [answer for part in parts for answer in part.answers]
        return merged

    def _inputs(
        self, doc: Doc, index: int, windows: Sequence[Window]
    ) -> Iterator[_Input]:
        for number, window in enumerate(windows):
            if self.cutter.holds(window):
                source = self.encoder.source_of(doc[window.start : window.end])
                if len(source):
                    yield _Input(index, number, source)

    def _empty(self, doc: Doc, window: Window) -> Prediction:
        """The prediction of a window that is not sent: it is blank, or too long."""
        if self.cutter.holds(window):
            return Prediction()
        token = doc[window.start]
        issue = {
            "code": "too_long",
            "message": (
                f"the token {token.text[:20]!r}... has {window.size} model tokens, and "
                f"the limit is {self.cutter.longest}: no span is predicted inside it"
            ),
            "start": 0,
            "end": window.end - window.start,
            "within": "tokens",
        }
        return Prediction(status=REPAIRED, issues=[issue])

    def prompt(self, doc: Doc, window: Window, source: Source) -> TokenPrompt:
        """Make the prompt of a window, token for token as in the training.

        doc (Doc): The document.
        window (Window): One of its windows.
        source (Source): The source of the window.
        RETURNS (TokenPrompt): The prompt.
        RAISES (ValueError): `structured` is true, and the grammar of the text is too
            large.
        """
        ids = [*self.encoder.prefix_ids, *self.encoder.prompt(source)]
        begin = len(self._begin_ids)
        # A server that tokenizes the text puts the same ids before it.
        own = ids[begin:] if tuple(ids[:begin]) == self._begin_ids else ids
        text = self._tokenizer.decode(own, clean_up_tokenization_spaces=False)
        found = next((name for name in self._control if name in source.text), "")
        asked = make_prompt(doc[window.start : window.end], self.layout)
        is_inline = isinstance(self.encoder.format, InlineFormat)
        cue = next_cue(asked) if is_inline else None
        if is_inline:
            tags = self._tag_tokens() * len(source)
            size = len(source.flat_ids) + tags + _AROUND
        else:
            size = answer_limit(asked)
        if self.encoder.limit is not None:
            size = max(1, min(size, self.encoder.limit - len(ids)))
        return TokenPrompt(
            TokenIds(ids, text, found),
            size,
            self._grammar_text(source),
            () if cue is None else (cue,),
            () if self._end_id is None else (self._end_id,),
        )

    def _tag_tokens(self) -> int:
        """The maximum number of tokens in the tags of one span."""
        fmt, encode = self.encoder.format, self.encoder.encode
        assert isinstance(fmt, InlineFormat)
        sizes = (
            len(encode(fmt.open_tag(label))) + len(encode(fmt.close_tag(label)))
            for label in self.encoder.labels
        )
        return max(sizes, default=0)

    def _grammar_text(self, source: Source) -> str | None:
        """The grammar in text form. None if it is not wanted or too large."""
        structured = self.lm.settings.structured
        if structured is False or not self.encoder.labels:
            return None
        labels, depth = self.encoder.labels, self.encoder.max_depth
        grammar = copy_grammar(self.encoder.format, source, labels, depth)
        size = len(grammar.encode("utf8", "replace"))
        if size <= MAX_GRAMMAR_BYTES:
            return grammar
        values = {"words": len(source), "size": size, "limit": MAX_GRAMMAR_BYTES}
        if structured is True:
            raise ValueError(Errors.G853.format(**values))
        if not self._warned_of_size:
            self._warned_of_size = True
            warn(Warnings.W843.format(**values))
        return None

    def window_prediction(
        self, doc: Doc, window: Window, source: Source, answer: Answer
    ) -> Prediction:
        """Turn an answer into spans of the tokens of its window.

        doc (Doc): The document.
        window (Window): The window.
        source (Source): Its source.
        answer (Answer): The output.
        RETURNS (Prediction): The spans, counted from the first token of the window.
        """
        part = doc[window.start : window.end]
        output = answer.text
        states = _walk(self._make_grammar(_by_characters(source)), output)
        accepted = len(states) > len(output) and states[-1].finished
        if answer.truncated or not accepted:
            # The format's parser also reads outputs with tags before white space, and
            # reports everything that differs from the text.
            labels = self.encoder.labels
            return aligned(part, Completion(output), self.encoder.format, labels)
        scorer = _Scorer(states, answer)
        spans = states[-1].spans
        doubtful = set(states[-1].grammar.ambiguous(spans))
        prediction = Prediction(has_scores=scorer.has_scores)
        for span in spans:
            start = source.tokens[span.start]
            end = source.tokens[span.end - 1] + 1
            label = self.encoder.labels[span.label]
            prediction.spans.append(TokenSpan(start, end, label, scorer.score(span)))
            if span in doubtful and window.decides(
                window.start + start, window.start + end
            ):
                message = (
                    f"the text of {label} over tokens {window.start + start} to "
                    f"{window.start + end} stands at more places than the output has "
                    "entries for it"
                )
                place = {"start": start, "end": end, "within": "tokens"}
                issue = {"code": "ambiguous_place", "message": message, **place}
                prediction.issues.append(issue)
        prediction.status = REPAIRED if prediction.issues else OK
        return prediction

    def _check_scores(self, response: ParsedResponse) -> None:
        """Warn if a response has no probabilities although they were requested."""
        settings = self.lm.settings
        if response.logprobs is not None or "logprobs" in response.dropped:
            return
        if settings.scores and not self._warned_of_scores:
            self._warned_of_scores = True
            values = {"url": settings.base_url, "said": "an answer has none"}
            warn(Warnings.W842.format(**values))

    def judge(self, texts: Sequence[str], layout: PromptLayout) -> list[Verdict]:
        """Refuse: a verifier asks the base without its adapter.

        RAISES (ValueError): Always.
        """
        raise ValueError(Errors.G851.format(name=self.lm.name))


def _characters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def _by_characters(source: Source) -> Source:
    return replace(source, ids=tuple(map(_characters, source.word_texts)))


def _control_tokens(tokenizer: Any) -> list[str]:
    """The names of control tokens, which a server reads in a text as such."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    names = [str(token) for token in added if token.special]
    return sorted({*map(str, tokenizer.all_special_tokens), *names} - {""})


def _walk(grammar: Grammar, output: str) -> list[State]:
    """The states before each character of an output, as far as the automaton accepts
    it, and the state after the last accepted character."""
    states: list[State] = [grammar.start()]
    for char in output:
        if ord(char) not in states[-1].choices:
            break
        states.append(states[-1].advance(ord(char)))
    return states


def _follows(state: State, text: str) -> bool:
    """Whether an output may go on with a text."""
    for char in text:
        if ord(char) not in state.choices:
            return False
        state = state.advance(ord(char))
    return True


def _place_tokens(
    output: str, tokens: Sequence[TokenProbability]
) -> tuple[list[_PlacedToken], bool]:
    """Find the tokens of an output in it.

    output (str): The output.
    tokens (Sequence[TokenProbability]): Its tokens, as the server reports them.
    RETURNS (tuple[list[tuple[int, TokenProbability]], bool]): The tokens with their
        offsets, without those that are parts of a character, and whether the tokens
        are those of the whole output.
    """
    placed: list[_PlacedToken] = []
    at, is_partial = 0, False
    for token in tokens:
        if at >= len(output):
            break
        if _PARTIAL in token.text:
            # The next whole token follows the character.
            is_partial = True
            continue
        if is_partial:
            at = output.find(token.text, at + 1)
            is_partial = False
        if at < 0 or not output.startswith(token.text, at):
            return placed, False
        placed.append((at, token))
        at += len(token.text)
    return placed, at >= len(output) or is_partial


class _Scorer:
    """Computes the scores of spans from the probabilities of tokens.

    The probability of a token is relative to the reported alternatives that are legal
    at its position, as the local decoder computes it among all legal tokens. The score
    of a span is the product over the tokens of its own tags or entry. Tokens that are
    parts of a character count as certain.

    states (Sequence[State]): The state before each character of the output.
    answer (Answer): The output.
    """

    def __init__(self, states: Sequence[State], answer: Answer):
        self._states = states
        # The number and the logarithm of the probability of the token at a character.
        self._logprobs: dict[int, tuple[int, float]] = {}
        self.has_scores = answer.has_scores
        for index, (at, token) in enumerate(answer.tokens):
            logprob = self._relative(at, token)
            for place in range(at, at + len(token.text)):
                self._logprobs[place] = (index, logprob)

    def score(self, span: MarkedSpan) -> float:
        """Compute the score of a span.

        span (MarkedSpan): The span. Its steps are characters of the output.
        RETURNS (float): The probability. 1.0 if the server reports none.
        """
        if not self.has_scores:
            return 1.0
        known = self._logprobs
        # A token counts once, even if it covers several characters.
        found = dict(self._logprobs[step] for step in span.steps if step in known)
        return math.exp(min(0.0, sum(found.values())))

    def _relative(self, at: int, token: TokenProbability) -> float:
        legal = [
            logprob
            for text, logprob in token.alternatives.items()
            if text != token.text and text and self._is_legal(at, text)
        ]
        total = sum(map(math.exp, legal)) + math.exp(token.logprob)
        return token.logprob - math.log(total) if total > 0 else token.logprob

    def _is_legal(self, at: int, text: str) -> bool:
        state = self._states[at]
        for char in text:
            if char == _PARTIAL:
                # The beginning of a character outside of ASCII.
                return any(id_ > 127 for id_ in state.choices)
            if ord(char) not in state.choices:
                return False
            state = state.advance(ord(char))
        return True
