"""`annotate --teacher`: kinds of teachers, and training on the corpus."""

import json
import sys
from pathlib import Path

import pytest
import spacy
from component_cases import trained_pipeline
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
    output_of,
    reviewed,
    run,
    spans,
    teach,
    write_texts,
)
from training_cases import make_config, write_config, write_corpus

from spacy_genner.cli import app

# The spans that the overfitted pipeline of the tests predicts.
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


def test_a_component_without_an_adapter(workdir, tiny_base):
    shown = write_corpus(workdir / "shown.spacy")
    config = COMPONENT.replace("BASE", str(tiny_base("llama")))
    config += f'demonstrations = "{shown}"\n'
    (workdir / "teacher.cfg").write_text(config)
    write_texts(workdir, OK, f"{PLAIN} {REPAIRED}", PLAIN)
    result = teach(workdir)
    assert result.exit_code == 0, result.output
    docs = corpus(workdir / "corpus.spacy")
    assert [doc.text for doc in docs] == [OK, f"{PLAIN} {REPAIRED}", PLAIN]
    assert [len(list(doc.sents)) for doc in docs] == [1, 2, 1]
    rows = reviewed(workdir)
    scores = [[span["score"] for span in row["spans"]] for row in rows]
    # An untrained base marks arbitrary spans, with scores.
    assert sum(map(len, scores)) and all(0 < s < 1 for each in scores for s in each)
    least = [min(each, default=1.0) for each in scores]
    assert least == sorted(least)
    # Above the lowest score: its document is excluded.
    limit = least[0] + 1e-5
    assert teach(workdir, "--min-score", limit).exit_code in (0, 1)
    gone = {row["text"] for row in reviewed(workdir) if row["answer"] == "ignore"}
    assert rows[0]["text"] in gone
    assert gone == {
        row["text"] for row, score in zip(rows, least, strict=True) if score < limit
    }


def test_a_saved_pipeline(workdir, tiny_base):
    trained_pipeline(tiny_base("llama")).to_disk(workdir / "model")
    source = write_texts(workdir, OK)
    arguments = ("--teacher", workdir / "model", source, workdir / "corpus.spacy")
    assert run(*arguments).exit_code == 0
    [doc] = corpus(workdir / "corpus.spacy")
    assert spans(doc) == LEARNT
    # Overrides apply to saved pipelines, too.
    changed = ("--components.generative_ner.spans_key", "other")
    assert run(*arguments, *changed).exit_code == 0
    [doc] = corpus(workdir / "corpus.spacy")
    assert len(doc.spans["other"]) == len(LEARNT)


@Language.component("cli_test_entities", assigns=["doc.ents"])
def mark_first_word(doc: Doc) -> Doc:
    doc.ents = [Span(doc, 0, 1, label="FIRST")]
    return doc


@Language.component("cli_test_nothing")
def do_nothing(doc: Doc) -> Doc:
    return doc


def save(workdir: Path, *components: str) -> Path:
    nlp = spacy.blank("en")
    for component in components:
        nlp.add_pipe(component)
    nlp.to_disk(workdir / "model")
    return workdir / "model"


def test_a_pipeline_that_only_assigns_entities(workdir):
    model = save(workdir, "cli_test_entities")
    source = write_texts(workdir, OK)
    assert run("--teacher", model, source, workdir / "corpus.spacy").exit_code == 0
    [doc] = corpus(workdir / "corpus.spacy")
    assert spans(doc) == [(0, 6, "FIRST")]


def test_a_pipeline_without_spans(workdir):
    model = save(workdir, "cli_test_nothing")
    source = write_texts(workdir, OK)
    arguments = ("--teacher", model, source, workdir / "corpus.spacy")
    result = run(*arguments)
    assert (result.exit_code, "[G762]" in output_of(result)) == (1, True)
    result = run(*arguments, "--spans-key", "sc")
    assert (result.exit_code, "[G764]" in output_of(result)) == (1, True)
    assert "document 1" in output_of(result)


@pytest.mark.parametrize("form", ["llm", "generative_ner"])
def test_a_teacher_without_labels(workdir, tiny_base, form):
    config = (workdir / "teacher.cfg").read_text()
    config = config.replace('labels = ["ORG", "GPE"]', 'labels = ""')
    if form == "generative_ner":
        config = COMPONENT.replace("BASE", str(tiny_base("llama")))
        config = config.replace('labels = ["ORG", "GPE"]', "")
    (workdir / "teacher.cfg").write_text(config)
    write_texts(workdir, OK)
    result = teach(workdir)
    assert (result.exit_code, "[G763]" in output_of(result)) == (1, True)
    assert repr(form) in output_of(result)


def test_labels_may_come_from_the_initialize_block(workdir):
    config = (workdir / "teacher.cfg").read_text()
    config = config.replace('labels = ["ORG", "GPE"]', 'labels = ""')
    config += "\n[initialize]\n\n[initialize.components]\n\n"
    config += '[initialize.components.llm]\nlabels = ["ORG", "GPE"]\n'
    (workdir / "teacher.cfg").write_text(config)
    write_texts(workdir, OK)
    assert teach(workdir).exit_code == 0
    assert spans(corpus(workdir / "corpus.spacy")[0]) == NESTED


@pytest.mark.parametrize("saved", [False, True])
def test_the_missing_extra_is_named(workdir, monkeypatch, saved):
    from spacy_llm.util import assemble

    source = write_texts(workdir, OK)
    teacher = workdir / "teacher.cfg"
    if saved:
        assemble(teacher).to_disk(workdir / "model")
        teacher = workdir / "model"
    monkeypatch.setitem(sys.modules, "spacy_llm", None)
    result = run("--teacher", teacher, source, workdir / "corpus.spacy")
    assert (result.exit_code, "[G761]" in output_of(result)) == (1, True)
    assert "pip install 'spacy-genner[llm]'" in output_of(result)


def test_the_example_config(workdir, monkeypatch, tiny_base):
    monkeypatch.chdir(ROOT)
    source = write_texts(workdir, OK, PLAIN)
    arguments = (
        "--teacher",
        "configs/llm/teacher.cfg",
        source,
        workdir / "corpus.spacy",
    )
    base = ("--components.llm.model.name", tiny_base("llama"))
    dtype = ("--components.llm.model.dtype", "float32")
    result = run(*arguments, *base, *dtype)
    assert result.exit_code == 0, result.output
    assert len(corpus(workdir / "corpus.spacy")) == 2
    rows = reviewed(workdir)
    labels = set(json.loads((ROOT / "corpus/labels.json").read_text()))
    assert {span["label"] for row in rows for span in row["spans"]} <= labels
    assert all("raw" in row for row in rows)


def test_two_overrides_make_the_example_config_remote(workdir, monkeypatch):
    """As its comments describe, up to the first request, which has no API key."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    source = write_texts(workdir, OK)
    result = run(
        "--teacher",
        "configs/llm/teacher.cfg",
        source,
        workdir / "corpus.spacy",
        "--components.llm.model.@llm_models",
        "spacy-genner.OpenAICompatible.v1",
        "--components.llm.model.name",
        "gpt-4.1",
    )
    assert (result.exit_code, "[G766]" in output_of(result)) == (1, True)
    assert "OPENAI_API_KEY" in output_of(result)


def test_a_small_model_is_trained_and_evaluated_on_the_corpus(workdir, tiny_base):
    Answers.by_text["Porto and Lisbon agree ."] = (
        "[Porto | GPE] and [Lisbon | GPE] agree ."
    )
    write_texts(workdir, OK, REPAIRED, PLAIN, "Porto and Lisbon agree .")
    assert teach(workdir).exit_code == 0
    data = workdir / "corpus.spacy"
    config = make_config(
        tiny_base("llama"), data, training__max_steps=2, training__eval_frequency=1
    )
    write_config(workdir / "small.cfg", config)
    for line in (
        f"train {workdir}/small.cfg --output {workdir}/small",
        f"evaluate {workdir}/small/model-last {data} --output {workdir}/scores.json",
    ):
        result = RUNNER.invoke(app, line.split())
        assert result.exit_code == 0, result.output
    scores = json.loads((workdir / "scores.json").read_text())
    assert (scores["gold"], scores["documents"]) == (6, 4)


SECRET = "sk-0123456789abcdef"
REMOTE = "spacy-genner.OpenAICompatible.v1"


@pytest.mark.parametrize(
    "arguments, codes",
    [
        (("model.@llm_models", REMOTE, "model.api_key", SECRET), ["G700"]),
        (("model.api_key", SECRET), ["G760", "model -> api_key"]),
        # With another error in the same block.
        (
            ("model.@llm_models", REMOTE, "model.api_key", SECRET, "model.nmae", "x"),
            ["G760", "model -> nmae"],
        ),
    ],
)
def test_a_key_in_a_config_is_not_printed(workdir, arguments, codes):
    write_texts(workdir, OK)
    names, values = arguments[::2], arguments[1::2]
    changes = [
        part
        for name, value in zip(names, values, strict=True)
        for part in (f"--components.llm.{name}", value)
    ]
    result = teach(workdir, *changes)
    assert result.exit_code == 1
    assert all(code in output_of(result) for code in codes), result.output
    assert SECRET not in result.output
