"""Corpora in the alpaca form of instruction tuning: instruction, input, output."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import Errors
from ...formats import Format, InlineFormat, Parsed, get_format
from ...storage.json_values import parse_json
from ..annotated import Annotated, ConvertOptions, Remark, refuse_splitting
from .alpaca_format import Task, told_format
from .detokenize import detokenized
from .json_items import json_records
from .jsonl import is_broken, read_doc_id

# An output that says the same spans in another order, or with other spacing.
OTHER_ORDER = "other_order"
_NAMES = r"(?:text|sentence|input|passage|paragraph|document)"
# A line that names the text and ends with a colon, or one that starts with its name.
_CUE = re.compile(
    rf"^(?:[^\n:]*\b{_NAMES}\b[^\n:]*:[ \t]*$"
    rf"|[#* \t]*(?:input |the )?{_NAMES}[* \t]*:(?=[* \t]*\S))",
    re.IGNORECASE | re.MULTILINE,
)


def read_alpaca(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `instruction`, `input` and `output`: a JSON list of them, or
    one on each line.

    The text is the input. Where that is empty, it is what follows the last line of
    the instruction that names it, if the output bears that out: an inline output must
    be an exact copy of it; beside one in JSON, only one line may name the text, which
    must be one line itself.

    path (Path): The file.
    options (ConvertOptions): Names the format of the outputs, or leaves it to be told;
        and says whether texts are put together that were parted into tokens.
    YIELDS (Annotated): The documents. What an output says and the text does not bear
        out is among the remarks, by the code of its issue.
    RAISES (ValueError): The file is not well formed, its format can't be told, or a
        text is not found.
    """
    refuse_splitting(path, options, "alpaca")
    if options.join_sentences:
        raise ValueError(Errors.G562.format(path=path))
    tasks = _tasks(path)
    name = options.format
    if name is None:
        name, tasks = told_format(tasks, path)
    fmt = get_format(name)
    texts = (_annotated(task, fmt, path) for task in tasks)
    yield from detokenized(texts) if options.detokenize else texts


def _tasks(path: Path) -> Iterator[Task]:
    for number, (line, record) in enumerate(json_records(path), 1):
        for key in ("instruction", "input", "output"):
            found = record.get(key, "" if key != "output" else None)
            if not isinstance(found, str):
                raise _bad(path, line, f"{key!r} is {found!r}, expected a string")
            if is_broken(found):
                raise _bad(path, line, f"{key!r} holds half of a character")
        text, cues = record.get("input", ""), 0
        if not text:
            text, cues = _named_text(record)
        if not text:
            raise ValueError(Errors.G559.format(path=path, line=line))
        try:
            doc_id = read_doc_id(record, number)
        except ValueError as error:
            raise _bad(path, line, str(error)) from error
        yield Task(line, doc_id, text, record["output"], cues)


def _named_text(record: dict[str, Any]) -> tuple[str, int]:
    """The text in an instruction, and how many lines name it."""
    instruction = record.get("instruction", "")
    cues = list(_CUE.finditer(instruction))
    if not cues:
        return "", 0
    return instruction[cues[-1].end() :].strip("* \t\r\n"), len(cues)


def _annotated(task: Task, fmt: Format, path: Path) -> Annotated:
    parsed = fmt.parse(task.output, task.text)
    if task.cues:
        inline = isinstance(fmt, InlineFormat)
        one_line = task.cues == 1 and "\n" not in task.text
        if parsed.issues if inline else not one_line:
            raise ValueError(Errors.G559.format(path=path, line=task.line))
    for span in parsed.spans:
        # An escape in the JSON of an output.
        if is_broken(span.label):
            reason = f"the label {span.label!r} holds half of a character"
            raise _bad(path, task.line, reason)
    remarks = [
        Remark(issue.code, f"{path}, line {task.line}: {issue.message}")
        for issue in parsed.issues
    ]
    if _only_order(task, fmt, parsed):
        remarks = [Remark(OTHER_ORDER, f"{path}, line {task.line}")]
    return Annotated(task.text, parsed.spans, task.doc_id, None, tuple(remarks))


def _only_order(task: Task, fmt: Format, parsed: Parsed) -> bool:
    """Whether an output says what it is to say, in another order or spacing."""
    whole = ("bad_json", "copy_differs")
    if [issue.code for issue in parsed.issues] not in ([code] for code in whole):
        return False
    content, output = None, task.output
    if not isinstance(fmt, InlineFormat):
        try:
            content = parse_json(output)
        except ValueError:
            return False
        output = json.dumps(content, ensure_ascii=False)
    labels = list(content) if isinstance(content, dict) else None
    try:
        rendered = fmt.render(task.text, parsed.spans, labels)
    except ValueError:
        # What an output says may be more than its format can.
        return False
    return _letters(output) == _letters(rendered)


def _letters(output: str) -> list[str]:
    return sorted("".join(output.split()))


def _bad(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(Errors.G557.format(path=path, line=line, reason=reason))
