"""Losses and gradients, compared with reference computations."""

from dataclasses import replace

import pytest
import torch

from spacy_genner.config.settings import LossWeights
from spacy_genner.models.base_model import text_decoder
from spacy_genner.models.draft_head import DraftHead
from spacy_genner.models.language_model import LanguageModel
from spacy_genner.prompts.encoder import Choice, Target
from spacy_genner.training.data import TrainingSequence, by_length, collate
from spacy_genner.training.trainer import Trainer

PREFIX = [2, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46]
FAMILIES = ("llama", "gemma3", "granite4")


def sequence(seed, prompt, output, end_id=1):
    """A sequence of random ids, with choices at every second position of its output."""
    choose = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 390, (prompt + output,), generator=choose).tolist()
    target, choices = tuple(ids[prompt:]), []
    for place in range(0, output, 2):
        others = torch.randint(4, 390, (1 + place % 3,), generator=choose).tolist()
        legal = [other for other in others if other != target[place]]
        right = len(legal) // 2
        legal.insert(right, target[place])
        choices.append(Choice(place, tuple(legal), right))
    return TrainingSequence(
        tuple(PREFIX), tuple(ids[:prompt]), Target(target, tuple(choices)), end_id
    )


SEQUENCES = [
    sequence(1, 9, 7),
    sequence(2, 4, 12),
    sequence(3, 20, 3),
    sequence(4, 5, 1),
]


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
        # Each matrix of the adapter has a gradient only if the other is not zero.
        noise = torch.randn(parameter.shape, generator=choose)
        parameter.data += 0.1 * noise.to(parameter.dtype)
    network = model.training_network
    loss = LossWeights(constrained=constrained, lm=lm, lm_share=share)
    trainer = Trainer(network, text_decoder(network), loss, max_tokens)
    return model, trainer


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.adapter_parameters().items()}
    for parameter in model.adapter_parameters().values():
        parameter.grad = None
    return found


def reference_loss(model, constrained, lm):
    """Compute the loss from the model's own logits, one sequence with its prefix after
    the other."""
    choice_losses, token_losses = [], []
    for each in SEQUENCES:
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
def test_losses_and_gradients_equal_the_reference(tiny_base, family, weights, packs):
    model, trainer = make(tiny_base, family, *weights)
    assert trainer.backbone.packs is trainer.backbone.attention_only
    # False simulates a model that does not support packing.
    trainer.backbone.packs &= packs
    loss = trainer.accumulate(SEQUENCES)
    found = gradients(model)
    expected = reference_loss(model, *weights)
    expected.backward()
    wanted = gradients(model)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_model_that_does_not_support_packing(tiny_base, monkeypatch):
    """Its model class does not pass the packed layout to the attention function."""
    from transformers import AttentionInterface

    from spacy_genner.models import attention

    def without_layout(*args, packed=None, **kwargs):
        return attention.grouped_attention(*args, **kwargs)

    monkeypatch.setitem(
        AttentionInterface._global_mapping, attention.NAME, without_layout
    )
    model, trainer = make(tiny_base, "llama", 1.0, 0.5)
    loss = trainer.accumulate(SEQUENCES)
    assert trainer.backbone.packs is False
    assert loss == pytest.approx(
        float(reference_loss(model, 1.0, 0.5).detach()), rel=1e-5
    )


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing(tiny_base, family, packs):
    """The gradients are the same, with less than half of the saved values."""
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
            loss = trainer.accumulate(SEQUENCES)
        kept.append((loss, gradients(model), sum(saved)))
    (plain, wanted, without), (loss, found, checkpointed) = kept
    assert loss == pytest.approx(plain, rel=1e-9)
    assert checkpointed < without / 2
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_base_without_gradient_checkpointing(tiny_base, monkeypatch):
    model = LanguageModel(
        str(tiny_base("llama")), lora={}, device="cpu", gradient_checkpointing=True
    )
    cls = type(model.base.model)
    monkeypatch.setattr(cls, "supports_gradient_checkpointing", False)
    with pytest.raises(ValueError, match=r"\[G245\].*LlamaForCausalLM"):
        _ = model.training_network


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_tokens", [1, 40])
def test_the_loss_does_not_depend_on_grouping(tiny_base, family, max_tokens):
    model, trainer = make(tiny_base, family, 1.0, 0.5)
    whole, wanted = trainer.accumulate(SEQUENCES), gradients(model)
    model, trainer = make(tiny_base, family, 1.0, 0.5, max_tokens=max_tokens)
    assert len(list(by_length(SEQUENCES, max_tokens))) > 1
    assert trainer.accumulate(SEQUENCES) == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients(model).items():
        assert torch.allclose(gradient, wanted[name], rtol=1e-4, atol=1e-6), name


def test_small_batches_are_not_sampled(tiny_base):
    _, trainer = make(tiny_base, "llama", 0.0, 1.0)
    whole = trainer.accumulate(SEQUENCES)
    _, trainer = make(tiny_base, "llama", 0.0, 1.0, share=0.125)
    assert trainer.accumulate(SEQUENCES) == whole


def test_a_sample_of_the_tokens_has_the_expected_loss(tiny_base, monkeypatch):
    monkeypatch.setattr("spacy_genner.training.trainer.MIN_SAMPLED", 1)
    model, trainer = make(tiny_base, "llama", 0.0, 1.0)
    whole, wanted = trainer.accumulate(SEQUENCES), gradients(model)
    model, trainer = make(tiny_base, "llama", 0.0, 1.0, share=0.5)
    torch.manual_seed(0)
    losses = [trainer.accumulate(SEQUENCES) for _ in range(200)]
    found = gradients(model)
    assert max(losses) > whole > min(losses)
    assert sum(losses) / len(losses) == pytest.approx(whole, rel=0.02)
    for name, gradient in wanted.items():
        mean = found[name] / len(losses)
        assert (mean - gradient).norm() < 0.15 * gradient.norm(), name
    torch.manual_seed(0)
    assert trainer.accumulate(SEQUENCES) == losses[0]


def test_gradients_accumulate(tiny_base):
    model, trainer = make(tiny_base, "llama", 1.0, 0.0)
    trainer.accumulate(SEQUENCES[:2])
    first = gradients(model)
    trainer.accumulate(SEQUENCES[2:])
    second = gradients(model)
    trainer.accumulate(SEQUENCES[:2])
    trainer.accumulate(SEQUENCES[2:])
    for name, gradient in gradients(model).items():
        assert torch.allclose(gradient, first[name] + second[name], atol=1e-8)


def test_without_an_end_token_the_last_token_is_no_input(tiny_base):
    endless = sequence(5, 6, 5, end_id=None)
    assert len(endless.ids) == 6 + 5 - 1
    batch = collate([endless], torch.device("cpu"))
    assert batch.tokens.tolist() == list(endless.target.ids)
    assert collate([sequence(5, 6, 5)], torch.device("cpu")).tokens.tolist()[-1] == 1


def test_a_sequence_without_a_choice_has_no_constrained_loss(tiny_base):
    model, trainer = make(tiny_base, "llama", 1.0, 0.0)
    plain = TrainingSequence((2,), (5, 6), Target((7, 8), ()), 1)
    assert trainer.accumulate([plain]) == 0.0
    assert all(not gradient.any() for gradient in gradients(model).values())


def test_groups_are_complete_and_within_the_limit():
    groups = list(by_length(SEQUENCES, 45))
    assert sorted(map(len, sum(groups, []))) == sorted(map(len, SEQUENCES))
    for group in groups:
        assert len(group) == 1 or sum(map(len, group)) <= 45


def head_loss(trainer, sequences):
    """The draft head's loss of plain forward passes, with gradients of the adapter."""
    total = 0.0
    for each in sequences:
        ids = torch.tensor([[*each.prefix, *each.ids]])
        hidden = trainer.backbone.forward_padded(ids)[0].chunk(2, dim=1)[1]
        words = [len(each.prefix) + place for place in each.word_ends]
        total = total + trainer.draft_head.loss(hidden[words], each.spans)
    return total / len(sequences)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weight_of_spans_scales_the_gradient_of_the_draft_head(tiny_base, family):
    spans = ((0, 2, 1), (1, 2, 0))
    sequences = [
        replace(each, word_ends=(1, 2, 4), spans=spans[: index % 3])
        for index, each in enumerate(SEQUENCES)
    ]
    found, heads = {}, {}
    for weight in (0.0, 0.25, 1.0):
        model, plain = make(tiny_base, family, 1.0, 0.0)
        width = model.training_network.config.get_text_config().hidden_size
        head = DraftHead(width, 2, seed=1).double()
        loss = LossWeights(constrained=1.0, spans=weight)
        decoder = text_decoder(model.training_network)
        trainer = Trainer(model.training_network, decoder, loss, 2048, head)
        # The loss that is reported is that of the adapter's own task.
        expected = plain.accumulate(sequences)
        gradients(model)
        assert trainer.accumulate(sequences) == pytest.approx(expected)
        found[weight] = gradients(model)
        heads[weight] = {name: p.grad.clone() for name, p in head.named_parameters()}
    for weight in (0.25, 1.0):
        for name, gradient in heads[weight].items():
            assert torch.allclose(gradient, heads[0.0][name], rtol=1e-6, atol=1e-12)
    # The statistics of the hidden states are those of the last update.
    head_loss(trainer, sequences).backward()
    wanted = gradients(model)
    assert any(gradient.abs().max() > 1e-6 for gradient in wanted.values())
    for name, gradient in wanted.items():
        for weight in (0.25, 1.0):
            added = found[weight][name] - found[0.0][name]
            rounding = 1e-5 * float(found[weight][name].abs().max())
            assert torch.allclose(added, weight * gradient, 1e-3, rounding), name
