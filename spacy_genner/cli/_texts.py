"""Read the input texts of `annotate` and write the annotated texts."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import load_docs
from ..distillation import group_scores, span_records
from ..errors import Errors, Warnings
from ..io import has_lone_surrogate, json_objects, numbered_lines, replaced_file
from ..pipeline.tolerant import FaultTolerantPipe, PipeResult
from ._util import (
    check_suffix,
    find_spans_key,
    load_pipeline,
    progress_bar,
    warn_on_stderr,
)

INPUT_SUFFIXES = (".txt", ".jsonl", ".spacy")
OUTPUT_SUFFIXES = (".jsonl", ".spacy")


class InputText(NamedTuple):
    """A text to annotate.

    text (str): The text.
    fields (dict[str, Any]): Its JSON object; empty for other inputs.
    doc (Doc | None): The Doc, if the input has Docs.
    number (int): The number of the text in the input, from 1.
    """

    text: str
    fields: dict[str, Any]
    doc: Doc | None
    number: int = 1


AnnotatedText = PipeResult[InputText]


def annotate_texts(
    model: str,
    source: Path,
    output: Path,
    spans_key: str | None = None,
    batch_size: int | None = None,
) -> None:
    """Annotate texts with a pipeline and write a record of each.

    model (str): The folder of the pipeline, or the name of its package.
    source (Path): The texts.
    output (Path): The `.jsonl` or `.spacy` file to write.
    spans_key (str | None): The key of the span group. Defaults to that of the
        generative component.
    batch_size (int | None): The batch size. Defaults to that of the pipeline.
    RAISES (ValueError): The input is malformed, or the pipeline can't be used.
    """
    check_suffix(output, *OUTPUT_SUFFIXES)
    nlp = load_pipeline(model)
    key = spans_key or find_spans_key(nlp, model)
    total = count_texts(source, nlp.vocab)
    progress = progress_bar("documents", total)
    stream = annotate_stream(nlp, key, read_texts(source, nlp.vocab), batch_size)
    failures = _Failures()
    write = _write_jsonl if output.suffix == ".jsonl" else _write_docbin
    with replaced_file(output) as fresh:
        write(failures.count_in(progress(stream)), key, fresh)
    msg.good(f"{total} documents -> {output}")
    if failures.count:
        warn_on_stderr(
            Warnings.W502.format(
                count=failures.count, total=total, first=failures.first
            )
        )


def annotate_stream(
    nlp: Language,
    spans_key: str,
    texts: Iterable[InputText],
    batch_size: int | None = None,
) -> Iterator[AnnotatedText]:
    """Run a pipeline over texts.

    nlp (Language): The pipeline.
    spans_key (str): The key of the span group.
    texts (Iterable[InputText]): The texts.
    batch_size (int | None): The batch size. Defaults to that of the pipeline.
    YIELDS (AnnotatedText): One result for each text, in order, including texts that a
        component failed on or dropped.
    """
    pairs = ((text.text if text.doc is None else text.doc, text) for text in texts)
    return FaultTolerantPipe[InputText](nlp, spans_key)(pairs, batch_size)


class _Failures:
    """Counts the failed documents of a stream and keeps the first reason."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def count_in(self, stream: Iterable[AnnotatedText]) -> Iterator[AnnotatedText]:
        for annotated in stream:
            if annotated.error is not None:
                self.first = self.first or annotated.error
                self.count += 1
            yield annotated


def read_texts(path: Path, vocab: Vocab) -> Iterator[InputText]:
    """Read the texts of a file.

    path (Path): A `.txt` file, in which each line is a text, even an empty line; a
        `.jsonl` file; or a `.spacy` file.
    vocab (Vocab): The vocabulary of the Docs.
    YIELDS (InputText): The texts.
    RAISES (ValueError): The file has another suffix or is malformed.
    """
    check_suffix(path, *INPUT_SUFFIXES)
    if path.suffix == ".txt":
        for number, line in numbered_lines(path):
            yield InputText(line, {}, None, number)
    elif path.suffix == ".jsonl":
        for number, (line_number, record) in enumerate(json_objects(path), 1):
            yield InputText(_get_text(record, path, line_number), record, None, number)
    else:
        for number, doc in enumerate(load_docs(path, vocab), 1):
            yield InputText(doc.text, {}, doc, number)


def count_texts(path: Path, vocab: Vocab) -> int:
    """Count the texts of a file. This reads the whole file, so that a malformed line is
    found before hours of work.

    path (Path): The file.
    vocab (Vocab): The vocabulary of the Docs.
    RETURNS (int): The number of texts.
    RAISES (ValueError): The file has another suffix or is malformed.
    """
    return sum(1 for _ in read_texts(path, vocab))


def _get_text(record: dict[str, Any], path: Path, line: int) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(Errors.G516.format(path=path, line=line, found=text))
    if has_lone_surrogate(json.dumps(record, ensure_ascii=False)):
        found = ascii(record)[:80]
        raise ValueError(Errors.G769.format(path=path, line=line, found=found))
    return text


def other_fields(source: InputText) -> dict[str, Any]:
    """Get the fields of a text's JSON object other than the text.

    source (InputText): The text.
    RETURNS (dict[str, Any]): The fields.
    """
    return {key: value for key, value in source.fields.items() if key != "text"}


def set_record(doc: Doc, record: dict[str, Any]) -> None:
    """Store the other fields of the input in `doc.user_data`. A Doc from a cache may
    have those of an earlier run, which are replaced.

    doc (Doc): The document.
    record (dict[str, Any]): The fields.
    """
    doc.user_data.pop("record", None)
    if record:
        doc.user_data["record"] = record


def to_record(annotated: AnnotatedText, spans_key: str) -> dict[str, Any]:
    """Create the JSON object of an annotated text.

    annotated (AnnotatedText): The text and its Doc.
    spans_key (str): The key of the span group.
    RETURNS (dict[str, Any]): The fields of the input, with `text`, `spans`, `status`
        and `issues`.
    """
    group = annotated.doc.spans[spans_key]
    return {
        **annotated.source.fields,
        "text": annotated.source.text,
        "spans": span_records(list(group), group_scores(group)),
        "status": group.attrs.get("status", "ok"),
        "issues": list(group.attrs.get("issues", ())),
    }


def _write_jsonl(stream: Iterable[AnnotatedText], spans_key: str, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for annotated in stream:
            record = to_record(annotated, spans_key)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_docbin(stream: Iterable[AnnotatedText], spans_key: str, path: Path) -> None:
    docbin = DocBin(store_user_data=True)
    for annotated in stream:
        set_record(annotated.doc, other_fields(annotated.source))
        docbin.add(annotated.doc)
    path.write_bytes(docbin.to_bytes())
