"""Alpaca JSON: instruction, input and output records."""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import FORMATS, CharSpan, Format, InlineFormat, Parsed, get_format
from ...io import has_lone_surrogate, json_records, parse_json, replaced_file
from ...prompts.layout import PromptLayout, read_template
from ..docbin import all_spans
from ..documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    markable_spans,
    refuse_splitting,
)
from .conll import detokenized
from .jsonl import read_doc_id

# How many texts without any span are looked at until the format has to be named.
_MOST = 1000
_KEYS = {"occurrence_json": {"occurrence_index"}, "offset_json": {"start", "end"}}


class AlpacaTask(NamedTuple):
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


def told_format(
    tasks: Iterable[AlpacaTask], path: Path
) -> tuple[str, Iterator[AlpacaTask]]:
    """Tell a file's format by its outputs.

    tasks (Iterable[AlpacaTask]): The objects of the file.
    path (Path): The file, for the message.
    RETURNS (Tuple[str, Iterator[AlpacaTask]]): The format's name, and all objects.
    RAISES (ValueError): The outputs do not say.
    """
    stream = iter(tasks)
    seen: list[AlpacaTask] = []
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


def possible_formats(task: AlpacaTask) -> list[str]:
    """The formats that an output may have.

    task (AlpacaTask): Text and output.
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


def _untold(path: Path, task: AlpacaTask) -> ValueError:
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


def _tasks(path: Path) -> Iterator[AlpacaTask]:
    for number, (line, record) in enumerate(json_records(path), 1):
        for key in ("instruction", "input", "output"):
            found = record.get(key, "" if key != "output" else None)
            if not isinstance(found, str):
                raise _bad(path, line, f"{key!r} is {found!r}, expected a string")
            if has_lone_surrogate(found):
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
        yield AlpacaTask(line, doc_id, text, record["output"], cues)


def _named_text(record: dict[str, Any]) -> tuple[str, int]:
    """The text in an instruction, and how many lines name it."""
    instruction = record.get("instruction", "")
    cues = list(_CUE.finditer(instruction))
    if not cues:
        return "", 0
    return instruction[cues[-1].end() :].strip("* \t\r\n"), len(cues)


def _annotated(task: AlpacaTask, fmt: Format, path: Path) -> Annotated:
    parsed = fmt.parse(task.output, task.text)
    if task.cues:
        inline = isinstance(fmt, InlineFormat)
        one_line = task.cues == 1 and "\n" not in task.text
        if parsed.issues if inline else not one_line:
            raise ValueError(Errors.G559.format(path=path, line=task.line))
    for span in parsed.spans:
        # An escape in the JSON of an output.
        if has_lone_surrogate(span.label):
            reason = f"the label {span.label!r} holds half of a character"
            raise _bad(path, task.line, reason)
    remarks = [
        Diagnostic(issue.code, f"{path}, line {task.line}: {issue.message}")
        for issue in parsed.issues
    ]
    if _only_order(task, fmt, parsed):
        remarks = [Diagnostic(OTHER_ORDER, f"{path}, line {task.line}")]
    return Annotated(task.text, parsed.spans, task.doc_id, None, tuple(remarks))


def _only_order(task: AlpacaTask, fmt: Format, parsed: Parsed) -> bool:
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


def write_alpaca(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a JSON list with one object a document: the instruction, which is the same
    for all, the text as input, and its spans in a format as output.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group, the format and the labels' definitions.
    counts (ConversionCounts): Gets what the format can't say.
    RAISES (ValueError): There is no such format, or a label can't stand in it.
    """
    fmt = get_format(options.format)
    for label in options.definitions:
        fmt.check_label(label)
    with replaced_file(path) as fresh:
        # The instruction names every label, so the corpus is read through first.
        with tempfile.TemporaryFile(
            "w+", encoding="utf-8", newline="\n", dir=fresh.parent
        ) as spool:
            found = _spool(docs, spool, fmt, options.spans_key, counts)
            labels = list(options.definitions) + sorted(
                found.difference(options.definitions)
            )
            layout = PromptLayout(
                tuple(labels),
                options.definitions,
                format=fmt.name,
                template=read_template("study"),
            )
            # The input follows on the next line.
            instruction = layout.prefix.rstrip("\n")
            spool.seek(0)
            with fresh.open("w", encoding="utf-8", newline="\n") as file:
                for number, line in enumerate(spool):
                    text, rows = json.loads(line)
                    spans = [CharSpan(*row) for row in rows]
                    record = {
                        "instruction": instruction,
                        "input": text,
                        "output": fmt.render(text, spans, labels),
                    }
                    file.write(",\n  " if number else "[\n  ")
                    written = json.dumps(record, ensure_ascii=False, indent=2)
                    # Within strings a line feed is escaped.
                    file.write(written.replace("\n", "\n  "))
                file.write("\n]\n")


def _spool(
    docs: Iterable[Doc],
    spool: IO[str],
    fmt: Format,
    key: str,
    counts: ConversionCounts,
) -> set[str]:
    """Write texts and spans to a file; their labels."""
    labels: set[str] = set()
    for doc in docs:
        spans = all_spans(doc, key)
        for label in {span.label for span in spans} - labels:
            fmt.check_label(label)
            labels.add(label)
        kept = markable_spans(doc, fmt, spans, counts)
        spool.write(json.dumps([doc.text, kept], ensure_ascii=False) + "\n")
    return labels
