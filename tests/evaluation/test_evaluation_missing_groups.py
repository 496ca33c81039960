"""Corpora in which some documents are annotated and others are not."""

from types import SimpleNamespace

import pytest
import spacy
from spacy.tokens import DocBin, Span
from spacy.training import Example

from spacy_genner.errors import GennerWarning
from spacy_genner.evaluation.evaluate import check_gold
from spacy_genner.training.corpus_facts import read_dev, read_facts
from spacy_genner.training.loop import _check_corpora

NLP = spacy.blank("en")
MESSAGE = r"\[W525\].*1 of 2 documents.*'sc'.*{entities} of these.*--from docbin"


def make_docs(entities):
    """An annotated document, and one with at most entities."""
    docs = [NLP("Ann left Oslo."), NLP("Bob came.")]
    docs[0].spans["sc"] = [Span(docs[0], 2, 3, "GPE")]
    if entities:
        docs[1].set_ents([Span(docs[1], 0, 1, "PERSON")])
    return docs


@pytest.mark.parametrize("entities", [0, 1])
def test_every_command_warns_of_missing_groups(tmp_path, entities):
    docs = make_docs(entities)
    DocBin(docs=docs).to_disk(tmp_path / "c.spacy")
    checks = [
        lambda: check_gold(docs, "sc"),
        lambda: read_facts(tmp_path / "c.spacy", "sc", "en"),
        lambda: read_dev(tmp_path / "c.spacy", "sc", "en"),
        lambda: check_pipeline(docs),
    ]
    for check in checks:
        with pytest.warns(GennerWarning, match=MESSAGE.format(entities=entities)):
            check()
    # The advice: an empty group says that there are no spans.
    docs[1].spans["sc"] = []
    for check in (checks[0], checks[3]):
        check()


def check_pipeline(docs):
    """The check of `train`, with a pipeline of one component."""
    pipe = SimpleNamespace(key="sc", gold_counts=None)

    def corpus(nlp):
        return [Example(NLP.make_doc(doc.text), doc) for doc in docs]

    _check_corpora(SimpleNamespace(pipeline=[("p", pipe)]), (), corpus, corpus)
