"""A component's language model, of this process or behind a server, and what is made
of it once labels and prompt are known."""

from typing import TYPE_CHECKING

from thinc.api import Model

from .formats import Format
from .llm.remote.architecture import RemoteShim
from .llm.remote.language_model import RemoteLanguageModel
from .models.architecture import get_language_model
from .models.language_model import LanguageModel
from .prompts import PromptLayout
from .runtime import Runtime
from .windows import WindowSettings

if TYPE_CHECKING:
    from .llm.runtime import TextRuntime


def find_language_model(model: Model) -> LanguageModel | RemoteLanguageModel:
    """The language model inside a thinc model.

    model (Model): What one of the registered architectures made.
    RETURNS (Union[LanguageModel, RemoteLanguageModel]): The language model.
    """
    shim = model.shims[0]
    return shim.lm if isinstance(shim, RemoteShim) else get_language_model(model)


def bind(
    lm: LanguageModel | RemoteLanguageModel,
    fmt: Format,
    layout: PromptLayout,
    max_depth: int,
    window: WindowSettings,
    chat: bool | str,
) -> "Runtime | TextRuntime":
    """Bind a language model to labels and prompt.

    lm (Union[LanguageModel, RemoteLanguageModel]): The model; a base is loaded here.
    fmt (Format): The output format.
    layout (PromptLayout): The prompt, with the labels.
    max_depth (int): How deep spans may be nested.
    window (WindowSettings): How documents are cut.
    chat (Union[bool, str]): Whether a prompt is a turn of a chat; a server has its own
        way.
    RETURNS (Union[Runtime, TextRuntime]): What annotates.
    RAISES (ValueError): The base can't be had, or the prompt leaves no room.
    """
    if isinstance(lm, RemoteLanguageModel):
        from .llm.runtime import TextRuntime

        return TextRuntime(lm, fmt, layout, window)
    return Runtime(lm, fmt, layout, max_depth, window, chat)
