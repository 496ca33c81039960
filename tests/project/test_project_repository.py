"""The checks of the repository: hooks, workflows and the contracts of imports."""

import re
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]


def constraint(name):
    """The versions of a package that constraints.txt allows on a current Python."""
    lines = (ROOT / "constraints.txt").read_text("utf8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    environment = {"python_version": "3.13"}
    [match] = [
        each.specifier
        for each in found
        if each.name == name
        and (each.marker is None or each.marker.evaluate(environment))
    ]
    return match


def test_the_hooks_run_the_ruff_of_the_tests():
    text = (ROOT / ".pre-commit-config.yaml").read_text("utf8")
    [version] = re.findall(r"ruff-pre-commit\n(?:\s*#.*\n)?\s*rev: v(\S+)", text)
    assert version in constraint("ruff")


def test_the_workflow_tests_every_supported_python():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf8")
    [tested] = re.findall(r"python-version: \[(.*)\]", text)
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    assert re.findall(r"3\.\d+", tested) == supported
    required = SpecifierSet(config["options"]["python_requires"])
    assert all(version in required for version in supported)


def test_the_workflow_and_the_docs_name_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf8")
    for line in re.findall(r"run: make (.*)", workflow):
        named = {word for word in line.split() if not word.startswith("-")}
        assert named and named <= targets, line
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf8")
    assert set(re.findall(r"`make ([a-z-]+)[`\s]", contributing)) <= targets


def test_every_room_has_its_layer():
    config = ConfigParser()
    config.read(ROOT / ".importlinter")
    layers = config["importlinter:contract:layers"]["layers"]
    named = re.findall(r"\w+", layers)
    rooms = {
        path.name if path.is_dir() else path.stem
        for path in (ROOT / "spacy_genner").iterdir()
        if not path.name.startswith("__") and path.suffix in ("", ".py")
        if path.is_file() or (path / "__init__.py").is_file()
    }
    assert sorted(named) == sorted(rooms - {"py"})
