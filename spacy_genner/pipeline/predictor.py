"""The protocol between the component and the model that answers it.

The component knows spaCy; a predictor knows a model. A registered architecture returns
a thinc model whose shim, a `PredictorShim`, holds a language model and makes its
predictor once labels and prompt are known. There are three implementations:
`LocalPredictor` decodes with a model in this process; `RemotePredictor` and
`TunedPredictor` (in `llm/openai`) send prompts to a server.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spacy.tokens import Doc
from thinc.api import Model
from thinc.shims.shim import Shim

from ..config.settings import LossWeights
from ..errors import Errors
from ..formats import Format
from ..models.language_model import LazyDraftHead
from ..prompts import PromptLayout
from ..prompts.windows import WindowSettings
from .results import Prediction
from .verifier import Verdict

if TYPE_CHECKING:
    from ..models.draft_head import DraftHead
    from ..training.data import DraftHeadReader
    from ..training.targets import TargetBuilder
    from ..training.trainer import Trainer
    from .state import ComponentState


@dataclass(frozen=True)
class PredictorConfig:
    """The settings of a component that its predictor depends on.

    format (Format): The output format.
    layout (PromptLayout): The prompt, including the labels.
    window (WindowSettings): How documents are cut into windows.
    max_depth (int): The maximum depth of nested spans.
    chat (bool | str): Whether a prompt is a turn of a chat. "auto" leaves it to the
        model.
    decoder (Any): The registered decoder, for models that decode in this process.
    uses_draft_head (bool): Whether the draft head belongs to these labels.
    """

    format: Format
    layout: PromptLayout
    window: WindowSettings
    max_depth: int
    chat: bool | str
    decoder: Any
    uses_draft_head: bool = True


class Predictor(Protocol):
    """Predicts the spans of Docs with a fixed prompt.

    layout (PromptLayout): The prompt, with the demonstrations that fit.
    checksum (str): The checksum of the base's weights. Empty for a remote model.
    """

    layout: PromptLayout
    checksum: str

    def predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Predict the spans of some documents. One that fails does not affect the
        others.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (list[Prediction]): One prediction for each.
        """

    def judge(self, texts: Sequence[str], layout: PromptLayout) -> list[Verdict]:
        """Answer a yes/no question about each text.

        texts (Sequence[str]): The texts.
        layout (PromptLayout): The prompt of the question.
        RETURNS (list[Verdict]): The probability of "yes" for each.
        """


class TrainablePredictor(Predictor, Protocol):
    """A predictor whose model has an adapter to train."""

    def load(self) -> None:
        """Prepare decoding with the adapter as it is now, before the first use."""

    def target_builder(
        self, spans_key: str, crossing: str, sentences_by: str | None = None
    ) -> "TargetBuilder":
        """Build training targets, from windows cut as `predict` cuts them.

        spans_key (str): The group of `doc.spans` with the reference spans.
        crossing (str): "refuse" or "drop".
        sentences_by (str | None): The upstream component that sets sentence boundaries.
        RETURNS (TargetBuilder): The builder.
        """

    def trainer(self, loss: LossWeights, max_tokens: int) -> "Trainer":
        """Compute gradients of the adapter.

        loss (LossWeights): The weights of the losses.
        max_tokens (int): The maximum number of tokens in one forward pass.
        RETURNS (Trainer): The trainer.
        """

    def draft_head(self) -> "DraftHead | None":
        """RETURNS (DraftHead | None): The draft head to train. None without one."""

    def draft_head_reader(self, max_tokens: int) -> "DraftHeadReader":
        """Compute the hidden states that the draft head learns from.

        max_tokens (int): The maximum number of tokens in one forward pass.
        RETURNS (DraftHeadReader): The reader.
        """


class PredictorModel(Protocol):
    """The language model behind a component: what is named, loaded and saved.

    name (str): The name of the base or of the remote model.
    lora (Any): The settings of a new adapter. None for a model without one.
    has_adapter (bool): Whether there is an adapter, new or saved.
    checksum (str): The checksum of the base's weights. Empty for a remote model.
    drafting (LazyDraftHead): The draft head.
    """

    name: str
    lora: Any
    drafting: LazyDraftHead

    @property
    def has_adapter(self) -> bool: ...

    @property
    def checksum(self) -> str: ...

    def reset_adapter(self, seed: int | None = None) -> None: ...

    def load(self, folder: Path) -> None: ...

    def save(self, folder: Path) -> None: ...

    def to_bytes(self) -> bytes: ...

    def from_bytes(self, bytes_data: bytes) -> Any: ...


class PredictorShim(Shim, ABC):
    """Carries a language model through thinc, and makes its predictor.

    lm (PredictorModel): The language model.

    is_trainable (bool): Whether the model can have an adapter.
    is_token_aligned (bool): Whether outputs are decoded under the grammar, which puts
        markup before white space. Otherwise the model writes in the format as it is.
    """

    is_trainable = False
    is_token_aligned = False

    def __init__(self, lm: Any) -> None:
        super().__init__(None)
        self.lm = lm

    @property
    def tuned_state(self) -> "ComponentState | None":
        """RETURNS (ComponentState | None): Labels, format and prompt of an adapter that
        a server runs. None if the config of the component decides them."""
        return None

    def with_lm(self, lm: Any) -> "PredictorShim":
        """Make a shim of the same kind for another language model.

        lm (PredictorModel): The language model.
        RETURNS (PredictorShim): The shim.
        """
        return type(self)(lm)

    @abstractmethod
    def make_predictor(self, config: PredictorConfig) -> Predictor:
        """Make the predictor for labels and a prompt. A base is loaded here.

        config (PredictorConfig): The settings.
        RETURNS (Predictor): The predictor.
        RAISES (ValueError): The base is not available, or the prompt leaves no room
            for text.
        """

    def to_device(self, device_type: str, device_id: int) -> None:
        """Do nothing: the device is a setting of the language model."""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter, without the base."""
        return bytes(self.lm.to_bytes())

    def from_bytes(self, bytes_data: bytes) -> "PredictorShim":
        """Load an adapter. The base is not loaded.

        bytes_data (bytes): The result of `to_bytes`.
        RETURNS (PredictorShim): The shim itself.
        """
        self.lm.from_bytes(bytes_data)
        return self


def get_shim(model: Model) -> PredictorShim:
    """Get the shim of a model that a registered architecture made.

    model (Model): The thinc model.
    RETURNS (PredictorShim): Its shim.
    RAISES (ValueError): The model is made by another architecture.
    """
    for shim in model.shims:
        if isinstance(shim, PredictorShim):
            return shim
    raise ValueError(Errors.G430.format(found=model.name))
