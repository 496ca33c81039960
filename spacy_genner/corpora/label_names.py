"""Other names for the labels of a corpus, such as "person" for "PER".

A model without training, or with little of it, reads the words of a label, so natural
names find more than codes (docs/zero_shot.md).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import Errors, Warnings, warn
from ..formats import CharSpan
from ..io import has_lone_surrogate
from .documents import MAX_LISTED, Annotated
from .labels import labels_in_file


def read_label_names(path: Path) -> dict[str, str]:
    """Read the names of labels.

    path (Path): A JSON file with an object of labels and their names.
    RETURNS (dict[str, str]): The name of each label.
    RAISES (ValueError): The file contains something else, or a name is empty, has a
        line break or white space at its edge, or is not valid Unicode.
    RAISES (OSError): The file can't be read.
    """
    try:
        names = labels_in_file(path)
        if not isinstance(names, dict):
            raise ValueError("found a list")
        for label, name in names.items():
            if not _is_name(name):
                raise ValueError(f"the name of {label!r} is {name!r}")
    except ValueError as error:
        raise ValueError(Errors.G580.format(path=path, reason=error)) from error
    return names


def rename_labels(
    texts: Iterable[Annotated], names: Mapping[str, str]
) -> Iterator[Annotated]:
    """Give the labels of documents other names. Labels without a name stay as they are,
    and two labels with the same name become one. At the end a warning lists the labels
    that no span had.

    texts (Iterable[Annotated]): The documents.
    names (Mapping[str, str]): The name of each label.
    YIELDS (Annotated): The documents with the new labels.
    """
    missing = dict.fromkeys(names)
    for text in texts:
        spans = []
        for start, end, label in text.spans:
            missing.pop(label, None)
            spans.append(CharSpan(start, end, names.get(label, label)))
        yield text._replace(spans=spans)
    if missing:
        first = ", ".join(list(missing)[:MAX_LISTED])
        warn(Warnings.W522.format(count=len(missing), total=len(names), first=first))


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and bool(name)
        and name == name.strip()
        and len(name.splitlines()) == 1
        and not has_lone_surrogate(name)
    )
