"""Settings of the tasks for spacy-llm, checked where they are made."""

from dataclasses import dataclass
from typing import Any

from ..errors import Errors
from ..formats import get_format
from ..prompts.template import TEMPLATES, read_template
from ..settings import SET_ENTS, check_choice, check_flag


@dataclass(frozen=True)
class TaskSettings:
    """How a task asks and where it writes.

    format (str): The output format.
    spans_key (str): The group of `doc.spans` that the spans go to.
    template (str): The source of the prompt's jinja template; "study" and "compact"
        name the project's own.
    readings (int): How often the project's own templates hold the text: 1 or 2.
    set_ents (str): Which spans go to `doc.ents` too: "outer", "inner" or "none".
    overwrite_ents (bool): Whether entities that are in the Doc give way.
    keep_raw (bool): Whether the group keeps the answer, `attrs["answer"]`.
    RAISES (ValueError): A setting can't be used.
    """

    format: str = "inline_bracketed"
    spans_key: str = "sc"
    template: str = "study"
    readings: int = 1
    set_ents: str = "none"
    overwrite_ents: bool = False
    keep_raw: bool = False

    def __post_init__(self) -> None:
        get_format(self.format)
        check_choice("set_ents", self.set_ents, SET_ENTS)
        check_flag("overwrite_ents", self.overwrite_ents)
        check_flag("keep_raw", self.keep_raw)
        if not isinstance(self.spans_key, str) or not self.spans_key:
            raise _unusable("spans_key", self.spans_key, "the name of a group of spans")

    @property
    def source(self) -> str:
        """RETURNS (str): The source of the template."""
        named = self.template in TEMPLATES
        return read_template(self.template) if named else self.template


def split_labels(labels: Any, definitions: Any) -> dict[str, str]:
    """Read labels as spacy-llm's tasks are given them.

    labels (Union[List[str], str]): The labels, or one string with commas between them;
        empty for those that have a definition.
    definitions (Optional[Dict[str, str]]): What labels stand for.
    RETURNS (Dict[str, str]): Label to definition, which may be empty.
    RAISES (ValueError): They are something else, a label occurs twice, or a label has
        a definition and is not among the labels.
    """
    given = labels.split(",") if isinstance(labels, str) else labels or []
    expected = "a list of labels, or a string with commas between them"
    if not isinstance(given, (list, tuple)):
        raise _unusable("labels", labels, expected)
    if not all(isinstance(label, str) for label in given):
        raise _unusable("labels", labels, expected)
    names = [label.strip() for label in given if label.strip()]
    if len(set(names)) < len(names):
        raise ValueError(Errors.G421.format(found=names))
    meanings = definitions or {}
    if not isinstance(meanings, dict):
        raise _unusable("label_definitions", definitions, "label to definition")
    for label in meanings:
        if names and label not in names:
            raise ValueError(Errors.G731.format(found=label, labels=names))
    return {label: meanings.get(label, "") for label in names or meanings}


def _unusable(key: str, found: Any, expected: str) -> ValueError:
    return ValueError(Errors.G732.format(key=key, found=found, expected=expected))
