"""What an adapter brings with it: its weights, and the prompt it was tuned on."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import Errors
from ..models.language_model import LanguageModel
from ..prompts import FirstDemonstrations, PromptLayout
from ..state import ComponentState

_STATE = "genner.json"


@dataclass(frozen=True)
class Tuned:
    """What a saved component was tuned on.

    path (str): Its folder.
    layout (PromptLayout): The prompt.
    chat (Union[bool, str]): Whether it is a turn of a chat.
    """

    path: str
    layout: PromptLayout
    chat: bool | str

    def check_labels(self, labels: tuple[str, ...]) -> None:
        """Check that it can be asked for some labels.

        labels (Tuple[str, ...]): The labels.
        RAISES (ValueError): It was not tuned on all of them.
        """
        unknown = [label for label in labels if label not in self.layout.labels]
        if unknown:
            raise ValueError(
                Errors.G743.format(
                    found=unknown, path=self.path, labels=list(self.layout.labels)
                )
            )


def read_tuned(lm: LanguageModel, adapter: str | None) -> Tuned | None:
    """Give a language model its adapter.

    lm (LanguageModel): The model.
    adapter (Optional[str]): A folder that peft wrote, or a saved component; None for
        the base as it is.
    RETURNS (Optional[Tuned]): What a saved component was tuned on.
    RAISES (ValueError): The folder is incomplete, or belongs to another base.
    """
    if adapter is None:
        return None
    folder = Path(adapter).expanduser()
    if not (folder / _STATE).is_file():
        lm.load(folder)
        return None
    state = ComponentState.from_bytes((folder / _STATE).read_bytes())
    found = lm.base.source.checksum
    if found != state.checksum:
        raise ValueError(
            Errors.G742.format(
                path=folder,
                expected=state.checksum,
                base=lm.name,
                found=found,
                tuned_on=state.base,
            )
        )
    # A component without an adapter has saved its prompt all the same.
    tuned = (folder / "adapter").is_dir()
    if tuned:
        lm.load(folder / "adapter")
    layout = state.layout(FirstDemonstrations(), tuned)
    return Tuned(str(folder), layout, state.prompt.chat)


def chat_of_questions(
    lm: LanguageModel, tuned: Tuned | None, chat: bool | str
) -> bool | str:
    """Whether Questions are turns of a chat.

    lm (LanguageModel): The model.
    tuned (Optional[Tuned]): What its adapter was tuned on, where that is known.
    chat (Union[bool, str]): The setting, of use where it is not.
    RETURNS (Union[bool, str]): True, False, or "auto" for what the tokenizer has.
    """
    chosen = chat if tuned is None else tuned.chat
    return False if chosen == "auto" and lm.has_adapter else chosen
