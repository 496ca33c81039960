"""Base models: found by name, loaded once and shared, on a device and in a dtype."""

import gc
import hashlib
import json
import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest
import torch
from thinc.api import NumpyOps
from thinc.backends import context_ops

from spacy_genner.models import base_model, gguf
from spacy_genner.models.base_model import (
    ONEDNN_CACHE_CAPACITY,
    ONEDNN_CACHE_VARIABLES,
    get_base,
    limit_onednn_cache,
    load_base,
    resolve_base,
    resolve_device,
    resolve_dtype,
    share_modules,
)

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_revision_of_a_package_is_its_version(site, monkeypatch):
    site.install("pinned", {"w.gguf": b"abc"})
    monkeypatch.setattr(
        base_model,
        "converted_folder",
        lambda parts, package, version, checksum: Path("f"),
    )
    source = resolve_base("pip:pinned", "1.2")
    assert source.checksum == hashlib.sha256(b"abc").hexdigest()
    assert source.requirement == "pinned>=1.2"
    with pytest.raises(ValueError, match="G203.*pinned==3"):
        resolve_base("pip:pinned", "3")


def test_a_folder_has_no_revision(tiny_base):
    folder = tiny_base("llama")
    source = resolve_base(str(folder))
    assert source.folder == folder.resolve()
    assert source.requirement is None
    assert len(source.checksum) == 64
    assert resolve_base(str(folder)) == source
    with pytest.raises(ValueError, match="G201"):
        resolve_base(str(folder), "main")


def test_a_home_folder_that_does_not_exist():
    for name, code in (("~no-such-user/x", "G202"), ("~no-such-user/x.gguf", "G350")):
        with pytest.raises(ValueError, match=code):
            resolve_base(name)


def test_an_incomplete_folder_is_an_error(tiny_base, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="G204.*pytorch_model.bin"):
        resolve_base(str(tmp_path / "base"))
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    (sharded / "config.json").write_text("{}")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    (sharded / "model-1.safetensors").write_bytes(b"1")
    with pytest.raises(ValueError, match="G204"):
        resolve_base(str(sharded))
    (sharded / "model-2.safetensors").write_bytes(b"2")
    assert resolve_base(str(sharded)).folder == sharded.resolve()


@pytest.mark.parametrize("name", ["", "  ", None])
def test_an_empty_name_is_an_error(name):
    with pytest.raises(ValueError, match="G200"):
        resolve_base(name)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c", "C:\\x"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_an_error(name):
    with pytest.raises(ValueError, match="G202.*hf download"):
        resolve_base(name)


def make_hub(tmp_path, tiny_base, monkeypatch):
    """Make a hub cache in the layout of huggingface_hub, with one model in it."""
    from huggingface_hub import constants

    hub = tmp_path / "hub"
    commit = "a" * 40
    repo = hub / "models--some--base"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs").mkdir()
    for path in tiny_base("llama").iterdir():
        data = path.read_bytes()
        blob = repo / "blobs" / hashlib.sha256(data).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(blob)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_snapshot_in_the_cache_is_used_offline(tmp_path, tiny_base, monkeypatch):
    snapshot = make_hub(tmp_path, tiny_base, monkeypatch)
    monkeypatch.setattr(gguf, "joined_sha256", None)
    source = resolve_base("some/base")
    assert source.folder == snapshot
    assert resolve_base("some/base", "a" * 40).folder == snapshot
    monkeypatch.undo()
    # The same weights in a folder have the same checksum.
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))
    assert resolve_base(str(tiny_base("llama"))).checksum == source.checksum


def test_a_snapshot_missing_offline_is_an_error(tmp_path, tiny_base, monkeypatch):
    make_hub(tmp_path, tiny_base, monkeypatch)
    with pytest.raises(ValueError, match="G205.*hf download other/base"):
        resolve_base("other/base")
    with pytest.raises(ValueError, match="G205.*hf download some/base --revision v2"):
        resolve_base("some/base", "v2")


def test_a_base_is_loaded_once_and_freed(tiny_base):
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


def test_a_base_has_the_dtype_of_the_config(tiny_base):
    for name in ("float64", "float16"):
        base = get_base(str(tiny_base("gemma3")), dtype=name, device="cpu")
        assert {p.dtype for p in base.model.parameters()} == {getattr(torch, name)}


def test_threads_share_one_copy(tiny_base, monkeypatch):
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
    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="G204"):
        get_base(str(folder))


def test_a_damaged_base_is_an_error(tiny_base, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ValueError, match="G233"):
        get_base(str(folder))
    shutil.copy(tiny_base("llama") / "config.json", folder)
    (folder / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="G233"):
        get_base(str(folder))


def test_the_code_of_a_base_is_not_run(tiny_base, tmp_path, monkeypatch):
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


def test_missing_weights_are_an_error(tiny_base, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="G233.*layers.1.mlp.up_proj"):
        get_base(str(folder))


def test_shared_modules_have_the_same_tensors(tiny_base):
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


def test_a_device_must_exist(monkeypatch, no_choice):
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


def test_the_automatic_device_follows_spacy(monkeypatch, no_choice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    assert resolve_device() == torch.device("cuda", 1)
    # spaCy also sets these without a choice. Without cupy it can't choose a GPU.
    context_ops.set(NumpyOps())
    monkeypatch.setattr(base_model, "has_gpu", False)
    assert resolve_device() == torch.device("cuda", 1)
    monkeypatch.setattr(base_model, "has_gpu", True)
    assert resolve_device() == CPU
    monkeypatch.setattr(base_model, "NumpyOps", type("Other", (), {}))
    monkeypatch.setattr(base_model, "CupyOps", NumpyOps)
    assert resolve_device() == torch.device("cuda", 1)


def test_the_automatic_dtype_follows_the_hardware(monkeypatch):
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


@pytest.fixture
def unset(monkeypatch):
    for name in ONEDNN_CACHE_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_loading_a_base_limits_the_onednn_cache(unset, tiny_base):
    source = resolve_base(str(tiny_base("llama")), None)
    load_base(source, torch.float32, torch.device("cpu"))
    assert [os.environ[name] for name in ONEDNN_CACHE_VARIABLES] == [
        str(ONEDNN_CACHE_CAPACITY)
    ] * 2


def test_a_limit_of_the_user_stays(unset, monkeypatch):
    monkeypatch.setenv(ONEDNN_CACHE_VARIABLES[0], "7")
    limit_onednn_cache()
    assert [os.environ[name] for name in ONEDNN_CACHE_VARIABLES] == [
        "7",
        str(ONEDNN_CACHE_CAPACITY),
    ]
