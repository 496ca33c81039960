"""The predictor that sends prompts to a remote model and aligns its completions."""

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.tokens import Doc

from ...errors import Errors
from ...models.language_model import LazyDraftHead
from ...pipeline.predictor import PredictorConfig
from ...pipeline.results import Prediction, failed_prediction
from ...pipeline.verifier import Verdict
from ...prompts import Demonstration, PromptLayout
from ...prompts.layout import OUTPUT_FACTOR
from ...prompts.windows import WindowCutter
from ..alignment import aligned
from ..messages import Completion, Prompt, make_prompt
from ..sharding import Shards, estimated, merge_shards
from .settings import RemoteSettings

if TYPE_CHECKING:
    from ...export.served import ServedAdapter
    from .client import RemoteClient


class RemoteLanguageModel:
    """A remote model in the place of a language model of this process.

    It cannot be trained, and none of it is saved. The server may run a tuned adapter.

    settings (RemoteSettings): The settings of the model and its server.
    keep_answers (bool): Whether to keep the completions beside the spans.
    served (ServedAdapter | None): The tuned adapter that the server runs.
    """

    lora = None

    def __init__(
        self,
        settings: RemoteSettings,
        keep_answers: bool = False,
        served: "ServedAdapter | None" = None,
    ):
        self.name = settings.name
        self.settings = settings
        self.keep_answers = keep_answers
        self.served = served
        self.drafting = LazyDraftHead(False)

    @property
    def has_adapter(self) -> bool:
        """RETURNS (bool): Whether the server runs a tuned adapter."""
        return self.served is not None

    @property
    def checksum(self) -> str:
        """RETURNS (str): The checksum of the weights that the adapter was tuned on.
        Empty without one: servers do not tell the checksum of their weights."""
        return "" if self.served is None else self.served.state.checksum or ""

    @cached_property
    def client(self) -> "RemoteClient":
        """RETURNS (RemoteClient): The client, made at first use."""
        from .client import RemoteClient

        return RemoteClient(self.settings)

    def reset_adapter(self, seed: int | None = None) -> None:
        """Do nothing: there is no adapter."""

    def load(self, folder: Path) -> None:
        """Load nothing: the server has loaded its adapter.

        folder (Path): The folder of a saved adapter.
        RAISES (ValueError): The server runs no adapter.
        """
        if self.served is None:
            raise ValueError(Errors.G425.format(name=self.name, path=folder))

    def save(self, folder: Path) -> None:
        """Save nothing: `adapter` of the config names the folder of the adapter.

        folder (Path): The folder for an adapter.
        RAISES (ValueError): The server runs no adapter.
        """
        self.load(folder)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Empty: there is no adapter."""
        return b""

    def from_bytes(self, bytes_data: bytes) -> "RemoteLanguageModel":
        """Accept the result of `to_bytes`.

        bytes_data (bytes): Empty.
        RETURNS (RemoteLanguageModel): The model itself.
        RAISES (ValueError): The bytes hold an adapter.
        """
        if bytes_data and self.served is None:
            raise ValueError(Errors.G425.format(name=self.name, path="the saved bytes"))
        return self


class RemotePredictor:
    """Predicts with a remote model. The tolerant parser of the output format aligns its
    completions to the documents.

    lm (RemoteLanguageModel): The remote model.
    config (PredictorConfig): The settings of the component. Tokens are estimated. If
        the context length of the model is known, the prompt shows as many
        demonstrations as leave room for text.
    RAISES (ValueError): The prompt leaves no room for text.

    layout (PromptLayout): The prompt, with the demonstrations that fit.
    checksum (str): Empty: servers do not tell the checksum of their weights.
    """

    checksum = ""

    def __init__(self, lm: RemoteLanguageModel, config: PredictorConfig):
        self.lm = lm
        self.format = config.format
        limit = lm.settings.context_length
        if limit is not None:
            limit -= estimated(lm.settings.system or "")
        # The maximum number of tokens of prompt and completion.
        self._limit = limit
        self.layout = config.layout.fit_demonstrations(
            estimated, limit, config.window.max_tokens
        )
        self.cutter = WindowCutter(
            config.window,
            estimated,
            limit=limit,
            fixed=estimated(self.layout.render("")),
            readings=self.layout.readings,
        )

    def predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Predict the spans of some documents, whose prompts are sent concurrently. A
        document that fails does not affect the others.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (list[Prediction]): One prediction for each.
        RAISES (ValueError): The API key of the server is missing.
        """
        inputs: list[tuple[Shards, list[Prompt]] | Exception] = []
        for doc in docs:
            try:
                inputs.append(self._prompts(doc))
            except Exception as error:
                inputs.append(error)
        prompts = [
            prompt
            for each in inputs
            if not isinstance(each, Exception)
            for prompt in each[1]
        ]
        completions = iter(self.lm.client.answer(prompts))
        predictions = []
        for doc, each in zip(docs, inputs, strict=True):
            if isinstance(each, Exception):
                predictions.append(failed_prediction(doc, each))
                continue
            shards, sent = each
            received = list(islice(completions, len(sent)))
            try:
                prediction = self._prediction(shards, received)
            except Exception as error:
                prediction = failed_prediction(doc, error)
            if self.lm.keep_answers:
                prediction.answers = [str(completion) for completion in received]
            predictions.append(prediction)
        return predictions

    def _prompts(self, doc: Doc) -> tuple[Shards, list[Prompt]]:
        shards = Shards(doc, tuple(self.cutter.windows(doc)))
        prompts = [
            make_prompt(part, self.layout, self._demonstrations(part.text))
            for part in shards
        ]
        return shards, prompts

    def _demonstrations(self, text: str) -> Sequence[Demonstration]:
        output = OUTPUT_FACTOR * estimated(text)

        def size(shown: Sequence[Demonstration]) -> int:
            return estimated(self.layout.render(text, shown)) + output

        return self.layout.fit_neighbours(text, size, self._limit)

    def _prediction(
        self, shards: Shards, completions: Sequence[Completion]
    ) -> Prediction:
        labels = self.layout.labels
        parts = [
            aligned(part, completion, self.format, labels)
            for part, completion in zip(shards, completions, strict=True)
        ]
        return merge_shards(shards, parts, labels, self.format.allows_crossing)

    def judge(self, texts: Sequence[str], layout: PromptLayout) -> list[Verdict]:
        """Answer a yes/no question about each text, with the same model.

        texts (Sequence[str]): The texts.
        layout (PromptLayout): The prompt of the question.
        RETURNS (list[Verdict]): The probability of "yes" for each.
        """
        answers = self.lm.client.probabilities([layout.render(t) for t in texts])
        return [
            Verdict(
                answer.probability, str(answer.error or "the answer has neither word")
            )
            for answer in answers
        ]
