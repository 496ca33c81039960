"""Lines of a UTF-8 file with their numbers."""

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
