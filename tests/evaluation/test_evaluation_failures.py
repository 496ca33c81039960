"""Documents that fail while a pipeline is evaluated."""

import json

import pytest
import spacy
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import DocBin, Span, SpanGroup
from spacy.util import raise_error
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.evaluate import annotate, evaluate

TEXTS = ["Oslo sleeps", "boom sleeps", "Bergen sleeps"]


class FirstWord(Pipe):
    """Marks the first word, and fails if it is "boom"."""

    name = "first_word_or_boom"

    def __call__(self, doc):
        if doc[0].text == "boom":
            raise RuntimeError("it went off")
        spans = [Span(doc, 0, 1, label="GPE")]
        attrs = {"scores": [0.5], "status": "ok", "issues": []}
        doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans, attrs=attrs)
        return doc


@Language.factory("first_word_or_boom")
def make_first_word(nlp, name):
    return FirstWord()


@Language.component("first_word_or_boom_function")
def first_word(doc):
    return FirstWord()(doc)


def gold(nlp):
    for text in TEXTS:
        doc = nlp.make_doc(text)
        doc.spans["sc"] = [Span(doc, 0, 1, label="GPE")]
        yield doc


@pytest.fixture(params=["first_word_or_boom", "first_word_or_boom_function"])
def nlp(request):
    nlp = spacy.blank("en")
    nlp.add_pipe(request.param)
    return nlp


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_failed_document_counts_as_one_without_predictions(nlp, batch_size):
    rows = list(annotate(nlp, gold(nlp), "sc", batch_size))
    assert [row.text for row in rows] == TEXTS
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert (rows[1].gold, rows[1].predicted) == ([(0, 4, "GPE")], [])
    assert "it went off" in rows[1].issues[0]["message"]
    result = evaluate(rows)
    assert result["statuses"] == {"ok": 2, "failed": 1}
    assert (result["gold"], result["predicted"], result["correct"]) == (3, 2, 2)


def test_only_the_text_that_the_tokenizer_refuses_fails(nlp):
    docs = list(gold(nlp))
    nlp.max_length = len("Oslo sleeps")
    rows = list(annotate(nlp, docs, "sc"))
    assert [row.status for row in rows] == ["ok", "failed", "failed"]
    assert "E088" in rows[2].issues[0]["message"]
    assert rows[2].gold == [(0, 6, "GPE")]


def test_the_error_handlers_are_restored(nlp):
    def own(name, pipe, docs, error):
        raise error

    docs = list(gold(nlp))
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, Pipe)]
    for handler in (raise_error, own):
        nlp.default_error_handler = raise_error
        for pipe in pipes:
            pipe.set_error_handler(handler)
        list(annotate(nlp, docs, "sc"))
        stream = annotate(nlp, docs, "sc")
        next(stream)
        stream.close()
        assert nlp.default_error_handler is raise_error
        assert [pipe.get_error_handler() for pipe in pipes] == [handler] * len(pipes)
        with pytest.raises(RuntimeError, match="it went off"):
            list(nlp.pipe(TEXTS))


def test_the_command_warns_of_failed_documents(nlp, tmp_path, monkeypatch):
    target = "spacy_genner.cli.evaluate.load_pipeline"
    monkeypatch.setattr(target, lambda name: nlp)
    DocBin(docs=gold(nlp)).to_disk(tmp_path / "data.spacy")
    output = tmp_path / "scores.json"
    line = ["evaluate", "model", str(tmp_path / "data.spacy"), "--output", str(output)]
    result = CliRunner().invoke(app, [*line, "--spans-key", "sc"])
    assert result.exit_code == 0, result.output
    message = " ".join(result.stderr.split())
    assert "[W601] 1 of 3" in message and "it went off" in message
    assert json.loads(output.read_text())["statuses"] == {"ok": 2, "failed": 1}


@pytest.mark.parametrize("nlp", ["first_word_or_boom"], indirect=True)
def test_the_command_warns_of_a_group_that_the_pipeline_does_not_write(
    nlp, tmp_path, monkeypatch
):
    monkeypatch.setattr("spacy_genner.cli.evaluate.load_pipeline", lambda name: nlp)
    docs = list(gold(nlp))
    for doc in docs:
        doc.spans["other"] = list(doc.spans["sc"])
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    line = ["evaluate", "model", str(tmp_path / "data.spacy"), "--spans-key"]
    message = " ".join(CliRunner().invoke(app, [*line, "other"]).stderr.split())
    assert "[W985]" in message and "doc.spans['other'] of 2 of 3" in message
    assert "W985" not in CliRunner().invoke(app, [*line, "sc"]).stderr
