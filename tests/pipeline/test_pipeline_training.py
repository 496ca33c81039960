"""Initialization and training of the component, and its adapters."""

import json
import warnings

import pytest
import spacy
import torch
from component_cases import (
    NAME,
    component,
    make_doc,
    make_examples,
    overfit,
    perturb,
    pipeline,
    results,
    trained_pipeline,
)
from thinc.api import Adam


def test_no_examples(tiny_base):
    """spaCy checks that there is a first example."""
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(TypeError, match="E930"):
        component(nlp).initialize(lambda: [])


def test_initialize_starts_from_scratch(tiny_base):
    """A second `initialize` creates an adapter with the same initial weights."""
    nlp = pipeline(tiny_base("llama"))
    losses = overfit(nlp, steps=3)
    assert overfit(nlp, steps=3) == losses


def test_update_with_and_without_an_optimizer(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    pipe = component(nlp)
    parameters = pipe.lm.adapter_parameters()
    before = {name: weights.detach().clone() for name, weights in parameters.items()}

    def changed():
        return any(not torch.equal(parameters[n], before[n]) for n in before)

    losses = {"other": 1.0}
    assert pipe.update(examples, losses=losses) is losses
    first = losses[NAME]
    assert losses == {"other": 1.0, NAME: first} and first > 0
    # Losses add up, and the weights do not change without the optimizer.
    pipe.update(examples, losses=losses)
    assert losses[NAME] == pytest.approx(2 * first)
    assert not changed()
    pipe.finish_update(Adam(0.01))
    assert changed()
    assert pipe.update(examples, sgd=Adam(0.01))[NAME] < first


def test_update_requires_examples(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(TypeError, match="E978"):
        component(nlp).update([make_doc(nlp, "Lisbon")])


def test_update_needs_an_adapter(tiny_base):
    """Without an adapter, the untrained base annotates under the grammar."""
    # The default instruction is longer without an adapter, so it is set here.
    prompt = {"instruction": "Mark the entities."}
    nlp = pipeline(tiny_base("llama"), model__lora=None, prompt=prompt)
    pipe = component(nlp)
    nlp.initialize(lambda: make_examples(nlp))
    with pytest.raises(ValueError, match="G412.*lora"):
        pipe.update(make_examples(nlp))
    # A new adapter does not change the output of the base.
    fresh = pipeline(tiny_base("llama"), prompt=prompt)
    assert results(nlp) == results(fresh)
    assert any(spans for spans, *_ in results(nlp))


def test_an_adapter_of_peft(tiny_base, tmp_path):
    """The settings of a saved adapter override those of the config."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_base("llama")
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "down_proj"])
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, weights in tuned.named_parameters():
            if "lora_" in name:
                weights += 0.1 * torch.randn(
                    weights.shape, generator=torch.Generator().manual_seed(1)
                )
    tuned.save_pretrained(tmp_path / "adapter")
    nlp = pipeline(base)
    adapter = str(tmp_path / "adapter")
    nlp.config["initialize"]["components"][NAME] = {"adapter": adapter}
    nlp.initialize(lambda: make_examples(nlp))
    ids = torch.arange(4, 40)[None]
    with torch.no_grad():
        expected = tuned.eval()(ids).logits
        found = component(nlp).lm.decoding_network()(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # It gives the same results after saving and loading, and can be trained further.
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert results(again) == results(nlp)
    saved = tmp_path / "pipeline" / NAME / "adapter" / "adapter_config.json"
    assert json.loads(saved.read_text())["r"] == 3
    assert component(nlp).update(make_examples(nlp), sgd=Adam(0.01))[NAME] > 0


def test_an_adapter_of_a_saved_component(tiny_base, tmp_path):
    trained = trained_pipeline(tiny_base("llama"))
    trained.to_disk(tmp_path)
    nlp = pipeline(tiny_base("llama"))
    adapter = str(tmp_path / NAME / "adapter")
    component(nlp).initialize(lambda: make_examples(nlp), adapter=adapter)
    assert results(nlp) == results(trained)
    with pytest.raises(ValueError, match="G250"):
        component(nlp).initialize(
            lambda: make_examples(nlp), adapter=str(tmp_path / NAME)
        )


def test_averages_are_used_within_the_block(tiny_base):
    nlp = perturb(pipeline(tiny_base("llama")))
    own = results(nlp)
    lm = component(nlp).lm
    key = component(nlp).model.shims[0].id
    zero = {
        (key, name): torch.zeros_like(weights).numpy()
        for name, weights in lm.adapter_parameters().items()
    }
    with nlp.use_params(zero):
        inside = results(nlp)
    assert inside == results(pipeline(tiny_base("llama"))) and inside != own
    assert results(nlp) == own


@pytest.mark.parametrize(
    "family, tokenizer, stateful",
    [("gemma3", "metaspace", False), ("granite4", "bytelevel", True)],
)
def test_model_families_train_and_annotate(tiny_base, family, tokenizer, stateful):
    nlp = pipeline(tiny_base(family, tokenizer))
    losses = overfit(nlp, steps=2)
    assert losses[1] < losses[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = results(nlp)
        # A changed adapter creates a new engine, and no second warning.
        results(perturb(nlp))
    assert len([w for w in caught if "W406" in str(w.message)]) == stateful
    for spans, scores, status, issues, _ in found:
        assert status == "ok" and issues == []
        assert all(0 < score <= 1 for score in scores)
        assert len(scores) == len(spans)
