"""Which of the output formats a file of instruction tuning has."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors
from ...formats import FORMATS, InlineFormat, get_format
from ...storage.json_values import parse_json

# How many texts without any span are looked at until the format has to be named.
_MOST = 1000
_KEYS = {"occurrence_json": {"occurrence_index"}, "offset_json": {"start", "end"}}


class Task(NamedTuple):
    """One object of a file.

    line (int): The line where it starts.
    doc_id (str): Its name.
    text (str): The text.
    output (str): What is to be written for it.
    cues (int): 0 where the text stands under `input`; else how many lines of the
        instruction name the text, the last of which it was taken from.
    """

    line: int
    doc_id: str
    text: str
    output: str
    cues: int = 0


def told_format(tasks: Iterable[Task], path: Path) -> tuple[str, Iterator[Task]]:
    """Tell a file's format by its outputs.

    tasks (Iterable[Task]): The objects of the file.
    path (Path): The file, for the message.
    RETURNS (Tuple[str, Iterator[Task]]): The format's name, and all objects.
    RAISES (ValueError): The outputs do not say.
    """
    stream = iter(tasks)
    seen: list[Task] = []
    # As long as no text has a span, what every output so far can be.
    left = list(FORMATS)
    for task in stream:
        seen.append(task)
        possible = possible_formats(task)
        left = [name for name in left if name in possible]
        if len(left) == 1:
            return left[0], chain(seen, stream)
        if not left or len(seen) == _MOST:
            raise _untold(path, task)
    if seen and left == list(FORMATS):
        raise _untold(path, seen[0])
    # No text has a span, in whichever of them they are written.
    return left[0], chain(seen, stream)


def possible_formats(task: Task) -> list[str]:
    """The formats that an output may have.

    task (Task): Text and output.
    RETURNS (List[str]): Their names.
    """
    inline = [name for name in FORMATS if isinstance(get_format(name), InlineFormat)]
    if task.output == task.text:
        # No span, or a text that looks like JSON itself.
        return inline
    try:
        content = parse_json(task.output)
    except ValueError:
        content = None
    if isinstance(content, dict):
        return _known("grouped_json")
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        keys = set.intersection(*map(set, content)) if content else None
        return _known(*(n for n, k in _KEYS.items() if keys is None or k <= keys))
    read = {name: get_format(name).parse(task.output, task.text) for name in inline}
    exact = [name for name, parsed in read.items() if not parsed.issues]
    # One that is damaged says nothing.
    return exact or list(FORMATS)


def _untold(path: Path, task: Task) -> ValueError:
    return ValueError(
        Errors.G560.format(
            path=path,
            line=task.line,
            found=task.output[:60],
            expected=", ".join(FORMATS),
        )
    )


def _known(*names: str) -> list[str]:
    return [name for name in names if name in FORMATS]
