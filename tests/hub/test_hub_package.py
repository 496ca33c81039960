"""Packages of pipelines: the wheel, what it contains, and settings that are refused."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config
from typer.testing import CliRunner

from spacy_genner.cli import app

RUNNER = CliRunner()


def run(*arguments):
    return RUNNER.invoke(app, ["package", *map(str, arguments)])


def message(result):
    return " ".join((result.output + result.stderr).split())


def test_a_wheel_installs_and_loads(saved, scores_file, tmp_path):
    citation, license = tmp_path / "cite.bib", tmp_path / "MIT.txt"
    citation.write_text("@misc{places}\n")
    license.write_text("Permission is hereby granted.\n")
    options = ["--version", "1.2", "--scores", scores_file, "--license", "mit"]
    options += ["--license-file", license, "--citation", citation, "--author", "A|B"]
    options += ["--data-name", "Places", "--data-license", "CC BY 4.0"]
    done = run(saved, tmp_path / "out", *options)
    assert done.exit_code == 0, message(done)
    folder = tmp_path / "out" / "en_places-1.2"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("LICENSE", "LICENSES_SOURCES", "MANIFEST.in", "README.md", "dist"),
        *("en_places", "meta.json", "setup.py"),
    ]
    wheel = folder / "dist" / "en_places-1.2-py3-none-any.whl"
    data = "en_places/en_places-1.2"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        meta = json.loads(archive.read(f"{data}/meta.json"))
        metadata = archive.read("en_places-1.2.dist-info/METADATA").decode()
        sources = archive.read(f"{data}/LICENSES_SOURCES").decode()
        card = archive.read(f"{data}/README.md").decode()
        points = archive.read("en_places-1.2.dist-info/entry_points.txt").decode()
    assert {f"{data}/README.md", f"{data}/LICENSE", f"{data}/config.cfg"} <= names
    assert not any("model.safetensors" in n and "adapter_" not in n for n in names)
    assert (meta["license"], meta["version"]) == ("mit", "1.2")
    assert meta["performance"]["spans_sc_f"] == 0.7467
    assert meta["performance"]["spans_sc_per_type"]["ORG"]["r"] == 0.5
    assert any(found.startswith("spacy-genner>=") for found in meta["requirements"])
    assert "Requires-Dist: spacy-genner" in metadata
    assert "@misc{places}" in sources
    assert "CC BY 4.0" in sources
    assert "library_name: spacy" in card
    assert "[spacy_models]\nen_places = en_places" in points
    # Into a folder of its own, without the network.
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", target, wheel], check=True, timeout=300)
    sys.path.insert(0, str(target))
    try:
        nlp = spacy.load("en_places")
    finally:
        sys.path.remove(str(target))
    assert nlp.meta["version"] == "1.2"
    assert list(nlp.get_pipe("generative_ner").labels) == ["ORG", "GPE"]
    assert Path(nlp.path).is_relative_to(target)


def test_the_license_of_the_start_is_in_the_package(saved, scores_file, tmp_path):
    started = tmp_path / "started"
    shutil.copytree(saved, started)
    config = load_config(started / "config.cfg")
    config["components"]["generative_ner"]["model"]["adapter"] = "universal"
    config.to_disk(started / "config.cfg")
    options = ["--build", "none", "--license", "mit", "--scores", scores_file]
    done = run(started, tmp_path / "out", *options)
    assert done.exit_code == 0, message(done)
    folder = tmp_path / "out" / "en_places-0.0.0"
    sources = (folder / "LICENSES_SOURCES").read_text(encoding="utf8")
    assert "Adapter that training started from, universal: CC BY-SA 4.0" in sources
    notice = (folder / "en_places" / "en_places-0.0.0" / "NOTICE").read_text()
    assert "licensed under CC BY-SA 4.0" in notice


def test_an_existing_package_stays(saved, scores_file, tmp_path):
    output = tmp_path / "out"
    common = ["--build", "none", "--scores", scores_file]
    assert run(saved, output, *common, "--license", "mit").exit_code == 0
    folder = output / "en_places-0.0.0"
    before = (folder / "README.md").read_bytes()
    done = run(saved, output, *common, "--license", "apache-2.0")
    assert (done.exit_code, "G907" in message(done)) == (1, True)
    assert (folder / "README.md").read_bytes() == before
    again = run(saved, output, *common, "--license", "apache-2.0", "--force")
    assert again.exit_code == 0
    assert b"license: apache-2.0" in (folder / "README.md").read_bytes()
    assert [path.name for path in output.iterdir()] == ["en_places-0.0.0"]


@pytest.mark.parametrize(
    "options, code, word",
    [
        (["--name", "a b"], "G905", "--name"),
        (["--name", "../x"], "G905", "--name"),
        (["--name", "x_"], "G905", "--name"),
        (["--version", "one"], "G905", "--version"),
        (["--scores", "none.json"], "G520", "none.json"),
        (["--scores", "bad.json"], "G512", "bad.json"),
        (["--scores", "other.json"], "G908", "micro_p"),
        (["--citation", "none.bib"], "G520", "none.bib"),
        (["--license-file", "none.txt"], "G520", "none.txt"),
    ],
)
def test_bad_settings(saved, tmp_path, monkeypatch, options, code, word):
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    Path("other.json").write_text("{}")
    done = run(saved, "out", *options)
    assert done.exit_code == 1, message(done)
    assert code in message(done)
    assert word in message(done)
    assert not Path("out").exists()


def test_names_of_no_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "G527" in message(run("nothing", "out"))
    assert run("nothing", "out", "--build", "egg").exit_code == 2
    assert not Path("out").exists()


def test_building_needs_its_libraries(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "build", None)
    done = run(saved, tmp_path / "out")
    assert done.exit_code == 1
    assert "spacy-genner[package]" in message(done)
    assert not (tmp_path / "out").exists()
