"""The language model of a component: loaded lazily, saved small, on a shared base."""

import copy
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spacy_genner.models.language_model import LanguageModel

LORA = {"rank": 4, "alpha": 8}
IDS = torch.arange(4, 40)[None]


def make(folder, lora=None, **settings):
    settings = {"dtype": "float32", "device": "cpu", **settings}
    return LanguageModel(str(folder), lora=lora, **settings)


def change(lm, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in lm.adapter_parameters().values():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    lm.mark_changed()
    return lm


def logits(lm):
    with torch.no_grad():
        return lm.decoding_network()(IDS).logits


def close(one, two, tolerance=1e-4):
    return (one - two).abs().max() < tolerance


def test_the_base_is_loaded_at_first_use(tiny_base):
    lm = make(tiny_base("llama"), LORA)
    data = lm.to_bytes()
    assert data == b""
    lm.from_bytes(data)
    copy.deepcopy(lm)
    assert not lm.is_loaded
    # The base need not exist.
    LanguageModel("no/such-base", lora=LORA)


def test_three_models_share_one_base(tiny_base):
    folder = tiny_base("llama")
    plain = make(folder)
    one = change(make(folder, LORA), 1)
    two = change(make(folder, LORA, merge=False), 2)
    assert one.base is two.base is plain.base
    first = [logits(lm) for lm in (plain, one, two)]
    assert not any(close(first[i], first[j], 0.1) for i, j in ((0, 1), (0, 2), (1, 2)))
    # They take turns while one of them trains.
    one.training_network.train()
    one.training_network(IDS).logits.sum().backward()
    for lm, expected in zip(
        (two, plain, one), (first[2], first[0], first[1]), strict=True
    ):
        assert torch.equal(logits(lm), expected)
    assert all(p.grad is None for p in plain.base.model.parameters())
    assert plain.decoding_network() is plain.base.model
    assert plain.adapter_parameters() == {}


@pytest.mark.parametrize("merge", [True, False, "auto"])
def test_decoding_network_follows_the_adapter(tiny_base, merge):
    lm = make(tiny_base("qwen3"), LORA, merge=merge)
    assert torch.equal(logits(lm), lm.base.model(IDS).logits)
    before = lm.decoding_network()
    assert lm.decoding_network() is before
    change(lm)
    assert lm.decoding_network() is not before
    with torch.no_grad():
        assert close(logits(lm), lm.training_network.eval()(IDS).logits)
    assert not close(logits(lm), lm.base.model(IDS).logits, 0.1)
    assert not lm.decoding_network().training
    assert not any(p.requires_grad for p in lm.decoding_network().parameters())


def test_a_merged_network_owns_only_the_adapted_weights(tiny_base):
    lm = change(make(tiny_base("gemma3"), LORA, merge=True))
    own = dict(lm.base.model.named_parameters())
    merged = dict(lm.decoding_network().named_parameters())
    assert own.keys() == merged.keys()
    copied = {name for name in own if merged[name] is not own[name]}
    assert len(copied) == 14
    assert all("proj" in name for name in copied)


@pytest.mark.parametrize("family", ["llama", "granite4"])
def test_an_adapter_is_saved_as_bytes_and_as_a_folder(tiny_base, tmp_path, family):
    folder = tiny_base(family)
    lm = change(make(folder, LORA))
    expected = logits(lm)
    lm.save(tmp_path / "adapter")
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    # The rank of the adapter replaces that of the config.
    loaded = make(folder, {"rank": 2})
    loaded.load(tmp_path / "adapter")
    assert not loaded.is_loaded
    assert torch.equal(logits(loaded), expected)
    plain = make(folder).from_bytes(lm.to_bytes())
    assert plain.has_adapter
    assert torch.equal(logits(plain), expected)
    assert len(lm.to_bytes()) < 200_000
    # An adapter that was not used is saved unchanged.
    assert make(folder).from_bytes(lm.to_bytes()).to_bytes() == lm.to_bytes()
    unused = make(folder)
    unused.load(tmp_path / "adapter")
    unused.save(tmp_path / "again")
    for name in names:
        one, two = tmp_path / "adapter" / name, tmp_path / "again" / name
        assert one.read_bytes() == two.read_bytes()


def test_a_loaded_adapter_replaces_a_used_one(tiny_base, tmp_path):
    folder = tiny_base("llama")
    one, two = change(make(folder, LORA), 1), change(make(folder, LORA), 2)
    expected = logits(two)
    assert not close(logits(one), expected, 0.1)
    two.save(tmp_path / "adapter")
    one.load(tmp_path / "adapter")
    assert torch.equal(logits(one), expected)
    one.reset_adapter()
    assert close(logits(one), one.base.model(IDS).logits)


def test_there_is_nothing_to_save_without_an_adapter(tiny_base, tmp_path):
    with pytest.raises(ValueError, match="G258.*lora"):
        make(tiny_base("llama")).save(tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_an_incomplete_folder_is_an_error(tiny_base, tmp_path):
    lm = change(make(tiny_base("llama"), LORA))
    lm.save(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="G250.*adapter_model.safetensors"):
        lm.load(tmp_path / "adapter")


def test_copies_have_the_settings_and_the_adapter(tiny_base):
    lm = change(make(tiny_base("llama"), LORA, merge=False))
    expected = logits(lm)
    data = pickle.dumps(lm)
    assert len(data) < 200_000
    for other in (copy.deepcopy(lm), pickle.loads(data)):
        assert not other.is_loaded
        assert other.merge is False
        assert other.lora == lm.lora
        assert torch.equal(logits(other), expected)
        assert other.base is lm.base
        change(other, 5)
        assert torch.equal(logits(lm), expected)


# A value other than the default for each argument of the constructor.
CHANGED = {
    "name": "some/base",
    "revision": "main",
    "lora": {"rank": 3, "alpha": 5.5, "dropout": 0.5, "target_modules": ["q_proj"]},
    "dtype": "bfloat16",
    "device": "cpu",
    "merge": False,
    "draft_head": False,
    "seed": 7,
    "gradient_checkpointing": True,
    "adapter": "some/adapter",
    "head_weight": 0.25,
}


def settings_of(lm):
    """The settings of a model, by the names of the constructor's arguments."""
    return {
        "name": lm.name,
        "revision": lm.revision,
        "lora": None if lm.lora is None else lm.lora.to_config(),
        "dtype": lm.dtype_name,
        "device": lm.device_name,
        "merge": lm.merge,
        "draft_head": lm.drafting.wanted,
        "seed": lm.seed,
        "gradient_checkpointing": lm.gradient_checkpointing,
        "adapter": lm.adapter,
        "head_weight": lm.head_weight,
    }


def test_every_setting_is_tested():
    parameters = inspect.signature(LanguageModel).parameters
    assert list(parameters) == list(CHANGED) == list(settings_of(LanguageModel("b")))
    for name, value in CHANGED.items():
        assert parameters[name].default != value


@pytest.mark.parametrize("name", CHANGED)
def test_copies_keep_every_setting(name):
    lm = LanguageModel(**{"name": "b", name: CHANGED[name]})
    assert settings_of(lm)[name] == CHANGED[name]
    for other in (copy.deepcopy(lm), pickle.loads(pickle.dumps(lm))):
        assert settings_of(other) == settings_of(lm)
        assert not lm.is_loaded and not other.is_loaded


def test_copies_keep_all_settings_and_a_trained_draft_head(tiny_base):
    real = {"name": str(tiny_base("llama")), "revision": None, "adapter": None}
    changed = {**CHANGED, **real}
    lm = change(LanguageModel(**{**changed, "draft_head": True}))
    head = lm.drafting.for_training(32, ["A", "B", "C"], lm.device, lm.seed)
    head.batches += 1
    for other in (copy.deepcopy(lm), pickle.loads(pickle.dumps(lm))):
        assert settings_of(other) == settings_of(lm)
        assert other.to_bytes() == lm.to_bytes()
        assert other.drafting.to_bytes() == lm.drafting.to_bytes() != b""
        modules = other.training_network.modules()
        assert any(getattr(m, "gradient_checkpointing", False) for m in modules)


SCRIPT = """
import pickle, sys, torch
lm = pickle.loads(sys.stdin.buffer.read())
assert not lm.is_loaded
with torch.no_grad():
    print(lm.decoding_network()(torch.arange(4, 40)[None]).logits.sum().item())
"""


def test_another_process_unpickles_the_model(tiny_base):
    lm = change(make(tiny_base("llama"), LORA))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=pickle.dumps(lm),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        check=True,
        timeout=120,
    )
    assert float(done.stdout) == pytest.approx(logits(lm).sum().item(), abs=1e-2)


@pytest.mark.parametrize(
    "lora,code",
    [
        ({"r": 4}, "G240.*'r'.*rank"),
        ({"rank": 0}, "G241.*rank"),
        ({"rank": 2.5}, "G241.*rank"),
        ({"rank": "x"}, "G241.*rank"),
        ({"rank": True}, "G241.*rank"),
        ({"alpha": -1}, "G241.*alpha"),
        ({"alpha": float("nan")}, "G241.*alpha"),
        ({"dropout": 1}, "G241.*dropout"),
        ({"target_modules": "q_proj"}, "G241.*target_modules"),
        ({"target_modules": []}, "G241.*target_modules"),
        ({"target_modules": [1]}, "G241.*target_modules"),
        ("all", "G241.*lora"),
    ],
)
def test_settings_of_lora_are_checked(lora, code):
    with pytest.raises(ValueError, match=code):
        LanguageModel("some/base", lora=lora)


def test_strings_of_a_config_are_converted():
    lm = LanguageModel("b", lora={"rank": "8", "alpha": "16", "target_modules": ["a"]})
    assert lm.lora.to_config() == {
        "rank": 8,
        "alpha": 16,
        "dropout": 0.0,
        "target_modules": ["a"],
    }
    with pytest.raises(ValueError, match="G243"):
        LanguageModel("b", merge="yes")
