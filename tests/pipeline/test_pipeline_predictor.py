"""The protocol of predictors, and the predictor and the shim of a component."""

import copy
import inspect
import pickle
from importlib.metadata import entry_points

import pytest
import spacy
from component_cases import (
    LABELS,
    NAME,
    TEXTS,
    component,
    make_examples,
    pipeline,
    results,
)
from thinc.api import Adam, Linear

from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.llm.openai.models import RemoteShim
from spacy_genner.llm.openai.predictor import RemoteLanguageModel, RemotePredictor
from spacy_genner.models.language_model import LanguageModel
from spacy_genner.pipeline.local import LocalPredictor
from spacy_genner.pipeline.predictor import (
    Predictor,
    PredictorModel,
    PredictorShim,
    TrainablePredictor,
    get_shim,
)
from spacy_genner.pipeline.thinc_model import LoraShim

ARCHITECTURES = [
    point.name
    for point in entry_points(group="spacy_architectures")
    if point.value.startswith("spacy_genner")
]


def remote_pipeline():
    """A pipeline with a remote model. No request is sent to its address."""
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": "model",
        "base_url": "http://127.0.0.1:9/v1",
    }
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"labels": LABELS, "model": model})
    return nlp


@pytest.fixture(params=["local", "remote"])
def pipe(request, tiny_base):
    """A component with a local or a remote model."""
    local = request.param == "local"
    return component(pipeline(tiny_base("llama")) if local else remote_pipeline())


def protocol_members(protocol):
    """The attributes and the methods of a protocol and of those that it extends."""
    classes = [
        each for each in protocol.__mro__ if getattr(each, "_is_protocol", False)
    ]
    attributes = {name for each in classes for name in inspect.get_annotations(each)}
    functions = {
        name: value
        for each in reversed(classes)
        for name, value in vars(each).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    properties = {
        name
        for each in classes
        for name, value in vars(each).items()
        if isinstance(value, property)
    }
    return attributes | properties, functions


def parameters(function):
    """Kinds and defaults of the parameters of a function, which is called with
    positional arguments."""
    return [
        (parameter.kind, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
    ]


def test_the_members_of_the_protocols():
    attributes, functions = protocol_members(Predictor)
    assert attributes == {"layout", "checksum"}
    assert set(functions) == {"predict", "judge"}
    attributes, functions = protocol_members(TrainablePredictor)
    assert attributes == {"layout", "checksum"}
    training = {"target_builder", "trainer", "draft_head", "draft_head_reader"}
    assert set(functions) == {"load", "predict", "judge", *training}


@pytest.mark.parametrize(
    "implementation, protocol",
    [
        (LocalPredictor, Predictor),
        (LocalPredictor, TrainablePredictor),
        (RemotePredictor, Predictor),
    ],
)
def test_methods_have_the_signatures_of_the_protocol(implementation, protocol):
    _, functions = protocol_members(protocol)
    for name, function in functions.items():
        found = inspect.signature(getattr(implementation, name))
        assert found == inspect.signature(function), name


def test_predictors_have_the_attributes_of_the_protocol(pipe):
    predictor = pipe.predictor
    expected = LocalPredictor if pipe._shim.is_trainable else RemotePredictor
    assert type(predictor) is expected
    attributes, _ = protocol_members(Predictor)
    assert all(hasattr(predictor, name) for name in attributes)
    assert predictor.layout.labels == tuple(LABELS)
    assert predictor.checksum == pipe.lm.checksum
    assert (predictor.checksum == "") == (expected is RemotePredictor)


@pytest.mark.parametrize("implementation", [LanguageModel, RemoteLanguageModel])
def test_language_models_have_the_methods_of_the_protocol(implementation):
    _, functions = protocol_members(PredictorModel)
    assert set(functions) == {"reset_adapter", "load", "save", "to_bytes", "from_bytes"}
    for name, function in functions.items():
        assert parameters(getattr(implementation, name)) == parameters(function), name


def test_language_models_have_the_attributes_of_the_protocol(pipe):
    attributes, _ = protocol_members(PredictorModel)
    assert attributes == {"name", "lora", "drafting", "has_adapter", "checksum"}
    assert all(hasattr(pipe.lm, name) for name in attributes)


@pytest.mark.parametrize(
    "shim, trainable", [(LoraShim, True), (RemoteShim, False)], ids=["local", "remote"]
)
def test_the_shims_of_the_architectures(shim, trainable):
    assert issubclass(shim, PredictorShim)
    assert shim.is_trainable is shim.is_token_aligned is trainable
    expected = parameters(PredictorShim.make_predictor)
    assert parameters(shim.make_predictor) == expected


def test_the_shim_of_a_model_is_found(pipe):
    shim = get_shim(pipe.model)
    assert isinstance(shim, PredictorShim)
    assert shim is pipe._shim and shim.lm is pipe.lm


def test_a_model_of_another_architecture_is_refused():
    assert len(ARCHITECTURES) == 2
    with pytest.raises(ValueError, match=r"^\[G430\] .*'linear'") as error:
        get_shim(Linear(2, 2))
    assert all(f"'{name}'" in str(error.value) for name in ARCHITECTURES)
    encoder = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 4,
        "window_size": 1,
        "maxout_pieces": 2,
        "depth": 1,
    }
    with pytest.raises(ValueError, match="G430"):
        spacy.blank("en").add_pipe(NAME, config={"model": encoder})


def test_the_predictor_is_kept_until_the_labels_change(pipe):
    predictor = pipe.predictor
    assert pipe.predictor is predictor
    # An existing label changes nothing.
    assert pipe.add_label(LABELS[0]) == 0
    assert pipe.predictor is predictor
    assert pipe.add_label("PERSON") == 1
    changed = pipe.predictor
    assert changed is not predictor and pipe.predictor is changed
    assert predictor.layout.labels == tuple(LABELS)
    assert changed.layout.labels == (*LABELS, "PERSON")


def test_a_new_decoder_discards_the_predictor_and_keeps_the_counts(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    pipe.update(examples, sgd=Adam(0.01))
    predictor, builder = pipe.predictor, pipe.target_builder
    count = pipe.gold_counts().spans
    assert count == sum(len(spans) for _, spans in TEXTS)
    expected = results(nlp)
    decoder = StepDecoder()
    pipe.decoder = decoder
    assert pipe.decoder is decoder
    assert pipe.predictor is not predictor and pipe.predictor.decoder is decoder
    assert pipe.target_builder is builder
    assert pipe.gold_counts() is builder.counts and builder.counts.spans == count
    pipe.update(examples)
    assert pipe.gold_counts().spans == 2 * count
    assert [row[0] for row in results(nlp)] == [row[0] for row in expected]


@pytest.mark.parametrize(
    "make_copy",
    [lambda pipe: pickle.loads(pickle.dumps(pipe)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_has_its_own_shim(pipe, make_copy, used):
    if used:
        assert pipe.predictor is not None
    other = make_copy(pipe)
    assert other._shim is get_shim(other.model)
    assert other._shim is not pipe._shim and type(other._shim) is type(pipe._shim)
    assert other.lm is other._shim.lm
    assert other.lm is not pipe.lm and other.lm.name == pipe.lm.name
    # The copy creates its own predictor, and the original keeps its shim.
    assert other.predictor.lm is other.lm
    assert pipe._shim is get_shim(pipe.model) and pipe.predictor.lm is pipe.lm
