"""spaCy's own pipelines, for scale."""

from collections.abc import Sequence
from pathlib import Path

import spacy
from contestants import Answer, Contestant
from decoding_room import Input, Room

from spacy_genner.evaluation.scorer import group_spans
from spacy_genner.formats import CharSpan


class SpacyPipeline(Contestant):
    """A pipeline that writes a group of spans, as `spancat` does, or entities.

    path (str): The saved pipeline.
    """

    slow = False
    counted = False

    def __init__(self, path: str):
        self.name = f"spacy:{Path(path).parent.name}/{Path(path).name}"
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
        return [Answer(tuple(self._found(d))) for d in self._nlp.pipe(docs)]

    def _found(self, doc) -> list[CharSpan]:
        key = self.room.settings.spans_key
        if key in doc.spans:
            return group_spans(doc, key)
        return [CharSpan(e.start_char, e.end_char, e.label_) for e in doc.ents]
