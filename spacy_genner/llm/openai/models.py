"""The registered models: a spacy-llm model and an architecture of the component."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Union  # noqa: UP035

from thinc.api import Model

from ...config.settings import check_flag
from ...errors import Errors, Warnings, warn
from ...pipeline.predictor import Predictor, PredictorConfig, PredictorShim
from ..messages import Completion, Prompt
from .client import RemoteClient
from .predictor import RemoteLanguageModel, RemotePredictor
from .retry import RemoteError
from .settings import RemoteSettings
from .usage import Usage

if TYPE_CHECKING:
    from ...pipeline.state import ComponentState

# spacy-llm compares the annotations of registered functions with those of `typing`.


class RemoteModel:
    """A spacy-llm model behind a server that speaks the OpenAI protocol.

    client (RemoteClient): The client.
    strict (bool): Whether a failed prompt of a foreign task is an error. Only the
        project's own tasks read the error of an answer.
    """

    # Only set if it is known: spacy-llm reads any attribute of this name.
    context_length: int

    def __init__(self, client: RemoteClient, strict: bool = True):
        self.client = client
        self.strict = strict
        if client.settings.context_length is not None:
            self.context_length = client.settings.context_length

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost since the model was made."""
        return self.client.usage

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """Answer the prompts of documents.

        prompts (Iterable[Iterable[str]]): For each document, the prompts of its parts.
        YIELDS (Iterable[str]): For each document, answers of type `Completion`. The
            answer to a `Prompt` may have an error in place of a text.
        RAISES (RemoteError): A prompt of another type failed. The error is raised after
            all prompts were sent, so that the other answers are in the cache.
        """
        groups: deque[list[str]] = deque()

        def flatten() -> Iterator[str]:
            for group in prompts:
                groups.append(list(group))
                yield from groups[-1]

        answers: list[Completion] = []
        errors: list[Exception] = []
        count = 0
        for answer in self.client.stream(flatten()):
            while not groups[0]:
                groups.popleft()
                yield []
            prompt = groups[0][len(answers)]
            count += 1
            if answer.error is not None and not isinstance(prompt, Prompt):
                errors.append(answer.error)
                answer = Completion()
            answers.append(answer)
            if len(answers) == len(groups[0]):
                groups.popleft()
                if not (errors and self.strict):
                    yield answers
                answers = []
        if errors:
            values = {"failed": len(errors), "all": count, "reason": errors[0]}
            if self.strict:
                raise RemoteError(Errors.G724.format(**values))
            warn(Warnings.W703.format(**values))
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
    allow_http: bool = False,
    strict: bool = True,
    api_key: Any = None,
) -> Callable[[Iterable[Iterable[str]]], Iterable[Iterable[str]]]:
    """Make a spacy-llm model behind a server that speaks the OpenAI protocol: OpenAI's
    own, vLLM, llama.cpp, Ollama and others. It is registered as
    `spacy-genner.OpenAICompatible.v1`. Nothing is sent before the model is called. For
    the other settings see `RemoteSettings`.

    strict (bool): Whether a failed prompt of a foreign task is an error. If False, its
        answer is empty, with a warning.
    api_key (Any): Refused without showing it. A key belongs in the environment.
    RETURNS (Callable): The model.
    RAISES (ValueError): A setting can't be used.
    """
    settings = RemoteSettings.from_arguments(locals())
    if not isinstance(strict, bool):
        raise ValueError(
            Errors.G701.format(
                key="strict", value=repr(strict), expected="true or false"
            )
        )
    return RemoteModel(RemoteClient(settings), strict)


class RemoteShim(PredictorShim):
    """Carries a remote model through thinc, which has no weights to update.

    lm (RemoteLanguageModel): The remote model.
    """

    lm: RemoteLanguageModel

    @property
    def tuned_state(self) -> "ComponentState | None":
        return None if self.lm.served is None else self.lm.served.state

    def make_predictor(self, config: PredictorConfig) -> Predictor:
        """Make the predictor. Nothing is sent before a document is annotated.

        config (PredictorConfig): The settings of the component.
        RETURNS (Predictor): A `TunedPredictor` if the server runs a tuned adapter,
            otherwise a `RemotePredictor`.
        RAISES (ValueError): The prompt leaves no room for text, or the tokenizer of the
            adapter can't be read.
        """
        if self.lm.served is None:
            return RemotePredictor(self.lm, config)
        from .tuned import TunedPredictor

        return TunedPredictor(self.lm, self.lm.served, config)

    def finish_update(self, optimizer: Any) -> None:
        """Do nothing: there are no weights."""


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
    allow_http: bool = False,
    keep_answers: bool = False,
    adapter: Optional[str] = None,  # noqa: UP045
    server: str = "auto",
    scores: bool = True,
    api_key: Any = None,
) -> Model:
    """Make the model of a component that is behind a server that speaks the OpenAI
    protocol. It is registered as the architecture `spacy-genner.OpenAICompatible.v1`.
    Nothing is sent before a document is annotated. For the other settings see
    `RemoteSettings`.

    keep_answers (bool): Whether to keep the model's answers in the attribute "answer"
        of the span group.
    api_key (Any): Refused without showing it. A key belongs in the environment.
    RETURNS (Model): The model, which thinc can't run.
    RAISES (ValueError): A setting can't be used, or `adapter` is no folder of a tuned
        adapter.
    """
    settings = RemoteSettings.from_arguments(locals())
    check_flag("keep_answers", keep_answers)
    served = None
    if settings.adapter is not None:
        from ...export.served import read_served

        served = read_served(settings.adapter)
    lm = RemoteLanguageModel(settings, keep_answers, served)
    return Model("genner_remote_lm", _forward, shims=[RemoteShim(lm)])


def _forward(model: Model, X: Any, is_train: bool) -> Any:
    raise ValueError(Errors.G426.format(name=model.shims[0].lm.name))  # type: ignore[attr-defined]
