"""Read the texts that `annotate` is given and write its annotations."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import load_docs
from ..errors import Errors, Warnings
from ..io import has_lone_surrogate, json_objects, numbered_lines, replaced_file
from ..pipeline.tolerant import FaultTolerantPipe, PipeResult
from ._util import fail, find_spans_key, load_pipeline, progress_bar, warn_on_stderr

INPUTS = (".txt", ".jsonl", ".spacy")


class InputText(NamedTuple):
    """One text to annotate.

    text (str): The text.
    fields (Dict[str, Any]): The keys of its JSON object, else none.
    doc (Optional[Doc]): The Doc, where the input holds Docs.
    number (int): Which of the input's texts it is, from 1.
    """

    text: str
    fields: dict[str, Any]
    doc: Doc | None
    number: int = 1


def read_texts(path: Path, vocab: Vocab) -> Iterator[InputText]:
    """Read the texts of a file, by its ending.

    path (Path): A `.txt` file, where every line is a text, also an empty one; a
        `.jsonl` file; or a `.spacy` file.
    vocab (Vocab): The vocabulary of the Docs.
    YIELDS (InputText): The texts.
    RAISES (ValueError): The file is not well formed.
    """
    if path.suffix == ".txt":
        for number, line in numbered_lines(path):
            yield InputText(line, {}, None, number)
    elif path.suffix == ".jsonl":
        for number, (line_number, record) in enumerate(json_objects(path), 1):
            yield InputText(_text_of(record, path, line_number), record, None, number)
    elif path.suffix == ".spacy":
        for number, doc in enumerate(load_docs(path, vocab), 1):
            yield InputText(doc.text, {}, doc, number)
    else:
        raise ValueError(
            Errors.G525.format(path=path, found=path.suffix, expected=", ".join(INPUTS))
        )


def count_texts(path: Path, vocab: Vocab) -> int:
    """Read a file through once, so that a bad line is met before hours of work.

    path (Path): The file.
    vocab (Vocab): The vocabulary of the Docs.
    RETURNS (int): How many texts it holds.
    RAISES (ValueError): The file is not well formed.
    """
    return sum(1 for _ in read_texts(path, vocab))


def _text_of(record: dict[str, Any], path: Path, line: int) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(Errors.G516.format(path=path, line=line, found=text))
    if has_lone_surrogate(json.dumps(record, ensure_ascii=False)):
        found = ascii(record)[:80]
        raise ValueError(Errors.G769.format(path=path, line=line, found=found))
    return text


# One text with what was found in it.
Annotation = PipeResult[InputText]


class TextAnnotator:
    """Runs a pipeline over texts.

    nlp (Language): The pipeline.
    spans_key (str): The group of `doc.spans` that is the result.
    """

    def __init__(self, nlp: Language, spans_key: str):
        self._pipe: FaultTolerantPipe[InputText] = FaultTolerantPipe(nlp, spans_key)

    def __call__(
        self, texts: Iterable[InputText], batch_size: int | None = None
    ) -> Iterator[Annotation]:
        """Annotate texts.

        texts (Iterable[InputText]): The texts.
        batch_size (Optional[int]): How many go through the pipeline at once.
        YIELDS (Annotation): One for each, in order: also for a text that some
            component failed on or dropped.
        """
        pairs = ((text.text if text.doc is None else text.doc, text) for text in texts)
        return self._pipe(pairs, batch_size)


def to_record(annotation: Annotation, spans_key: str) -> dict[str, Any]:
    """Make the JSON object of an annotated text.

    annotation (Annotation): The text and its Doc.
    spans_key (str): The group of `doc.spans`.
    RETURNS (Dict[str, Any]): The input's keys, with `text`, `spans`, `status` and
        `issues`.
    """
    group = annotation.doc.spans[spans_key]
    scores = group.attrs.get("scores")
    spans: list[dict[str, Any]] = []
    for index, span in enumerate(group):
        score = None if scores is None else round(float(scores[index]), 6)
        spans.append(
            {
                "start": span.start_char,
                "end": span.end_char,
                "label": span.label_,
                "score": score,
            }
        )
    return {
        **annotation.source.fields,
        "text": annotation.source.text,
        "spans": spans,
        "status": group.attrs.get("status", "ok"),
        "issues": list(group.attrs.get("issues", ())),
    }


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
