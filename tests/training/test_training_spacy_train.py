"""The settings of a training config in `spacy train` and `spacy genner train`."""

import io
import json

import pytest
import spacy
from spacy.training.loop import train as spacy_train
from training_cases import OVERFIT, TEXTS, make_config, start, weights, write_corpus

from spacy_genner.errors import GennerWarning
from spacy_genner.training.logger import FILE, read_rows, write_row
from spacy_genner.training.loop import train


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "train.spacy")


def run(config, output):
    stream = io.StringIO()
    nlp = start(config)
    train(nlp, output, stdout=stream, stderr=stream)
    return weights(output / "model-last"), stream.getvalue()


@pytest.fixture
def trained(tiny_base, corpus, tmp_path):
    """A function (**changes of the config) -> the weights after three steps."""

    def after(**changes):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        few = {"training__max_steps": 2, "corpora__dev__limit": 1}
        changes = few | {"training__dropout": 0.0} | changes
        return run(make_config(tiny_base("llama"), corpus, **changes), folder)[0]

    return after


def test_each_training_setting_changes_the_weights(trained):
    plain = trained()
    assert trained() == plain
    rate = "training__optimizer__learn_rate"
    for changes in (
        {"system__seed": 4},
        {"training__dropout": 0.5},
        {"components__generative_ner__model__lora__dropout": 0.5},
        {"training__accumulate_gradient": 1},
        {"training__optimizer__L2": 0.5},
        {"training__optimizer__grad_clip": 1e-3},
        {"training__optimizer__@optimizers": "RAdam.v1"},
        {f"{rate}__initial_rate": 0.001},
        {f"{rate}__total_steps": 3},
        {"training__batcher__size": 10},
        {"components__generative_ner__loss": "lm"},
        {"components__generative_ner__readings": 2},
        {"training__max_steps": 3},
    ):
        assert trained(**changes) != plain, changes


def test_a_seed_fixes_the_weights_with_dropout(trained):
    assert trained(training__dropout=0.3) == trained(training__dropout=0.3)


def test_patience_and_max_epochs_end_a_run(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    changes = {
        "training__max_steps": 100,
        "training__eval_frequency": 1,
        "training__optimizer__learn_rate__initial_rate": 0.0,
        "training__patience": 3,
    }
    run(make_config(base, corpus, **changes), tmp_path / "patience")
    # With a rate of 0, step 0 remains the best.
    steps = [row["step"] for row in read_rows(tmp_path / "patience" / FILE)]
    assert steps == [0, 1, 2, 3]
    changes |= {"training__patience": 0, "training__max_epochs": 2}
    run(make_config(base, corpus, **changes), tmp_path / "epochs")
    epochs = [row["epoch"] for row in read_rows(tmp_path / "epochs" / FILE)]
    assert epochs == sorted(epochs) and set(epochs) == {0, 1}


def test_overfits_and_loads(tiny_base, corpus, tmp_path):
    changes = OVERFIT | {
        "components__generative_ner__readings": 2,
        "training__max_steps": 60,
        "training__eval_frequency": 60,
        "training__optimizer__learn_rate__total_steps": 61,
    }
    output = tmp_path / "out"
    output.mkdir()
    nlp = start(make_config(tiny_base("llama"), corpus, **changes))
    stream = io.StringIO()
    spacy_train(nlp, output, stdout=stream, stderr=stream)
    first, last = read_rows(output / FILE)
    assert (
        last["losses"]["generative_ner"] / 60
        < 0.5 * (first["losses"]["generative_ner"])
    )
    assert last["score"] == pytest.approx(1.0), last
    loaded = spacy.load(output / "model-best")
    for text, spans in TEXTS:
        doc = loaded(text)
        found = doc.spans["sc"]
        assert [(s.start, s.end, s.label_) for s in found] == sorted(
            spans, key=lambda span: (span[0], -span[1])
        )


def test_the_training_log_of_spacy_train(tiny_base, corpus, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    stream = io.StringIO()
    nlp = start(make_config(tiny_base("llama"), corpus))
    spacy_train(nlp, output, stdout=stream, stderr=stream)
    lines = (output / FILE).read_text(encoding="utf8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [row["step"] for row in found] == [0, 4, 8]
    assert set(found[0]) == {
        "step",
        "epoch",
        "seconds",
        "words",
        "losses",
        "score",
        "other_scores",
    }
    assert found[2]["losses"]["generative_ner"] > 0
    assert found[2]["score"] == found[2]["other_scores"]["spans_sc_f"]
    assert "LOSS GENER" in stream.getvalue()


def test_genner_train_writes_the_log_with_any_logger(tiny_base, corpus, tmp_path):
    logger = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}
    config = make_config(tiny_base("llama"), corpus, training__logger=logger)
    run(config, tmp_path)
    assert [row["step"] for row in read_rows(tmp_path / FILE)] == [0, 4, 8]


def test_skipped_spans_are_reported(tiny_base, tmp_path):
    texts = [*TEXTS, ("A New York Times writer", [(1, 3, "GPE"), (2, 4, "ORG")])]
    corpus = write_corpus(tmp_path / "train.spacy", texts)
    drop = {"components__generative_ner__crossing": "drop"}
    config = make_config(tiny_base("llama"), corpus, **drop)
    with pytest.warns(GennerWarning, match="W302.*cross another span.*York Times"):
        _, text = run(config, tmp_path / "out")
    assert "cross another span" in text and "'York Times' (ORG)" in text
    with pytest.raises(ValueError, match="G304"):
        run(make_config(tiny_base("llama"), corpus), tmp_path / "refused")


def test_rows_of_repeated_steps_are_replaced(tmp_path):
    info = {
        "epoch": 0,
        "seconds": 1,
        "words": 5,
        "losses": {"x": 1.0},
        "score": float("nan"),
        "other_scores": {"per_type": {"A": {"f": 0.5}}, "none": None},
    }
    path = tmp_path / FILE
    for step in (0, 5, 10, 5):
        write_row(path, {**info, "step": step})
    path.write_text(path.read_text() + '{"step": 1')
    assert [row["step"] for row in read_rows(path)] == [0, 5]
    assert read_rows(path)[0]["score"] is None
    write_row(path, {**info, "step": 0})
    assert [row["step"] for row in read_rows(path)] == [0]
