"""Write a record of each text that a pipeline annotates."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.tokens import DocBin
from wasabi import msg

from ..errors import Errors, Warnings
from ..storage.files import replaced_file
from ._annotated_texts import Annotation, TextAnnotator, to_record
from ._errors import fail, warn_on_stderr
from ._pipelines import find_spans_key, load_pipeline
from ._progress import progress_bar
from ._texts import count_texts, read_texts

OUTPUTS = (".jsonl", ".spacy")


def annotate_texts(
    model: str,
    source: Path,
    output: Path,
    spans_key: str | None = None,
    batch_size: int | None = None,
) -> None:
    """Find the spans of texts with a pipeline, and write a record of each.

    model (str): The pipeline: its folder, or its package's name.
    source (Path): The texts.
    output (Path): What to write: a `.jsonl` or `.spacy` file.
    spans_key (Optional[str]): The group of `doc.spans`; None to find it.
    batch_size (Optional[int]): Documents at once; None for the pipeline's own number.
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
        # A Doc out of a cache has what an earlier run said of it.
        annotation.doc.user_data.pop("record", None)
        if others:
            annotation.doc.user_data["record"] = others
        docbin.add(annotation.doc)
    path.write_bytes(docbin.to_bytes())
