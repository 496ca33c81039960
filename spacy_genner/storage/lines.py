"""The text of UTF-8 files, in whole or in lines with their numbers."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import Errors


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line. Only line feeds part lines, as in JSONL: a text may
    hold other separators.

    path (Path): The file; a byte order mark at its start is left out.
    YIELDS (Tuple[int, str]): The line's number from 1, and the line without its end.
    RAISES (ValueError): The file is not UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    Errors.G510.format(path=path, line=number, reason=error.reason)
                ) from error
            yield number, line.rstrip("\r\n")


def read_text(path: Path) -> str:
    """Read a file in whole, to the character: line ends and a byte order mark stay,
    as offsets may count them.

    path (Path): The file.
    RETURNS (str): Its text.
    RAISES (ValueError): The file is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            Errors.G510.format(path=path, line=line, reason=error.reason)
        ) from error
