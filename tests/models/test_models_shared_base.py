"""The store of loaded bases, shared module trees, devices and dtypes."""

import gc
import threading
import weakref

import pytest
import torch
from thinc.api import NumpyOps
from thinc.backends import context_ops

from spacy_genner.models import base_model
from spacy_genner.models.base_model import (
    get_base,
    resolve_device,
    resolve_dtype,
    share_modules,
)

CPU = torch.device("cpu")


def test_loaded_once_and_freed(tiny_base):
    name = str(tiny_base("llama", seed=11))
    one = get_base(name, dtype="float32", device="cpu")
    assert get_base(name, None, "float32", "cpu") is one
    other = get_base(name, dtype="bfloat16", device="cpu")
    assert other is not one
    assert one.dtype == next(one.model.parameters()).dtype == torch.float32
    assert other.dtype == next(other.model.parameters()).dtype == torch.bfloat16
    assert one.device == CPU
    assert one.source.name == name
    assert not one.model.training
    assert not any(p.requires_grad for p in one.model.parameters())
    assert one.model.config._attn_implementation == "genner_grouped"
    weight = weakref.ref(one.model.get_input_embeddings().weight)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert weight() is None


def test_float64_and_float16(tiny_base):
    for name in ("float64", "float16"):
        base = get_base(str(tiny_base("gemma3")), dtype=name, device="cpu")
        assert {p.dtype for p in base.model.parameters()} == {getattr(torch, name)}


def test_threads_share(tiny_base, monkeypatch):
    name = str(tiny_base("llama", seed=12))
    loads = []
    real = base_model.load_base
    monkeypatch.setattr(
        base_model, "load_base", lambda *args: loads.append(1) or real(*args)
    )
    found = []
    start = threading.Barrier(4)

    def work():
        start.wait()
        found.append(get_base(name, dtype="float32", device="cpu"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert all(base is found[0] for base in found)


def test_pickled_weights_are_not_read(tiny_base, tmp_path):
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="G204"):
        get_base(str(folder))


def test_damaged_base(tiny_base, tmp_path):
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ValueError, match="G233"):
        get_base(str(folder))
    shutil.copy(tiny_base("llama") / "config.json", folder)
    (folder / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="G233"):
        get_base(str(folder))


def test_code_of_a_base_is_not_run(tiny_base, tmp_path, monkeypatch):
    import json
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    sign = tmp_path / "was_run"
    (folder / "own.py").write_text(f"open({str(sign)!r}, 'w').write('x')")
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    config = {"model_type": "own-model", "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *args: "y")
    with pytest.raises(ValueError, match="G233"):
        get_base(str(folder))
    assert not sign.exists()


def test_base_without_some_weights(tiny_base, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="G233.*layers.1.mlp.up_proj"):
        get_base(str(folder))


def test_shared_modules(tiny_base):
    base = get_base(str(tiny_base("gemma3")), dtype="float32", device="cpu").model
    tree = share_modules(base)
    assert type(tree) is type(base)
    own = dict(base.named_parameters()) | dict(base.named_buffers())
    shared = dict(tree.named_parameters()) | dict(tree.named_buffers())
    assert own.keys() == shared.keys()
    assert all(shared[name] is own[name] for name in own)
    modules = {id(module) for module in base.modules()}
    assert not any(id(module) in modules for module in tree.modules())
    tree.model.layers[0].mlp = torch.nn.Identity()
    tree.train()
    assert not isinstance(base.model.layers[0].mlp, torch.nn.Identity)
    assert not base.training


@pytest.fixture
def no_choice():
    before = context_ops.get()
    context_ops.set(None)
    yield
    context_ops.set(before)


def test_device_names(monkeypatch, no_choice):
    assert resolve_device("cpu") == CPU
    assert resolve_device("cpu:0") == CPU
    for wrong in ("gpu", "cuda:x", "cuda:01", "cuda:1000", "meta", "", 0):
        with pytest.raises(ValueError, match="G231"):
            resolve_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for absent in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ValueError, match="G232.*found: cpu"):
            resolve_device(absent)
    assert resolve_device("auto") == CPU


def test_automatic_device(monkeypatch, no_choice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    assert resolve_device() == torch.device("cuda", 1)
    # spaCy sets these by itself. Without cupy it could not have chosen a GPU.
    context_ops.set(NumpyOps())
    monkeypatch.setattr(base_model, "has_gpu", False)
    assert resolve_device() == torch.device("cuda", 1)
    monkeypatch.setattr(base_model, "has_gpu", True)
    assert resolve_device() == CPU
    monkeypatch.setattr(base_model, "NumpyOps", type("Other", (), {}))
    monkeypatch.setattr(base_model, "CupyOps", NumpyOps)
    assert resolve_device() == torch.device("cuda", 1)


def test_dtypes(monkeypatch):
    assert resolve_dtype("float64", CPU) == torch.float64
    with pytest.raises(ValueError, match="G230.*'auto', 'float64'"):
        resolve_dtype("float8", CPU)
    for flag in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, flag, lambda: False)
    assert resolve_dtype("auto", CPU) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert resolve_dtype("auto", CPU) == torch.bfloat16
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert resolve_dtype("auto", CPU) == torch.float32
    assert resolve_dtype("auto", torch.device("mps")) == torch.float32
