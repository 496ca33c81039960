"""Settings that are nonsense, refused where the component is made."""

import pytest
import spacy
from component_cases import NAME, component, pipeline
from thinc.api import Config

from spacy_genner.config.settings import NAMED_LOSSES, LossWeights
from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.pipeline.factory import DEFAULTS
from spacy_genner.pipeline.generative_ner import GenerativeNER
from spacy_genner.pipeline.thinc_model import build_lora_causal_lm
from spacy_genner.prompts import FirstDemonstrations


def make(**settings):
    """The component made by hand: no config's types are checked before."""
    model = build_lora_causal_lm("no/such-base")
    made = {"decoder": StepDecoder(), "demonstrations": FirstDemonstrations()}
    made["scorer"] = None
    settings = {**DEFAULTS, **made, **settings, "model": model}
    return GenerativeNER(spacy.blank("en").vocab, **settings)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"min_score": -0.1}, ["G409", "'min_score'", "-0.1", "from 0 to 1"]),
        ({"min_score": 1.5}, ["G409", "'min_score'", "1.5", "from 0 to 1"]),
        ({"min_score": "50"}, ["G409", "'min_score'", "'50'", "from 0 to 1"]),
        ({"spans_key": ""}, ["G435", "'spans_key'", "''", '"sc"']),
        ({"spans_key": " "}, ["G435", "'spans_key'", "' '"]),
        ({"model__dtype": "float8"}, ["G230", "dtype", "'float8'", "'bfloat16'"]),
        ({"model__device": "gpu"}, ["G231", "device", "'gpu'", "'cuda:N'"]),
        ({"model__name": ""}, ["G200", "name", "''", "hub id"]),
        ({"model__name": "pip:"}, ["G200", "name", "'pip:'", "hub id"]),
        (
            {"decoder": {"batch_tokens": "-5"}},
            ["G106", "'decoder.batch_tokens'", "'-5'", "whole number"],
        ),
        ({"batch_tokens": "0"}, ["G106", "'batch_tokens'", "'0'", "whole number"]),
    ],
)
def test_a_config_is_checked(tmp_path, changes, words):
    with pytest.raises(ValueError) as error:
        pipeline(tmp_path / "nowhere", **changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"min_score": "high"}, ["G409", "'min_score'", "'high'", "from 0 to 1"]),
        ({"min_score": None}, ["G409", "'min_score'", "None", "from 0 to 1"]),
        ({"min_score": True}, ["G409", "'min_score'", "True", "from 0 to 1"]),
        ({"min_score": float("nan")}, ["G409", "'min_score'", "nan", "from 0 to 1"]),
        (
            {"overwrite_ents": "no"},
            ["G407", "'overwrite_ents'", "'no'", "true or false"],
        ),
        ({"overwrite_ents": 1}, ["G407", "'overwrite_ents'", "1", "true or false"]),
        (
            {"overwrite_ents": None},
            ["G407", "'overwrite_ents'", "None", "true or false"],
        ),
        ({"batch_tokens": "x"}, ["G106", "'batch_tokens'", "'x'", "whole number"]),
        ({"max_depth": 2.5}, ["G103", "'max_depth'", "2.5", "whole number"]),
    ],
)
def test_a_component_made_by_hand_is_checked(changes, words):
    make()
    with pytest.raises(ValueError) as error:
        make(**changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("min_score", [0, 0.0, 0.5, 1, 1.0, "0.25"])
def test_min_score_is_a_number_where_it_is_read(tmp_path, min_score):
    """`spacy find-threshold` puts others into `cfg`."""
    nlp = pipeline(tmp_path / "nowhere", min_score=min_score)
    assert component(nlp).cfg["min_score"] == float(min_score)


def test_numbers_from_a_config_s_variables(tmp_path):
    text = f"""
    [vars]
    tokens = 300
    score = 0.5

    [nlp]
    lang = "en"
    pipeline = ["{NAME}"]

    [components]

    [components.{NAME}]
    factory = "generative_ner"
    min_score = "${{vars.score}}"
    batch_tokens = "${{vars.tokens}}"

    [components.{NAME}.model]
    @architectures = "spacy-genner.LoraCausalLM.v1"
    name = "no/such-base"

    [components.{NAME}.decoder]
    @misc = "spacy-genner.StepDecoder.v1"
    batch_tokens = "${{vars.tokens}}"
    """
    config = Config().from_str(text, interpolate=False)
    pipe = component(spacy.util.load_model_from_config(config, auto_fill=True))
    assert pipe.cfg["min_score"] == 0.5 and pipe.decoder.batch_tokens == 300


def test_the_joint_loss_is_the_mixed_loss_with_that_of_the_draft_head():
    mixed, joint = (LossWeights.from_config(name) for name in ("mixed", "joint"))
    assert mixed.spans == 0 < joint.spans
    assert joint.model_copy(update={"spans": 0.0}) == mixed


def test_every_named_loss_is_named_in_the_error():
    with pytest.raises(ValueError, match="G408") as error:
        LossWeights.from_config("crf")
    for name in NAMED_LOSSES:
        assert f'"{name}"' in str(error.value)
