"""Faults of a config and its files that are seen before a base is loaded."""

import json

import pytest
from training_cases import make_config, write_config, write_corpus
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.training import init_config
from spacy_genner.training.loop import read_labels_file


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A working directory with a corpus and a config whose base is nowhere: whoever
    asks for it is too late."""
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "data.spacy")
    write_config(tmp_path / "tiny.cfg", make_config("nowhere", "data.spacy"))
    return tmp_path


def refused(line, code, *words):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    said = " ".join(result.stderr.split())
    for word in (f"[{code}]", *words):
        assert word in said, said


def take_labels_from_file(room, require):
    config = make_config("nowhere", "data.spacy")
    settings = {"@readers": "spacy.read_labels.v1", "path": "lab.json"}
    config["initialize"]["components"]["generative_ner"]["labels"] = {
        **settings,
        "require": require,
    }
    write_config(room / "tiny.cfg", config)


DAMAGED = ['["ORG", "GPE",]', '{"ORG": "a', "", "3", "[]", "{}", '"ORG"', b"\xff\xfe"]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_labels_that_are_not_there(room):
    take_labels_from_file(room, True)
    place = "[initialize.components.generative_ner.labels]"
    refused("train tiny.cfg --output out", "G341", "lab.json", place)
    assert not (room / "out").exists()
    # Where they need not be there, spaCy takes none, and the base is what is missing.
    take_labels_from_file(room, False)
    result = CliRunner().invoke(app, ["train", "tiny.cfg", "--output", "out"])
    assert "[G202]" in result.stderr or "[G205]" in result.stderr


@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize("content", DAMAGED)
def test_labels_that_are_damaged(room, content, require):
    take_labels_from_file(room, require)
    write(room / "lab.json", content)
    refused("train tiny.cfg --output out", "G341", "lab.json")
    assert not (room / "out").exists()


@pytest.mark.parametrize("content", DAMAGED)
def test_init_config_reads_labels_before_it_measures(room, content):
    write(room / "lab.json", content)
    line = "init-config data.spacy new.cfg --dev data.spacy --base nowhere"
    refused(f"{line} --labels lab.json", "G341", "lab.json")
    assert not (room / "new.cfg").exists()


@pytest.mark.parametrize("labels", [["ORG"], {"ORG": "a company"}])
def test_labels_as_they_should_be(room, labels):
    (room / "lab.json").write_text(json.dumps(labels))
    assert read_labels_file(room / "lab.json", "here") == labels


@pytest.mark.parametrize("key", ["eval_frequency", "accumulate_gradient"])
@pytest.mark.parametrize("value", ["0", "-4"])
def test_a_number_that_training_divides_by(room, key, value):
    line = f"train tiny.cfg --output out --training.{key} {value}"
    refused(line, "G106", f"'training.{key}'", value)
    assert not (room / "out").exists()


@pytest.mark.parametrize(
    "text, section",
    [
        ("", "nlp"),
        ("# nothing\n", "nlp"),
        ('[nlp]\nlang = "en"\npipeline = []\n', "training"),
        ("[training]\nseed = 0\n", "nlp"),
    ],
)
def test_a_config_without_a_section(room, text, section):
    (room / "tiny.cfg").write_text(text)
    refused("train tiny.cfg --output out", "G340", "tiny.cfg", f"'[{section}]'")
    assert not (room / "out").exists()


def test_a_config_that_is_no_text(room):
    (room / "tiny.cfg").write_bytes(b"[nlp]\n# \xe9t\xe9\n")
    refused("train tiny.cfg --output out", "G510", "tiny.cfg, line 2")


@pytest.fixture
def not_measured(monkeypatch):
    def measure(*args):
        raise AssertionError("measured before the place was checked")

    monkeypatch.setattr(init_config, "measure_speed", measure)


def test_init_config_looks_at_the_place_before_it_measures(room, not_measured):
    (room / "folder").mkdir()
    (room / "file").write_text("x")
    line = "--dev data.spacy --base nowhere"
    refused(f"init-config data.spacy folder {line}", "G521", "folder")
    refused(f"init-config data.spacy file/new.cfg {line}", "G524", "file")


def test_init_config_leaves_the_old_config_where_it_fails(room, tiny_base, monkeypatch):
    """As it does where the disk is full."""
    from pathlib import Path

    (room / "new.cfg").write_text("old")
    real = Path.write_text

    def full(self, text, *args, **kwargs):
        real(self, text[:10], *args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    line = "init-config data.spacy new.cfg --dev data.spacy --steps 2 --base"
    refused(f"{line} {tiny_base('llama')}", "G523", "new.cfg")
    assert (room / "new.cfg").read_text() == "old"
    assert not list(room.glob(".new.cfg*"))
