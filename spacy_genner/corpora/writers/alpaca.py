"""Corpora in the alpaca form of instruction tuning: instruction, input, output."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from spacy.tokens import Doc

from ...formats import CharSpan, Format, get_format
from ...prompts.layout import PromptLayout
from ...prompts.template import read_template
from ...storage.files import replaced_file
from ..counts import ConversionCounts
from ..docbin import all_spans
from .markable import markable_spans
from .options import WriteOptions


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
