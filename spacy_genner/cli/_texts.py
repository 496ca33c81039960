"""Annotate the texts of a file and write the annotated texts."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.tokens import DocBin
from wasabi import msg

from ..errors import Warnings
from ..io import check_suffix, replaced_file
from ..pipeline.loading import find_spans_key, load_pipeline
from ..pipeline.texts import (
    AnnotatedText,
    annotate_stream,
    count_texts,
    other_fields,
    read_texts,
    set_record,
    to_record,
)
from ._util import progress_bar, warn_of_unwritten, warn_on_stderr

OUTPUT_SUFFIXES = (".jsonl", ".spacy")


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
    counts = StreamCounts()
    write = _write_jsonl if output.suffix == ".jsonl" else _write_docbin
    with replaced_file(output) as fresh:
        write(counts.count_in(progress(stream)), key, fresh)
    msg.good(f"{total} documents -> {output}")
    counts.warn_of_unwritten(key)
    if counts.failed:
        warn_on_stderr(
            Warnings.W502.format(count=counts.failed, total=total, first=counts.first)
        )


class StreamCounts:
    """Counts the documents of a stream, those that failed, with the first reason, and
    those whose group the pipeline has not written."""

    def __init__(self) -> None:
        self.total = self.failed = self.unwritten = 0
        self.first = ""

    def count_in(self, stream: Iterable[AnnotatedText]) -> Iterator[AnnotatedText]:
        """YIELDS (AnnotatedText): The documents, unchanged."""
        for annotated in stream:
            self.total += 1
            if annotated.error is not None:
                self.first = self.first or annotated.error
                self.failed += 1
            self.unwritten += not annotated.written
            yield annotated

    def warn_of_unwritten(self, key: str) -> None:
        """Warn of documents without the group, which another key would show.

        key (str): The key of the group.
        """
        warn_of_unwritten(key, self.unwritten, self.total)


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
