"""The files of a corpus that is a folder."""

from collections.abc import Callable
from pathlib import Path

from ...errors import Errors


def files_below(folder: Path, fits: Callable[[str], bool], expected: str) -> list[Path]:
    """Find the files of a folder and of all below it.

    folder (Path): The folder.
    fits (Callable[[str], bool]): Whether a file with this name belongs to the corpus.
        Names that begin with a dot never do.
    expected (str): What these names are like, for the message.
    RETURNS (List[Path]): The files, sorted by their parts.
    RAISES (ValueError): There are none.
    """
    found = [
        path
        for path in folder.rglob("*")
        if not path.name.startswith(".") and fits(path.name) and path.is_file()
    ]
    if not found:
        raise ValueError(Errors.G534.format(path=folder, expected=expected))
    return sorted(found, key=lambda path: path.parts)


def name_below(path: Path, folder: Path, suffix: str) -> str:
    """The name of a document that is a file of its own.

    path (Path): The file.
    folder (Path): The corpus that it is in.
    suffix (str): The ending that is no part of the name.
    RETURNS (str): The path from the folder, with `/` on every system.
    """
    return path.relative_to(folder).as_posix().removesuffix(suffix)
