"""The restricted head: its logits are rows of those of the whole vocabulary."""

import pytest
import torch

from spacy_genner.models import lm_head
from spacy_genner.models.base_model import get_base
from spacy_genner.models.lm_head import NARROW, RestrictedHead, by_width


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "granite", "qwen2"])
def test_restricted_logits_are_those_of_the_model(tiny_base, family):
    base = get_base(str(tiny_base(family)), dtype="float32", device="cpu")
    head = RestrictedHead(base.model)
    with torch.no_grad():
        output = base.model(torch.arange(4, 30)[None], output_hidden_states=True)
    hidden, logits = output.hidden_states[-1][0], output.logits[0]
    head.check(base.model, hidden, logits)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 400, (len(hidden), 5), generator=draw)
    for found in (head.rows(hidden, ids), head.full(hidden).gather(1, ids)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, logits.gather(1, ids))
    with pytest.raises(ValueError, match="G105.*" + type(base.model).__name__):
        head.check(base.model, hidden, logits * 2)


def test_logits_are_at_least_float32(tiny_base):
    for name, dtype in [("bfloat16", torch.float32), ("float64", torch.float64)]:
        base = get_base(str(tiny_base("llama")), dtype=name, device="cpu")
        head = RestrictedHead(base.model)
        hidden = torch.randn(2, 32).to(base.dtype)
        assert head.rows(hidden, torch.tensor([[1, 2], [3, 4]])).dtype == dtype
        assert head.full(hidden).dtype == dtype


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
@pytest.mark.parametrize("part_size", [1, 2**10, 2**18])
def test_the_cross_entropy_has_the_gradient_of_autograd(
    tiny_base, monkeypatch, family, part_size
):
    monkeypatch.setattr(lm_head, "PART_SIZE", part_size)
    base = get_base(str(tiny_base(family)), dtype="float32", device="cpu")
    head = RestrictedHead(base.model)
    draw = torch.Generator().manual_seed(0)
    if family == "llama":
        head.bias = torch.randn(len(head.weight), generator=draw)
    # Logits that the cap of Gemma 2 bends.
    hidden = 50 * torch.randn(7, head.weight.shape[1], generator=draw)
    tokens = torch.randint(0, len(head.weight), (7,), generator=draw)
    inputs = hidden.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        head.full(inputs), tokens, reduction="sum"
    )
    expected.backward()
    loss, gradient = head.cross_entropy(hidden, tokens)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, inputs.grad)
    assert gradient.abs().max() > 1e-3


def test_decisions_of_similar_width_form_groups():
    counts = [2, NARROW, 17, 31, 32, 3, 300, 33]
    groups = list(by_width(counts))
    assert groups == [[0, 1, 5], [2, 3], [4, 7], [6]]
    assert list(by_width([])) == []
