"""Errors of a config and its files that are reported before the base is loaded."""

import json
import re

import pytest
from training_cases import make_config, write_config, write_corpus
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.training import init_config
from spacy_genner.training.loop import read_labels_file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a corpus and a config. Its base does not exist, so
    loading it raises another error."""
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "data.spacy")
    write_config(tmp_path / "tiny.cfg", make_config("nowhere", "data.spacy"))
    return tmp_path


def check_error(line, code, *words):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    message = " ".join(result.stderr.split())
    for word in (f"[{code}]", *words):
        assert word in message, message


def set_labels_file(folder, require):
    config = make_config("nowhere", "data.spacy")
    settings = {"@readers": "spacy.read_labels.v1", "path": "lab.json"}
    config["initialize"]["components"]["generative_ner"]["labels"] = {
        **settings,
        "require": require,
    }
    write_config(folder / "tiny.cfg", config)


DAMAGED = ['["ORG", "GPE",]', '{"ORG": "a', "", "3", "[]", "{}", '"ORG"', b"\xff\xfe"]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_a_missing_labels_file(folder):
    set_labels_file(folder, True)
    place = "[initialize.components.generative_ner.labels]"
    check_error("train tiny.cfg --output out", "G341", "lab.json", place)
    assert not (folder / "out").exists()
    # spaCy ignores a missing file that is not required. The next error is the base.
    set_labels_file(folder, False)
    result = CliRunner().invoke(app, ["train", "tiny.cfg", "--output", "out"])
    assert "[G202]" in result.stderr or "[G205]" in result.stderr


@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_labels_file(folder, content, require):
    set_labels_file(folder, require)
    write(folder / "lab.json", content)
    check_error("train tiny.cfg --output out", "G341", "lab.json")
    assert not (folder / "out").exists()


@pytest.mark.parametrize("content", DAMAGED)
def test_init_config_reads_labels_before_measuring(folder, content):
    write(folder / "lab.json", content)
    line = "init-config data.spacy new.cfg --dev data.spacy --base nowhere"
    check_error(f"{line} --labels lab.json", "G341", "lab.json")
    assert not (folder / "new.cfg").exists()


@pytest.mark.parametrize("labels", [["ORG"], {"ORG": "a company"}])
def test_valid_labels(folder, labels):
    (folder / "lab.json").write_text(json.dumps(labels))
    assert read_labels_file(folder / "lab.json", "here") == labels


@pytest.mark.parametrize("key", ["eval_frequency", "accumulate_gradient"])
@pytest.mark.parametrize("value", ["0", "-4"])
def test_a_count_of_0_or_less(folder, key, value):
    line = f"train tiny.cfg --output out --training.{key} {value}"
    check_error(line, "G106", f"'training.{key}'", value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "text, section",
    [
        ("", "nlp"),
        ("# nothing\n", "nlp"),
        ('[nlp]\nlang = "en"\npipeline = []\n', "training"),
        ("[training]\nseed = 0\n", "nlp"),
    ],
)
def test_a_config_without_a_section(folder, text, section):
    (folder / "tiny.cfg").write_text(text)
    check_error("train tiny.cfg --output out", "G340", "tiny.cfg", f"'[{section}]'")
    assert not (folder / "out").exists()


def test_a_config_that_is_not_utf8(folder):
    (folder / "tiny.cfg").write_bytes(b"[nlp]\n# \xe9t\xe9\n")
    check_error("train tiny.cfg --output out", "G510", "tiny.cfg, line 2")


@pytest.fixture
def not_measured(monkeypatch):
    def measure(*args):
        raise AssertionError("measured before the output path was checked")

    monkeypatch.setattr(init_config, "measure_speed", measure)


def test_init_config_checks_the_output_path_before_measuring(folder, not_measured):
    (folder / "folder").mkdir()
    (folder / "file").write_text("x")
    line = "--dev data.spacy --base nowhere"
    check_error(f"init-config data.spacy folder {line}", "G521", "folder")
    check_error(f"init-config data.spacy file/new.cfg {line}", "G577", "file")


def test_a_full_disk_leaves_the_old_config(folder, tiny_base, monkeypatch):
    from pathlib import Path

    (folder / "new.cfg").write_text("old")
    real = Path.write_text

    def full(self, text, *args, **kwargs):
        real(self, text[:10], *args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    line = "init-config data.spacy new.cfg --dev data.spacy --steps 2 --base"
    check_error(f"{line} {tiny_base('llama')}", "G523", "new.cfg")
    assert (folder / "new.cfg").read_text() == "old"
    assert not list(folder.glob(".new.cfg*"))


NO_CONFIGS = {
    "words": b"hello world\n",
    "open section": b"[nlp\nlang = 1",
    "no value": b"[nlp]\nlang\n",
    "value twice": b'[nlp]\nlang = "en"\nlang = "de"\n',
    "section twice": b"[nlp]\n[training]\n[nlp]\n",
    "json": b'{"nlp": {"lang": "en"}}',
    "zip": b"PK\x03\x04abc",
    "nul": b"\0\0\0",
    "unknown variable": b"[nlp]\nlang = ${a.b}\n[training]\nx = ${nlp.q}\n",
    "open variable": b"[nlp]\nlang = ${\n[training]\n",
    "open list": b"[nlp]\nlang = {\n[training]\nx = [1,\n",
    "no settings": b"[nlp]\n[training]\n",
    "subsection alone": b"[nlp.a]\nx = 1\n[training.b]\ny = 2\n",
    "value without a section": b"nlp = 3\n",
    "deep": b"[nlp]\nx = " + b"[" * 100_000 + b"\n[training]\n",
    "digits": b"[nlp]\nx = " + b"9" * 6000 + b"\n[training]\n",
    "default section": b"[DEFAULT]\na = 1\n",
    "dots": b"[.]\na = 1\n[nlp]\n[training]\n",
    "html": b"<!DOCTYPE html>\n<html>\n",
    "corpora": b'[nlp]\nlang = "en"\n[training]\ntrain_corpus = 5\n',
}


@pytest.mark.parametrize("name", NO_CONFIGS)
def test_a_file_that_is_no_config(folder, name):
    write(folder / "none.cfg", NO_CONFIGS[name])
    check_error("train none.cfg --output out", "G342", "none.cfg", "init-config")
    write(folder / "in.jsonl", '{"text": "a"}')
    teacher = "annotate in.jsonl out.spacy --teacher none.cfg"
    result = CliRunner().invoke(app, teacher.split())
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    message = " ".join(result.stderr.split())
    assert re.search(r"\[G(342|760|762)\].* none.cfg ", message), message


@pytest.mark.parametrize("content", [b"", b"[paths]\n", b"\xff\xfe\0"])
def test_a_config_without_sections_or_text(folder, content):
    write(folder / "none.cfg", content)
    code = "G510" if content[:1] == b"\xff" else "G340"
    check_error("train none.cfg --output out", code, "none.cfg")


@pytest.mark.parametrize(
    "old, new",
    [
        ("[components]\n", "[components]\nother = 3\n"),
        ('factory = "generative_ner"', 'factory = "nothing"'),
        ('lang = "en"', 'lang = "qq"'),
        ("max_steps = 8", 'max_steps = "many"'),
    ],
)
def test_an_invalid_config_is_named(folder, old, new):
    text = (folder / "tiny.cfg").read_text()
    assert old in text
    (folder / "tiny.cfg").write_text(text.replace(old, new))
    check_error("train tiny.cfg --output out", "G342", "tiny.cfg")


LABELS_OF_ANOTHER_TYPE = ["[1]", '{"ORG": 3}', '[["a"]]', '["A", "A"]', '[""]']
LABELS_OF_ANOTHER_TYPE += ['["a]b"]', '{"ORG": "a\\nb"}', '["\\ud800"]', '{"a": {}}']


@pytest.mark.parametrize("content", LABELS_OF_ANOTHER_TYPE)
def test_labels_that_are_none_name_their_file(folder, content):
    write(folder / "lab.json", content)
    line = "init-config data.spacy new.cfg --dev data.spacy --base nowhere"
    check_error(f"{line} --labels lab.json", "G341", "lab.json", "Expected JSON")
    write(folder / "in.jsonl", '{"text": "a"}')
    line = "convert in.jsonl out.json --from jsonl --to alpaca"
    check_error(f"{line} --labels lab.json", "G561", "lab.json")
