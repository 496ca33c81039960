"""LoRA on a shared base: training, saving and merging, compared with peft."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from component_cases import digest
from peft.tuners.lora import Linear as PeftLinear
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_genner.config.settings import LoraSettings
from spacy_genner.models import lora
from spacy_genner.models.adapter_files import AdapterFiles, read_adapter, write_adapter
from spacy_genner.models.base_model import get_base, share_modules, text_decoder
from spacy_genner.models.lora import (
    ADAPTER,
    LoraLinear,
    adapter_files,
    adapter_parameters,
    add_lora,
    load_lora,
    lora_layers,
    merged,
    should_merge,
    unmerged,
)

FAMILIES = ["llama", "gemma2", "gemma3", "qwen2", "qwen3", "granite", "granite4"]
SETTINGS = LoraSettings(rank=4, alpha=6)
IDS = torch.arange(4, 40)[None]


@pytest.fixture(autouse=True)
def fixed_random_numbers() -> Iterator[None]:
    """Makes each test independent of the random numbers that others have drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make_base(folder: Any, dtype: str = "float32") -> Any:
    return get_base(str(folder), dtype=dtype, device="cpu")


def trained(base: Any, settings: LoraSettings = SETTINGS, seed: int = 0) -> Any:
    """A network with an adapter that changes the output clearly."""
    network = add_lora(share_modules(base.model), settings, "some/base", seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for parameter in adapter_parameters(network).values():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.05 * noise
    return network.eval()


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(IDS).logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_in_every_family(tiny_base, family, dtype):
    base = make_base(tiny_base(family), dtype)
    before = digest(base.model)
    plain = logits(base.model)
    network = add_lora(share_modules(base.model), SETTINGS, "some/base")
    assert torch.equal(logits(network), plain)
    parameters = adapter_parameters(network)
    assert {p.dtype for p in parameters.values()} == {torch.float32}
    for parameter in parameters.values():
        parameter.data += 0.05 * torch.randn_like(parameter)
    network.train()
    network(IDS).logits.float().logsumexp(-1).sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.abs().sum() > 0, name
    network.eval()
    whole, beside = merged(network), unmerged(network)
    changed = logits(network)
    assert (changed - plain).abs().max() > 0.1
    assert torch.equal(logits(beside), changed)
    gap = logits(whole) - changed
    if dtype == "float32":
        assert gap.abs().max() < 1e-4 * changed.abs().max()
    else:
        # Rounding in bfloat16 grows from layer to layer, and the largest of thousands
        # of errors varies widely with the random weights. Their norm does not: over 40
        # seeds of every family it is at most 3.6 % of that of the logits, and the
        # effect of the adapter at least 8.8 %.
        assert gap.norm() < 0.05 * changed.norm() < (changed - plain).norm()
    # The base has not been written and needs no gradient.
    assert digest(base.model) == before
    assert torch.equal(logits(base.model), plain)
    assert all(p.grad is None for p in base.model.parameters())
    trainable = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trainable == set(parameters)
    # In place at last: the network then has no adapter.
    assert merged(network, in_place=True) is network
    assert torch.equal(logits(network), logits(whole))
    assert not adapter_parameters(network)
    assert digest(base.model) == before


@pytest.mark.parametrize("family", ["llama", "granite4"])
def test_the_forward_pass_equals_that_of_peft(tiny_base, tmp_path, family):
    from peft import PeftModel

    base = make_base(tiny_base(family))
    network = trained(base)
    write_adapter(adapter_files(network, "some/base"), tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(share_modules(base.model), tmp_path / "adapter")
    torch.testing.assert_close(
        logits(network), logits(theirs), rtol=1e-5, atol=1e-5, check_dtype=True
    )
    layers = lora_layers(network)
    assert layers and all(isinstance(layer, LoraLinear) for layer in layers.values())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_gradients_are_those_of_peft(tiny_base, family, dropout):
    base = make_base(tiny_base(family))
    network = trained(base, LoraSettings(rank=4, alpha=6, dropout=dropout)).eval()
    results = []
    for forward in (LoraLinear.forward, PeftLinear.forward):
        layers = lora_layers(network).values()
        for layer in layers:
            layer.forward = forward.__get__(layer)
        network.zero_grad()
        embedded = network.get_input_embeddings()(torch.arange(4, 30)[None])
        embedded = embedded.detach().requires_grad_()
        with torch.enable_grad():
            network(inputs_embeds=embedded).logits.logsumexp(-1).sum().backward()
        grads = [parameter.grad for parameter in adapter_parameters(network).values()]
        results.append([embedded.grad, *grads])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert all(grad.abs().max() > 1e-3 for grad in results[0])


def test_a_base_that_is_trained_has_its_gradient(tiny_base):
    network = trained(make_base(tiny_base("qwen2")))
    layer = copy.deepcopy(next(iter(lora_layers(network).values())))
    assert layer.base_layer.bias is not None
    layer.base_layer.requires_grad_()
    layer(torch.ones(2, layer.in_features)).sum().backward()
    assert torch.equal(
        layer.base_layer.weight.grad, torch.full_like(layer.base_layer.weight, 2.0)
    )
    assert torch.equal(
        layer.base_layer.bias.grad, torch.full_like(layer.base_layer.bias, 2.0)
    )


class Products(TorchDispatchMode):
    """Records the dtypes of matrix products."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "mm" in func.__name__:
            self.dtypes.append({arg.dtype for arg in args})
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_products_are_in_the_dtype_of_the_base(tiny_base, dropout):
    base = make_base(tiny_base("llama"), "bfloat16")
    network = trained(base, LoraSettings(rank=4, alpha=6, dropout=dropout))
    layer = next(iter(lora_layers(network).values()))
    inputs = torch.randn(2, 3, layer.in_features, dtype=torch.bfloat16)
    with Products() as products:
        out = layer(inputs.requires_grad_())
        assert out.dtype == torch.bfloat16
        # Two of the adapter, one of the base.
        assert len(products.dtypes) == 3
        out.sum().backward()
    assert len(products.dtypes) == 8
    assert all(dtypes == {torch.bfloat16} for dtypes in products.dtypes)
    assert {p.grad.dtype for p in layer.parameters() if p.requires_grad} == {
        torch.float32
    }


def test_the_weight_of_a_layer_is_the_adapted_one(tiny_base):
    """Fused state-space kernels use out_proj.weight directly."""
    network = trained(make_base(tiny_base("granite4")))
    layer = network.model.layers[0].mamba.out_proj
    assert isinstance(layer, LoraLinear)
    x = torch.randn(2, 5, layer.in_features)
    with torch.no_grad():
        torch.testing.assert_close(x @ layer.weight.t(), layer(x), rtol=1e-4, atol=1e-4)
    (x @ layer.weight.t()).sum().backward()
    assert layer.lora_B[ADAPTER].weight.grad.abs().sum() > 0


def test_initial_weights_depend_only_on_the_seed(tiny_base):
    folder = tiny_base("llama")
    torch.manual_seed(1)
    one = add_lora(share_modules(make_base(folder).model), SETTINGS, "b", seed=3)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    half = make_base(folder, "bfloat16").model
    two = add_lora(share_modules(half), SETTINGS, "b", seed=3)
    other = add_lora(share_modules(half), SETTINGS, "b", seed=4)
    a, b, c = (list(adapter_parameters(n).values()) for n in (one, two, other))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a, c, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_target_modules_choose_the_layers(tiny_base):
    base = make_base(tiny_base("llama"))
    chosen = LoraSettings(rank=2, target_modules=("q_proj", "v_proj"))
    network = add_lora(share_modules(base.model), chosen, "b")
    assert {n.rsplit(".", 1)[-1] for n in lora_layers(network)} == {"q_proj", "v_proj"}
    everything = add_lora(share_modules(base.model), SETTINGS, "b")
    assert not any("lm_head" in name for name in lora_layers(everything))
    for wrong in ("lm_head", "embed_tokens", "no_such"):
        targets = LoraSettings(target_modules=("q_proj", wrong))
        with pytest.raises(ValueError, match=rf"G242.*{wrong}.*q_proj"):
            add_lora(share_modules(base.model), targets, "b")


def multimodal() -> Any:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
    )

    text = Gemma3TextConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1)
    return Gemma3ForConditionalGeneration(config).eval().requires_grad_(False)


def test_only_the_text_layers_of_a_multimodal_base_are_adapted(tmp_path):
    model = multimodal()
    network = add_lora(share_modules(model), SETTINGS, "b")
    names = list(lora_layers(network))
    assert len(names) == 14
    assert all(name.startswith("model.language_model.") for name in names)
    files = adapter_files(network, "b")
    again = load_lora(share_modules(model), files, "b", "here")
    assert list(lora_layers(again)) == names


def test_files_are_those_of_peft(tiny_base, tmp_path):
    """They have the keys, shapes and settings of peft, and peft loads them."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file

    base = make_base(tiny_base("gemma3"))
    network = trained(base)
    write_adapter(adapter_files(network, "pip:some-base"), tmp_path / "ours")
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    theirs = get_peft_model(share_modules(base.model), config)
    theirs.save_pretrained(tmp_path / "theirs")
    ours_file = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    their_file = load_file(tmp_path / "theirs" / "adapter_model.safetensors")
    assert {k: v.shape for k, v in ours_file.items()} == {
        k: v.shape for k, v in their_file.items()
    }
    settings = [
        json.loads((tmp_path / who / "adapter_config.json").read_text())
        for who in ("ours", "theirs")
    ]
    # peft shortens the names only from 20 modules on.
    own_targets, other_targets = (one.pop("target_modules") for one in settings)
    assert sorted(own_targets) == sorted(
        {name.rsplit(".", 1)[-1] for name in other_targets}
    )
    assert settings[0].pop("base_model_name_or_path") == "pip:some-base"
    settings[1].pop("base_model_name_or_path")
    assert settings[0] == settings[1]
    loaded = PeftModel.from_pretrained(share_modules(base.model), tmp_path / "ours")
    torch.testing.assert_close(logits(loaded), logits(network), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "gaussian"},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    ],
    ids=lambda extra: ",".join(extra) or "plain",
)
def test_an_adapter_of_peft_is_used_with_its_settings(tiny_base, tmp_path, extra):
    from peft import LoraConfig, get_peft_model

    base = make_base(tiny_base("qwen3"))
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **extra}
    theirs = get_peft_model(share_modules(base.model), LoraConfig(**settings))
    for name, parameter in theirs.named_parameters():
        if ".lora_" in name:
            parameter.data += 0.05 * torch.rand_like(parameter)
    theirs.eval().save_pretrained(tmp_path)
    expected = logits(theirs)
    assert (expected - logits(base.model)).abs().max() > 0.05
    files = read_adapter(tmp_path)
    network = load_lora(share_modules(base.model), files, "b", "here").eval()
    torch.testing.assert_close(logits(network), expected, rtol=1e-5, atol=1e-5)
    before = digest(base.model)
    torch.testing.assert_close(logits(merged(network)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        logits(unmerged(network)), expected, rtol=1e-4, atol=1e-4
    )
    assert digest(base.model) == before
    # The same through the project's own files.
    again = AdapterFiles.from_bytes(adapter_files(network, "b").to_bytes(), "b")
    network = load_lora(share_modules(base.model), again, "b", "here").eval()
    torch.testing.assert_close(logits(network), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "extra,code",
    [
        ({"modules_to_save": ["lm_head"]}, "G254.*modules_to_save"),
        ({"bias": "lora_only"}, "G254.*bias"),
        ({"init_lora_weights": "pissa"}, "G254.*init_lora_weights"),
        ({"init_lora_weights": "olora"}, "G254.*init_lora_weights"),
        ({"trainable_token_indices": [1, 2]}, "G254.*trainable_token_indices"),
        ({"peft_type": "IA3"}, "G253.*IA3"),
        ({"peft_type": None}, "G253"),
    ],
)
def test_unsupported_adapters_are_refused(tiny_base, tmp_path, extra, code):
    files = adapter_files(trained(make_base(tiny_base("llama"))), "b")
    write_adapter(
        AdapterFiles({**files.config, **extra}, files.weights), tmp_path / "a"
    )
    with pytest.raises(ValueError, match=code):
        read_adapter(tmp_path / "a")


def test_layers_outside_the_text_decoder_are_refused(tiny_base, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = make_base(tiny_base("llama"))
    for target in ("lm_head", "embed_tokens"):
        config = LoraConfig(r=2, target_modules=["q_proj", target])
        theirs = get_peft_model(share_modules(base.model), config)
        theirs.save_pretrained(tmp_path / target, save_embedding_layers=False)
        files = read_adapter(tmp_path / target)
        with pytest.raises(ValueError, match=f"G256.*{target}"):
            load_lora(share_modules(base.model), files, "b", "here")


def test_an_adapter_of_another_base_is_refused(tiny_base):
    files = adapter_files(trained(make_base(tiny_base("llama"))), "tuned/on-this")
    other = make_base(tiny_base("granite4"))
    with pytest.raises(ValueError, match="G255.*tuned/on-this"):
        load_lora(share_modules(other.model), files, "b", "here")
    # The same names with other shapes.
    from safetensors.torch import load, save

    tensors = load(files.weights)
    wide = {key: torch.zeros(t.shape[0] * 2, t.shape[1]) for key, t in tensors.items()}
    base = make_base(tiny_base("llama"))
    with pytest.raises(ValueError, match="G255"):
        damaged = AdapterFiles(files.config, save(wide))
        load_lora(share_modules(base.model), damaged, "b", "here")
    short = {key: t for key, t in tensors.items() if "layers.0" in key}
    with pytest.raises(ValueError, match="G255.*no weights"):
        damaged = AdapterFiles(files.config, save(short))
        load_lora(share_modules(base.model), damaged, "b", "here")
    more = {**tensors, "base_model.model.lm_head.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match="G255"):
        damaged = AdapterFiles(files.config, save(more))
        load_lora(share_modules(base.model), damaged, "b", "here")


def test_damaged_weights_are_refused(tiny_base):
    base = make_base(tiny_base("llama"))
    files = adapter_files(trained(base), "b")
    damaged = AdapterFiles(files.config, files.weights[:200])
    with pytest.raises(ValueError, match="G252"):
        load_lora(share_modules(base.model), damaged, "b", "here")
    with pytest.raises(ValueError, match="G257"):
        AdapterFiles.from_bytes(b"not an adapter", "b")


def test_the_free_memory_decides_about_merging(tiny_base, monkeypatch):
    network = trained(make_base(tiny_base("llama")))
    cpu = torch.device("cpu")
    assert should_merge(True, network, cpu) is True
    assert should_merge(False, network, cpu) is False
    assert lora.free_memory(cpu) > 1 << 20
    monkeypatch.setattr(lora, "free_memory", lambda device: 1 << 30)
    assert should_merge("auto", network, cpu) is True
    monkeypatch.setattr(lora, "free_memory", lambda device: 1 << 10)
    assert should_merge("auto", network, cpu) is False


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    """psutil reports the memory of the host."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(lora, "Path", lambda path: tmp_path)
    available = lora.psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(lora.psutil, "virtual_memory", lambda: available)
    assert lora.free_memory(cpu) == 1000
    (tmp_path / "memory.current").write_text("300\n")
    for limit, free in [("max", 1000), ("900", 600), ("2000", 1000), ("200", 0)]:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert lora.free_memory(cpu) == free


def test_the_text_decoder_has_no_head(tiny_base):
    base = make_base(tiny_base("llama"))
    decoder = text_decoder(base.model)
    assert decoder is base.model.model
    with pytest.raises(ValueError, match="G234.*Linear"):
        text_decoder(torch.nn.Linear(2, 2))
