"""Conversion of a corpus from one format to another, by way of Docs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy
import spacy
from spacy.attrs import SENT_START
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from ..formats import CharSpan
from .docbin import UNALIGNED
from .documents import (
    MAX_LISTED,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    read_chosen,
)
from .forms import get_converter, get_writer
from .forms.files import rereadable
from .label_names import rename_labels
from .tokenizer import make_fine_tokenizer

TOKENIZERS = ("blank", "fine")
INSIDE_TOKEN = "sentence_start_inside_token"


def convert_file(
    source: Path,
    output: Path,
    name: str,
    *,
    options: ConvertOptions | None = None,
    tokenizer: str = "blank",
    to: str = "docbin",
    write_options: WriteOptions | None = None,
    label_names: Mapping[str, str] | None = None,
    progress: Callable[[Iterable[Doc]], Iterable[Doc]] | None = None,
) -> ConversionCounts:
    """Convert a corpus from one format to another. The output is written atomically.
    Documents are streamed; only a `.spacy` file is built in memory.

    source (Path): The corpus. It may be a pipe; `-` is the standard input.
    output (Path): The file to write, or the folder for "brat".
    name (str): The corpus format of the source.
    options (ConvertOptions | None): Options for reading. Their `spans_key` names the
        group that the Docs get, too.
    tokenizer (str): "blank" or "fine".
    to (str): The corpus format of the output.
    write_options (WriteOptions | None): Options for writing. The `spans_key` of
        `options` replaces theirs.
    label_names (Mapping[str, str] | None): Names that replace the labels of the source.
    progress (Callable[[Iterable[Doc]], Iterable[Doc]] | None): Wraps the stream of
        documents.
    RETURNS (ConversionCounts): The counts, which include what the output can't
        represent.
    RAISES (ValueError): The source is malformed or contains no document, or the output
        format can't represent a text or label.
    """
    options = options or ConvertOptions()
    converter = get_converter(name)
    writer = get_writer(to)
    maker = DocMaker(options.lang, options.spans_key, tokenizer)
    with rereadable(source) as path:
        texts = read_chosen(converter, path, options)
        docs = maker(rename_labels(texts, label_names) if label_names else texts)
        # Reading the first document reports an unreadable source before the output
        # exists.
        first = next(docs, None)
        if first is None:
            raise ValueError(Errors.G504.format(path=path, name=name))
        stream: Iterable[Doc] = chain([first], docs)
        writer(
            progress(stream) if progress else stream,
            output,
            replace(write_options or WriteOptions(), spans_key=options.spans_key),
            maker.counts,
        )
    return maker.counts


class DocMaker:
    """Creates Docs from annotated texts and counts their annotation.

    lang (str): The language, as for `spacy.blank`.
    spans_key (str): The group of `doc.spans` that receives the spans.
    tokenizer (str): "blank" for the tokenizer of the language, or "fine" for one that
        splits wherever letters, digits and other characters meet.
    RAISES (ValueError): The language or the tokenizer is unknown.
    """

    def __init__(
        self, lang: str = "en", spans_key: str = "sc", tokenizer: str = "blank"
    ):
        if tokenizer not in TOKENIZERS:
            raise ValueError(
                Errors.G502.format(found=tokenizer, expected=", ".join(TOKENIZERS))
            )
        self.nlp = _blank(lang)
        if tokenizer == "fine":
            self.nlp.tokenizer = make_fine_tokenizer()(self.nlp)
        self.spans_key = spans_key
        self.counts = ConversionCounts()

    def __call__(self, texts: Iterable[Annotated]) -> Iterator[Doc]:
        """Create Docs.

        texts (Iterable[Annotated]): The annotated texts.
        YIELDS (Doc): A Doc for each text that is not empty. `doc.user_data` contains
            the `doc_id` of the source and, under `genner_unaligned`, the spans that fit
            no token boundary, as lists of start, end (in characters) and label.
        """
        for annotated in texts:
            for diagnostic in annotated.diagnostics:
                self.counts.diagnose(diagnostic)
            if not annotated.text:
                self.counts.empty += 1
                continue
            # `make_doc` limits the length of texts, for the sake of parsers.
            doc = self.nlp.tokenizer(annotated.text)
            doc.user_data["doc_id"] = annotated.doc_id
            self._set_sentences(doc, annotated.sentence_starts)
            self._set_spans(doc, annotated.spans)
            self.counts.documents += 1
            yield doc

    def _set_sentences(self, doc: Doc, starts: list[int] | None) -> None:
        if starts is None:
            return
        self.counts.sentences += len(starts)
        remaining = iter(starts[1:])
        start = next(remaining, None)
        begins = True
        values = numpy.full(len(doc), -1, dtype="int32")
        for token in doc:
            if begins:
                values[token.i] = 1
            begins = False
            while start is not None and start < token.idx + len(token):
                if start <= token.idx:
                    values[token.i] = 1
                else:
                    # The next token is the first that can begin a sentence.
                    begins = True
                    place = f"in {token.text!r}, document {doc.user_data['doc_id']}"
                    self.counts.diagnose(Diagnostic(INSIDE_TOKEN, place))
                start = next(remaining, None)
        # `token.is_sent_start` would examine the whole Doc for each token.
        column: Any = values.astype("uint64").reshape(-1, 1)
        doc.from_array([SENT_START], column)

    def _set_spans(self, doc: Doc, gold: list[CharSpan]) -> None:
        unique = sorted(set(gold), key=lambda span: (span[0], -span[1], span[2]))
        aligned = []
        unaligned: list[list[int | str]] = []
        for start, end, label in unique:
            span = doc.char_span(start, end, label=label)
            if span is None:
                unaligned.append([start, end, label])
                self._list_unaligned(doc, start, end, label)
            else:
                aligned.append(span)
            self.counts.labels[label] = self.counts.labels.get(label, 0) + 1
        key = self.spans_key
        doc.spans[key] = SpanGroup(doc, name=key, spans=aligned)
        doc.user_data[UNALIGNED] = unaligned
        self.counts.spans += len(unique)
        self.counts.duplicates += len(gold) - len(unique)
        self.counts.unaligned += len(unaligned)

    def _list_unaligned(self, doc: Doc, start: int, end: int, label: str) -> None:
        if len(self.counts.examples) >= MAX_LISTED:
            return
        covering = doc.char_span(start, end, alignment_mode="expand")
        inside = "" if covering is None else f" in {covering.text!r}"
        text = doc.text[start:end]
        doc_id = doc.user_data["doc_id"]
        self.counts.examples.append(f"{text!r} ({label}){inside}, document {doc_id}")


def _blank(lang: str) -> Language:
    try:
        return spacy.blank(lang)
    except ImportError as error:
        # A failed import inside this package does not mean that the language is
        # missing.
        if (error.name or "").startswith("spacy_genner"):
            raise
        raise ValueError(Errors.G503.format(lang=lang, reason=error)) from error
