"""Runs in Weights & Biases and MLflow, through the loggers of spacy-loggers.

Stand-ins for both libraries record what the loggers call. The libraries themselves are
tested offline where they are installed.
"""

import io
import json
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from training_cases import make_config, start, write_corpus

from spacy_genner.training.checkpoint import FOLDER, Checkpoint
from spacy_genner.training.logger import FILE, STEPS_FILE, read_rows
from spacy_genner.training.loop import Stop, check_training_config, train
from spacy_genner.training.tracking import FILE as TRACKING

WANDB = {"@loggers": "spacy.WandbLogger.v5", "project_name": "tests"}
MLFLOW = {"@loggers": "spacy.MLflowLogger.v2"}
JSON = {"@loggers": "spacy-genner.JsonLogger.v1", "progress_bar": False}


def chain(*loggers):
    named = {f"logger{number}": each for number, each in enumerate(loggers, 1)}
    return {"@loggers": "spacy.ChainLogger.v1", **named}


def make(tiny_base, folder, *loggers, **changes):
    corpus = folder / "train.spacy"
    if not corpus.is_file():
        write_corpus(corpus)
    config = make_config(tiny_base("llama"), corpus, **changes)
    config["training"]["logger"] = chain(JSON, *loggers)
    return config


def run(config, output, resume=False, stop=None):
    stream = io.StringIO()
    checkpoint = Checkpoint.read(output / FOLDER) if resume else None
    answers = iter([False] * ((stop or 10_000) - 1) + [True])
    nlp = start(config.copy())
    options = {"checkpoint": checkpoint, "stdout": stream, "stderr": stream}
    train(nlp, output, should_stop=lambda: next(answers), **options)
    return nlp


def run_interrupted(config, output):
    """Train for 6 of 8 steps, with evaluations at 0 and 4, and resume."""
    with pytest.raises(Stop):
        run(config, output, stop=6)
    first = json.loads((output / TRACKING).read_text())
    run(config, output, resume=True)
    assert json.loads((output / TRACKING).read_text()) == first
    return first


class Wandb(ModuleType):
    """Records the calls of the logger."""

    def __init__(self):
        super().__init__("wandb")
        # Other packages look for it.
        self.__spec__ = ModuleSpec("wandb", None)
        self.run, self.rows, self.runs = None, [], []

    def init(self, id=None, resume=None, **settings):
        run_id = id or os.environ.get("WANDB_RUN_ID") or f"new{len(self.runs)}"
        self.runs.append((run_id, resume))
        self.run = SimpleNamespace(id=run_id, define_metric=lambda *a, **k: None)
        return self.run

    def log(self, data):
        self.rows.append((self.run.id, data))

    def join(self):
        self.run = None


class MLflow(ModuleType):
    """Records the calls of the logger. As MLflow does, refuses to change a parameter,
    and takes an absent step for step 0."""

    def __init__(self):
        super().__init__("mlflow")
        self.__spec__ = ModuleSpec("mlflow", None)
        self.active, self.metrics, self.params, self.tags = None, [], {}, {}
        self.spacy = SimpleNamespace(log_model=lambda nlp, name: None)

    def start_run(self, run_id=None, **settings):
        run_id = run_id or os.environ.pop("MLFLOW_RUN_ID", None)
        self.active = run_id or f"new{len(self.params)}"
        self.params.setdefault(self.active, {})

    def active_run(self):
        info = SimpleNamespace(run_id=self.active)
        return SimpleNamespace(info=info) if self.active else None

    def get_run(self, run_id):
        return SimpleNamespace(data=SimpleNamespace(params=self.params[run_id]))

    def log_params(self, params):
        known = self.params[self.active]
        for key, value in params.items():
            assert known.setdefault(key, str(value)) == str(value), key

    def set_tag(self, key, value):
        self.tags[key] = value

    def log_metric(self, key, value, step=0):
        self.metrics.append((self.active, key, step, value))

    def log_metrics(self, metrics, step=0):
        for key, value in metrics.items():
            self.metrics.append((self.active, key, step, value))

    def log_artifact(self, path):
        raise AssertionError("not used by the loggers")

    def end_run(self):
        self.active = None


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_RUN_ID", "WANDB_RESUME"):
        monkeypatch.delenv(name, raising=False)
    return module


@pytest.fixture
def mlflow(monkeypatch):
    module = MLflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return module


def test_a_resumed_training_continues_its_runs(tiny_base, tmp_path, wandb, mlflow):
    output = tmp_path / "out"
    config = make(tiny_base, tmp_path, WANDB, MLFLOW)
    log, log_metric = wandb.log, mlflow.log_metric
    ids = run_interrupted(config, output)
    assert ids == {"wandb": "new0", "mlflow": "new0"}
    assert wandb.runs == [("new0", None), ("new0", "allow")]
    scores = [(row["step"], row["score"]) for _, row in wandb.rows if "score" in row]
    logged = [(row["step"], row["score"]) for row in read_rows(output / FILE)]
    assert scores == logged and [step for step, _ in scores] == [0, 4, 8]
    # Each row has the step, with which Weights & Biases draws it.
    assert {row["step"] for _, row in wandb.rows} == {0, 4, 8}
    assert any("loss_generative_ner" in row for _, row in wandb.rows)
    assert [row[2:] for row in mlflow.metrics if row[1] == "score"] == logged
    assert {row[0] for row in mlflow.metrics} == {"new0"}
    losses = [row[2] for row in mlflow.metrics if row[1] == "loss_generative_ner"]
    assert losses == [0, 4, 8]
    # The libraries are left as they were.
    assert (wandb.log, mlflow.log_metric) == (log, log_metric)


def test_a_new_training_starts_new_runs(tiny_base, tmp_path, wandb):
    output = tmp_path / "out"
    config = make(tiny_base, tmp_path, WANDB, training__max_steps=1)
    for _ in range(2):
        run(config, output)
    assert wandb.runs == [("new0", None), ("new1", None)]
    assert json.loads((output / TRACKING).read_text()) == {"wandb": "new1"}
    # Without a tracker, nothing is kept.
    run(make(tiny_base, tmp_path, training__max_steps=1), output)
    assert not (output / TRACKING).exists()


def test_changed_parameters_become_tags(tiny_base, tmp_path, mlflow):
    output = tmp_path / "out"
    run(make(tiny_base, tmp_path, MLFLOW, training__max_steps=2), output)
    config = make(tiny_base, tmp_path, MLFLOW, training__max_steps=4)
    run(config, output, resume=True)
    assert mlflow.params["new0"]["training.max_steps"] == "2"
    assert mlflow.tags == {"resumed.training.max_steps": "4"}


def test_the_users_run_comes_first(tiny_base, tmp_path, wandb, monkeypatch):
    output = tmp_path / "out"
    config = make(tiny_base, tmp_path, WANDB, training__max_steps=1)
    run(config, output)
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    config["training"]["max_steps"] = 2
    run(config, output, resume=True)
    assert [run_id for run_id, _ in wandb.runs] == ["new0", "mine"]
    assert json.loads((output / TRACKING).read_text()) == {"wandb": "mine"}


def test_errors_are_coded(tiny_base, tmp_path, wandb, monkeypatch):
    output = tmp_path / "out"
    config = make(tiny_base, tmp_path, WANDB, training__max_steps=1)
    run(config, output)
    for damage in ("[]", '{"other": "x"}', '{"wandb": 1}', "{"):
        (output / TRACKING).write_text(damage)
        with pytest.raises(ValueError, match="G620.*tracking.json"):
            run(config, output, resume=True)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="G621.*'wandb' library"):
        check_training_config(config, tmp_path / "config.cfg")


def test_steps_are_logged_across_an_interruption(tiny_base, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    config = make(tiny_base, tmp_path)
    nlp = run(config, whole)
    with pytest.raises(Stop):
        run(config, broken, stop=6)
    run(config, broken, resume=True)
    rows = read_rows(whole / STEPS_FILE)
    assert [row["step"] for row in rows] == list(range(9))
    assert read_rows(broken / STEPS_FILE) == rows
    sums = [row["losses"]["generative_ner"] for row in read_rows(whole / FILE)]
    losses = [row["losses"]["generative_ner"] for row in rows]
    parts = [losses[:1], losses[1:5], losses[5:]]
    assert sums == pytest.approx([sum(part) for part in parts])
    assert max(row["learn_rate"] for row in rows) == pytest.approx(0.01)
    training = nlp.meta["training"]
    size = {"documents": 6, "words": 34, "labels": {"GPE": 6, "ORG": 2}}
    assert training["train"] == training["dev"] == size
    assert (training["seed"], training["step"]) == (3, 8)
    meta = json.loads((whole / "model-last" / "meta.json").read_text())
    assert meta["training"] == training


def wandb_records(path):
    """Read an offline file of Weights & Biases: a header of 7 bytes, and records in
    blocks of 32 kB, as in a log of LevelDB."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        # Whole records, and the last part of a longer one.
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_weights_and_biases_offline(tiny_base, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    output = tmp_path / "out"
    ids = run_interrupted(make(tiny_base, tmp_path, WANDB), output)
    assert wandb.run is None
    files = sorted((tmp_path / "wandb").glob(f"offline-run-*-{ids['wandb']}/*.wandb"))
    # Both parts of the training have the same run, which `wandb sync` joins.
    assert files
    rows = [
        {
            (item.key or item.nested_key[0]): json.loads(item.value_json)
            for item in record.history.item
        }
        for file in files
        for record in wandb_records(file)
        if record.WhichOneof("record_type") == "history"
    ]
    scores = {row["step"]: row["score"] for row in rows if "score" in row}
    assert scores == {row["step"]: row["score"] for row in read_rows(output / FILE)}


def test_mlflow_offline(tiny_base, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT", "1")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "out"
    try:
        ids = run_interrupted(make(tiny_base, tmp_path, MLFLOW), output)
        client = mlflow.MlflowClient()
        history = client.get_metric_history(ids["mlflow"], "score")
        found = client.get_run(ids["mlflow"])
    finally:
        mlflow.set_tracking_uri(before)
    logged = [(row["step"], row["score"]) for row in read_rows(output / FILE)]
    assert [(each.step, each.value) for each in history] == logged
    assert found.data.params["training.max_steps"] == "8"
    assert found.info.status == "FINISHED"
