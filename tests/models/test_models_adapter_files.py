"""Adapter folders, and the export for peft and vLLM."""

import shutil

import pytest
import torch

from spacy_genner.models import adapter_files, base_model
from spacy_genner.models.adapter_files import (
    AdapterFiles,
    export_base,
    read_adapter,
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
