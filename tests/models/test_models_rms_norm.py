"""Norms with an explicit backward pass, compared with those of transformers."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from spacy_genner.models import rms_norm
from spacy_genner.models.rms_norm import FrozenRMSNorm, freeze_norms


def test_norms_have_the_same_outputs_and_gradients(networks, padded_batch):
    _, plain = networks
    fast = copy.deepcopy(plain)
    freeze_norms(fast)
    made = [m for m in fast.modules() if isinstance(m, FrozenRMSNorm)]
    left = {type(m).__name__ for m in fast.modules()} - {"FrozenRMSNorm"}
    # The gated norm of state-space layers is not replaced.
    assert {name for name in left if "RMSNorm" in name} <= {
        "GraniteMoeHybridRMSNormGated"
    }
    assert len(made) >= 5
    assert list(fast.state_dict()) == list(plain.state_dict())
    results = []
    for network in (plain, fast):
        ids, mask = padded_batch
        embedded = network.get_input_embeddings()(ids).detach().requires_grad_()
        logits = network(inputs_embeds=embedded, attention_mask=mask).logits
        logits[mask.bool()].logsumexp(-1).sum().backward()
        results.append((logits[mask.bool()], embedded.grad))
    for found, expected in zip(*results, strict=True):
        # Norms are computed in float32 whatever the dtype.
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert results[0][1].abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("around_one", [True, False])
def test_a_norm_rounds_as_that_of_its_model(tiny_base, dtype, around_one):
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


def test_a_trainable_norm_is_not_replaced(tiny_base):
    network = AutoModelForCausalLM.from_pretrained(tiny_base("llama"))
    before = [type(module) for module in network.modules()]
    freeze_norms(network)
    assert [type(module) for module in network.modules()] == before


@pytest.mark.parametrize("around_one", [True, False])
@pytest.mark.parametrize("heads", [False, True])
def test_the_parts_of_a_norm_are_those_of_the_whole(monkeypatch, around_one, heads):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, generator=generator)
    norm = FrozenRMSNorm(torch.nn.Parameter(weight, False), 1e-6, around_one)
    hidden = torch.randn(2, 7, 3, 8, generator=generator)
    # The queries of attention are a transposed view.
    hidden = hidden.transpose(1, 2) if heads else hidden.flatten(0, 2)
    gradient = torch.randn(hidden.shape, generator=generator)
    results = []
    for size in (2**17, 16, 1):
        monkeypatch.setattr(rms_norm, "PART_SIZE", size)
        inputs = hidden.detach().requires_grad_()
        outputs = norm(inputs)
        outputs.backward(gradient)
        results.append((outputs, inputs.grad))
    for found in results[1:]:
        assert all(map(torch.equal, found, results[0]))
    assert results[0][1].abs().max() > 1e-3


def test_a_norm_takes_one_vector_or_no_token():
    norm = FrozenRMSNorm(torch.nn.Parameter(torch.ones(8), False), 1e-6, False)
    assert norm(torch.ones(8)).shape == (8,)
    assert norm(torch.ones(0, 8)).shape == (0, 8)


def test_a_weight_in_float32_widens_the_output():
    weight = torch.linspace(0.5, 1.5, 8)
    hidden = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    for around_one, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        norm = FrozenRMSNorm(torch.nn.Parameter(weight, False), 1e-6, around_one)
        assert norm(hidden).dtype == dtype
