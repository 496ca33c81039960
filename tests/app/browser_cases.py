"""Registered components for the pipelines of the browser tests, which the command gets
as --code."""

import re
import time
from pathlib import Path

import numpy
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

# Pattern, label and score. The spans are nested, and one score is uncertain.
RULES = [
    (r"University of \w+", "ORG", 0.55),
    (r"\b(?:Lisbon|Porto|Oslo)\b", "GPE", 0.95),
    (r"\b(?:Maria|<b>\w+</b>)", "PERSON", 0.8),
]


@Language.factory("browser_test_rules", default_config={"skip": ""})
def make_rules(nlp: Language, name: str, skip: str):
    """A component that writes a span group as `generative_ner` does. It fails on
    "boom", repairs "odd" and takes a minute for "slow"."""

    def mark(doc: Doc) -> Doc:
        if "slow" in doc.text:
            Path("at-work").touch()
            time.sleep(60)
        if "boom" in doc.text:
            raise ValueError("it went off <i>here</i>")
        found = [
            (doc.char_span(*match.span(), label=label, alignment_mode="expand"), score)
            for pattern, label, score in RULES
            if label != skip
            for match in re.finditer(pattern, doc.text)
        ]
        found.sort(key=lambda pair: (pair[0].start, -pair[0].end))
        odd = "odd" in doc.text
        issue = {"code": "copy_differs", "message": "it was <i>odd</i>"}
        attrs = {
            "scores": numpy.asarray([score for _, score in found], dtype="float32"),
            "status": "repaired" if odd else "ok",
            "issues": [issue] if odd else [],
        }
        spans = [span for span, _ in found]
        doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans, attrs=attrs)
        return doc

    return mark
