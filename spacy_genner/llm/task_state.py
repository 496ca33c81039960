"""What a task for spacy-llm holds and saves: labels and examples."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import srsly
from spacy import util

from ..errors import Errors
from ..formats import get_format
from ..labels import read_labels
from ..prompts import Demonstration, PromptLayout
from .examples import Shown, demonstrations, read_examples
from .settings import TaskSettings


class TaskState:
    """Labels and examples of a task, with the prompt that is made of them.

    labels (Dict[str, str]): Label to definition, which may be empty.
    examples (Sequence[Shown]): Annotated texts for the prompt.
    settings (TaskSettings): All else that the config says.
    RAISES (ValueError): A label is not legal, the template is broken, or an example
        can't be shown.
    """

    def __init__(
        self, labels: dict[str, str], examples: Sequence[Shown], settings: TaskSettings
    ):
        self.settings = settings
        self.format = get_format(settings.format)
        self._labels = read_labels(labels, self.format)
        self._examples = list(examples)
        self._made: PromptLayout | None = None
        # Says what is wrong while the user still looks at it.
        (self.layout if self._labels else self._with(())).around()

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, in their order."""
        return tuple(self._labels)

    @property
    def label_definitions(self) -> dict[str, str]:
        """RETURNS (Dict[str, str]): The definitions of those labels that have one."""
        return {label: text for label, text in self._labels.items() if text}

    @property
    def layout(self) -> PromptLayout:
        """RETURNS (PromptLayout): The prompt as labels and examples are now.
        RAISES (ValueError): There are no labels, or an example can't be shown."""
        if not self._labels:
            raise ValueError(Errors.G730)
        if self._made is None:
            shown = demonstrations(self._examples, self.format, self.labels)
            self._made = self._with(shown)
        return self._made

    @property
    def prompt_template(self) -> str:
        """RETURNS (str): The prompt with `{{ text }}` for the text, by which
        spacy-llm's cache knows whether its documents are still of use."""
        layout = self.layout if self._labels else self._with(())
        return layout.written("{{ text }}")

    def add_label(self, label: str, label_definition: str | None = None) -> int:
        """Add a label.

        label (str): The label.
        label_definition (Optional[str]): What it stands for.
        RETURNS (int): 0 if it was there already, else 1.
        RAISES (ValueError): The format can't carry the label.
        """
        if label in self._labels:
            return 0
        self.set_labels({**self._labels, label: label_definition or ""})
        return 1

    def clear(self) -> None:
        """Take out all labels."""
        self.set_labels({})

    def set_labels(self, labels: Any) -> None:
        """Take other labels.

        labels (Union[List[str], Dict[str, str]]): The labels, or label to definition.
        RAISES (ValueError): A label is not legal.
        """
        self._labels = read_labels(labels, self.format)
        self._made = None

    def set_examples(self, examples: Sequence[Shown]) -> None:
        """Take other examples.

        examples (Sequence[Shown]): The examples.
        """
        self._examples = list(examples)
        self._made = None

    def get_cfg(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The labels with their definitions, in their order;
        all else is the config's."""
        return {"labels": [[label, text] for label, text in self._labels.items()]}

    def set_cfg(self, cfg: dict[str, Any]) -> None:
        """Take what `get_cfg` gave.

        cfg (Dict[str, Any]): The labels.
        RAISES (ValueError): It is something else.
        """
        try:
            labels = {str(label): str(text) for label, text in cfg["labels"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(Errors.G737.format(reason=repr(error))) from error
        self.set_labels(labels)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Labels and examples."""
        return util.to_bytes(
            {
                "cfg": lambda: srsly.json_dumps(self.get_cfg()),
                "prompt_examples": lambda: srsly.json_dumps(self._saved()),
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "TaskState":
        """Take what `to_bytes` gave.

        bytes_data (bytes): The data.
        RETURNS (TaskState): Itself.
        RAISES (ValueError): It is something else.
        """
        util.from_bytes(
            bytes_data,
            {
                "cfg": lambda b: self.set_cfg(srsly.json_loads(b)),
                "prompt_examples": lambda b: self._restore(srsly.json_loads(b)),
            },
            exclude,
        )
        return self

    def to_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels and examples.

        path (Path): The folder.
        """
        util.to_disk(
            path,
            {
                "cfg": lambda p: srsly.write_json(p, self.get_cfg()),
                "prompt_examples": lambda p: srsly.write_json(p, self._saved()),
            },
            exclude,
        )

    def from_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> "TaskState":
        """Load what `to_disk` saved.

        path (Path): The folder.
        RETURNS (TaskState): Itself.
        RAISES (ValueError): It is something else.
        """
        util.from_disk(
            path,
            {
                "cfg": lambda p: self.set_cfg(srsly.read_json(p)),
                "prompt_examples": lambda p: self._restore(srsly.read_json(p)),
            },
            exclude,
        )
        return self

    def _saved(self) -> list[dict[str, Any]]:
        return [shown.to_json() for shown in self._examples]

    def _restore(self, examples: Any) -> None:
        self.set_examples(read_examples(examples))

    def _with(self, shown: Sequence[Demonstration]) -> PromptLayout:
        return PromptLayout(
            self.labels,
            self._labels,
            format=self.format.name,
            readings=self.settings.readings,
            demonstrations=tuple(shown),
            template=self.settings.source,
        )
