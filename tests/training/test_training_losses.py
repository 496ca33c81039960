"""Losses and gradients against computations by hand."""

import pytest
import torch

from spacy_genner.config.settings import LossWeights
from spacy_genner.models.base_model import text_decoder
from spacy_genner.models.language_model import LanguageModel
from spacy_genner.prompts.encoder import Choice, Target
from spacy_genner.training.data import TrainingSequence, by_length, collate
from spacy_genner.training.trainer import Trainer

PREFIX = [2, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46]
FAMILIES = ("llama", "gemma3", "granite4")


def row(seed, prompt, output, end_id=1):
    """A row of random ids, with choices at every second place of its output."""
    choose = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 390, (prompt + output,), generator=choose).tolist()
    target, choices = tuple(ids[prompt:]), []
    for place in range(0, output, 2):
        others = torch.randint(4, 390, (1 + place % 3,), generator=choose).tolist()
        legal = [other for other in others if other != target[place]]
        right = len(legal) // 2
        legal.insert(right, target[place])
        choices.append(Choice(place, tuple(legal), right))
    return TrainingSequence(tuple(ids[:prompt]), Target(target, tuple(choices)), end_id)


ROWS = [row(1, 9, 7), row(2, 4, 12), row(3, 20, 3), row(4, 5, 1)]


def make(
    tiny_base,
    family,
    constrained,
    lm,
    max_tokens=2048,
    dtype="float64",
    share=1.0,
    **settings,
):
    model = LanguageModel(
        str(tiny_base(family)),
        lora={"rank": 4},
        dtype=dtype,
        device="cpu",
        **settings,
    )
    choose = torch.Generator().manual_seed(0)
    for parameter in model.adapter_parameters().values():
        # Both halves of the adapter get a gradient only when neither is zero.
        noise = torch.randn(parameter.shape, generator=choose)
        parameter.data += 0.1 * noise.to(parameter.dtype)
    network = model.training_network
    loss = LossWeights(constrained=constrained, lm=lm, lm_share=share)
    trainer = Trainer(network, text_decoder(network), PREFIX, loss, max_tokens)
    return model, trainer


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.adapter_parameters().items()}
    for parameter in model.adapter_parameters().values():
        parameter.grad = None
    return found


def by_hand(model, constrained, lm):
    """The losses row by row, the prefix in each, with the model's own logits."""
    choice_losses, token_losses = [], []
    for each in ROWS:
        start = len(PREFIX) + len(each.prompt)
        output = [*each.target.ids, each.end_id]
        ids = torch.tensor([[*PREFIX, *each.prompt, *output]])
        logits = model.training_network(ids).logits[0]
        for place, legal, right in each.target.choices:
            odds = logits[start + place - 1, list(legal)].exp()
            choice_losses.append(-(odds[right] / odds.sum()).log())
        logs = logits.log_softmax(-1)
        for place, token in enumerate(output):
            token_losses.append(-logs[start + place - 1, token])
    total = constrained * sum(choice_losses) / len(choice_losses)
    return total + lm * sum(token_losses) / len(token_losses)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.7, 0.2)])
def test_losses_and_gradients_are_those_by_hand(tiny_base, family, weights, packs):
    model, trainer = make(tiny_base, family, *weights)
    assert trainer.backbone.packs is trainer.backbone.attention_only
    # On other devices than a CPU rows are padded.
    trainer.backbone.packs &= packs
    loss = trainer.accumulate(ROWS)
    found = gradients(model)
    expected = by_hand(model, *weights)
    expected.backward()
    wanted = gradients(model)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_model_that_does_not_take_rows_end_to_end_has_them_padded(
    tiny_base, monkeypatch
):
    """Its attention is called without the layout, as by classes not known here."""
    from transformers import AttentionInterface

    from spacy_genner.models import attention

    def deaf(*args, packed=None, **kwargs):
        return attention.grouped_attention(*args, **kwargs)

    monkeypatch.setitem(AttentionInterface._global_mapping, attention.NAME, deaf)
    model, trainer = make(tiny_base, "llama", 1.0, 0.5)
    assert trainer.backbone.packs is False
    loss = trainer.accumulate(ROWS)
    assert loss == pytest.approx(float(by_hand(model, 1.0, 0.5).detach()), rel=1e-5)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_may_be_checkpointed(tiny_base, family, packs):
    """They are the same, and between the layers nothing is kept but hidden states."""
    kept = []
    for switched in (False, True):
        model, trainer = make(
            tiny_base, family, 0.7, 0.2, gradient_checkpointing=switched
        )
        trainer.backbone.packs &= packs
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, saved=saved: saved.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        ):
            loss = trainer.accumulate(ROWS)
        kept.append((loss, gradients(model), sum(saved)))
    (plain, wanted, much), (loss, found, little) = kept
    assert loss == pytest.approx(plain, rel=1e-9)
    assert little < much / 2
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_base_without_checkpoints_of_gradients(tiny_base, monkeypatch):
    model = LanguageModel(
        str(tiny_base("llama")), lora={}, device="cpu", gradient_checkpointing=True
    )
    cls = type(model.base.model)
    monkeypatch.setattr(cls, "supports_gradient_checkpointing", False)
    with pytest.raises(ValueError, match=r"\[G245\].*LlamaForCausalLM"):
        _ = model.training_network


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_tokens", [1, 40])
def test_grouping_changes_nothing(tiny_base, family, max_tokens):
    model, trainer = make(tiny_base, family, 1.0, 0.5)
    whole, wanted = trainer.accumulate(ROWS), gradients(model)
    model, trainer = make(tiny_base, family, 1.0, 0.5, max_tokens=max_tokens)
    assert len(list(by_length(ROWS, max_tokens))) > 1
    assert trainer.accumulate(ROWS) == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients(model).items():
        assert torch.allclose(gradient, wanted[name], rtol=1e-4, atol=1e-6), name


def test_a_share_of_the_tokens_stands_for_all(tiny_base):
    model, trainer = make(tiny_base, "llama", 0.0, 1.0)
    whole, wanted = trainer.accumulate(ROWS), gradients(model)
    model, trainer = make(tiny_base, "llama", 0.0, 1.0, share=0.5)
    torch.manual_seed(0)
    losses = [trainer.accumulate(ROWS) for _ in range(200)]
    found = gradients(model)
    assert max(losses) > whole > min(losses)
    assert sum(losses) / len(losses) == pytest.approx(whole, rel=0.02)
    for name, gradient in wanted.items():
        mean = found[name] / len(losses)
        assert (mean - gradient).norm() < 0.15 * gradient.norm(), name
    torch.manual_seed(0)
    assert trainer.accumulate(ROWS) == losses[0]


def test_gradients_add_up(tiny_base):
    model, trainer = make(tiny_base, "llama", 1.0, 0.0)
    trainer.accumulate(ROWS[:2])
    first = gradients(model)
    trainer.accumulate(ROWS[2:])
    second = gradients(model)
    trainer.accumulate(ROWS[:2])
    trainer.accumulate(ROWS[2:])
    for name, gradient in gradients(model).items():
        assert torch.allclose(gradient, first[name] + second[name], atol=1e-8)


def test_a_model_without_end_token_learns_none(tiny_base):
    rows = [row(5, 6, 5, end_id=None)]
    assert len(rows[0].ids) == 6 + 5 - 1
    batch = collate(rows, torch.device("cpu"))
    assert batch.tokens.tolist() == list(rows[0].target.ids)
    assert collate([row(5, 6, 5)], torch.device("cpu")).tokens.tolist()[-1] == 1


def test_rows_without_a_choice_have_no_loss(tiny_base):
    model, trainer = make(tiny_base, "llama", 1.0, 0.0)
    plain = TrainingSequence((5, 6), Target((7, 8), ()), 1)
    assert trainer.accumulate([plain]) == 0.0
    assert all(not gradient.any() for gradient in gradients(model).values())


def test_groups_are_within_the_limit_and_complete():
    groups = list(by_length(ROWS, 45))
    assert sorted(map(len, sum(groups, []))) == sorted(map(len, ROWS))
    for group in groups:
        assert len(group) == 1 or sum(map(len, group)) <= 45
