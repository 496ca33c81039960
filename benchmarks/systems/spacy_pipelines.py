"""Other spaCy pipelines, such as `ner` and `spancat`: on their own, and as drafters."""

from collections.abc import Sequence
from pathlib import Path

import spacy
from base import Context, Input, Output, System
from spacy.tokens import Doc

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import DocSpansDrafter
from spacy_genner.evaluation.scores import group_spans
from spacy_genner.formats import CharSpan

from .decoders import ProjectDecoder, drafting_with

DRAFTED = "drafted"


def pipeline_inputs(
    nlp: spacy.Language, context: Context, documents: Sequence[int]
) -> list[Input]:
    """Tokenize documents with the tokenizer of a pipeline.

    nlp (Language): The pipeline.
    context (Context): The context with the documents.
    documents (Sequence[int]): The indices of the documents.
    RETURNS (list[Input]): An input for each document.
    """
    made = []
    for index in documents:
        doc = nlp.make_doc(context.dataset.docs[index].text)
        made.append(Input(index, doc, 0, doc.text))
    return made


class SpacyPipeline(System):
    """A pipeline that writes a span group, as `spancat` does, or entities.

    path (str): The saved pipeline.
    """

    slow = False
    counted = False

    def __init__(self, path: str):
        self.name = f"spacy:{_short_name(path)}"
        self._path = path

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        self._nlp = spacy.load(self._path)

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        return pipeline_inputs(self._nlp, self.context, documents)

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        # The pipeline writes to the Docs, so each run needs new ones.
        docs = [self._nlp.make_doc(each.text) for each in inputs]
        key = self.context.settings.spans_key
        return [Output(tuple(_spans(doc, key))) for doc in self._nlp.pipe(docs)]


class PipelineDraft(ProjectDecoder):
    """This project's decoder, which drafts the spans that another pipeline finds. The
    time of that pipeline counts.

    path (str): The saved pipeline.
    """

    def __init__(self, path: str):
        make = drafting_with(DocSpansDrafter(DRAFTED))
        super().__init__(f"draft:{_short_name(path)}", make, slow=True)
        self._path = path

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        # `decoding_task` uses the drafter of the component's decoder.
        context.ner.decoder = self.decoder
        self._nlp = spacy.load(self._path)

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        docs = {each.document: each.doc for each in inputs}
        texts = [doc.text for doc in docs.values()]
        for doc, other in zip(docs.values(), self._nlp.pipe(texts), strict=True):
            spans = _spans(other, self.context.settings.spans_key)
            aligned = [doc.char_span(s.start, s.end, s.label) for s in spans]
            doc.spans[DRAFTED] = [span for span in aligned if span is not None]
        predictor = self.context.predictor
        return [
            predictor.decoding_task(docs[each.document], each.window, each.source)
            for each in inputs
        ]


def _short_name(path: str) -> str:
    return f"{Path(path).parent.name}/{Path(path).name}"


def _spans(doc: Doc, key: str) -> list[CharSpan]:
    if key in doc.spans:
        return group_spans(doc, key)
    return [CharSpan(e.start_char, e.end_char, e.label_) for e in doc.ents]
