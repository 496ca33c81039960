"""spaCy's commands on a trained pipeline, compared with the project's own."""

import importlib
import json
import shutil

import numpy
import pytest
import spacy
import srsly
from safetensors.numpy import load_file
from spacy import displacy
from spacy.cli import app
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import DocBin
from spacy.training import Example
from training_cases import (
    OVERFIT,
    TEXTS,
    docs,
    make_config,
    weights,
    write_config,
    write_corpus,
)
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401
from spacy_genner.pipeline.results import Prediction, TokenSpan

RUNNER = CliRunner()
# Texts that the tiny model has not seen. It predicts wrong spans with lower scores.
OTHER_TEXTS = [
    ("John Smith met Maria in Porto and the company left .", [(5, 6, "GPE")]),
    ("The protein binds the DNA .", []),
    ("The cell line was measured in 24 cells .", []),
]
ALL_TEXTS = [*TEXTS, *OTHER_TEXTS]


def run(*args):
    return RUNNER.invoke(app, [str(arg) for arg in args])


def found(doc):
    """The spans of a Doc with their scores, as a saved Doc has to keep them."""
    group = doc.spans["sc"]
    scores = [round(float(score), 4) for score in group.attrs["scores"]]
    return [
        (span.start, span.end, span.label_, score)
        for span, score in zip(group, scores, strict=True)
    ]


@pytest.fixture(scope="module")
def trained(tiny_base, tmp_path_factory):
    """The folder of a pipeline that `spacy train` trained on the six texts."""
    folder = tmp_path_factory.mktemp("tools")
    corpus = write_corpus(folder / "train.spacy")
    changes = OVERFIT | {
        "training__accumulate_gradient": 1,
        "training__max_steps": 20,
        "training__eval_frequency": 20,
        "training__optimizer__learn_rate__total_steps": 21,
    }
    config = make_config(tiny_base("llama"), corpus, **changes)
    path = write_config(folder / "tiny.cfg", config)
    result = run("train", path, "--output", folder / "out")
    assert result.exit_code == 0, result.output
    return folder / "out" / "model-best"


@pytest.fixture(scope="module")
def nlp(trained):
    return spacy.load(trained)


@pytest.fixture
def data(tmp_path):
    return write_corpus(tmp_path / "data.spacy", ALL_TEXTS)


def examples(nlp):
    # Each call makes new Docs, since `evaluate` writes to the predicted ones.
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs(ALL_TEXTS)]


def test_train_saves_the_trained_pipeline(nlp):
    for text, spans in TEXTS:
        ranges = [row[:3] for row in found(nlp(text))]
        assert ranges == sorted(spans, key=lambda span: (span[0], -span[1]))


def test_evaluate_writes_span_scores(trained, nlp, data, tmp_path):
    output = tmp_path / "scores.json"
    result = run("evaluate", trained, data, "--output", output)
    assert result.exit_code == 0, result.output
    scores = srsly.read_json(output)
    expected = nlp.evaluate(examples(nlp))
    for key in ("spans_sc_p", "spans_sc_r", "spans_sc_f"):
        assert scores[key] == pytest.approx(expected[key])
    # The model predicts all gold spans, and some wrong ones.
    assert 0 < scores["spans_sc_p"] < scores["spans_sc_r"] <= 1
    assert set(scores["spans_sc_per_type"]) == {"GPE", "ORG"}
    assert scores["speed"] > 0
    assert "SPAN F" in result.output and "SPANS (per type)" in result.output


def test_evaluate_by_component(trained, data, tmp_path):
    output = tmp_path / "scores.json"
    result = run("evaluate", trained, data, "--output", output, "--per-component")
    assert result.exit_code == 0, result.output
    scores = srsly.read_json(output)["generative_ner"]
    assert {"spans_sc_f", "spans_sc_nested_f", "spans_sc_per_type"} <= set(scores)


@pytest.fixture
def renamed(trained, tmp_path):
    """The same pipeline with another span group, and a corpus with that group."""
    config = spacy.load(trained).config
    changes = {"spans_key": "names", "scorer": {"spans_key": "names"}}
    nlp = spacy.load(trained, config={"components": {"generative_ner": changes}})
    assert config["components"]["generative_ner"]["spans_key"] == "sc"
    nlp.to_disk(tmp_path / "renamed")
    gold = list(docs(ALL_TEXTS))
    for doc in gold:
        doc.spans["names"] = list(doc.spans["sc"])
        del doc.spans["sc"]
    DocBin(docs=gold).to_disk(tmp_path / "names.spacy")
    return tmp_path / "renamed", tmp_path / "names.spacy"


def test_another_span_group_has_the_same_scores(nlp, renamed, tmp_path):
    output = tmp_path / "scores.json"
    args = ("--output", output, "--spans-key", "names")
    result = run("evaluate", *renamed, *args)
    assert result.exit_code == 0, result.output
    expected = nlp.evaluate(examples(nlp))["spans_sc_f"]
    assert srsly.read_json(output)["spans_names_f"] == pytest.approx(expected)
    # `genner evaluate` detects the group and computes the same score.
    result = run("genner", "evaluate", *renamed, "--output", output)
    assert result.exit_code == 0, result.output
    scores = srsly.read_json(output)
    assert scores["micro_f"] == pytest.approx(expected)
    assert scores["statuses"] == {"ok": len(ALL_TEXTS)}
    _, score, _ = find_threshold(
        *renamed, "generative_ner", "min_score", "spans_names_f", n_trials=6
    )
    assert score > expected
    assert max(row["f"] for row in scores["threshold_curve"]) >= score - 1e-9


def test_genner_annotate_uses_the_span_group(nlp, renamed, tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(text for text, _ in TEXTS), encoding="utf8")
    result = run("genner", "annotate", renamed[0], source, output)
    assert result.exit_code == 0, result.output
    for row, (text, _) in zip(srsly.read_jsonl(output), TEXTS, strict=True):
        assert row["text"] == text and row["status"] == "ok"
        doc = nlp(text)
        group = doc.spans["sc"]
        assert [(r["start"], r["end"], r["label"]) for r in row["spans"]] == [
            (span.start_char, span.end_char, span.label_) for span in group
        ]
        scores = [float(score) for score in group.attrs["scores"]]
        assert [r["score"] for r in row["spans"]] == pytest.approx(scores, abs=1e-4)


def test_thresholds_of_an_evaluation(trained, data, tmp_path):
    """Each point of the curve has the scores of the pipeline with that `min_score`."""
    output = tmp_path / "scores.json"
    assert run("genner", "evaluate", trained, data, "--output", output).exit_code == 0
    scores = srsly.read_json(output)
    curve = scores["threshold_curve"]
    assert scores["best_threshold"] == max(curve, key=lambda point: point["f"])
    assert len(curve) > 5
    nlp = spacy.load(trained)
    for point in curve:
        # The last digits of a score depend on the batch.
        least = point["min_score"] - 1e-6
        nlp.get_pipe("generative_ner").cfg["min_score"] = max(0.0, least)
        given = nlp.evaluate(examples(nlp))
        expected = [point[key] for key in "prf"]
        assert [given[f"spans_sc_{key}"] for key in "prf"] == pytest.approx(expected)


def test_span_with_the_stored_score_as_threshold_is_kept(trained):
    nlp = spacy.load(trained)
    component = nlp.get_pipe("generative_ner")
    # Rounding to float32 increases the score.
    score = 0.1
    stored = float(numpy.float32(score))
    assert stored > score
    component.cfg["min_score"] = stored
    doc = nlp.make_doc("Porto")
    component.set_annotations([doc], [Prediction([TokenSpan(0, 1, "GPE", score)])])
    assert found(doc) == [(0, 1, "GPE", 0.1)]
    component.cfg["min_score"] = 0.11
    component.set_annotations([doc], [Prediction([TokenSpan(0, 1, "GPE", score)])])
    assert found(doc) == []


def test_genner_export_base(trained, tmp_path):
    result = run("genner", "export-base", trained, tmp_path / "out")
    assert result.exit_code == 0, result.output
    config = srsly.read_json(tmp_path / "out" / "adapter" / "adapter_config.json")
    assert config["base_model_name_or_path"] == str(tmp_path / "out" / "base")
    name = "adapter/adapter_model.safetensors"
    before = load_file(trained / "generative_ner" / name)
    after = load_file(tmp_path / "out" / name)
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)
    # An existing output folder is refused.
    result = run("genner", "export-base", trained, tmp_path / "out")
    assert result.exit_code == 1 and "[G261]" in result.stderr


@pytest.mark.parametrize("batch_size", [1, 4])
def test_apply_writes_span_groups(trained, nlp, tmp_path, batch_size):
    folder = tmp_path / "in"
    folder.mkdir()
    texts = [text for text, _ in ALL_TEXTS]
    (folder / "one.txt").write_text(texts[0], encoding="utf8")
    srsly.write_jsonl(folder / "some.jsonl", [{"body": text} for text in texts[1:4]])
    gold = list(docs(ALL_TEXTS[4:]))
    for doc in gold:
        # These spans are in another group, which is kept.
        doc.spans["gold"] = list(doc.spans["sc"])
        del doc.spans["sc"]
    DocBin(docs=gold, store_user_data=True).to_disk(folder / "more.spacy")
    output = tmp_path / "out.spacy"
    size = ("--batch-size", batch_size, "--text-key", "body")
    result = run("apply", trained, folder, output, *size)
    assert result.exit_code == 0, result.output
    made = {doc.text: doc for doc in DocBin().from_disk(output).get_docs(nlp.vocab)}
    assert set(made) == {*texts[:4], *(doc.text for doc in gold)}
    for text, doc in made.items():
        assert found(doc) == found(nlp(text)), text
        assert doc.spans["sc"].attrs["status"] == "ok"
        assert list(doc.spans["sc"].attrs["issues"]) == []
        assert len(doc.ents) <= len(doc.spans["sc"])
    assert any(found(doc) for doc in made.values())
    assert [len(made[doc.text].spans["gold"]) for doc in gold] == [
        len(spans) for _, spans in ALL_TEXTS[4:]
    ]


def test_benchmark_speed(trained, tmp_path):
    corpus = write_corpus(tmp_path / "few.spacy", TEXTS[:2])
    size = ("--batches", 30, "--batch-size", 1, "--warmup", 1)
    result = run("benchmark", "speed", trained, corpus, *size)
    assert result.exit_code == 0, result.output
    assert "words/s" in result.output


def test_find_threshold_of_min_score(trained, nlp, data):
    best, score, scores = find_threshold(
        trained, data, "generative_ner", "min_score", "spans_sc_f", n_trials=6
    )
    assert list(scores) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    # Expected for each threshold: the spans without a threshold, except those below
    # it.
    pairs = [(found(nlp(text)), spans) for text, spans in ALL_TEXTS]
    gold = sum(len(spans) for _, spans in pairs)
    for threshold, value in scores.items():
        kept = [
            row[:3] in spans
            for rows, spans in pairs
            for row in rows
            if row[3] >= threshold
        ]
        assert value == pytest.approx(2 * sum(kept) / (gold + len(kept)))
    assert len(set(scores.values())) > 2
    assert score == scores[best] == max(scores.values())
    assert scores[0.0] < score > scores[1.0]


def test_find_threshold_as_a_command(trained, data):
    args = ("generative_ner", "min_score", "spans_sc_p", "--n_trials", 2)
    result = run("find-threshold", trained, data, *args)
    assert result.exit_code == 0, result.output
    assert "Threshold" in result.output


def test_assemble_loads_an_adapter(trained, nlp, tmp_path):
    """Without training data, labels and adapter come from `[initialize]`, and there is
    no warning of missing spans."""
    config = nlp.config.copy()
    adapter = str(trained / "generative_ner" / "adapter")
    settings = {"labels": ["ORG", "GPE"], "adapter": adapter}
    config["initialize"]["components"] = {"generative_ner": settings}
    config["paths"].update({"train": None, "dev": None})
    path = write_config(tmp_path / "assemble.cfg", config)
    result = RUNNER.invoke(
        app, ["assemble", str(path), str(tmp_path / "made")], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert weights(tmp_path / "made") == weights(trained)
    made = spacy.load(tmp_path / "made")
    for text, _ in ALL_TEXTS:
        assert found(made(text)) == found(nlp(text))


def package(source, output):
    output.mkdir()
    result = run("package", source, output, "--name", "tiny_tools", "--build", "none")
    assert result.exit_code == 0, result.output
    return output / "en_tiny_tools-0.0.0"


def test_package_is_importable(trained, nlp, tmp_path, monkeypatch):
    folder = package(trained, tmp_path / "packages")
    meta = srsly.read_json(folder / "meta.json")
    names = [line.split(">")[0] for line in meta["requirements"]]
    assert names == ["spacy-genner", "spacy"]
    module = folder / "en_tiny_tools"
    # The setup.py of the package copies this file.
    shutil.copy(folder / "meta.json", module)
    monkeypatch.syspath_prepend(folder)
    loaded = importlib.import_module("en_tiny_tools").load()
    for text, _ in ALL_TEXTS:
        assert found(loaded(text)) == found(nlp(text))
    # The package has the saved files of the component: no base and no pickle.
    [saved] = module.rglob("generative_ner")
    files = sorted(str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file())
    assert files == [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "draft_head.safetensors",
        "genner.json",
    ]


@pytest.fixture
def weights_package(tmp_path, monkeypatch):
    """Makes the package `tiny-weights` 1.2 look installed."""
    site = tmp_path / "site"
    info = site / "tiny_weights-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\n"
    )
    (info / "RECORD").write_text("tiny_weights/w.gguf,,\n")
    (site / "tiny_weights").mkdir()
    (site / "tiny_weights" / "w.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))


def test_package_requires_the_weights_package(trained, tmp_path, weights_package):
    source = tmp_path / "model"
    shutil.copytree(trained, source)
    config = (source / "config.cfg").read_text(encoding="utf8")
    before = next(line for line in config.splitlines() if line.startswith("name = "))
    config = config.replace(before, 'name = "pip:tiny-weights"')
    (source / "config.cfg").write_text(config, encoding="utf8")
    # Loading and saving do not read the weights of the base.
    spacy.load(source).to_disk(tmp_path / "saved")
    folder = package(tmp_path / "saved", tmp_path / "packages")
    requirements = srsly.read_json(folder / "meta.json")["requirements"]
    assert "tiny-weights>=1.2" in requirements
    assert any(line.startswith("spacy-genner>=") for line in requirements)


def test_displacy_renders_spans_and_entities(nlp):
    doc = nlp(TEXTS[2][0])
    assert [span.text for span in doc.spans["sc"]] == ["University of Porto", "Porto"]
    page = displacy.render(doc, style="span", jupyter=False)
    assert "ORG" in page and "GPE" in page
    page = displacy.render(doc, style="ent", jupyter=False)
    # Only the outer span is an entity.
    assert "University of Porto" in page and "ORG" in page and "GPE" not in page
    # A text without spans: spaCy warns and renders the text.
    empty = nlp(TEXTS[3][0])
    with pytest.warns(UserWarning, match="W117"):
        assert "rains" in displacy.render(empty, style="span", jupyter=False)


def test_doc_to_json(nlp):
    doc = nlp(TEXTS[2][0])
    row = json.loads(json.dumps(doc.to_json()))
    assert [(span["start"], span["label"]) for span in row["spans"]["sc"]] == [
        (4, "ORG"),
        (18, "GPE"),
    ]
