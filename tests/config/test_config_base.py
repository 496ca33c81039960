"""Each option is declared once, and each refusal has a coded message."""

import pickle
import traceback

import pytest

from spacy_genner.config.base import Settings
from spacy_genner.config.settings import (
    ComponentSettings,
    LoraSettings,
    LossWeights,
    ModelSettings,
    PromptConfig,
    WindowSettings,
    check_count,
)
from spacy_genner.pipeline.factory import DEFAULTS

MODEL = {key: value for key, value in DEFAULTS["model"].items() if key != "lora"}
ALL = [
    (ComponentSettings, DEFAULTS),
    (ModelSettings, MODEL),
    (LoraSettings, DEFAULTS["model"]["lora"]),
    (PromptConfig, {**DEFAULTS["prompt"], "instruction": ""}),
    (WindowSettings, DEFAULTS["window"]),
    (LossWeights, {"constrained": 0.0, "lm": 0.0, "lm_share": 1.0, "spans": 0.0}),
]
FIELDS = [
    (cls, key)
    for cls, _ in ALL
    for key in cls.model_fields
    # These take any value, as a string.
    if (cls, key) not in [(PromptConfig, "template"), (PromptConfig, "instruction")]
]


@pytest.mark.parametrize("cls, config", ALL)
def test_defaults_are_those_of_the_default_config(cls, config):
    for key, field in cls.model_fields.items():
        if key != "lora" and not field.is_required():
            assert field.default == config[key] and field.description


@pytest.mark.parametrize("cls, key", FIELDS)
def test_every_field_has_a_coded_message(cls, key):
    with pytest.raises(ValueError, match=r"^\[G\d{3}\] .*object object at") as error:
        cls(**{**needed(cls), key: object()})
    path = f"{cls.section}.{key}" if cls.section else key
    if cls is not LossWeights:
        assert f"'{path}'" in str(error.value)
    trace = "".join(traceback.format_exception(error.value))
    assert "pydantic_core" not in trace and "validation error" not in trace


def needed(cls):
    return {"name": "some/base"} if cls is ModelSettings else {}


@pytest.mark.parametrize("cls", [WindowSettings, PromptConfig, LoraSettings])
def test_unknown_settings_are_listed(cls):
    with pytest.raises(ValueError, match=r"^\[G\d{3}\] Unknown") as error:
        cls(zz=1, aa=2)
    for word in (f"'{cls.section}'", "['aa', 'zz']", *cls.model_fields):
        assert word in str(error.value)


def test_settings_of_an_adapter_are_named_by_their_path():
    with pytest.raises(ValueError, match=r"G241.*'model\.lora\.rank' is 0"):
        ModelSettings(name="some/base", lora={"rank": 0})
    with pytest.raises(ValueError, match=r"G240.*'model\.lora'.*'r'"):
        ModelSettings(name="some/base", lora={"r": 4})
    with pytest.raises(ValueError, match=r"G241.*'model\.lora' is 'all'"):
        ModelSettings(name="some/base", lora="all")


def test_settings_are_immutable_and_can_be_pickled():
    settings = WindowSettings(max_tokens="100", overlap=3)
    with pytest.raises(ValueError):
        settings.overlap = 5
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert isinstance(settings, Settings) and settings.max_tokens == 100


def test_a_single_setting_is_checked_without_a_traceback_of_pydantic():
    with pytest.raises(ValueError, match=r"G106.*'a\.b' is True: expected") as error:
        check_count("a.b", True)
    assert error.value.__context__ is None
