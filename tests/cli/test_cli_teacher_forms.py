"""`annotate --teacher`: the kinds of teachers there are, and what becomes of it."""

import json
import sys
from pathlib import Path

import pytest
import spacy
from component_cases import learnt
from spacy.language import Language
from spacy.tokens import Doc, Span
from teacher_cases import (
    NESTED,
    OK,
    PLAIN,
    REPAIRED,
    RUNNER,
    Answers,
    corpus,
    reviewed,
    run,
    said,
    spans,
    teach,
    write_texts,
)
from training_cases import make_config, write_config, write_corpus

from spacy_genner.cli import app

# What the pipeline of the tests has learnt by heart.
LEARNT = NESTED[:2]
ROOT = Path(__file__).parents[2]
COMPONENT = """
[nlp]
lang = "en"
pipeline = ["sentencizer", "generative_ner"]

[components]

[components.sentencizer]
factory = "sentencizer"

[components.generative_ner]
factory = "generative_ner"
readings = 1

[components.generative_ner.model]
@architectures = "spacy-genner.LoraCausalLM.v1"
name = "BASE"
dtype = "float32"
device = "cpu"
lora = null

[initialize]

[initialize.components]

[initialize.components.generative_ner]
labels = ["ORG", "GPE"]
"""


def test_a_component_without_adapter(room, tiny_base):
    shown = write_corpus(room / "shown.spacy")
    config = COMPONENT.replace("BASE", str(tiny_base("llama")))
    config += f'demonstrations = "{shown}"\n'
    (room / "teacher.cfg").write_text(config)
    write_texts(room, OK, f"{PLAIN} {REPAIRED}", PLAIN)
    result = teach(room)
    assert result.exit_code == 0, result.output
    docs = corpus(room / "corpus.spacy")
    assert [doc.text for doc in docs] == [OK, f"{PLAIN} {REPAIRED}", PLAIN]
    assert [len(list(doc.sents)) for doc in docs] == [1, 2, 1]
    rows = reviewed(room)
    scores = [[span["score"] for span in row["spans"]] for row in rows]
    # A base that knows nothing marks this and that, and says how sure it is.
    assert sum(map(len, scores)) and all(0 < s < 1 for each in scores for s in each)
    least = [min(each, default=1.0) for each in scores]
    assert least == sorted(least)
    # Above the least score of all: that document goes.
    limit = least[0] + 1e-5
    assert teach(room, "--min-score", limit).exit_code in (0, 1)
    gone = {row["text"] for row in reviewed(room) if row["answer"] == "ignore"}
    assert rows[0]["text"] in gone
    assert gone == {
        row["text"] for row, score in zip(rows, least, strict=True) if score < limit
    }


def test_a_saved_pipeline(room, tiny_base):
    learnt(tiny_base("llama")).to_disk(room / "model")
    source = write_texts(room, OK)
    arguments = ("--teacher", room / "model", source, room / "corpus.spacy")
    assert run(*arguments).exit_code == 0
    [doc] = corpus(room / "corpus.spacy")
    assert spans(doc) == LEARNT
    # Its values are overridden, too.
    changed = ("--components.generative_ner.spans_key", "other")
    assert run(*arguments, *changed).exit_code == 0
    [doc] = corpus(room / "corpus.spacy")
    assert len(doc.spans["other"]) == len(LEARNT)


@Language.component("cli_test_entities", assigns=["doc.ents"])
def mark_first_word(doc: Doc) -> Doc:
    doc.ents = [Span(doc, 0, 1, label="FIRST")]
    return doc


@Language.component("cli_test_nothing")
def do_nothing(doc: Doc) -> Doc:
    return doc


def save(room: Path, *components: str) -> Path:
    nlp = spacy.blank("en")
    for component in components:
        nlp.add_pipe(component)
    nlp.to_disk(room / "model")
    return room / "model"


def test_a_pipeline_with_nothing_but_entities(room):
    model = save(room, "cli_test_entities")
    source = write_texts(room, OK)
    assert run("--teacher", model, source, room / "corpus.spacy").exit_code == 0
    [doc] = corpus(room / "corpus.spacy")
    assert spans(doc) == [(0, 6, "FIRST")]


def test_a_pipeline_without_spans(room):
    model = save(room, "cli_test_nothing")
    source = write_texts(room, OK)
    arguments = ("--teacher", model, source, room / "corpus.spacy")
    result = run(*arguments)
    assert (result.exit_code, "[G762]" in said(result)) == (1, True)
    result = run(*arguments, "--spans-key", "sc")
    assert (result.exit_code, "[G764]" in said(result)) == (1, True)
    assert "document 1" in said(result)


@pytest.mark.parametrize("form", ["llm", "generative_ner"])
def test_a_teacher_without_labels(room, tiny_base, form):
    config = (room / "teacher.cfg").read_text()
    config = config.replace('labels = ["ORG", "GPE"]', 'labels = ""')
    if form == "generative_ner":
        config = COMPONENT.replace("BASE", str(tiny_base("llama")))
        config = config.replace('labels = ["ORG", "GPE"]', "")
    (room / "teacher.cfg").write_text(config)
    write_texts(room, OK)
    result = teach(room)
    assert (result.exit_code, "[G763]" in said(result)) == (1, True)
    assert repr(form) in said(result)


def test_labels_may_come_from_the_block_of_initialize(room):
    config = (room / "teacher.cfg").read_text()
    config = config.replace('labels = ["ORG", "GPE"]', 'labels = ""')
    config += "\n[initialize]\n\n[initialize.components]\n\n"
    config += '[initialize.components.llm]\nlabels = ["ORG", "GPE"]\n'
    (room / "teacher.cfg").write_text(config)
    write_texts(room, OK)
    assert teach(room).exit_code == 0
    assert spans(corpus(room / "corpus.spacy")[0]) == NESTED


@pytest.mark.parametrize("saved", [False, True])
def test_the_extra_is_named_where_it_is_missing(room, monkeypatch, saved):
    from spacy_llm.util import assemble

    source = write_texts(room, OK)
    teacher = room / "teacher.cfg"
    if saved:
        assemble(teacher).to_disk(room / "model")
        teacher = room / "model"
    monkeypatch.setitem(sys.modules, "spacy_llm", None)
    result = run("--teacher", teacher, source, room / "corpus.spacy")
    assert (result.exit_code, "[G761]" in said(result)) == (1, True)
    assert "pip install 'spacy-genner[llm]'" in said(result)


def test_the_config_that_comes_with_the_project(room, monkeypatch, tiny_base):
    monkeypatch.chdir(ROOT)
    source = write_texts(room, OK, PLAIN)
    arguments = ("--teacher", "configs/llm/teacher.cfg", source, room / "corpus.spacy")
    base = ("--components.llm.model.name", tiny_base("llama"))
    dtype = ("--components.llm.model.dtype", "float32")
    result = run(*arguments, *base, *dtype)
    assert result.exit_code == 0, result.output
    assert len(corpus(room / "corpus.spacy")) == 2
    rows = reviewed(room)
    labels = set(json.loads((ROOT / "corpus/labels.json").read_text()))
    assert {span["label"] for row in rows for span in row["spans"]} <= labels
    assert all("raw" in row for row in rows)


def test_the_two_values_that_make_it_remote(room, monkeypatch):
    """As its comments say, up to the first question, for which no key is there."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    source = write_texts(room, OK)
    result = run(
        "--teacher",
        "configs/llm/teacher.cfg",
        source,
        room / "corpus.spacy",
        "--components.llm.model.@llm_models",
        "spacy-genner.OpenAICompatible.v1",
        "--components.llm.model.name",
        "gpt-4.1",
    )
    assert (result.exit_code, "[G766]" in said(result)) == (1, True)
    assert "OPENAI_API_KEY" in said(result)


def test_from_the_teacher_to_a_small_model_that_is_scored(room, tiny_base):
    Answers.by_text["Porto and Lisbon agree ."] = (
        "[Porto | GPE] and [Lisbon | GPE] agree ."
    )
    write_texts(room, OK, REPAIRED, PLAIN, "Porto and Lisbon agree .")
    assert teach(room).exit_code == 0
    data = room / "corpus.spacy"
    config = make_config(
        tiny_base("llama"), data, training__max_steps=2, training__eval_frequency=1
    )
    write_config(room / "small.cfg", config)
    for line in (
        f"train {room}/small.cfg --output {room}/small",
        f"evaluate {room}/small/model-last {data} --output {room}/scores.json",
    ):
        result = RUNNER.invoke(app, line.split())
        assert result.exit_code == 0, result.output
    scores = json.loads((room / "scores.json").read_text())
    assert (scores["gold"], scores["documents"]) == (6, 4)


SECRET = "sk-0123456789abcdef"
REMOTE = "spacy-genner.OpenAICompatible.v1"


@pytest.mark.parametrize(
    "arguments, codes",
    [
        (("model.@llm_models", REMOTE, "model.api_key", SECRET), ["G700"]),
        (("model.api_key", SECRET), ["G760", "model -> api_key"]),
        # Another fault of the same block.
        (
            ("model.@llm_models", REMOTE, "model.api_key", SECRET, "model.nmae", "x"),
            ["G760", "model -> nmae"],
        ),
    ],
)
def test_a_key_in_a_config_is_not_printed(room, arguments, codes):
    write_texts(room, OK)
    names, values = arguments[::2], arguments[1::2]
    changes = [
        part
        for name, value in zip(names, values, strict=True)
        for part in (f"--components.llm.{name}", value)
    ]
    result = teach(room, *changes)
    assert result.exit_code == 1
    assert all(code in said(result) for code in codes), result.output
    assert SECRET not in result.output
