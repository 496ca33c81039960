"""The registered models: a spacy-llm model and an architecture of the component."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Union  # noqa: UP035  # noqa: UP035

from thinc.api import Model
from thinc.shims.shim import Shim

from ...config.settings import check_flag
from ...errors import Errors, Warnings, warn
from ...models.language_model import LazyDraftHead
from ..messages import Completion, Prompt
from .client import RemoteClient
from .retry import RemoteError
from .settings import RemoteSettings, refuse_key
from .usage import Usage

if TYPE_CHECKING:
    from .client import RemoteClient


# spacy-llm compares annotations by what those of typing alone have.


class RemoteModel:
    """A model behind a server, called with the prompts of documents.

    client (RemoteClient): Asks it.
    strict (bool): Whether a prompt that is not of the project's own tasks, and gets no
        answer, is an error. There is no other way to report it to its task.
    """

    # Only where it is known: spacy-llm takes a model that has it for one that says it.
    context_length: int

    def __init__(self, client: RemoteClient, strict: bool = True):
        self.client = client
        self.strict = strict
        if client.settings.context_length is not None:
            self.context_length = client.settings.context_length

    @property
    def usage(self) -> Usage:
        """What was asked for since the model was made."""
        return self.client.usage

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """Ask the prompts of documents.

        prompts (Iterable[Iterable[str]]): For each document, the prompts of its parts.
        YIELDS (Iterable[str]): For each document, the answers of type `Completion`. One to
            a `Prompt` may have an error in place of a text.
        RAISES (RemoteError): Another prompt got no answer. It is raised when all are
            asked, so that the answers of the others are in the cache.
        """
        groups: deque[list[str]] = deque()

        def flat() -> Iterator[str]:
            for group in prompts:
                groups.append(list(group))
                yield from groups[-1]

        ready: list[Completion] = []
        failed: list[Exception] = []
        count = 0
        for answer in self.client.stream(flat()):
            while not groups[0]:
                groups.popleft()
                yield []
            prompt = groups[0][len(ready)]
            count += 1
            if answer.error is not None and not isinstance(prompt, Prompt):
                failed.append(answer.error)
                answer = Completion()
            ready.append(answer)
            if len(ready) == len(groups[0]):
                groups.popleft()
                if not (failed and self.strict):
                    yield ready
                ready = []
        if failed:
            known = {"failed": len(failed), "all": count, "reason": failed[0]}
            if self.strict:
                raise RemoteError(Errors.G724.format(**known))
            warn(Warnings.W703.format(**known))
        for _ in groups:
            yield []


def make_remote_model(
    name: str,
    base_url: str = "https://api.openai.com/v1",
    api_key_env: str | None = "OPENAI_API_KEY",
    call: str = "chat",
    max_concurrent: int = 8,
    timeout: float = 60.0,
    max_tries: int = 5,
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
    structured: str | bool = "auto",
    cache: str | None = None,
    prices: dict[str, float] | None = None,
    extra: dict[str, Any] | None = None,
    system: str | None = None,
    context_length: int | None = None,
    strict: bool = True,
    api_key: Any = None,
) -> Callable[[Iterable[Iterable[str]]], Iterable[Iterable[str]]]:
    """Make a model behind a server that speaks the OpenAI protocol: that of OpenAI, or
    of vLLM, llama.cpp, Ollama and many others. Nothing is sent before it is called.

    name (str): The model, as the server calls it.
    base_url (str): The address that the paths of the API follow.
    api_key_env (Optional[str]): The environment variable that holds the key; None for
        a server that asks for none.
    call (str): "chat" or "completion".
    max_concurrent (int): How many requests are under way at a time.
    timeout (float): Seconds that one try may take in all.
    max_tries (int): How often a question is sent before it counts as failed. Where the
        server's rate limit names a wait, that is no try, for ten minutes in all.
    temperature (Optional[float]): 0 for the likeliest answer; None leaves it to the
        server.
    max_tokens (Optional[int]): Limit of an answer; None decides by the length of the
        text.
    structured (Union[str, bool]): Whether answers in JSON are held to a schema:
        "auto" does where the server can.
    cache (Optional[str]): The folder in which answers are kept.
    prices (Optional[Dict[str, float]]): Prices of a million tokens, "input" and
        "output".
    extra (Optional[Dict[str, Any]]): Put into every request, such as {"seed": 0}.
    system (Optional[str]): A system message, for chat alone.
    context_length (Optional[int]): How many tokens prompt and answer may have, by
        which a task cuts long documents.
    strict (bool): Whether a prompt that is not of the project's own tasks, and gets no
        answer, is an error; else it has an empty one, with a warning.
    api_key (Any): Not for use: a key is refused here, without being shown.
    RETURNS (Callable): The model.
    RAISES (ValueError): A setting can't be used.
    """
    refuse_key(api_key)
    if not isinstance(strict, bool):
        raise ValueError(
            Errors.G701.format(
                key="strict", value=repr(strict), expected="true or false"
            )
        )
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
    return RemoteModel(RemoteClient(settings), strict)


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
        self.drafting = LazyDraftHead(False)

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
