"""Labels with their definitions, from a JSON file."""

from pathlib import Path

from ..corpora.readers.jsonl import is_broken
from ..errors import Errors
from ..formats import get_format
from ..labels import labels_in_file, read_labels


def read_labels_file(path: Path, output_format: str) -> dict[str, str]:
    """Read labels, for the instruction of a corpus.

    path (Path): A JSON file: an object of labels with their definitions, or a list.
    output_format (str): The format that has to carry them.
    RETURNS (Dict[str, str]): Label to definition, which may be empty.
    RAISES (ValueError): The file holds no labels, or one that the format can't carry.
    """
    try:
        content = labels_in_file(path)
    except ValueError as error:
        raise ValueError(Errors.G561.format(path=path, reason=error)) from error
    labels = read_labels(content, get_format(output_format))
    for text in (*labels, *labels.values()):
        if is_broken(text):
            reason = f"it holds half of a character (a lone surrogate) in {text!r}"
            raise ValueError(Errors.G561.format(path=path, reason=reason))
    return labels
