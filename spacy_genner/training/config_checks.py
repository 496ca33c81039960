"""What can be seen of a training config before a base is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinc.api import Config

from ..errors import Errors
from ..labels import labels_in_file
from ..settings import check_count

SECTIONS = ("nlp", "training")
# Numbers that training divides by.
COUNTS = ("eval_frequency", "accumulate_gradient")
_LABELS = "spacy.read_labels.v1"


def check_training_config(config: Config, path: Path) -> None:
    """Check a training config: its sections, its counts and its files of labels.

    config (Config): The config, not interpolated.
    path (Path): Where it was read, for the message.
    RAISES (ValueError): A section is missing, a count is no whole number of at least
        1, or a file of labels is missing or damaged.
    """
    for name in SECTIONS:
        if name not in config:
            raise ValueError(Errors.G340.format(path=path, section=name))
    filled = config.interpolate()
    for key in COUNTS:
        if key in filled["training"]:
            check_count(f"training.{key}", filled["training"][key])
    for place, block in _readers(filled.get("initialize", {}), "initialize"):
        file = Path(str(block.get("path")))
        if block.get("require") or file.exists():
            read_labels_file(file, f"[{place}]")


def read_labels_file(path: Path, place: str) -> Any:
    """Read labels as `spacy.read_labels.v1` does.

    path (Path): A JSON file.
    place (str): What names the file, for the message.
    RETURNS (Any): What it holds: for most components a list, or an object of labels
        with their definitions.
    RAISES (ValueError): It can't be read, or holds something else.
    """
    try:
        return labels_in_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise ValueError(Errors.G341.format(path=path, place=place, reason=reason))


def _readers(section: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks that read labels below a section, with their dotted places."""
    if not isinstance(section, dict):
        return
    if section.get("@readers") == _LABELS:
        yield place, section
    for key, value in section.items():
        yield from _readers(value, f"{place}.{key}")
