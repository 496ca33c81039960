"""The forward pass for CPUs: equal to that of transformers, never used elsewhere."""

from types import SimpleNamespace

import pytest
import torch

from spacy_genner.config.settings import LoraSettings
from spacy_genner.models.base_model import get_base, share_modules, text_decoder
from spacy_genner.models.cpu_pass import (
    CPUPass,
    RowCache,
    UnsupportedLayer,
    has_post_ops,
)
from spacy_genner.models.lora import add_lora, lora_layers, merged, unmerged

SUPPORTED = ["gemma3", "llama", "mistral", "qwen2", "qwen3"]


@pytest.fixture(params=SUPPORTED)
def network(request, tiny_base):
    return get_base(str(tiny_base(request.param)), dtype="float32", device="cpu").model


@pytest.fixture
def ids():
    # Longer than the window of the sliding layers, which is 16.
    return torch.randint(4, 390, (60,), generator=torch.Generator().manual_seed(2))


def make_pass(network, middle=None):
    return CPUPass(network, text_decoder(network), middle)


def hidden_states(network, ids, layer=None):
    """The hidden states of transformers, of the last layer or behind another one."""
    decoder = text_decoder(network)
    found = []

    def record(module, args, output):
        found.append(output[0] if isinstance(output, tuple) else output)

    module = decoder.norm if layer is None else decoder.layers[layer]
    handle = module.register_forward_hook(record)
    with torch.inference_mode():
        decoder(input_ids=ids[None], use_cache=False)
    handle.remove()
    return found[0][0]


def agree(found, expected, tolerance=1e-4):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("prefix", [3, 25])
def test_rows_behind_a_prefix_equal_whole_sequences(network, ids, prefix, monkeypatch):
    """Rows of several lengths, fed in two passes; the second rewrites some tokens."""
    monkeypatch.setattr("spacy_genner.models.cpu_pass.BLOCK_LENGTH", 7)
    run = make_pass(network)
    plain = ids.tolist()
    cache = RowCache(run.prefix_cache(plain[:prefix]), 3, 40)
    texts = [plain[prefix : prefix + 30], plain[9:20], plain[30:31]]
    # Row 1 of the cache stays empty in the first pass.
    first = run.run(cache, [0, 2], [[*texts[0][:12], 7, 8], texts[2]], [0, 0])
    second = run.run(cache, [1, 0], [texts[1], texts[0][12:]], [0, 12])
    found = [torch.cat([first[:12], second[11:]]), second[:11], first[14:]]
    for states, text in zip(found, texts, strict=True):
        whole = torch.tensor([*plain[:prefix], *text])
        agree(states, hidden_states(network, whole)[prefix:])


def test_the_prefix_is_the_beginning_of_every_row(network, ids):
    run = make_pass(network)
    plain = ids.tolist()
    cache = RowCache(run.prefix_cache(plain[:20]), 2, 8)
    kept = [pair[0].clone() for pair in cache.prefix]
    found = run.run(cache, [1], [plain[20:28]], [0])
    agree(found, hidden_states(network, ids[:28])[20:])
    assert all(
        torch.equal(pair[0], keys)
        for pair, keys in zip(cache.prefix, kept, strict=True)
    )


def test_rows_move_and_grow(network, ids):
    run = make_pass(network)
    plain = ids.tolist()
    cache = RowCache(run.prefix_cache(plain[:4]), 2, 10)
    run.run(cache, [0, 1], [plain[20:30], plain[4:12]], [0, 0])
    cache.move(1, 0)
    cache = cache.resized(3, 20)
    found = run.run(cache, [0], [plain[12:24]], [8])
    agree(found, hidden_states(network, ids[:24])[12:])


def test_the_middle_layer_follows_the_last(network, ids):
    run = make_pass(network, middle=0)
    plain = ids.tolist()
    cache = RowCache(run.prefix_cache(plain[:4]), 1, 30)
    last, middle = run.run(cache, [0], [plain[4:34]], [0]).chunk(2, dim=-1)
    agree(last, hidden_states(network, ids[:34])[4:])
    agree(middle, hidden_states(network, ids[:34], layer=0)[4:])


def test_bfloat16_differs_by_rounding_only(tiny_base, ids):
    for family in SUPPORTED:
        base = get_base(str(tiny_base(family)), dtype="bfloat16", device="cpu")
        exact = get_base(str(tiny_base(family)), dtype="float32", device="cpu")
        run = make_pass(base.model)
        plain = ids.tolist()
        cache = RowCache(run.prefix_cache(plain[:10]), 1, 50)
        found = run.run(cache, [0], [plain[10:]], [0]).float()
        expected = hidden_states(exact.model, ids)[10:]
        theirs = hidden_states(base.model, ids)[10:].float()
        error, other = ((x - expected).square().mean() for x in (found, theirs))
        # No further from the exact result than the rounding of transformers.
        assert error <= 1.5 * other


def test_a_build_without_onednn(tiny_base, ids, monkeypatch):
    base = get_base(str(tiny_base("gemma3")), dtype="bfloat16", device="cpu")
    results = []
    for missing in (False, True):
        if missing:
            monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
        has_post_ops.cache_clear()
        run = make_pass(base.model)
        assert not (missing and run.layers[0].mlp.fuses)
        cache = RowCache(run.prefix_cache(ids[:10].tolist()), 1, 50)
        results.append(run.run(cache, [0], [ids[10:].tolist()], [0]).float())
    has_post_ops.cache_clear()
    agree(*results, tolerance=0.1)


@pytest.mark.parametrize("decoding", [merged, unmerged])
def test_adapters_are_part_of_the_pass(network, ids, decoding):
    tuned = add_lora(share_modules(network), LoraSettings(rank=4, alpha=8), "tiny")
    for layer in lora_layers(tuned).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.5)
    made = decoding(tuned)
    run = make_pass(made)
    before = {name: value.clone() for name, value in network.named_parameters()}
    plain = ids.tolist()
    cache = RowCache(run.prefix_cache(plain[:10]), 1, 20)
    found = run.run(cache, [0], [plain[10:30]], [0])
    expected = hidden_states(tuned.eval(), ids[:30])[10:]
    agree(found, expected, 1e-3)
    assert (expected - hidden_states(network, ids[:30])[10:]).abs().max() > 0.1
    # The tensors of the shared base are never written.
    after = dict(network.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("family", ["gemma2", "granite", "granite4"])
def test_other_architectures_are_refused(tiny_base, family):
    network = get_base(str(tiny_base(family)), dtype="float32", device="cpu").model
    with pytest.raises(UnsupportedLayer):
        make_pass(network)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: setattr(
            text_decoder(network).layers[1], "extra", torch.nn.Linear(2, 2)
        ),
        lambda network: setattr(text_decoder(network), "norm", torch.nn.LayerNorm(32)),
        lambda network: text_decoder(network).train(),
    ],
)
def test_unknown_parts_are_refused(tiny_base, change):
    base = get_base(str(tiny_base("llama")), dtype="float32", device="cpu")
    network = share_modules(base.model)
    make_pass(network)
    change(network)
    with pytest.raises(UnsupportedLayer):
        make_pass(network)
