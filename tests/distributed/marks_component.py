"""Registered functions for the pipelines of the tests, which the workers import. The
component marks the first word, fails for texts with "boom", and kills its process once,
at the text "kill"."""

import os
import signal
from pathlib import Path

import numpy
from spacy.language import Language
from spacy.tokens import Span, SpanGroup


@Language.factory("distributed_test_marks", default_config={"killed": ""})
def make_marks(nlp, name, killed: str):
    def mark(doc):
        if doc.text == "kill" and killed and not Path(killed).exists():
            Path(killed).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "boom" in doc.text:
            raise ValueError("it went off")
        spans = [Span(doc, 0, 1, label="FIRST")] if len(doc) else []
        scores = numpy.asarray([0.25] * len(spans), dtype="float32")
        attrs = {"scores": scores, "status": "ok", "issues": []}
        doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans, attrs=attrs)
        return doc

    return mark
