"""The check of optional packages, and the model that a package carries."""

import pytest
import spacy

from spacy_genner.training.packages import package_folder, require_packages

MODEL = ("model/config.json", "model/model.safetensors", "model/vocab.txt")


@pytest.fixture
def make_package(tmp_path, monkeypatch):
    """Installs a package with empty files, for this test."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, *files, version="1.2"):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(head, encoding="utf8")
        paths = [f"{name}/{file}" for file in files]
        record = "".join(f"{path},,\n" for path in paths)
        (info / "RECORD").write_text(record, encoding="utf8")
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path / name

    return make


def test_installed_packages_pass():
    check = require_packages(["spacy>=3", "numpy"], "baselines")
    nlp = spacy.blank("en")
    assert check(nlp) is nlp


def test_missing_packages_and_versions_are_named(make_package):
    make_package("encoder-lib")
    check = require_packages(["spacy", "encoder-lib>=2", "no-such-lib"], "baselines")
    with pytest.raises(ValueError, match="G332") as caught:
        check(spacy.blank("en"))
    message = str(caught.value)
    assert "encoder-lib>=2 (found: 1.2), no-such-lib (not installed)" in message
    assert "spacy-genner[baselines]" in message and "spacy>" not in message


def test_folder_of_a_model(make_package):
    folder = make_package("tiny-encoder", *MODEL)
    assert package_folder("tiny-encoder>=1", "baselines") == str(folder / "model")


def test_a_package_that_is_missing_or_too_old(make_package):
    make_package("tiny-encoder", *MODEL)
    with pytest.raises(ValueError, match=r"G332.*tiny-encoder>=2 \(found: 1.2\)"):
        package_folder("tiny-encoder>=2", "baselines")
    with pytest.raises(ValueError, match=r"G332.*no-such-lib \(not installed\)"):
        package_folder("no-such-lib", "baselines")


def test_a_package_without_one_model(make_package):
    make_package("tiny-encoder", "model/config.json", "other/model.safetensors")
    with pytest.raises(ValueError, match="G333.*found: none"):
        package_folder("tiny-encoder", "baselines")
    two = [f"{size}/{file}" for size in ("small", "large") for file in MODEL]
    make_package("two-encoders", *two)
    with pytest.raises(ValueError, match="G333.*large.*, .*small"):
        package_folder("two-encoders", "baselines")


@pytest.mark.parametrize("name", ["", "numpy 2", "../numpy"])
def test_an_entry_that_is_no_requirement(name):
    with pytest.raises(ValueError, match="G334"):
        require_packages([name], "baselines")
    with pytest.raises(ValueError, match="G334"):
        package_folder(name, "baselines")
