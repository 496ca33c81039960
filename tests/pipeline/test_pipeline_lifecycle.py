"""Creating, initializing and updating the component, its labels and settings."""

import json
import warnings

import pytest
import spacy
import torch
from component_cases import (
    LABELS,
    NAME,
    TEXTS,
    component,
    found,
    make_doc,
    make_example,
    make_examples,
    overfit,
    perturb,
    pipeline,
    results,
    trained_pipeline,
)
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_genner.errors import GennerWarning


def test_weights_are_loaded_at_first_use(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    lm = component(nlp).lm
    nlp("")
    list(nlp.pipe(["", ""]))
    component(nlp).to_bytes()
    assert not lm.is_loaded
    nlp("Lisbon")
    assert lm.is_loaded


def test_weights_are_loaded_by_initialize(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    nlp.initialize(lambda: make_examples(nlp))
    assert component(nlp).lm.is_loaded


def test_a_missing_base(tmp_path):
    """The error is raised at first use and not when the pipeline is created."""
    nlp = pipeline(tmp_path / "no-such-base")
    with pytest.raises(ValueError, match="G202"):
        nlp("Lisbon")


def test_no_labels(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    assert component(nlp).labels == ()
    for annotate in (nlp, lambda text: list(nlp.pipe([text]))):
        with pytest.raises(ValueError, match=f"G410.*{NAME}"):
            annotate("Lisbon")
    with pytest.raises(ValueError, match="G410"):
        component(nlp).update([make_example(nlp, "Lisbon", [(0, 1, "GPE")])])
    # Without examples spaCy creates a placeholder, which has no spans.
    with pytest.raises(ValueError, match="G307.*'sc'"):
        nlp.initialize()
    with pytest.raises(ValueError, match="G411"):
        nlp.initialize(lambda: [make_example(nlp, "It rains", [])])


def test_no_examples(tiny_base):
    """spaCy checks that there is a first example."""
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(TypeError, match="E930"):
        component(nlp).initialize(lambda: [])


def test_implicit_labels(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    nlp.initialize(lambda: make_examples(nlp))
    assert component(nlp).labels == ("GPE", "ORG")
    assert component(nlp).label_data == ["GPE", "ORG"]
    # With other data, new labels are appended.
    more = [make_example(nlp, "Maria lives", [(0, 1, "A")])]
    nlp.initialize(lambda: more)
    assert component(nlp).labels == ("GPE", "ORG", "A")


def test_labels_added_before_initialize(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    pipe = component(nlp)
    assert pipe.add_label("PERSON") == 1
    assert pipe.add_label("ORG", "a company") == 1
    assert pipe.add_label("PERSON") == 0
    with pytest.warns(GennerWarning, match="W301"):
        nlp.initialize()
    assert pipe.labels == ("PERSON", "ORG")
    assert pipe.label_data == {"PERSON": "", "ORG": "a company"}
    # Labels of the data are added to them.
    nlp.initialize(lambda: make_examples(nlp))
    assert pipe.labels == ("PERSON", "ORG", "GPE")


def test_a_label_added_after_first_use(tiny_base):
    """No weights depend on the number of labels."""
    nlp = pipeline(tiny_base("llama"), labels=["ORG"])
    pipe = component(nlp)
    doc = make_doc(nlp, "Lisbon")
    nlp(doc)
    assert {label for _, _, label in found(doc)} <= {"ORG"}
    example = make_example(nlp, "Lisbon", [(0, 1, "GPE")])
    with pytest.raises(ValueError, match="G303"):
        pipe.update([example])
    pipe.add_label("GPE")
    assert pipe.update([example])[NAME] > 0
    # Prompt and scores are those of a component created with both labels.
    fresh = pipeline(tiny_base("llama"), labels=["ORG", "GPE"])
    assert results(nlp) == results(fresh)


def test_explicit_labels(tiny_base):
    """Explicit labels are a closed set: another label in the data is an error."""
    nlp = pipeline(tiny_base("llama"), labels={"GPE": "a place", "ORG": ""})
    pipe = component(nlp)
    assert pipe.labels == ("GPE", "ORG")
    nlp.initialize(lambda: make_examples(nlp))
    assert pipe.label_data == {"GPE": "a place", "ORG": ""}
    other = make_examples(nlp) + [make_example(nlp, "Maria lives", [(0, 1, "PERSON")])]
    with pytest.raises(ValueError, match="G303.*PERSON.*Maria"):
        nlp.initialize(lambda: other)
    # The labels of `initialize` override those of the config.
    pipe.initialize(lambda: other, labels=["PERSON", "GPE", "ORG"])
    assert pipe.labels == ("PERSON", "GPE", "ORG")
    with pytest.raises(ValueError, match="G303.*ORG"):
        pipe.initialize(lambda: other, labels=["PERSON", "GPE"])


def test_read_labels(tiny_base, tmp_path):
    """`initialize` reads the files that `spacy init labels` writes."""
    nlp = pipeline(tiny_base("llama"), labels=None)
    for data, labels in (
        (["B-cell:x", "GPE", "ORG"], ("B-cell:x", "GPE", "ORG")),
        ({"ORG": "a company", "GPE": "", "B-cell:x": "a # cell"}, None),
    ):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(data))
        reader = {"@readers": "spacy.read_labels.v1", "path": str(path)}
        nlp.config["initialize"]["components"][NAME] = {"labels": reader}
        nlp.initialize(lambda: make_examples(nlp))
        assert component(nlp).labels == (labels or tuple(data))
        assert component(nlp).label_data == data


def test_the_order_of_labels_matters(tiny_base):
    """The prompt lists the labels in order, and saved data keep the order."""
    one = pipeline(tiny_base("llama"), labels=["GPE", "ORG"])
    two = pipeline(tiny_base("llama"), labels=["ORG", "GPE"])
    with pytest.warns(GennerWarning, match="W404.*'labels'"):
        two.from_bytes(one.to_bytes())
    assert component(two).labels == ("GPE", "ORG")
    assert results(two) == results(one)


def test_the_prompt_contains_definitions(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels={"ORG": "a company", "GPE": ""})
    predictor = component(nlp).predictor
    decoded = component(nlp).lm.tokenizer.decode(predictor.encoder.prefix_ids)
    assert "Labels:\n- ORG: a company\n- GPE\n" in decoded


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"set_ents": "all"}, "G407.*set_ents.*all.*outer"),
        ({"crossing": "ignore"}, "G407.*crossing.*ignore.*refuse"),
        ({"window": {"unit": "page"}}, "G401"),
        ({"window": {"size": 5}}, "G403"),
        ({"loss": "crf"}, "G408.*crf"),
        ({"loss": {"lm": 0.0}}, "G408"),
        ({"loss": {"constrained": 1.0, "other": 1.0}}, "G408"),
        ({"loss": {"constrained": -1.0, "lm": 2.0}}, "G408"),
        ({"labels": ["[A]"]}, "G003.*A"),
        ({"labels": ["A B", ""]}, "G003"),
        ({"labels": ["A B"], "format": "inline_xml"}, "G003.*A B"),
        ({"labels": ["A", "A"]}, "G421"),
        ({"labels": {"A": "one\ntwo"}}, "G42[02]"),
        ({"labels": {"B-cell:x": "a cell"}}, "G422.*read_labels"),
        ({"labels": {"A": "${paths}"}}, "G422"),
        ({"format": "csv"}, "G005"),
        ({"readings": 3}, "G104"),
        ({"model__merge": "always"}, "G243"),
        ({"model__lora": {"rank": 0}}, "G241"),
        ({"decoder": {"batch_tokens": 0}}, "G106"),
    ],
)
def test_settings_are_checked_when_the_component_is_created(tmp_path, changes, code):
    with pytest.raises(ValueError, match=code):
        pipeline(tmp_path / "nowhere", **changes)


def test_labels_of_every_source_are_checked(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    with pytest.raises(ValueError, match="G003"):
        pipe.add_label("A|B")
    with pytest.raises(ValueError, match="G003"):
        pipe.initialize(lambda: make_examples(nlp), labels=["ORG", "GPE", "]"])
    with pytest.raises(ValueError, match="G419"):
        pipe.initialize(lambda: make_examples(nlp), labels="ORG")
    open_set = pipeline(tiny_base("llama"), labels=None)
    bad = [make_example(nlp, "Lisbon", [(0, 1, "[x]")])]
    with pytest.raises(ValueError, match="G003"):
        component(open_set).initialize(lambda: bad)
    # The refused labels have changed nothing.
    assert pipe.labels == tuple(LABELS) and component(open_set).labels == ()


def test_another_spans_key(tiny_base):
    nlp = pipeline(tiny_base("llama"), spans_key="mine")
    examples = make_examples(nlp, key="mine")
    with pytest.warns(GennerWarning, match="W401.*'mine'.*spans_mine_f"):
        nlp.initialize(lambda: examples)
    doc = nlp("Lisbon")
    assert list(doc.spans) == ["mine"] and doc.spans["mine"].name == "mine"
    with pytest.raises(ValueError, match="G307.*mine"):
        with pytest.warns(GennerWarning, match="W401"):
            fresh = pipeline(tiny_base("llama"), spans_key="mine", labels=None)
            fresh.initialize(lambda: make_examples(fresh))


@pytest.mark.parametrize("named", [None, "mine"])
def test_the_scorer_uses_the_spans_key_of_the_component(tiny_base, named):
    scorer = {"@scorers": "spacy-genner.span_scorer.v1", "spans_key": named}
    nlp = pipeline(tiny_base("llama"), spans_key="mine", scorer=scorer)
    scores = nlp.evaluate(make_examples(nlp, key="mine"))
    assert 0.0 <= scores["spans_mine_f"] <= 1.0 and "spans_sc_f" not in scores


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


def test_initialize_starts_from_scratch(tiny_base):
    """A second `initialize` creates an adapter with the same initial weights."""
    nlp = pipeline(tiny_base("llama"))
    losses = overfit(nlp, steps=3)
    assert overfit(nlp, steps=3) == losses


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


def test_demonstrations(tiny_base, tmp_path):
    path = tmp_path / "shown.spacy"
    nlp = pipeline(tiny_base("llama"))
    plain = results(nlp)
    shown = [example.reference for example in make_examples(nlp, TEXTS[:2])]
    DocBin(docs=shown).to_disk(path)
    nlp.config["initialize"]["components"][NAME] = {"demonstrations": str(path)}
    nlp.initialize(lambda: make_examples(nlp))
    predictor = component(nlp).predictor
    prefix = component(nlp).lm.tokenizer.decode(predictor.encoder.prefix_ids)
    text = shown[0][:].text
    output = "[Lisbon | GPE] hosts the[ University of Lisbon | ORG] ."
    assert f"\nText:\n{text}\nMarked:\n{output}\n" in prefix
    assert "\nMarked:\nMaria lives in[ Porto | GPE] .\n\nText:\n" in prefix
    # A demonstration is identical to the reference output of its spans.
    encoder = predictor.encoder
    source = encoder.source(text.split(), [True] * len(text.split()))
    ids = encoder.grammar(source).target([(0, 1, 1), (3, 6, 0)])
    assert component(nlp).lm.tokenizer.decode(ids) == output
    assert results(nlp) != plain
    # Demonstrations are saved.
    again = pipeline(tiny_base("llama")).from_bytes(nlp.to_bytes())
    assert results(again) == results(nlp)
    with pytest.raises(ValueError, match="G423.*nowhere"):
        component(nlp).initialize(
            lambda: make_examples(nlp), demonstrations="nowhere.spacy"
        )


def test_requirements_of_a_pipeline(tiny_base):
    """`spacy package` requires the package with the weights. A folder requires
    nothing."""
    nlp = pipeline("pip:some-weights")
    with_folder = pipeline(tiny_base("llama"))
    assert nlp.meta["requirements"] == ["some-weights"]
    assert not with_folder.meta.get("requirements")
    nlp.add_pipe(NAME, name="second", config={"model": {"name": "pip:some-weights"}})
    assert nlp.meta["requirements"] == ["some-weights"]


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


def test_float64_and_float32_agree(tiny_base):
    one = trained_pipeline(tiny_base("llama"), model__dtype="float64")
    two = trained_pipeline(tiny_base("llama"))
    assert component(one).lm.dtype == torch.float64
    for first, second in zip(results(one), results(two), strict=True):
        assert first[0] == second[0]
        assert first[1] == pytest.approx(second[1], abs=1e-4)


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


def test_evaluation(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    examples = [
        Example(make_doc(nlp, example.reference.text), example.reference)
        for example in make_examples(nlp)
    ]
    scores = nlp.evaluate(examples)
    assert scores["spans_sc_f"] == scores["spans_sc_nested_f"] == 1.0
    assert set(scores["spans_sc_per_type"]) == {"ORG", "GPE"}
