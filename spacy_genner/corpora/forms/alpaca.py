"""Alpaca JSON for instruction tuning: records of instruction, input and output.

The reader detects the format of the outputs and parses each output against its text. It
also reads conversations of one question and one answer (sharegpt and messages).
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import FORMATS, CharSpan, Format, InlineFormat, Parsed, get_format
from ...io import (
    has_lone_surrogate,
    json_records,
    parse_json,
    replaced_file,
    temporary_text_file,
)
from ...prompts.layout import PromptLayout, read_template
from ..docbin import all_spans
from ..documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    refuse_splitting,
    representable_spans,
)
from ..tokenizer import detokenize
from .jsonl import checked_json, read_doc_id, refuse_other

# The kind of the diagnostic for the expected spans in another order or spacing.
OTHER_ORDER = "other_order"
# The maximum number of texts without spans that format detection examines.
_MAX_EXAMINED = 1000
_KEYS = {"occurrence_json": {"occurrence_index"}, "offset_json": {"start", "end"}}
# The roles of sharegpt, as those of messages.
_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant"}
_NAMES = r"(?:text|sentence|input|passage|paragraph|document)"
# A line that names the text and ends with a colon, or a line that starts with the name.
# JSON in a block of code, as chat models write it.
_FENCE = re.compile(r"\s*```\w*\s*\n(.*)```\s*", re.DOTALL)
_CUE = re.compile(
    rf"^(?:[^\n:]*\b{_NAMES}\b[^\n:]*:[ \t]*$"
    rf"|[#* \t]*(?:input |the )?{_NAMES}[* \t]*:(?=[* \t]*\S))",
    re.IGNORECASE | re.MULTILINE,
)


class AlpacaTask(NamedTuple):
    """A record of the file.

    line (int): The line where the record starts.
    doc_id (str): The ID of the document.
    text (str): The text.
    output (str): The expected output.
    cues (int): 0 if the text is the `input`. Otherwise the number of lines in the
        instruction that name the text; the last of them precedes it.
    """

    line: int
    doc_id: str
    text: str
    output: str
    cues: int = 0


def read_alpaca(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `instruction`, `input` and `output`, from a JSON list or one on
    each line. Conversations with one question and one answer (`conversations` or
    `messages`) are read likewise.

    The text is the input. If the input is empty, the text is the part of the
    instruction after the last line that names it. It counts only if the output confirms
    it: an inline output must be an exact copy of the text; with a JSON output, only one
    line may name the text, and the text must be a single line.

    path (Path): The file.
    options (ConvertOptions): The format of the outputs, or None to detect it, and
        whether to detokenize the texts.
    YIELDS (Annotated): The documents. Each issue of parsing an output becomes a
        diagnostic with the code of the issue as its kind.
    RAISES (ValueError): The file is malformed, its format can't be detected, or a text
        is not found.
    """
    refuse_splitting(path, options, "alpaca")
    if options.join_sentences:
        raise ValueError(Errors.G562.format(path=path))
    tasks = _tasks(path)
    name = options.format
    if name is None:
        name, tasks = detect_format(tasks, path)
    fmt = get_format(name)
    texts = (_annotated(task, fmt, path) for task in tasks)
    yield from detokenize(texts) if options.detokenize else texts


def _tasks(path: Path) -> Iterator[AlpacaTask]:
    records = checked_json(json_records, path, "alpaca")
    for number, (line, found_record) in enumerate(records, 1):
        try:
            record = _alpaca_record(found_record)
        except ValueError as error:
            raise _bad_record(path, line, str(error)) from error
        refuse_other(record, "alpaca", path, line)
        for key in ("instruction", "input", "output"):
            found = record.get(key)
            if found is None and key != "output":
                found = record[key] = ""
            if not isinstance(found, str):
                raise _bad_record(path, line, f"{key!r} is {found!r}, not a string")
            if has_lone_surrogate(found):
                reason = f"{key!r} contains half of a character"
                raise _bad_record(path, line, reason)
        text, cues = record["input"], 0
        if not text:
            text, cues = _text_in_instruction(record)
        if not text:
            raise ValueError(Errors.G559.format(path=path, line=line))
        try:
            doc_id = read_doc_id(record, number)
        except ValueError as error:
            raise _bad_record(path, line, str(error)) from error
        yield AlpacaTask(line, doc_id, text, record["output"], cues)


def _alpaca_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with `instruction`, `input` and `output`. The question of a
    conversation is the input if a system message gives the instruction and the question
    has no line that names the text. Otherwise it is the instruction."""
    if "output" in record:
        return record
    turns = _turns(record)
    if not turns:
        return record
    system = "\n".join(text for role, text in turns if role == "system")
    rest = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in rest] != ["user", "assistant"]:
        roles = ", ".join(role for role, _ in turns)
        raise ValueError(
            "a conversation must have one question and one answer, after an optional "
            f"system message, found {roles[:100]}"
        )
    (_, question), (_, output) = rest
    made = {"output": output, "doc_id": record.get("doc_id")}
    if system and not _CUE.search(question):
        return {**made, "instruction": system, "input": question}
    return {**made, "instruction": question, "input": ""}


def _turns(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the roles and texts of a conversation, or nothing if there is none."""
    turns: list[tuple[str, str]] = []
    if isinstance(record.get("system"), str) and record["system"]:
        turns.append(("system", record["system"]))
    if "prompt" in record and "completion" in record:
        pair = record["prompt"], record["completion"]
        if all(isinstance(part, str) for part in pair):
            return [*turns, ("user", pair[0]), ("assistant", pair[1])]
        items = [i for part in pair if isinstance(part, list) for i in part]
    else:
        lists = (record.get(key) for key in ("conversations", "messages"))
        items = next((found for found in lists if isinstance(found, list)), [])
    for item in items:
        role = item.get("role", item.get("from")) if isinstance(item, dict) else None
        text = item.get("content", item.get("value")) if role is not None else None
        if isinstance(text, list):
            text = _joined_parts(text)
        if not isinstance(role, str) or not isinstance(text, str):
            raise ValueError(
                f"a message is {str(item)[:60]!r}, expected the strings 'role' and "
                "'content', or 'from' and 'value'"
            )
        turns.append((_ROLES.get(role, role), text))
    return turns


def _joined_parts(parts: list[Any]) -> str | None:
    """Return the content of a message that is a list of parts, if all are texts."""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


def _text_in_instruction(record: dict[str, Any]) -> tuple[str, int]:
    """Return the text in an instruction, and the number of lines that name it."""
    instruction = record.get("instruction", "")
    cues = list(_CUE.finditer(instruction))
    if not cues:
        return "", 0
    return instruction[cues[-1].end() :].strip("* \t\r\n"), len(cues)


def detect_format(
    tasks: Iterable[AlpacaTask], path: Path
) -> tuple[str, Iterator[AlpacaTask]]:
    """Detect the format of the outputs.

    tasks (Iterable[AlpacaTask]): The records of the file.
    path (Path): The file, for the message.
    RETURNS (tuple[str, Iterator[AlpacaTask]]): The name of the format, and all records.
    RAISES (ValueError): The outputs are ambiguous.
    """
    stream = iter(tasks)
    examined: list[AlpacaTask] = []
    # The formats that fit every output so far. Texts without spans fit several.
    left = list(FORMATS)
    for task in stream:
        examined.append(task)
        possible = possible_formats(task)
        left = [name for name in left if name in possible]
        if len(left) == 1:
            return left[0], chain(examined, stream)
        if not left or len(examined) == _MAX_EXAMINED:
            raise _undetected(path, task)
    if examined and left == list(FORMATS):
        raise _undetected(path, examined[0])
    # No text has a span, so that all formats left give the same result.
    return left[0], chain(examined, stream)


def possible_formats(task: AlpacaTask) -> list[str]:
    """Return the formats that an output may have.

    task (AlpacaTask): A record.
    RETURNS (list[str]): The names of the formats.
    """
    inline = [name for name in FORMATS if isinstance(get_format(name), InlineFormat)]
    if task.output == task.text:
        # There is no span. The text may look like JSON.
        return inline
    fenced = _FENCE.fullmatch(task.output)
    try:
        content = parse_json(fenced[1] if fenced else task.output)
    except ValueError:
        content = None
    if isinstance(content, dict):
        return _known("grouped_json")
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        keys = set.intersection(*map(set, content)) if content else None
        return _known(*(n for n, k in _KEYS.items() if keys is None or k <= keys))
    parsed = {name: get_format(name).parse(task.output, task.text) for name in inline}
    exact = [name for name, result in parsed.items() if not result.issues]
    # A damaged output excludes no format.
    return exact or list(FORMATS)


def _known(*names: str) -> list[str]:
    return [name for name in names if name in FORMATS]


def _undetected(path: Path, task: AlpacaTask) -> ValueError:
    return ValueError(
        Errors.G560.format(
            path=path,
            line=task.line,
            found=task.output[:60],
            expected=", ".join(FORMATS),
        )
    )


def _annotated(task: AlpacaTask, fmt: Format, path: Path) -> Annotated:
    parsed = fmt.parse(task.output, task.text)
    if task.cues:
        inline = isinstance(fmt, InlineFormat)
        one_line = task.cues == 1 and "\n" not in task.text
        if parsed.issues if inline else not one_line:
            raise ValueError(Errors.G559.format(path=path, line=task.line))
    for span in parsed.spans:
        # The JSON of an output may contain escapes.
        if has_lone_surrogate(span.label):
            reason = f"the label {span.label!r} contains half of a character"
            raise _bad_record(path, task.line, reason)
    diagnostics = [
        Diagnostic(issue.code, f"{path}, line {task.line}: {issue.message}")
        for issue in parsed.issues
    ]
    if _only_order(task, fmt, parsed):
        diagnostics = [Diagnostic(OTHER_ORDER, f"{path}, line {task.line}")]
    return Annotated(task.text, parsed.spans, task.doc_id, None, tuple(diagnostics))


def _only_order(task: AlpacaTask, fmt: Format, parsed: Parsed) -> bool:
    """Return whether an output differs from the expected one only in its order or
    spacing."""
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
        # The output contains spans that its format can't represent.
        return False
    return _letters(output) == _letters(rendered)


def _letters(output: str) -> list[str]:
    return sorted("".join(output.split()))


def _bad_record(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(Errors.G557.format(path=path, line=line, reason=reason))


def write_alpaca(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a JSON list with an object for each document: a constant instruction, the
    text as input, and the text with its spans in an output format as output.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group, the output format and the definitions of labels.
    counts (ConversionCounts): Counts the spans that the format can't represent.
    RAISES (ValueError): The format is unknown, or can't represent a label.
    """
    fmt = get_format(options.format)
    for label in options.definitions:
        fmt.check_label(label)
    with replaced_file(path) as fresh, temporary_text_file(fresh.parent) as spool:
        # The instruction names every label, so a first pass collects them.
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
        # Training tools insert a line break between instruction and input.
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
                # JSON escapes line feeds in strings, so these only separate fields.
                file.write(written.replace("\n", "\n  "))
            file.write("\n]\n")


def _spool(
    docs: Iterable[Doc],
    spool: IO[str],
    fmt: Format,
    key: str,
    counts: ConversionCounts,
) -> set[str]:
    """Write the texts and spans to a temporary file and return their labels."""
    labels: set[str] = set()
    for doc in docs:
        spans = all_spans(doc, key)
        for label in {span.label for span in spans} - labels:
            fmt.check_label(label)
            labels.add(label)
        kept = representable_spans(doc, fmt, spans, counts)
        spool.write(json.dumps([doc.text, kept], ensure_ascii=False) + "\n")
    return labels
