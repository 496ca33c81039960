"""What the component has: labels and prompt, the model bound to them, and saving."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy import util
from spacy.pipeline.trainable_pipe import TrainablePipe

from .binding import bind
from .errors import Errors, Warnings, warn
from .formats import Format
from .gold import GoldReader
from .llm.remote.language_model import RemoteLanguageModel
from .models.language_model import LanguageModel
from .prompts import PromptLayout, Selection
from .runtime import Runtime
from .state import ComponentState
from .storage.folders import check_folder, replaced_folder
from .windows import WindowSettings

if TYPE_CHECKING:
    from .llm.runtime import TextRuntime

DRAFT_HEAD = "draft_head.safetensors"


class StatefulPipe(TrainablePipe):
    """A pipe around a language model. Whoever makes one sets its attributes.

    lm (Union[LanguageModel, RemoteLanguageModel]): The language model.
    format (Format): The output format.
    window (WindowSettings): How documents are cut.
    """

    lm: LanguageModel | RemoteLanguageModel
    format: Format
    window: WindowSettings
    _state: ComponentState
    # What the config says, which training may have changed since.
    _configured: ComponentState
    # Which demonstrations a prompt shows.
    _selection: Selection
    # What is made of the state, and goes when that changes.
    _bound: "Runtime | TextRuntime | None"
    _seen: GoldReader | None
    _lock: Any

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, in their order."""
        return tuple(self._state.labels)

    @property
    def label_data(self) -> list[str] | dict[str, str]:
        """RETURNS (Union[List[str], Dict[str, str]]): What `initialize` takes as
        labels: with definitions where there are any."""
        if any(self._state.labels.values()):
            return dict(self._state.labels)
        return list(self._state.labels)

    def add_label(self, label: str, definition: str = "") -> int:
        """Add a label.

        label (str): The label.
        definition (str): What it stands for.
        RETURNS (int): 0 if it was there already, else 1.
        RAISES (ValueError): The format can't carry the label.
        """
        if label in self._state.labels:
            return 0
        self.format.check_label(label)
        self._change(labels={**self._state.labels, label: definition})
        return 1

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Labels, prompt, adapter and draft head; nothing of the
        base."""
        return util.to_bytes(
            {
                "genner": lambda: srsly.json_dumps(self._saved()).encode(),
                "adapter": self.lm.to_bytes,
                "draft_head": self.lm.drafting.to_bytes,
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "StatefulPipe":
        """Take what `to_bytes` gave.

        bytes_data (bytes): The data.
        RETURNS (StatefulPipe): Itself.
        RAISES (ValueError): It was saved in another format.
        """
        util.from_bytes(
            bytes_data,
            {
                "genner": self._restore,
                "adapter": lambda b: self.lm.from_bytes(b),
                "draft_head": lambda b: self.lm.drafting.from_bytes(b, "the bytes"),
            },
            exclude,
        )
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels, prompt, adapter and draft head; nothing of the base.

        A process killed on the way leaves the old folder, the new one, or none and
        a backup beside it that loading names.

        path (Union[str, Path]): The folder.
        """
        with replaced_folder(util.ensure_path(path)) as folder:
            srsly.write_json(folder / "genner.json", self._saved())
            if isinstance(self.lm, LanguageModel) and self.lm.has_adapter:
                self.lm.save(folder / "adapter")
                head = self.lm.drafting.to_bytes()
                if head:
                    (folder / DRAFT_HEAD).write_bytes(head)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "StatefulPipe":
        """Load what `to_disk` saved. The base is loaded at first use.

        path (Union[str, Path]): The folder.
        RETURNS (StatefulPipe): Itself.
        RAISES (ValueError): The folder is incomplete, or was saved in another format.
        """
        folder: Path = util.ensure_path(path)
        check_folder(folder)
        if not (folder / "genner.json").is_file():
            raise ValueError(Errors.G413.format(path=folder))
        self._restore((folder / "genner.json").read_bytes())
        if (folder / "adapter").is_dir():
            self.lm.load(folder / "adapter")
            if (folder / DRAFT_HEAD).is_file():
                head = (folder / DRAFT_HEAD).read_bytes()
                self.lm.drafting.from_bytes(head, str(folder / DRAFT_HEAD))
        elif self.lm.lora is not None:
            raise ValueError(Errors.G414.format(path=folder))
        else:
            self.lm.reset_adapter()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings and adapter, for `n_process` and copies: locks and what is made
        anew at first use stay behind."""
        own = {**self.__dict__, "_bound": None, "_seen": None}
        del own["_lock"]
        inherited = ("vocab", "model", "name", "cfg", "scorer")
        own |= {key: getattr(self, key) for key in inherited}
        return _remade, (type(self), own)

    def _runtime(self) -> "Runtime | TextRuntime":
        """The model bound to labels and prompt, made anew when these change."""
        with self._lock:
            if self._bound is None:
                runtime = bind(
                    self.lm,
                    self.format,
                    self._layout(),
                    int(self.cfg["max_depth"]),
                    self.window,
                    self._state.prompt.chat,
                )
                if self._state.checksum not in (None, runtime.base_checksum):
                    raise ValueError(
                        Errors.G415.format(
                            name=self.name,
                            base=self.lm.name,
                            expected=self._state.checksum,
                            found=runtime.base_checksum,
                        )
                    )
                self._state = replace(self._state, checksum=runtime.base_checksum)
                self._bound = runtime
            return self._bound

    def _layout(self) -> PromptLayout:
        return self._state.layout(self._selection, self.lm.has_adapter)

    def _change(self, **changes: Any) -> None:
        """Change the state, after which nothing that was made of it holds."""
        with self._lock:
            self._state = replace(self._state, **changes)
            self._bound = None
            self._seen = None

    def _saved(self) -> dict[str, Any]:
        if self._state.checksum is None:
            self._state = replace(self._state, checksum=self.lm.checksum)
        return self._state.to_json()

    def _restore(self, data: bytes) -> None:
        state = ComponentState.from_bytes(data)
        if state.format != self.format.name:
            raise ValueError(
                Errors.G416.format(saved=state.format, found=self.format.name)
            )
        for key, found, saved in self._configured.differences(state):
            message = Warnings.W404.format(
                key=key, found=found, saved=saved, name=self.name
            )
            warn(message)
        with self._lock:
            self._state = state
            self._change(base=self.lm.name)


def _remade(cls: type[StatefulPipe], own: dict[str, Any]) -> StatefulPipe:
    component = cls.__new__(cls)
    for key, value in own.items():
        setattr(component, key, value)
    component._lock = threading.RLock()
    return component
