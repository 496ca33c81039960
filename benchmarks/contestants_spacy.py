"""spaCy's own pipelines: for scale, and as what drafts."""

from collections.abc import Sequence
from pathlib import Path

import spacy
from contestants import Answer, Contestant
from contestants_own import Own
from decoding_room import Input, Room
from spacy.tokens import Doc

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import DocSpansDrafter, DraftDecoder
from spacy_genner.evaluation.scores import group_spans
from spacy_genner.formats import CharSpan

DRAFTED = "drafted"


class SpacyPipeline(Contestant):
    """A pipeline that writes a group of spans, as `spancat` does, or entities.

    path (str): The saved pipeline.
    """

    slow = False
    counted = False

    def __init__(self, path: str):
        self.name = f"spacy:{_short(path)}"
        self._path = path

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self._nlp = spacy.load(self._path)

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        made = []
        for index in documents:
            doc = self._nlp.make_doc(self.room.gold.docs[index].text)
            made.append(Input(index, doc, 0, doc.text))
        return made

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        # A Doc is written by what reads it; a second run needs a new one.
        docs = [self._nlp.make_doc(each.text) for each in inputs]
        key = self.room.settings.spans_key
        return [Answer(tuple(_found(doc, key))) for doc in self._nlp.pipe(docs)]


class DraftedBy(Own):
    """This project's decoder, drafting what such a pipeline finds, whose time counts.

    path (str): The saved pipeline.
    """

    def __init__(self, path: str):
        super().__init__(f"draft:{_short(path)}", self._drafting, slow=True)
        self._path = path

    @staticmethod
    def _drafting(batch_tokens: int) -> DraftDecoder:
        return DraftDecoder(batch_tokens, DocSpansDrafter(DRAFTED))

    def prepare(self, room: Room) -> None:
        super().prepare(room)
        self._nlp = spacy.load(self._path)

    def tasks(self, inputs: Sequence[Input]) -> list[DecodingTask]:
        docs = {each.document: each.doc for each in inputs}
        texts = [doc.text for doc in docs.values()]
        for doc, guessed in zip(docs.values(), self._nlp.pipe(texts), strict=True):
            spans = _found(guessed, self.room.settings.spans_key)
            placed = [doc.char_span(s.start, s.end, s.label) for s in spans]
            doc.spans[DRAFTED] = [span for span in placed if span is not None]
        return [
            self.annotator._task(docs[each.document], each.window, each.source)
            for each in inputs
        ]


def _short(path: str) -> str:
    return f"{Path(path).parent.name}/{Path(path).name}"


def _found(doc: Doc, key: str) -> list[CharSpan]:
    if key in doc.spans:
        return group_spans(doc, key)
    return [CharSpan(e.start_char, e.end_char, e.label_) for e in doc.ents]
