"""Read text, line by line or whole."""

import codecs
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import Errors

# The first bytes of compressed files, with the kind and the command that unpacks it.
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x"),
}


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line. Only a line feed ends a line, as in JSONL, because
    texts may contain other line separators.

    path (Path): The file. A byte order mark at its start is skipped.
    YIELDS (tuple[int, str]): The number of the line, from 1, and the line without its
        end.
    RAISES (ValueError): The file is not UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            yield number, decode_line(path, number, raw)


def decode_line(path: Path, number: int, raw: bytes) -> str:
    """Decode a line of a file.

    path (Path): The file, for the error message.
    number (int): The number of the line, from 1. A byte order mark at the start of the
        first line is skipped.
    raw (bytes): The line.
    RETURNS (str): The line without its end.
    RAISES (ValueError): The line is not UTF-8.
    """
    try:
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, number, error) from error
    return line.rstrip("\r\n")


def read_text(path: Path) -> str:
    """Read a whole file without changing a character. Line ends and a byte order mark
    stay, because offsets may count them.

    path (Path): The file.
    RETURNS (str): Its text.
    RAISES (ValueError): The file is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, line, error) from error


def not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> ValueError:
    """Make the error of a file that is not UTF-8, with the remedy: a command that
    unpacks or converts it.

    path (Path): The file.
    line (int): The number of the line, from 1.
    error (UnicodeDecodeError): The error of decoding.
    RETURNS (ValueError): The error to raise.
    """
    start = b""
    if path.is_file():
        with suppress(OSError), path.open("rb") as file:
            start = file.read(8)
    for magic, (kind, command) in _COMPRESSED.items():
        if start.startswith(magic):
            return ValueError(Errors.G574.format(path=path, kind=kind, command=command))
    encoding = "ENCODING"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "UTF-16"
    return ValueError(
        Errors.G510.format(path=path, line=line, reason=error.reason, encoding=encoding)
    )
