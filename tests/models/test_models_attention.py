"""Attention and norms that a CPU computes fast, against those of transformers."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from spacy_genner.models.attention import (
    NAME,
    PackedLayout,
    attention_implementation,
    grouped_attention,
)
from spacy_genner.models.base_model import get_base
from spacy_genner.models.rms_norm import FrozenRMSNorm, freeze_norms

FAMILIES = ["llama", "gemma2", "gemma3", "qwen2", "qwen3", "granite", "granite4"]


@pytest.fixture(params=FAMILIES)
def networks(request, tiny_base):
    """A base as it is loaded here, and as transformers has it by itself."""
    folder = tiny_base(request.param)
    # The one of transformers that caps scores takes its softmax in float32.
    capped = request.param == "gemma2"
    dtype = "float32" if capped else "float64"
    base = get_base(str(folder), dtype=dtype, device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=base.dtype,
        attn_implementation="eager" if capped else "sdpa",
    )
    # Held, because the store forgets a base that nobody holds.
    yield base.model, plain.eval().requires_grad_(False)


def batch():
    ids = torch.randint(4, 390, (3, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(40) < torch.tensor([40, 23, 1])[:, None]
    return ids, mask.long()


def tolerances(network):
    wide = network.dtype == torch.float64
    return {"rtol": 1e-9, "atol": 1e-9} if wide else {"rtol": 1e-3, "atol": 1e-4}


def test_logits_are_those_of_transformers_own_attention(networks):
    ours, plain = networks
    ids, mask = batch()
    assert ours.config._attn_implementation == NAME
    assert plain.config._attn_implementation != NAME
    with torch.no_grad():
        found = ours(ids, attention_mask=mask).logits[mask.bool()]
        wanted = plain(ids, attention_mask=mask).logits[mask.bool()]
    torch.testing.assert_close(found, wanted, **tolerances(plain))


def test_other_devices_keep_the_attention_of_transformers():
    assert attention_implementation(torch.device("cpu")) == NAME
    assert attention_implementation(torch.device("cuda", 0)) is None


def test_norms_give_the_same_numbers_and_gradients(networks):
    _, plain = networks
    fast = copy.deepcopy(plain)
    freeze_norms(fast)
    made = [m for m in fast.modules() if isinstance(m, FrozenRMSNorm)]
    left = {type(m).__name__ for m in fast.modules()} - {"FrozenRMSNorm"}
    # A gated norm, as state-space layers have it, is another thing.
    assert {name for name in left if "RMSNorm" in name} <= {
        "GraniteMoeHybridRMSNormGated"
    }
    assert len(made) >= 5
    assert list(fast.state_dict()) == list(plain.state_dict())
    results = []
    for network in (plain, fast):
        ids, mask = batch()
        embedded = network.get_input_embeddings()(ids).detach().requires_grad_()
        logits = network(inputs_embeds=embedded, attention_mask=mask).logits
        logits[mask.bool()].logsumexp(-1).sum().backward()
        results.append((logits[mask.bool()], embedded.grad))
    for found, wanted in zip(*results, strict=True):
        # Norms are computed in float32 whatever the dtype.
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert results[0][1].abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("around_one", [True, False])
def test_a_norm_rounds_as_its_model_does(tiny_base, dtype, around_one):
    folder = tiny_base("gemma3" if around_one else "llama")
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    norm = network.get_decoder().layers[0].input_layernorm.requires_grad_(False)
    with torch.no_grad():
        norm.weight += torch.linspace(-0.5, 0.5, len(norm.weight)).to(dtype)
    fast = copy.deepcopy(network.get_decoder().layers[0])
    fast.input_layernorm = norm
    freeze_norms(fast)
    assert isinstance(fast.input_layernorm, FrozenRMSNorm)
    assert fast.input_layernorm.around_one is around_one
    sample = torch.randn(50, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(fast.input_layernorm(sample), norm(sample))


def test_a_norm_that_is_trained_is_left_alone(tiny_base):
    network = AutoModelForCausalLM.from_pretrained(tiny_base("llama"))
    before = [type(module) for module in network.modules()]
    freeze_norms(network)
    assert [type(module) for module in network.modules()] == before


@pytest.mark.parametrize(
    "lengths, columns",
    [
        ([5], [5]),
        ([3] * 20, [3]),
        ([40, 41, 43], [43]),
        ([2, 90, 2, 2, 2], [2, 90]),
        ([1] * 10 + [200, 60, 60, 60, 60, 60, 200], [1, 60, 200]),
    ],
)
def test_rows_of_unlike_lengths_lie_in_blocks(lengths, columns):
    packed = PackedLayout.from_lengths(0, lengths, torch.device("cpu"))
    assert [block.columns.stop for block in packed.blocks] == columns
    tokens = torch.cat([block.tokens for block in packed.blocks])
    assert sorted(tokens.tolist()) == list(range(sum(lengths)))
    for rows, within, tokens, layout in packed.blocks:
        taken = torch.arange(len(lengths)) if rows is None else rows
        assert torch.equal(packed.token_rows[tokens], taken[layout.token_rows])
        assert torch.equal(
            packed.token_columns[tokens], layout.token_columns + within.start
        )
        assert layout.max_length == within.stop - within.start


def test_blocks_give_what_rows_side_by_side_give():
    lengths = [1, 90, 4, 2, 1, 60]
    packed = PackedLayout.from_lengths(0, lengths, torch.device("cpu"))
    assert len(packed.blocks) > 1
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    query, keys, values = drawn(1, 4, 158, 8), drawn(6, 2, 120, 8), drawn(6, 2, 120, 8)
    mask = drawn(6, 1, 90, 120)
    module = torch.nn.Module()
    found, _ = grouped_attention(module, query, keys, values, mask, packed=packed)
    side = packed.pad(query[0])
    wanted, _ = grouped_attention(module, side, keys, values, mask)
    assert found.shape == (1, 158, 4, 8)
    torch.testing.assert_close(found[0], packed.unpad(wanted))
