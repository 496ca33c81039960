"""The scripts that print one row a measurement, on a tiny base."""

import json
import sys

import pytest
import spacy
from component_cases import trained_pipeline
from gguf_cases import write_gguf
from spacy.tokens import DocBin
from thinc.api import Config
from training_cases import TEXTS, make_config, write_config, write_corpus


@pytest.fixture
def run_script(monkeypatch, capsys, import_benchmark):
    """Runs a script with arguments, and returns the lines that it prints."""

    def run(name, *args):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, args)])
        import_benchmark(name).main()
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def data(tmp_path):
    return write_corpus(tmp_path / "data.spacy")


@pytest.fixture
def model(tmp_path, tiny_base):
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_one_pass(run_script, model):
    variants = ("plain", "float32", "int8")
    lines = run_script(
        "one_pass", model, "--tokens", 20, "--repeats", 2, "--ways", *variants
    )
    rows = [json.loads(line) for line in lines]
    assert tuple(row["way"] for row in rows) == variants
    assert all(row["tokens"] == 20 and row["dtype"] == "float32" for row in rows)
    # The tiny base is in float32 already.
    assert [row["apart"] == 0.0 for row in rows] == [True, True, False]


def test_round_trips(run_script, tmp_path, import_benchmark):
    text = "Porto and Porto and the city of Porto"
    row = {"text": text, "spans": [{"start": 10, "end": 15, "label": "GPE"}]}
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps(row), encoding="utf8")
    with pytest.raises(SystemExit) as ended:
        run_script("round_trips", f"{file}:jsonl")
    assert ended.value.code == 0
    sentences = import_benchmark("round_trips").sentences(file, "jsonl")
    results = import_benchmark("round_trips").round_trips(sentences)
    assert all(counts.sentences == counts.spans == 1 for counts in results.values())
    lost = {name for name, counts in results.items() if counts.not_representable}
    assert lost == {"grouped_json"}


@pytest.mark.parametrize("tuned", [False, True])
def test_training_choices(run_script, data, model, tiny_base, tuned):
    args = ["--base", tiny_base("llama"), "--dtype", "float32", "--dev-docs", 3]
    args += ["--model", model] if tuned else ["--train-docs", 6, "--epochs", 2]
    [line] = run_script("training_choices", data, data, *args)
    row = json.loads(line)
    scores = {"f", "nested_r", "free_f", "free_issues", "well_formed"}
    assert scores | {"decode_seconds", "threads", "seed"} <= set(row)
    assert ("steps" in row) is ("train_seconds" in row) is not tuned
    assert not tuned or row["f"] > 0.3


def test_training_speed(run_script, tmp_path, data, tiny_base):
    config = make_config(tiny_base("llama"), data, training__batcher__size=6)
    path = write_config(tmp_path / "tiny.cfg", config)
    [line] = run_script("training_speed", path, "--batches", 2)
    row = json.loads(line)
    assert row["ratio"] > 0 and len(row["ratios"]) == 2
    assert row["tokens_a_second"] > 0 and row["plain_tokens_a_second"] > 0
    assert row["padding_of_plain"] >= 0 and row["dtype"] == "float32"


def test_start_and_memory(run_script, data, model):
    args = ("--docs", 3, "--repeats", 1)
    [line] = run_script("start_and_memory", model, data, *args)
    row = json.loads(line)
    assert row["documents"] == 3 < len(TEXTS)
    assert row["start_seconds_median"] == row["start_seconds"][0] > 0
    assert 0 < row["start_cpu_to_spans"][0] <= row["start_cpu_to_end"][0]
    assert row["peak_gb"] > 0 and row["component_mb"] > 0
    assert spacy.load(model).pipe_names == ["generative_ner"]


def test_new_base(run_script, tmp_path, data, tiny_base, monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))
    base = tiny_base("llama")
    write_gguf(base, tmp_path / "tiny.gguf")
    args = ["--steps", 2, "--texts", 50, "--tokenizer", base / "tokenizer.json"]
    [line] = run_script("new_base", tmp_path / "tiny.gguf", data, data, *args)
    row = json.loads(line)
    for state in ("untrained", "trained"):
        assert row[state]["inputs"] == row[state]["identical"] == 4
        assert row[state]["draft_passes"] <= row[state]["step_passes"]
    assert len(row["losses"]) == 2 and row["parameters"] > 0
    assert row["tokenizer_texts"] == 56 and row["tokenizer_differs"] == []
    # A tokenizer that splits numbers is another one.
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    digits = {"type": "Digits", "individual_digits": True}
    steps = [digits, tokenizer["pre_tokenizer"]]
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    (tmp_path / "other.json").write_text(json.dumps(tokenizer))
    args[-1] = tmp_path / "other.json"
    with pytest.raises(SystemExit):
        run_script("new_base", tmp_path / "tiny.gguf", data, data, *args)


def test_zero_shot_labels(run_script, tmp_path):
    """A label is seen if a corpus of weight above 0 has its name, or another name."""
    weights = {"first": 1, "second": 0}
    for corpus, name in {"first": "City", "second": "river"}.items():
        (tmp_path / corpus).mkdir()
        labels = {"X": {"name": name}}
        (tmp_path / corpus / "labels.json").write_text(json.dumps(labels))
    names = {"first": {"X": {"names": ["town"]}}}
    (tmp_path / "names.json").write_text(json.dumps(names))
    train = {"path": str(tmp_path), "names": str(tmp_path / "names.json")}
    config = Config({"corpora": {"train": {**train, "weights": weights}}})
    config.to_disk(tmp_path / "config.cfg")
    counts = {"city": (4, 4, 0.75), "town": (4, 8, 0.25), "river": (2, 0, 0.0)}
    rows = {
        label: {"gold": gold, "predicted": predicted, "r": r, "f": 0.0}
        for label, (gold, predicted, r) in counts.items()
    }
    results = {"plain": {"domains": {"places": {"per_label": rows}}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    lines = run_script(
        "zero_shot_labels", tmp_path / "results.json", tmp_path / "config.cfg"
    )
    heads = [" ".join(line.split()) for line in lines if not line.startswith(" ")]
    assert heads == [
        "plain seen F 40.0 P 33.3 R 50.0 (8 spans of 2 labels)",
        "plain unseen F 0.0 P 0.0 R 0.0 (2 spans of 1 labels)",
    ]


def test_crossner_corpora(run_script, tmp_path):
    folder = tmp_path / "crossner" / "ai"
    folder.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        text = "Perl\tB-programlang\nat\tO\nNeurIPS\tB-conference\n"
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")
    output = tmp_path / "corpus"
    with pytest.warns(UserWarning, match="W522"):
        lines = run_script(
            "crossner_corpora", tmp_path / "crossner", output, "--domains", "ai"
        )
    assert lines == ["ai: 6 spans"]
    [doc] = (
        DocBin().from_disk(output / "ai-dev.spacy").get_docs(spacy.blank("en").vocab)
    )
    found = [(span.text, span.label_) for span in doc.spans["sc"]]
    assert found == [("Perl", "programming language"), ("NeurIPS", "conference")]
    labels = json.loads((output / "ai-labels.json").read_text(encoding="utf-8"))
    assert labels["programming language"].startswith("A programming language")
