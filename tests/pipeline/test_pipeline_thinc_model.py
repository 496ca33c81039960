"""The thinc model: optimizer, averages, serialization and lazy loading."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from thinc.api import SGD, Adam, Config, Model, registry

from spacy_genner.pipeline.predictor import get_shim
from spacy_genner.pipeline.thinc_model import build_lora_causal_lm

LORA = {"rank": 4, "alpha": 8}
IDS = torch.arange(4, 40)[None]


@pytest.fixture
def model(tiny_base):
    folder = str(tiny_base("llama"))
    return build_lora_causal_lm(folder, lora=LORA, dtype="float32", device="cpu")


def loss_backward(model):
    network = get_shim(model).lm.training_network.train()
    loss = network(IDS, labels=IDS).loss
    loss.backward()
    return loss.item()


def values(model):
    parameters = get_shim(model).lm.adapter_parameters()
    return {name: p.detach().numpy().copy() for name, p in parameters.items()}


def test_the_import_does_not_load_transformers():
    script = (
        "import sys, spacy_genner.pipeline.thinc_model as a\n"
        "a.build_lora_causal_lm('no/such-base', lora={})\n"
        "found = [n for n in ('transformers', 'peft', 'huggingface_hub') "
        "if n in sys.modules]\n"
        "assert not found, found\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, timeout=120)


def test_a_model_is_created_from_a_config(tiny_base):
    name = "test-genner.LoraCausalLM.v1"
    registry.layers.register(name, func=build_lora_causal_lm)
    text = f"""
    [model]
    @layers = "{name}"
    name = "{tiny_base("llama")}"
    lora = {{"rank": 4, "alpha": 8, "target_modules": ["q_proj"]}}
    merge = false
    """
    made = registry.resolve(Config().from_str(text))["model"]
    lm = get_shim(made).lm
    assert lm.merge is False
    assert lm.lora.target_modules == ("q_proj",)
    assert not lm.is_loaded
    bad = Config().from_str(text.replace('"rank"', '"r"'))
    with pytest.raises(ValueError, match="G240"):
        registry.resolve(bad)


def test_the_optimizer_changes_only_the_adapter(model):
    lm = get_shim(model).lm
    base = {n: p.clone() for n, p in lm.base.model.named_parameters()}
    optimizer = Adam(0.01)
    version = lm.version
    losses = []
    for _ in range(8):
        losses.append(loss_backward(model))
        model.finish_update(optimizer)
        assert all(p.grad is None for p in lm.adapter_parameters().values())
    assert losses[-1] < losses[0] - 0.1
    assert lm.version == version + 8
    for name, parameter in lm.base.model.named_parameters():
        assert torch.equal(parameter, base[name])
    keys = {(model.shims[0].id, name) for name in lm.adapter_parameters()}
    assert set(optimizer.averages) == keys


def test_a_step_is_that_of_the_optimizer(model):
    before = values(model)
    loss_backward(model)
    grads = {
        name: p.grad.numpy().copy()
        for name, p in get_shim(model).lm.adapter_parameters().items()
    }
    model.finish_update(SGD(0.5, L2=0.0, grad_clip=0.0))
    after = values(model)
    for name in before:
        expected = before[name] - numpy.float32(0.5) * grads[name]
        numpy.testing.assert_allclose(after[name], expected, rtol=1e-6, atol=1e-7)
    # Without gradients nothing changes.
    version = get_shim(model).lm.version
    model.finish_update(SGD(0.5))
    assert get_shim(model).lm.version == version
    numpy.testing.assert_equal(values(model), after)


def test_an_update_does_not_load_an_unused_model(tiny_base):
    model = build_lora_causal_lm(str(tiny_base("llama")), lora=LORA)
    model.finish_update(Adam(0.1))
    with model.use_params({}):
        pass
    assert not get_shim(model).lm.is_loaded


def test_parameters_are_replaced_within_a_block(model):
    optimizer = Adam(0.05)
    for _ in range(4):
        loss_backward(model)
        model.finish_update(optimizer)
    lm = get_shim(model).lm
    own = values(model)
    with torch.no_grad():
        expected = lm.decoding_network()(IDS).logits
    with model.use_params(optimizer.averages):
        inside = values(model)
        for name in own:
            average = optimizer.averages[(model.shims[0].id, name)]
            numpy.testing.assert_array_equal(inside[name], average)
        with torch.no_grad():
            assert not torch.equal(lm.decoding_network()(IDS).logits, expected)
    numpy.testing.assert_equal(values(model), own)
    with torch.no_grad():
        assert torch.equal(lm.decoding_network()(IDS).logits, expected)
    with pytest.raises(RuntimeError):
        with model.use_params(optimizer.averages):
            raise RuntimeError("error in the block")
    numpy.testing.assert_equal(values(model), own)


def test_serialization_and_copies(model, tiny_base, tmp_path):
    loss_backward(model)
    model.finish_update(Adam(0.01))
    data = model.to_bytes()
    assert len(data) < 200_000
    model.to_disk(tmp_path / "model")
    folder = str(tiny_base("llama"))
    for load in (
        lambda m: m.from_bytes(data),
        lambda m: m.from_disk(tmp_path / "model"),
    ):
        other = build_lora_causal_lm(folder, lora=LORA, dtype="float32", device="cpu")
        load(other)
        assert not get_shim(other).lm.is_loaded
        numpy.testing.assert_equal(values(other), values(model))
    for other in (model.copy(), copy.deepcopy(get_shim(model).lm)):
        lm = get_shim(other).lm if isinstance(other, Model) else other
        assert lm is not get_shim(model).lm
        numpy.testing.assert_equal(
            {n: p.detach().numpy() for n, p in lm.adapter_parameters().items()},
            values(model),
        )


def test_the_forward_pass(model):
    lm = get_shim(model).lm
    ids = [numpy.arange(4, 20, dtype="int32"), numpy.arange(7, 12)]
    hidden = model.predict(ids)
    assert [h.shape for h in hidden] == [(16, 32), (5, 32)]
    with torch.no_grad():
        expected = lm.base.model.model(torch.from_numpy(ids[1])[None])[0][0].numpy()
    numpy.testing.assert_allclose(hidden[1], expected, rtol=1e-5, atol=1e-5)
    _, backprop = model.begin_update(ids)
    with pytest.raises(ValueError, match="G260"):
        backprop(hidden)
    for wrong in (["text"], "text", numpy.zeros((2, 3)), [numpy.zeros((2, 3))]):
        with pytest.raises(ValueError, match="G260"):
            model.predict(wrong)


def test_a_bfloat16_base(tiny_base):
    folder = str(tiny_base("gemma3"))
    model = build_lora_causal_lm(folder, lora=LORA, dtype="bfloat16", device="cpu")
    optimizer = Adam(0.01)
    losses = []
    for _ in range(6):
        losses.append(loss_backward(model))
        model.finish_update(optimizer)
    assert losses[-1] < losses[0]
    arrays = values(model)
    assert {array.dtype for array in arrays.values()} == {numpy.dtype("float32")}
