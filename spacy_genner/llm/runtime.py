"""One component's remote model bound to its labels and prompt."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from spacy.tokens import Doc

from ..cutting import blank_tokens, token_sizes, units
from ..formats import Format
from ..outcomes import Outcome
from ..prompts import Demonstration, PromptLayout
from ..verification import Judge, Verdict, Verifier
from ..windows import WindowSettings, cut
from .alignment import aligned, failed
from .exchange import ask_about
from .remote.language_model import RemoteLanguageModel
from .sharding import OUTPUT, Shards, estimated, joined_outcome


class TextRuntime:
    """Annotates with a model that is asked in text: its answers are aligned to the
    documents by the format's tolerant parser.

    lm (RemoteLanguageModel): The model.
    fmt (Format): The output format.
    layout (PromptLayout): The prompt, with the labels.
    window (WindowSettings): How documents are cut; its tokens are estimated.
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
        self.layout = layout
        self.window = window

    def annotator(self, decoder: Any) -> "TextRuntime":
        """What annotates: this. There is nothing to decode.

        decoder (Any): Not used.
        RETURNS (TextRuntime): Itself.
        """
        return self

    def annotate(self, docs: Sequence[Doc]) -> list[Outcome]:
        """Find the spans of some documents, asked about at the same time.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (List[Outcome]): One outcome for each.
        RAISES (ValueError): The server's key is missing.
        """
        asked = [self._shards(doc) for doc in docs]
        questions = [
            ask_about(part, self.layout, self._shown(part.text))
            for shards in asked
            if isinstance(shards, Shards)
            for part in shards
        ]
        answers = iter(self.lm.client.answer(questions))
        outcomes = []
        for shards in asked:
            if isinstance(shards, Outcome):
                outcomes.append(shards)
                continue
            given = list(islice(answers, len(shards.windows)))
            labels = self.layout.labels
            parts = [
                aligned(part, answer, self.format, labels)
                for part, answer in zip(shards, given, strict=True)
            ]
            crossing = self.format.allows_crossing
            made = joined_outcome(shards, parts, labels, crossing)
            if self.lm.keep_answers:
                made.answers = [str(answer) for answer in given]
            outcomes.append(made)
        return outcomes

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

    def _shards(self, doc: Doc) -> Shards | Outcome:
        """A document's windows, or why it has none."""
        try:
            windows = cut(
                token_sizes(doc, estimated),
                blank_tokens(doc),
                units(doc, self.window.unit),
                self.window.max_tokens,
                self.window.overlap,
            )
        except ValueError as error:
            return failed(str(error), error)
        return Shards(doc, tuple(windows))

    def _shown(self, text: str) -> Sequence[Demonstration]:
        """As many of the text's demonstrations, the nearest first, as the model is
        said to hold."""
        if self.layout.neighbours is None:
            return ()
        shown = list(self.layout.neighbours.of(text))
        limit = self.lm.client.settings.context_length
        room = OUTPUT * estimated(text)
        while shown and limit is not None:
            if estimated(self.layout.written(text, shown)) + room <= limit:
                break
            shown.pop()
        return shown
