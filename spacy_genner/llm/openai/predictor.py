"""The predictor that asks a remote model."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import Format
from ...pipeline.results import Prediction, failed_prediction
from ...pipeline.verifier import Judge, Verdict, Verifier
from ...prompts import Demonstration, PromptLayout
from ...prompts.encoder import OUTPUT, fitting, text_room
from ...prompts.windows import WindowSettings, blank_tokens, cut, token_sizes, units
from ..alignment import aligned
from ..messages import Completion, Prompt, make_prompt
from ..sharding import Shards, estimated, joined_outcome
from .models import RemoteLanguageModel


class DocPrompts(NamedTuple):
    """A document with its questions, one for each window."""

    shards: Shards
    questions: list[Prompt]


class RemotePredictor:
    """Annotates with a model that is asked in text: its answers are aligned to the
    documents by the format's tolerant parser.

    lm (RemoteLanguageModel): The model.
    fmt (Format): The output format.
    layout (PromptLayout): The prompt, with the labels. Where the model's context length
        is known, it shows as many demonstrations as leave room for texts.
    window (WindowSettings): How documents are cut; its tokens are estimated.
    RAISES (ValueError): The prompt leaves no room for text.
    """

    base_checksum = ""

    def __init__(
        self,
        lm: RemoteLanguageModel,
        fmt: Format,
        layout: PromptLayout,
        window: WindowSettings,
    ):
        self.lm = lm
        self.format = fmt
        self.window = window
        self.max_tokens = window.max_tokens
        limit = lm.settings.context_length
        # The most tokens of prompt, text and answer.
        self._limit = None
        if limit is not None:
            self._limit = limit - estimated(lm.settings.system or "")
        self.layout = fitting(layout, estimated, self._limit, window.max_tokens)
        if self._limit is not None:
            fixed = estimated(self.layout.written(""))
            room = text_room(self._limit, fixed, layout.readings)
            if room < 1:
                raise ValueError(Errors.G405.format(limit=limit, prefix=fixed))
            self.max_tokens = min(self.max_tokens, room)

    def annotator(self, decoder: Any) -> "RemotePredictor":
        """What annotates: this. There is nothing to decode.

        decoder (Any): Not used.
        RETURNS (RemotePredictor): Itself.
        """
        return self

    def annotate(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Find the spans of some documents, asked about at the same time. What goes
        wrong with one document is its own failure.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (List[Prediction]): One outcome for each.
        RAISES (ValueError): The server's key is missing.
        """
        asked: list[DocPrompts | Prediction] = []
        for doc in docs:
            try:
                asked.append(self._asked(doc))
            except Exception as error:
                asked.append(failed_prediction(doc, error))
        questions = [
            question
            for each in asked
            if isinstance(each, DocPrompts)
            for question in each.questions
        ]
        answers = iter(self.lm.client.answer(questions))
        outcomes = []
        for doc, each in zip(docs, asked, strict=True):
            if isinstance(each, Prediction):
                outcomes.append(each)
                continue
            given = list(islice(answers, len(each.questions)))
            try:
                outcome = self._read(each.shards, given)
            except Exception as error:
                outcome = failed_prediction(doc, error)
            if self.lm.keep_answers:
                outcome.answers = [str(answer) for answer in given]
            outcomes.append(outcome)
        return outcomes

    def _asked(self, doc: Doc) -> DocPrompts:
        windows = cut(
            token_sizes(doc, estimated),
            blank_tokens(doc),
            units(doc, self.window.unit),
            self.max_tokens,
            min(self.window.overlap, self.max_tokens - 1),
        )
        shards = Shards(doc, tuple(windows))
        return DocPrompts(
            shards,
            [make_prompt(part, self.layout, self._shown(part.text)) for part in shards],
        )

    def _read(self, shards: Shards, answers: Sequence[Completion]) -> Prediction:
        labels = self.layout.labels
        parts = [
            aligned(part, answer, self.format, labels)
            for part, answer in zip(shards, answers, strict=True)
        ]
        return joined_outcome(shards, parts, labels, self.format.allows_crossing)

    def judge(self, verifier: Verifier) -> Judge:
        """What answers the verifier's questions: the same model.

        verifier (Verifier): Asks.
        RETURNS (Judge): It.
        """
        layout = verifier.layout(self.layout)

        def judge(texts: Sequence[str]) -> list[Verdict]:
            odds = self.lm.client.probabilities([layout.written(t) for t in texts])
            return [
                Verdict(
                    each.probability, str(each.error or "the answer has neither word")
                )
                for each in odds
            ]

        return judge

    def _shown(self, text: str) -> Sequence[Demonstration]:
        """As many of the text's demonstrations, the nearest first, as the model is
        said to hold."""
        if self.layout.neighbours is None:
            return ()
        shown = list(self.layout.neighbours.of(text))
        room = OUTPUT * estimated(text)
        while shown and self._limit is not None:
            if estimated(self.layout.written(text, shown)) + room <= self._limit:
                break
            shown.pop()
        return shown
