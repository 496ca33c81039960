"""A model behind a server in the place of a language model of this process."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import Errors
from ...models.draft_head_slot import DraftHeadSlot
from .settings import RemoteSettings

if TYPE_CHECKING:
    from .client import RemoteClient


class RemoteLanguageModel:
    """What the component knows of a model that it asks in text. It has no adapter, so
    it can't be trained, and nothing of it is saved.

    settings (RemoteSettings): Which model is asked, where, and how.
    keep_answers (bool): Whether what it writes is kept beside the spans.
    """

    lora = None
    has_adapter = False
    # Servers name models, and give no checksum of their weights.
    checksum = ""

    def __init__(self, settings: RemoteSettings, keep_answers: bool = False):
        self.name = settings.name
        self.settings = settings
        self.keep_answers = keep_answers
        self.drafting = DraftHeadSlot(False)

    @cached_property
    def client(self) -> "RemoteClient":
        """RETURNS (RemoteClient): Asks the model; made at first use."""
        # Every pipeline that is made imports this module.
        from .client import RemoteClient

        return RemoteClient(self.settings)

    def reset_adapter(self, seed: int | None = None) -> None:
        """Does nothing: there is none."""

    def load(self, folder: Path) -> None:
        """RAISES (ValueError): Always: there is no place for an adapter."""
        raise ValueError(Errors.G425.format(name=self.name, path=folder))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Nothing."""
        return b""

    def from_bytes(self, bytes_data: bytes) -> "RemoteLanguageModel":
        """Take what `to_bytes` gave.

        bytes_data (bytes): Nothing.
        RETURNS (RemoteLanguageModel): Itself.
        RAISES (ValueError): It is an adapter.
        """
        if bytes_data:
            raise ValueError(Errors.G425.format(name=self.name, path="the saved bytes"))
        return self
