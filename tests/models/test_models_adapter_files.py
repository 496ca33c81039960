"""Adapter folders, and the export for peft and vLLM."""

import errno
import json
import os
import shutil

import pytest
import safetensors
import safetensors.torch
import torch
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.export.peft import export_base
from spacy_genner.models import adapter_files, base_model
from spacy_genner.models.adapter_files import (
    AdapterFiles,
    check_seal,
    read_adapter,
    seal_weights,
    write_adapter,
)
from spacy_genner.models.base_model import BaseSource
from spacy_genner.models.language_model import LanguageModel

OLD = AdapterFiles({"peft_type": "LORA", "r": 1}, b"old")
NEW = AdapterFiles({"peft_type": "LORA", "r": 2}, b"new")


def test_an_adapter_folder_is_replaced(tmp_path):
    folder = tmp_path / "sub" / "adapter"
    write_adapter(OLD, folder)
    assert read_adapter(folder) == OLD
    write_adapter(NEW, folder)
    assert read_adapter(folder) == NEW
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]


@pytest.fixture
def component(tiny_base, tmp_path):
    lm = LanguageModel(
        str(tiny_base("llama")), lora={"rank": 2}, dtype="float32", device="cpu"
    )
    for parameter in lm.adapter_parameters().values():
        parameter.data += 0.05
    lm.mark_changed()
    folder = tmp_path / "pipeline" / "generative_ner"
    lm.save(folder / "adapter")
    return lm, folder


@pytest.mark.parametrize("level", ["component", "pipeline", "adapter"])
def test_peft_loads_the_export(component, tmp_path, level):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lm, folder = component
    given = {
        "component": folder,
        "pipeline": folder.parent,
        "adapter": folder / "adapter",
    }[level]
    base, adapter = export_base(given, tmp_path / "out")
    assert base == tmp_path / "out" / "base"
    assert read_adapter(adapter).config["base_model_name_or_path"] == str(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    AutoTokenizer.from_pretrained(base)
    tuned = PeftModel.from_pretrained(model, adapter)
    ids = torch.arange(4, 30)[None]
    with torch.no_grad():
        expected = lm.decoding_network()(ids).logits
        torch.testing.assert_close(tuned(ids).logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="G261"):
        export_base(folder, tmp_path / "out")


def test_the_export_of_a_package_contains_its_base(component, tmp_path, monkeypatch):
    lm, folder = component
    files = read_adapter(folder / "adapter")
    named = {**files.config, "base_model_name_or_path": "pip:some-weights"}
    write_adapter(AdapterFiles(named, files.weights), folder / "adapter")
    requested = []

    def resolve(name, revision=None):
        requested.append(name)
        return BaseSource(name, revision, lm.base.source.folder, "0" * 64)

    monkeypatch.setattr(adapter_files, "resolve_base", resolve)
    base, _ = export_base(folder, tmp_path / "out")
    assert requested == ["pip:some-weights"]
    licenses = (tmp_path / "out" / "LICENSES_SOURCES").read_text("utf8")
    assert licenses.startswith("Base model pip:some-weights: ")
    assert (base / "model.safetensors").is_file()


def test_an_export_needs_exactly_one_adapter(component, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="G262"):
        export_base(tmp_path / "empty", tmp_path / "out")
    _, folder = component
    shutil.copytree(folder, folder.parent / "second")
    with pytest.raises(ValueError, match="G263.*second"):
        export_base(folder.parent, tmp_path / "out")
    assert base_model.is_pip_name("pip:a") and not base_model.is_pip_name("a/b")


def flip_bits(data, count=400):
    """Copies of bytes with one flipped bit each, at places over the whole length."""
    step = max(1, len(data) // count)
    for place in range(0, len(data), step):
        copy = bytearray(data)
        copy[place] ^= 1 << place % 8
        yield bytes(copy)


def test_a_flipped_bit_in_an_adapter_is_reported(component):
    """No bit of the weights or of the settings that belong to them changes unseen."""
    lm, folder = component
    expected = lm.adapter_files()
    assert read_adapter(folder / "adapter") == expected
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        path = folder / "adapter" / name
        before = path.read_bytes()
        seen = 0
        for data in flip_bits(before):
            path.write_bytes(data)
            try:
                files = read_adapter(folder / "adapter")
                safetensors.torch.load(files.weights)
            except (ValueError, safetensors.SafetensorError) as error:
                seen += "G271" in str(error)
                continue
            # White space, and settings that may change.
            assert same_settings(files.config, expected.config)
            assert tensors(files) == tensors(expected)
        assert seen
        path.write_bytes(before)


def same_settings(one, other):
    free = {"base_model_name_or_path": None, "revision": None, "inference_mode": None}
    return {**one, **free} == {**other, **free}


def tensors(files):
    loaded = safetensors.torch.load(files.weights)
    return {name: value.tolist() for name, value in loaded.items()}


def test_serialized_adapters_are_checked(component):
    lm, _ = component
    files = lm.adapter_files()
    assert AdapterFiles.from_bytes(files.to_bytes(), "base") == files
    weights = bytearray(files.weights)
    weights[-1] ^= 1
    damaged = AdapterFiles(files.config, bytes(weights)).to_bytes()
    with pytest.raises(ValueError, match="G271.*adapter in the saved bytes"):
        AdapterFiles.from_bytes(damaged, "base")
    changed = AdapterFiles({**files.config, "lora_alpha": 3}, files.weights)
    with pytest.raises(ValueError, match="G271"):
        AdapterFiles.from_bytes(changed.to_bytes(), "base")


def test_an_adapter_without_a_checksum_is_read(component):
    """Earlier versions and peft write none, and peft removes one."""
    lm, folder = component
    files = lm.adapter_files()
    plain = safetensors.torch.save(safetensors.torch.load(files.weights))
    write_adapter(AdapterFiles({**files.config, "r": 3}, plain), folder / "adapter")
    assert read_adapter(folder / "adapter").weights == plain
    moved = {**files.config, "base_model_name_or_path": "elsewhere", "revision": "x"}
    write_adapter(AdapterFiles(moved, files.weights), folder / "adapter")
    assert read_adapter(folder / "adapter").config == moved


def test_a_seal_keeps_tensors_and_metadata(tmp_path):
    data = safetensors.torch.save(
        {"é": torch.ones(3), "b": torch.zeros(0), "a": torch.eye(2).half()},
        metadata={"format": "pt"},
    )
    sealed = seal_weights(data, {"r": 1})
    check_seal(sealed, "adapter", "here", {"r": 1})
    assert seal_weights(sealed, {"r": 1}) == sealed
    (tmp_path / "a.safetensors").write_bytes(sealed)
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
    loaded, before = safetensors.torch.load(sealed), safetensors.torch.load(data)
    assert loaded.keys() == before.keys()
    assert all(torch.equal(loaded[name], before[name]) for name in before)


def change_config(**values):
    def change(folder):
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, **values}))

    return change


def change_tensors(change):
    def changed(folder):
        path = folder / "adapter_model.safetensors"
        found = safetensors.torch.load(path.read_bytes())
        change(found)
        path.write_bytes(safetensors.torch.save(found))

    return changed


def without_seal(folder):
    change_tensors(lambda found: None)(folder)


def first(found):
    return min(found)


BROKEN = {
    "empty": (lambda f: (f / "adapter_model.safetensors").write_bytes(b""), "G252"),
    "text": (lambda f: (f / "adapter_model.safetensors").write_text("x" * 99), "G252"),
    "truncated": (
        lambda f: os.truncate(
            f / "adapter_model.safetensors",
            (f / "adapter_model.safetensors").stat().st_size - 9,
        ),
        "G252|G271",
    ),
    "no tensors": (change_tensors(lambda found: found.clear()), "G255"),
    "a tensor less": (change_tensors(lambda found: found.pop(first(found))), "G255"),
    "another shape": (
        change_tensors(lambda found: found.update({first(found): torch.ones(3, 3)})),
        "G255",
    ),
    "not a number": (
        change_tensors(lambda found: found[first(found)].fill_(torch.nan)),
        "G252",
    ),
    "foreign tensor": (
        change_tensors(lambda found: found.update({"x.lora_A.weight": torch.ones(2)})),
        "G255",
    ),
    "another rank": (change_config(r=3), "G255"),
    "rank of a wrong type": (change_config(r="two"), "G25"),
    "other modules": (change_config(target_modules=["nothing"]), "G255"),
    "no base": (change_config(base_model_name_or_path=None), "G252"),
    "config": (lambda f: (f / "adapter_config.json").write_text("{"), "G252"),
    "config of another type": (
        lambda f: (f / "adapter_config.json").write_text("[1]"),
        "G252",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("existing", [True, False])
def test_a_broken_adapter_is_not_exported(component, tmp_path, name, existing):
    """Also if it was saved without a checksum."""
    _, folder = component
    if name != "truncated":
        without_seal(folder / "adapter")
    change, code = BROKEN[name]
    change(folder / "adapter")
    output = tmp_path / "out"
    if existing:
        output.mkdir()
    with pytest.raises(ValueError, match=rf"\[({code})"):
        export_base(folder, output)
    assert not output.exists() or not list(output.iterdir())


def test_an_export_to_a_full_disk_names_the_target(component, tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.ENOSPC, "full", str(source), None, str(target))

    monkeypatch.setattr(adapter_files.shutil, "copy2", fail)
    with pytest.raises(OSError) as error:
        export_base(component[1], tmp_path / "out")
    assert error.value.filename.startswith(str(tmp_path / "out" / "base"))
    assert not (tmp_path / "out").exists()


def test_the_command_reports_a_broken_adapter(component, tmp_path):
    _, folder = component
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"broken")
    result = CliRunner().invoke(app, ["export-base", str(folder), str(tmp_path / "o")])
    assert result.exit_code == 1
    assert "[G252]" in result.stderr and "Base:" not in result.stdout
