"""`annotate`: texts with the spans that a pipeline finds."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from spacy.tokens import DocBin
from wasabi import msg

from ..errors import Errors, Warnings
from ..storage.files import replaced_file
from ._annotated_texts import Annotation, TextAnnotator, to_record
from ._app import app
from ._arguments import Model, SpansKey
from ._errors import fail, reports_errors, warn_on_stderr
from ._pipelines import find_spans_key, load_pipeline
from ._progress import progress_bar
from ._texts import count_texts, read_texts

OUTPUTS = (".jsonl", ".spacy")


@app.command("annotate")
@reports_errors
def annotate(
    model: Model,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="The texts: .txt (one a line), .jsonl (under 'text') or .spacy.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="The file to write: .jsonl or .spacy."),
    ],
    spans_key: SpansKey = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "-b",
            min=1,
            help="Documents at once. Default: the pipeline's.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the spans of texts.

    Every text gets its record, in the input's order; one that fails has the status
    'failed' and the reason under 'issues'. A record keeps the other keys of its JSON
    object. The output is there in whole or not at all.

    \b
    Example:
      python -m spacy genner annotate training/demo/model-best texts.txt spans.jsonl
    """
    if output.suffix not in OUTPUTS:
        expected = ", ".join(OUTPUTS)
        fail(Errors.G525.format(path=output, found=output.suffix, expected=expected))
    nlp = load_pipeline(model)
    key = spans_key or find_spans_key(nlp, model)
    total = count_texts(source, nlp.vocab)
    annotator = TextAnnotator(nlp, key)
    progress = progress_bar("documents", total)
    stream = annotator(read_texts(source, nlp.vocab), batch_size)
    failed = Failures()
    write = _write_jsonl if output.suffix == ".jsonl" else _write_docbin
    with replaced_file(output) as fresh:
        write(failed.watch(progress(stream)), key, fresh)
    msg.good(f"{total} documents -> {output}")
    if failed.count:
        warn_on_stderr(
            Warnings.W502.format(count=failed.count, total=total, first=failed.first)
        )


class Failures:
    """Counts the failed documents of a stream, and keeps the first reason."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def watch(self, stream: Iterable[Annotation]) -> Iterator[Annotation]:
        """Pass a stream on.

        stream (Iterable[Annotation]): The stream.
        YIELDS (Annotation): The same.
        """
        for annotation in stream:
            if annotation.error is not None:
                self.first = self.first or annotation.error
                self.count += 1
            yield annotation


def _write_jsonl(stream: Iterable[Annotation], spans_key: str, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for annotation in stream:
            record = to_record(annotation, spans_key)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_docbin(stream: Iterable[Annotation], spans_key: str, path: Path) -> None:
    docbin = DocBin(store_user_data=True)
    for annotation in stream:
        others = {k: v for k, v in annotation.source.fields.items() if k != "text"}
        if others:
            annotation.doc.user_data["record"] = others
        docbin.add(annotation.doc)
    path.write_bytes(docbin.to_bytes())
