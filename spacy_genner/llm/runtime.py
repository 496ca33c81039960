"""One component's remote model bound to its labels and prompt."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..cutting import blank_tokens, token_sizes, units
from ..errors import Errors
from ..formats import Format
from ..outcomes import Outcome, failed
from ..prompts import Demonstration, PromptLayout
from ..prompts.budget import OUTPUT, fitting, text_room
from ..verification import Judge, Verdict, Verifier
from ..windows import WindowSettings, cut
from .alignment import aligned
from .exchange import Answer, Question, ask_about
from .remote.language_model import RemoteLanguageModel
from .sharding import Shards, estimated, joined_outcome


class Asked(NamedTuple):
    """A document with its questions, one for each window."""

    shards: Shards
    questions: list[Question]


class TextRuntime:
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

    def annotator(self, decoder: Any) -> "TextRuntime":
        """What annotates: this. There is nothing to decode.

        decoder (Any): Not used.
        RETURNS (TextRuntime): Itself.
        """
        return self

    def annotate(self, docs: Sequence[Doc]) -> list[Outcome]:
        """Find the spans of some documents, asked about at the same time. What goes
        wrong with one document is its own failure.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (List[Outcome]): One outcome for each.
        RAISES (ValueError): The server's key is missing.
        """
        asked: list[Asked | Outcome] = []
        for doc in docs:
            try:
                asked.append(self._asked(doc))
            except Exception as error:
                asked.append(failed(doc, error))
        questions = [
            question
            for each in asked
            if isinstance(each, Asked)
            for question in each.questions
        ]
        answers = iter(self.lm.client.answer(questions))
        outcomes = []
        for doc, each in zip(docs, asked, strict=True):
            if isinstance(each, Outcome):
                outcomes.append(each)
                continue
            given = list(islice(answers, len(each.questions)))
            try:
                outcome = self._read(each.shards, given)
            except Exception as error:
                outcome = failed(doc, error)
            if self.lm.keep_answers:
                outcome.answers = [str(answer) for answer in given]
            outcomes.append(outcome)
        return outcomes

    def _asked(self, doc: Doc) -> Asked:
        windows = cut(
            token_sizes(doc, estimated),
            blank_tokens(doc),
            units(doc, self.window.unit),
            self.max_tokens,
            min(self.window.overlap, self.max_tokens - 1),
        )
        shards = Shards(doc, tuple(windows))
        return Asked(
            shards,
            [ask_about(part, self.layout, self._shown(part.text)) for part in shards],
        )

    def _read(self, shards: Shards, answers: Sequence[Answer]) -> Outcome:
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
