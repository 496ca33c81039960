"""The draft head belongs to the labels that it was trained for."""

import json
import shutil

import pytest
import spacy
from component_cases import (
    NAME,
    TEXTS,
    component,
    found,
    make_doc,
    make_examples,
    pipeline,
    trained_pipeline,
)
from thinc.api import Adam

from spacy_genner.errors import GennerWarning
from spacy_genner.models.adapter_files import head_labels
from spacy_genner.pipeline.adapters import AdapterPool

EXCHANGED = ["GPE", "ORG"]
# So high that the head decides.
WEIGHT = 3.0


@pytest.fixture
def saved(tiny_base, tmp_path):
    """A saved pipeline whose head has learned the labels ORG and GPE."""
    nlp = trained_pipeline(tiny_base("llama"), model__head_weight=WEIGHT)
    assert annotated(nlp) == expected()
    nlp.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def expected():
    return [sorted(spans, key=lambda span: (span[0], -span[1])) for _, spans in TEXTS]


def assert_same_labels(nlp, adapter=None):
    """The order in the prompt has an effect on a tiny model, so it may miss a span."""
    spans = {
        (i, *span) for i, doc in enumerate(annotated(nlp, adapter)) for span in doc
    }
    gold = {(i, *span) for i, doc in enumerate(expected()) for span in doc}
    assert spans <= gold and len(spans) >= len(gold) - 1


def annotated(nlp, adapter=None):
    docs = []
    for text, _ in TEXTS:
        doc = make_doc(nlp, text)
        doc._.genner_adapter = adapter
        docs.append(found(nlp(doc)))
    return docs


def change_state(folder, **changes):
    path = folder / NAME / "genner.json"
    state = json.loads(path.read_text(encoding="utf8"))
    path.write_text(json.dumps(state | changes), encoding="utf8")


def forget_labels(folder):
    """Remove the labels from the head, as earlier versions wrote it."""
    from safetensors.torch import load_file, save_file

    path = folder / NAME / "draft_head.safetensors"
    save_file(load_file(path), path)
    assert head_labels(path.read_bytes()) == ()


def set_labels(saved, tiny_base):
    nlp = spacy.load(saved)
    component(nlp).set_labels(EXCHANGED)
    return nlp


def save_and_load(saved, tiny_base):
    set_labels(saved, tiny_base).to_disk(saved.parent / "again")
    return spacy.load(saved.parent / "again")


def bytes_of_changed(saved, tiny_base):
    return spacy.load(saved).from_bytes(set_labels(saved, tiny_base).to_bytes())


def start_adapter(saved, tiny_base):
    return pipeline(
        tiny_base("llama"),
        labels=EXCHANGED,
        model__adapter=str(saved),
        model__head_weight=WEIGHT,
    )


def labels_of_the_config(saved, tiny_base):
    change_state(saved, any_labels=True)
    return spacy.load(saved, config={"components": {NAME: {"labels": EXCHANGED}}})


PATHS = [set_labels, save_and_load, bytes_of_changed, start_adapter]
PATHS += [labels_of_the_config]


@pytest.mark.filterwarnings("ignore:.*W404")
@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("change", PATHS)
def test_labels_in_another_order(saved, tiny_base, change, earlier):
    if earlier:
        forget_labels(saved)
    nlp = change(saved, tiny_base)
    assert list(component(nlp).labels) == EXCHANGED
    assert_same_labels(nlp)
    engine = component(nlp).predictor.engine()
    assert engine.draft_head.names == tuple(EXCHANGED)


def test_labels_in_another_order_in_the_pool(saved, tiny_base):
    change_state(saved, any_labels=True)
    nlp = pipeline(tiny_base("llama"), labels=EXCHANGED, model__head_weight=WEIGHT)
    AdapterPool(nlp, {"acme": saved})
    assert_same_labels(nlp, "acme")


def test_other_labels_have_no_head(saved):
    nlp = spacy.load(saved)
    with pytest.warns(GennerWarning, match="W410"):
        component(nlp).set_labels(["city", "firm"])
    assert component(nlp).predictor.engine().draft_head is None
    component(nlp).set_labels(["ORG", "GPE"])
    assert annotated(nlp) == expected()


def test_training_continues_the_head_of_the_same_labels(saved, tiny_base):
    for labels, known in ((EXCHANGED, True), (["city", "firm"], False)):
        nlp = pipeline(tiny_base("llama"), labels=labels, model__adapter=str(saved))
        rename = dict(zip(["GPE", "ORG"], labels, strict=True))
        texts = [
            (text, [(start, end, rename[label]) for start, end, label in spans])
            for text, spans in TEXTS
        ]
        examples = make_examples(nlp, texts)
        nlp.initialize(lambda: examples)  # noqa: B023
        # Reads the adapter to start from.
        assert component(nlp).lm.training_network is not None
        head = component(nlp).predictor.draft_head()
        assert head.names == tuple(labels)
        assert head.trained == known


def test_the_head_learns_the_labels_of_the_component_alone(tiny_base):
    """Whatever the order of a batch, and however many labels its documents have."""
    for labels in (["person", "city"], ["person", "animal", "city"]):
        for first in (False, True):
            nlp = pipeline(tiny_base("llama"))
            examples = make_examples(nlp)
            other = make_examples(nlp, [("Ana saw Porto .", [(2, 3, "city")])])
            for doc in (other[0].reference, other[0].predicted):
                doc._.genner_labels = labels
            nlp.initialize(lambda: examples)  # noqa: B023
            batch = [*other, *examples] if first else [*examples, *other]
            nlp.update(batch, sgd=Adam(0.001))
            pipe = component(nlp)
            assert pipe.predictor.draft_head().trained
            texts = pipe.read_for_draft_head(batch)
            assert len(texts) == len(pipe.read_for_draft_head(examples))
            assert {span[2] for text in texts for span in text.spans} <= {0, 1}


def test_a_new_head_removes_the_calibration(saved):
    from spacy_genner.pipeline.score_map import ScoreMap

    nlp = spacy.load(saved)
    pipe = component(nlp)
    pipe.score_map = ScoreMap.from_json({"method": "temperature", "temperature": 2.0})
    with pytest.warns(GennerWarning, match="W922"):
        pipe.reset_draft_head()
    assert pipe.score_map is None


def test_a_head_whose_labels_do_not_fit_is_refused(saved):
    from safetensors.torch import load_file, save_file

    path = saved / NAME / "draft_head.safetensors"
    save_file(load_file(path), path, {"genner_labels": '["ORG"]'})
    nlp = spacy.load(saved)
    with pytest.raises(ValueError, match="G264"):
        component(nlp).load()
    shutil.rmtree(saved)
