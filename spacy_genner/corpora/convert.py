"""Convert a corpus file to Docs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from ..errors import Errors
from ..formats import CharSpan
from .docbin import UNALIGNED
from .documents import (
    LISTED,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    read_chosen,
)
from .forms import get_converter, get_writer
from .tokenizer import make_fine_tokenizer

TOKENIZERS = ("blank", "fine")
INSIDE_TOKEN = "sentence_start_inside_token"


class DocMaker:
    """Makes Docs of annotated texts, and counts.

    lang (str): The language, as `spacy.blank` takes it.
    spans_key (str): The group of `doc.spans` that the spans go to.
    tokenizer (str): "blank" for the language's own, "fine" for one that parts every
        change between letters, digits and other characters.
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
        """Make Docs.

        texts (Iterable[Annotated]): The annotated texts.
        YIELDS (Doc): One for each that is not empty. `doc.user_data` has the source's
            `doc_id`, and under `genner_unaligned` what no token boundary fits, as
            lists of start, end (in characters) and label.
        """
        for annotated in texts:
            for remark in annotated.remarks:
                self.counts.remark(remark)
            if not annotated.text:
                self.counts.empty += 1
                continue
            # Not `make_doc`: its limit is there for parsers, not for tokenizers.
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
        waiting = iter(starts[1:])
        start = next(waiting, None)
        begins = True
        for token in doc:
            token.is_sent_start = begins
            begins = False
            while start is not None and start < token.idx + len(token):
                if start <= token.idx:
                    token.is_sent_start = True
                else:
                    # The next token is the first that can begin a sentence.
                    begins = True
                    where = f"in {token.text!r}, document {doc.user_data['doc_id']}"
                    self.counts.remark(Diagnostic(INSIDE_TOKEN, where))
                start = next(waiting, None)

    def _set_spans(self, doc: Doc, gold: list[CharSpan]) -> None:
        unique = sorted(set(gold), key=lambda span: (span[0], -span[1], span[2]))
        fitting = []
        unaligned: list[list[int | str]] = []
        for start, end, label in unique:
            span = doc.char_span(start, end, label=label)
            if span is None:
                unaligned.append([start, end, label])
                self._list(doc, start, end, label)
            else:
                fitting.append(span)
            self.counts.labels[label] = self.counts.labels.get(label, 0) + 1
        key = self.spans_key
        doc.spans[key] = SpanGroup(doc, name=key, spans=fitting)
        doc.user_data[UNALIGNED] = unaligned
        self.counts.spans += len(unique)
        self.counts.duplicates += len(gold) - len(unique)
        self.counts.unaligned += len(unaligned)

    def _list(self, doc: Doc, start: int, end: int, label: str) -> None:
        if len(self.counts.examples) >= LISTED:
            return
        covering = doc.char_span(start, end, alignment_mode="expand")
        inside = "" if covering is None else f" in {covering.text!r}"
        text = doc.text[start:end]
        where = doc.user_data["doc_id"]
        self.counts.examples.append(f"{text!r} ({label}){inside}, document {where}")


def _blank(lang: str) -> Language:
    try:
        return spacy.blank(lang)
    except ImportError as error:
        # A plugin that is broken is no missing language.
        if (error.name or "").startswith("spacy_genner"):
            raise
        raise ValueError(Errors.G503.format(lang=lang, reason=error)) from error


def convert_file(
    source: Path,
    output: Path,
    name: str,
    *,
    options: ConvertOptions | None = None,
    tokenizer: str = "blank",
    to: str = "docbin",
    write_options: WriteOptions | None = None,
    progress: Callable[[Iterable[Doc]], Iterable[Doc]] | None = None,
) -> ConversionCounts:
    """Convert a corpus from one form to another. The output is there in whole or not
    at all. Documents pass one by one; only a `.spacy` file is made in memory.

    source (Path): The corpus.
    output (Path): The file, or the folder for "brat".
    name (str): The converter.
    options (Optional[ConvertOptions]): How the source is read, and the group that the
        spans go to.
    tokenizer (str): "blank" or "fine".
    to (str): The writer.
    write_options (Optional[WriteOptions]): How the output is written; the group is
        that of `options`.
    progress (Optional[Callable]): Wraps the stream of documents.
    RETURNS (ConversionCounts): What was met, and what the output's form can't say.
    RAISES (ValueError): The source is not well formed, or holds no document; or the
        output's form can't hold some text or label.
    """
    options = options or ConvertOptions()
    converter = get_converter(name)
    writer = get_writer(to)
    maker = DocMaker(options.lang, options.spans_key, tokenizer)
    docs = maker(read_chosen(converter, source, options))
    # A source that can't be read is met before anything is made for the output.
    first = next(docs, None)
    if first is None:
        raise ValueError(Errors.G504.format(path=source, name=name))
    stream: Iterable[Doc] = chain([first], docs)
    writer(
        progress(stream) if progress else stream,
        output,
        replace(write_options or WriteOptions(), spans_key=options.spans_key),
        maker.counts,
    )
    return maker.counts
