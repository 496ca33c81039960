"""Validation of the settings of a remote model."""

import json
import re
from inspect import signature
from pathlib import Path

import pytest
import spacy
from spacy_llm.registry import registry

from spacy_genner.llm.openai.models import build_remote_lm, make_remote_model
from spacy_genner.llm.openai.settings import RemoteSettings

NAME = "spacy-genner.OpenAICompatible.v1"


def test_defaults():
    settings = RemoteSettings(name="gpt")
    assert settings.base_url == "https://api.openai.com/v1"
    assert settings.api_key_env == "OPENAI_API_KEY"
    assert (settings.call, settings.path) == ("chat", "chat/completions")
    assert (settings.max_concurrent, settings.timeout, settings.max_tries) == (8, 60, 5)
    assert (settings.temperature, settings.max_tokens) == (0.0, None)
    assert settings.structured == "auto"
    assert (settings.cache, settings.system, settings.context_length) == (None,) * 3
    assert settings.prices == {} and settings.extra == {}


def test_base_url_of_the_environment_is_ignored(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert RemoteSettings(name="gpt").base_url == "https://api.openai.com/v1"


def test_numbers_as_strings():
    settings = RemoteSettings(
        name="gpt",
        base_url="http://localhost:8000/v1/",
        max_concurrent="3",
        timeout="1.5",
        max_tries=2.0,
        temperature="1",
        max_tokens="10",
        prices={"input": "0.15", "output": 0.6},
        context_length="4096",
        call="completion",
        structured=False,
        api_key_env=None,
    )
    assert settings.base_url == "http://localhost:8000/v1"
    assert (settings.max_concurrent, settings.timeout, settings.max_tries) == (
        3,
        1.5,
        2,
    )
    assert isinstance(settings.max_tries, int)
    assert (settings.temperature, settings.max_tokens) == (1.0, 10)
    assert settings.prices == {"input": 0.15, "output": 0.6}
    assert settings.context_length == 4096
    assert settings.path == "completions"


@pytest.mark.parametrize(
    "change, code, message",
    [
        ({"name": ""}, "G701", "'name'"),
        ({"name": None}, "G701", "'name'"),
        ({"call": "talk"}, "G701", '"completion"'),
        ({"max_concurrent": 0}, "G701", "at least 1"),
        ({"max_concurrent": True}, "G701", "at least 1"),
        ({"max_concurrent": 1.5}, "G701", "at least 1"),
        ({"max_concurrent": None}, "G701", "at least 1"),
        ({"timeout": 0}, "G701", "above 0"),
        ({"timeout": "inf"}, "G701", "above 0"),
        ({"timeout": "soon"}, "G701", "'soon'"),
        ({"max_tries": -1}, "G701", "at least 1"),
        ({"temperature": -0.1}, "G701", "or null"),
        ({"temperature": "nan"}, "G701", "or null"),
        ({"max_tokens": 0}, "G701", "or null"),
        ({"structured": "yes"}, "G701", '"auto", true, false'),
        ({"structured": 1}, "G701", '"auto", true, false'),
        ({"structured": None}, "G701", '"auto", true, false'),
        ({"cache": 3}, "G701", "'cache'"),
        ({"cache": ""}, "G701", "'cache'"),
        ({"prices": {"input": 1}}, "G701", "output"),
        ({"prices": {"input": 1, "output": -1}}, "G701", "output"),
        ({"prices": {"input": 1, "output": 1, "other": 1}}, "G701", "output"),
        ({"prices": 3}, "G701", "output"),
        ({"extra": [1]}, "G701", "JSON"),
        ({"extra": {"x": float("nan")}}, "G701", "JSON"),
        ({"extra": {"x": object()}}, "G701", "JSON"),
        ({"extra": {"stream": True}}, "G704", "stream"),
        ({"extra": {"n": 2}}, "G704", "one answer"),
        ({"extra": {"model": "x"}}, "G704", "'name'"),
        ({"extra": {"temperature": 1}}, "G704", "setting of its own"),
        ({"extra": {"Authorization": "Bearer x"}}, "G704", "environment"),
        ({"extra": {"a": [{"X-API-Key": "x"}]}}, "G704", "'X-API-Key'"),
        ({"system": 3}, "G701", "'system'"),
        ({"system": "x", "call": "completion"}, "G701", "'system'"),
        ({"context_length": 0}, "G701", "or null"),
        ({"base_url": ""}, "G701", "'base_url'"),
        ({"base_url": "localhost:8000/v1"}, "G703", "http://"),
        ({"base_url": "ftp://x/v1"}, "G703", "http://"),
        ({"base_url": "http://"}, "G703", "http://"),
        ({"base_url": "http://a b/v1"}, "G703", "http://"),
        ({"base_url": "http://x:99999/v1"}, "G703", "Port"),
        ({"base_url": "http://[::1/v1"}, "G703", "IPv6"),
        ({"base_url": "http://x/v1/chat/completions"}, "G703", "added"),
        ({"base_url": "http://x/v1/completions/"}, "G703", "added"),
        ({"api_key_env": ""}, "G702", "OPENAI_API_KEY"),
        ({"api_key_env": 3}, "G702", "OPENAI_API_KEY"),
    ],
)
def test_invalid_settings(change, code, message):
    with pytest.raises(ValueError, match=code) as error:
        RemoteSettings(**{"name": "gpt", **change})
    assert message in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"api_key_env": "sk-secret-123"},
        {"api_key_env": "gsk_secret123"},
        {"base_url": "https://me:secret123@host/v1"},
        {"base_url": "https://host/v1?key=secret123"},
        {"base_url": "https://host/v1#secret123"},
        {"extra": {"api_key": "secret123"}},
        {"extra": {"api-key": "secret123"}},
        {"extra": {"extra_headers": {"Authorization": "Bearer secret123"}}},
        {"extra": {"extra_headers": {"proxy_authorization": "secret123"}}},
        {"extra": {"extra_headers": {"Ocp-Apim-Subscription-Key": "secret123"}}},
        {"extra": {"a": [{"b": {"Token": "secret123"}}]}},
        {"extra": {"auth": ["me", "secret123"]}},
        {"extra": {"password": "secret123"}},
        {"extra": ["secret123"]},
    ],
)
def test_misplaced_key_is_not_shown(change):
    with pytest.raises(ValueError, match="G70") as error:
        RemoteSettings(**{"name": "gpt", **change})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "extra",
    [
        {"max_completion_tokens": 9, "stop_token_ids": [1], "logit_bias": {"5": 1}},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"guided_json": {"properties": {"token": {"type": "string"}}}},
        {"author": "x", "keyword": "x", "cache_salt": "x", "add_bos_token": True},
    ],
)
def test_extra_values_that_are_not_keys(extra):
    assert RemoteSettings(name="gpt", extra=extra).extra == extra


MODEL = {"name": "gpt", "api_key": "sk-secret123"}


@pytest.mark.parametrize(
    "resolve, model",
    [
        (spacy.registry.resolve, {"@architectures": NAME, **MODEL}),
        (registry.resolve, {"@llm_models": NAME, **MODEL}),
    ],
)
def test_key_in_the_section_of_a_model_is_not_shown(resolve, model):
    with pytest.raises(ValueError, match="G700.*'api_key_env'") as error:
        resolve({"model": model})
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None and error.value.__context__ is None


@pytest.mark.parametrize("factory", [build_remote_lm, make_remote_model])
def test_documentation_lists_every_setting_with_its_default(factory):
    text = (Path(__file__).parents[3] / "docs" / "llm.md").read_text("utf-8")
    text = text.partition("\n## OpenAICompatible\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\| ", text, re.MULTILINE))
    for name, parameter in signature(factory).parameters.items():
        if name == "api_key":
            continue
        default = parameter.default
        shown = "" if default is parameter.empty else f"`{json.dumps(default)}`"
        assert rows[name] in (shown, shown.strip("`")), name


def test_arguments_are_not_modified():
    extra = {"seed": 1, "nested": {"a": [1]}}
    settings = RemoteSettings(name="gpt", extra=extra)
    settings.extra["nested"]["a"].append(2)
    assert extra == {"seed": 1, "nested": {"a": [1]}}
