"""Pipelines saved by an earlier version load and give the same results.

The fixtures are a pipeline for each output format, one with a draft head, and one with
a remote model. The local ones use a tiny random base. Each fixture contains the results
of the version that saved it, as JSON and as a `.spacy` file.
"""

import json
from pathlib import Path

import numpy
import pytest
import spacy
from component_cases import NAME
from server import KEY, MODEL, Respond, Server
from spacy.tokens import Doc, DocBin

from spacy_genner import FORMATS

SAVED = Path(__file__).parents[1] / "fixtures" / "pipelines"
LOCAL = [*FORMATS, "inline_bracketed_draft_head"]
TEXT = "Lisbon hosts the University of Lisbon."
OUTPUT = "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG]."


def record(doc):
    group = doc.spans["sc"]
    scores = numpy.asarray(group.attrs["scores"], dtype="float32")
    return {
        "words": [token.text for token in doc],
        "spans": [[span.start, span.end, span.label_] for span in group],
        "scores": [float(score).hex() for score in scores],
        "status": group.attrs["status"],
        "issues": group.attrs["issues"],
        "ents": [[ent.start, ent.end, ent.label_] for ent in doc.ents],
    }


def expected(name):
    return json.loads((SAVED / name / "expected.json").read_text("utf8"))


@pytest.mark.parametrize("name", LOCAL)
def test_a_saved_pipeline_gives_the_same_spans_and_scores(name):
    base = {f"components.{NAME}.model.name": str(SAVED / "base")}
    nlp = spacy.load(SAVED / name, config=base)
    docs = [nlp(Doc(nlp.vocab, words=row["words"])) for row in expected(name)]
    assert [record(doc) for doc in docs] == expected(name)
    has_head = nlp.get_pipe(NAME).lm.drafting.to_bytes() != b""
    assert has_head == name.endswith("draft_head")


def test_a_saved_pipeline_with_a_remote_model(monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_TEST_KEY", KEY)
    prompts = json.loads((SAVED / "remote" / "calls.json").read_text("utf8"))

    def script(call):
        return Respond(OUTPUT if TEXT in call.prompt else "It rains.")

    with Server(script) as server:
        address = {f"components.{NAME}.model.base_url": server.url}
        nlp = spacy.load(SAVED / "remote", config=address)
        docs = [nlp(text) for text in (TEXT, "It rains.")]
        assert [record(doc) for doc in docs] == expected("remote")
        assert [call.prompt for call in server.calls] == prompts
        assert nlp.get_pipe(NAME).lm.name == MODEL


@pytest.mark.parametrize("name", [*LOCAL, "remote"])
def test_a_spacy_file_with_scores_reads_the_same(name):
    docs = (
        DocBin()
        .from_disk(SAVED / name / "docs.spacy")
        .get_docs(spacy.blank("en").vocab)
    )
    assert [record(doc) for doc in docs] == expected(name)
