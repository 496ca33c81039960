"""A model behind a server, as the component's config names it."""

from typing import Any, Dict, Optional, Union  # noqa: UP035

from thinc.api import Model
from thinc.shims.shim import Shim

from ...errors import Errors
from ...settings import check_flag
from .language_model import RemoteLanguageModel
from .settings import RemoteSettings, refuse_key


class RemoteShim(Shim):
    """Carries a remote model through thinc, which has nothing to do for it.

    lm (RemoteLanguageModel): The model.
    """

    def __init__(self, lm: RemoteLanguageModel) -> None:
        super().__init__(None)
        self.lm = lm

    def finish_update(self, optimizer: Any) -> None:
        """Does nothing: there are no weights."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Does nothing: the device is the server's."""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Nothing."""
        return b""

    def from_bytes(self, bytes_data: bytes) -> "RemoteShim":
        """RETURNS (RemoteShim): Itself."""
        return self


def build_remote_lm(
    name: str,
    base_url: str = "https://api.openai.com/v1",
    api_key_env: Optional[str] = "OPENAI_API_KEY",  # noqa: UP045
    call: str = "chat",
    max_concurrent: int = 8,
    timeout: float = 60.0,
    max_tries: int = 5,
    temperature: Optional[float] = 0.0,  # noqa: UP045
    max_tokens: Optional[int] = None,  # noqa: UP045
    structured: Union[str, bool] = "auto",  # noqa: UP007
    cache: Optional[str] = None,  # noqa: UP045
    prices: Optional[Dict[str, float]] = None,  # noqa: UP006, UP045
    extra: Optional[Dict[str, Any]] = None,  # noqa: UP006, UP045
    system: Optional[str] = None,  # noqa: UP045
    context_length: Optional[int] = None,  # noqa: UP045
    keep_answers: bool = False,
    api_key: Any = None,
) -> Model:
    """A model behind a server that speaks the OpenAI protocol, in the place of one of
    this process: `spacy-genner.OpenAICompatible.v1` of the architectures. Nothing is
    sent before a document is annotated. For the settings see `RemoteSettings`.

    keep_answers (bool): Whether what it writes is kept, in the group's
        `attrs["answer"]`.
    api_key (Any): Not for use: a key is refused here, without being shown.
    RETURNS (Model): The model, which thinc can't run.
    RAISES (ValueError): A setting can't be used.
    """
    refuse_key(api_key)
    settings = RemoteSettings(
        name=name,
        base_url=base_url,
        api_key_env=api_key_env,
        call=call,
        max_concurrent=max_concurrent,
        timeout=timeout,
        max_tries=max_tries,
        temperature=temperature,
        max_tokens=max_tokens,
        structured=structured,
        cache=cache,
        prices=prices or {},
        extra=extra or {},
        system=system,
        context_length=context_length,
    )
    check_flag("keep_answers", keep_answers)
    lm = RemoteLanguageModel(settings, keep_answers)
    return Model("genner_remote_lm", _forward, shims=[RemoteShim(lm)])


def _forward(model: Model, X: Any, is_train: bool) -> Any:
    raise ValueError(Errors.G426.format(name=model.shims[0].lm.name))  # type: ignore[attr-defined]
