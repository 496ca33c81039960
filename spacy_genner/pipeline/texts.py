"""Read texts, annotate them with a pipeline, and create a record of each."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.vocab import Vocab

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..io import check_suffix, has_lone_surrogate, json_objects, numbered_lines
from .tolerant import FaultTolerantPipe, PipeResult

INPUT_SUFFIXES = (".txt", ".jsonl", ".spacy")


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
            yield InputText(get_text(record, path, line_number), record, None, number)
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


def get_text(record: dict[str, Any], path: Path, line: int) -> str:
    """Get the text of a JSON object.

    record (dict[str, Any]): The object.
    path (Path): Its file, for the error message.
    line (int): Its line, from 1.
    RETURNS (str): The value of "text".
    RAISES (ValueError): There is no such text, or a string is not valid in UTF-8.
    """
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


def span_records(
    spans: Sequence[Span], scores: Sequence[float | None]
) -> list[dict[str, Any]]:
    """Create the JSON objects of spans.

    spans (Sequence[Span]): The spans.
    scores (Sequence[float | None]): The score of each span.
    RETURNS (list[dict[str, Any]]): Objects with `start` and `end` in characters,
        `label` and `score`.
    """
    return [
        {
            "start": span.start_char,
            "end": span.end_char,
            "label": span.label_,
            "score": None if score is None else round(score, 6),
        }
        for span, score in zip(spans, scores, strict=True)
    ]


def group_scores(group: SpanGroup) -> list[float | None]:
    """Get the score of each span of a group.

    group (SpanGroup): The group.
    RETURNS (list[float | None]): The scores; None for each span if the group has no
        scores.
    """
    scores = group.attrs.get("scores")
    if scores is None or len(scores) != len(group):
        return [None] * len(group)
    return [float(score) for score in scores]
