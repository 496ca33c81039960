"""Labels of documents, labels set without training, and adapters to start from."""

import shutil

import pytest
import spacy
from component_cases import (
    LABELS,
    NAME,
    RATE,
    TEXTS,
    component,
    found,
    make_doc,
    make_example,
    make_examples,
    overfit,
    pipeline,
    result,
    results,
    trained_pipeline,
)
from spacy.tokens import DocBin
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_genner.corpora.label_sets import get_label_set, set_label_set
from spacy_genner.errors import GennerWarning
from spacy_genner.models.adapter_source import DRAFT_HEAD_FILE, find_adapter

# Each text once with its own labels and once with one of them.
SETS = [["ORG", "GPE"], ["GPE"], {"ORG": "an organization"}]


def with_labels(nlp, labels, texts=TEXTS):
    """Examples whose documents carry a label set, with its spans alone."""
    examples = []
    for text, spans in texts:
        kept = [span for span in spans if span[2] in labels]
        example = make_example(nlp, text, kept)
        for doc in (example.predicted, example.reference):
            set_label_set(doc, labels)
        examples.append(example)
    return examples


@pytest.fixture(scope="module")
def universal(tiny_base, tmp_path_factory):
    """The folder of a component that follows the labels of its prompt."""
    nlp = pipeline(tiny_base("llama"), labels=None, model__draft_head=False)
    examples = [each for labels in SETS for each in with_labels(nlp, labels)]
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    sgd = Adam(RATE, L2=0.0)
    for _ in range(60):
        nlp.update(examples, sgd=sgd)
    folder = tmp_path_factory.mktemp("universal") / "model"
    nlp.to_disk(folder)
    return folder


def annotate(nlp, text, labels):
    doc = make_doc(nlp, text)
    set_label_set(doc, labels)
    return nlp(doc)


def start(base, universal, **changes):
    """A new pipeline that starts from the universal adapter."""
    return pipeline(base, model__adapter=str(universal / NAME), **changes)


def test_documents_with_own_labels(tiny_base, universal):
    nlp = start(tiny_base("llama"), universal, labels=None)
    for labels in SETS:
        for example in with_labels(nlp, labels):
            doc = annotate(nlp, example.reference.text, labels)
            expected = found(example.reference)
            assert found(doc) == sorted(expected, key=lambda s: (s[0], -s[1])), labels


def test_one_batch_with_several_label_sets(tiny_base, universal):
    nlp = start(tiny_base("llama"), universal)
    docs = []
    for labels in (None, *SETS):
        for text, _ in TEXTS:
            docs.append(make_doc(nlp, text))
            set_label_set(docs[-1], labels)
    alone = [result(nlp(doc.copy())) for doc in docs]
    assert [result(doc) for doc in nlp.pipe(docs)] == alone
    assert {span[2] for spans in alone for span in spans[0]} == {"ORG", "GPE"}


def test_the_losses_of_mixed_batches(tiny_base):
    # The gradients of a batch are those of its parts, weighted by their choices.
    nlp = pipeline(tiny_base("llama"), labels=None, model__draft_head=False)
    examples = [each for labels in SETS for each in with_labels(nlp, labels)]
    nlp.initialize(lambda: examples)
    pipe = component(nlp)
    sequences = pipe._training_sequences(examples, "update")
    assert len({sequence.prefix for sequence in sequences}) == len(SETS)
    trainer = pipe._predictor_for(get_label_set(examples[0].reference)).trainer(
        pipe.loss, 2048
    )
    whole = trainer.accumulate(sequences)
    choices = [len(each.target.choices) for each in sequences]
    parts = [trainer.accumulate([sequence]) for sequence in sequences]
    expected = sum(n * loss for n, loss in zip(choices, parts, strict=True))
    assert whole == pytest.approx(expected / sum(choices), rel=1e-4)


def test_labels_are_needed_for_documents_without_own_ones(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    with pytest.raises(ValueError, match="G410"):
        list(nlp.pipe([make_doc(nlp, "Lisbon"), make_doc(nlp, "Porto")]))
    with pytest.warns(GennerWarning, match="W407"):
        assert annotate(nlp, "Lisbon", ["GPE"]).spans["sc"].attrs["status"] == "ok"


@pytest.mark.parametrize("labels", [[], {}, "GPE", [1], {"GPE": 1}, ["GPE", "GPE"]])
def test_labels_that_are_none(tiny_base, labels):
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(ValueError, match=r"G419|G421"):
        annotate(nlp, "Lisbon", labels)
    with pytest.raises(ValueError, match=r"G419|G421"):
        component(nlp).set_labels(labels)
    with pytest.raises(ValueError, match="G003"):
        component(nlp).set_labels(["a | b"])


@pytest.mark.parametrize(
    "labels, code",
    [
        ("GPE", "G419"),
        ([], "G419"),
        (["a", "a"], "G421"),
        (["a | b"], "G003"),
        ({"a": "two\nlines"}, "G420"),
        (["\ud800"], "G991"),
        ({"a": "long " * 5000}, "G405"),
    ],
)
def test_labels_of_one_document_do_not_end_the_others(universal, labels, code):
    nlp = spacy.load(universal)
    failures = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failures.append(str(error)))
    docs = [make_doc(nlp, text) for text, _ in TEXTS]
    set_label_set(docs[0], ["GPE"])
    set_label_set(docs[1], labels)
    set_label_set(docs[2], ["GPE"])
    expected = [found(doc) for doc in nlp.pipe([docs[0].copy(), docs[2].copy()])]
    annotated = list(nlp.pipe([doc for doc in docs[:3]]))
    statuses = [doc.spans["sc"].attrs["status"] for doc in annotated]
    assert statuses == ["ok", "failed", "ok"]
    assert [found(annotated[0]), found(annotated[2])] == expected
    assert len(failures) == 1 and failures[0].startswith(f"[{code}]")


def test_set_labels(tiny_base, universal):
    nlp = start(tiny_base("llama"), universal)
    both = results(nlp)
    pipe = component(nlp)
    pipe.set_labels({"GPE": ""})
    assert pipe.labels == ("GPE",)
    for (text, spans), one in zip(TEXTS, results(nlp), strict=True):
        assert one[0] == [span for span in spans if span[2] == "GPE"], text
    pipe.set_labels(LABELS)
    assert results(nlp) == both


def test_fixed_labels_warn(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    assert not pipe.takes_any_labels
    annotate(nlp, "Lisbon", ["GPE"])
    with pytest.warns(GennerWarning, match="W410.*PERSON"):
        annotate(nlp, "Lisbon", ["PERSON"])
    # Once.
    pipe.set_labels(["CITY"])
    assert pipe.labels == ("CITY",)


def test_models_that_take_any_labels(tiny_base, universal):
    base = tiny_base("llama")
    assert component(start(base, universal)).takes_any_labels
    assert component(pipeline(base)).takes_any_labels
    assert component(pipeline(base, model__lora=None)).takes_any_labels
    # A model that is trained on for fixed labels has these.
    nlp = start(base, universal)
    overfit(nlp, steps=1)
    assert not component(nlp).takes_any_labels


def test_start_of_prediction(tiny_base, universal, tmp_path):
    nlp = start(tiny_base("llama"), universal)
    expected = results(nlp)
    assert [spans for spans, *_ in expected] == [
        sorted(spans, key=lambda s: (s[0], -s[1])) for _, spans in TEXTS
    ]
    # The saved pipeline holds the adapter.
    nlp.to_disk(tmp_path / "saved")
    moved = shutil.move(str(universal), str(tmp_path / "moved"))
    try:
        import spacy

        again = spacy.load(tmp_path / "saved")
        assert results(again) == expected
        assert component(again).takes_any_labels
        copied = pipeline(tiny_base("llama")).from_bytes(nlp.to_bytes())
        assert results(copied) == expected
    finally:
        shutil.move(moved, str(universal))


def test_loading_with_other_labels(tiny_base, universal):
    import spacy

    config = {f"components.{NAME}.labels": ["GPE"]}
    nlp = spacy.load(universal, config=config)
    assert component(nlp).labels == ("GPE",)
    assert found(nlp(make_doc(nlp, "Maria lives in Porto ."))) == [(3, 4, "GPE")]


def test_saved_labels_that_were_set(tiny_base, universal, tmp_path):
    import spacy

    nlp = start(tiny_base("llama"), universal, labels=["GPE"])
    component(nlp).set_labels({"ORG": "an organization"})
    nlp.to_disk(tmp_path / "model")
    assert component(spacy.load(tmp_path / "model")).labels == ("ORG",)
    # Other labels in the config are meant to replace them.
    config = {f"components.{NAME}.labels": ["ORG", "GPE"]}
    again = spacy.load(tmp_path / "model", config=config)
    assert component(again).labels == ("ORG", "GPE")


def test_start_of_training(tiny_base, universal):
    base = tiny_base("llama")
    nlp = start(base, universal, labels=None)
    fresh = overfit(pipeline(base, model__draft_head=False), steps=1)
    warm = overfit(nlp, steps=1)
    assert component(nlp).labels == ("GPE", "ORG")
    assert warm[0] < 0.5 * fresh[0]
    # A second `initialize` starts from the same adapter.
    assert overfit(nlp, steps=1)[0] == warm[0]


def test_start_of_training_from_other_labels(tiny_base, tmp_path):
    # Training for other labels than those of the adapter is no reason to warn.
    base = tiny_base("llama")
    trained_pipeline(base).to_disk(tmp_path / "model")
    labels = ["GPE", "ORG", "PERSON"]
    nlp = start(base, tmp_path / "model", labels=labels)
    overfit(nlp, steps=1)
    assert component(nlp).labels == tuple(labels)


def test_the_draft_head_is_that_of_the_adapter(tiny_base, tmp_path):
    base = tiny_base("llama")
    trained_pipeline(base).to_disk(tmp_path / "model")
    folder = tmp_path / "model" / NAME
    pipe = component(start(base, tmp_path / "model"))
    pipe.load()
    assert pipe.lm.drafting.to_bytes() == (folder / DRAFT_HEAD_FILE).read_bytes()
    # It drafts for the labels that it was trained on.
    assert pipe.predictor.engine().draft_head is not None
    with pytest.warns(GennerWarning, match="W410"):
        pipe.set_labels(["GPE", "ORG", "PERSON"])
    assert pipe.predictor.engine().draft_head is None
    # Training continues with it.
    nlp = start(base, tmp_path / "model")
    nlp.initialize(lambda: make_examples(nlp))
    component(nlp).load()
    assert component(nlp).lm.drafting.parameters()


def test_the_prompt_is_that_of_the_adapter(tiny_base, universal):
    nlp = start(tiny_base("llama"), universal, readings=2)
    with pytest.warns(GennerWarning, match="W404.*readings"):
        doc = nlp(make_doc(nlp, TEXTS[0][0]))
    assert found(doc) == [(0, 1, "GPE"), (3, 6, "ORG")]
    assert component(nlp).predictor.layout.readings == 1


def test_an_adapter_of_another_format(tiny_base, universal):
    nlp = start(tiny_base("llama"), universal, format="inline_xml")
    with pytest.raises(ValueError, match="G282.*inline_bracketed.*inline_xml"):
        nlp(make_doc(nlp, "Lisbon"))


def test_an_adapter_that_is_missing(tiny_base, tmp_path):
    for name, code in ((str(tmp_path / "none"), "G281"), (str(tmp_path), "G262")):
        nlp = pipeline(tiny_base("llama"), model__adapter=name)
        with pytest.raises(ValueError, match=code):
            nlp(make_doc(nlp, "Lisbon"))
        with pytest.raises(ValueError, match=code):
            nlp.initialize(lambda nlp=nlp: make_examples(nlp))


def test_an_adapter_of_another_base(tiny_base, universal):
    nlp = start(tiny_base("gemma3"), universal)
    with pytest.raises(ValueError, match=r"G415|G25"):
        nlp(make_doc(nlp, "Lisbon"))


def test_folders_of_an_adapter(universal):
    state = universal / NAME / "genner.json"
    for folder in (universal, universal / NAME, universal / NAME / "adapter"):
        source = find_adapter(str(folder))
        assert source.folder == universal / NAME / "adapter"
        assert source.state_file == state


def test_label_sets_are_saved_with_documents(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    doc = make_doc(nlp, "Lisbon")
    set_label_set(doc, {"GPE": "a place"})
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert get_label_set(again) == (("GPE", "a place"),)
    set_label_set(again, None)
    assert get_label_set(again) is None
