"""The settings of a server, its token, and the names of its models."""

import re
from pathlib import Path

import pytest
import spacy
import typer

from spacy_genner.cli import app
from spacy_genner.errors import GennerWarning
from spacy_genner.serving.models import load_models
from spacy_genner.serving.settings import (
    TOKEN_VARIABLE,
    ServeSettings,
    check_access,
    read_token,
)


@pytest.mark.parametrize(
    "name, value",
    [
        ("host", ""),
        ("host", "two words"),
        ("port", -1),
        ("port", 65_536),
        ("port", True),
        ("batch_size", 0),
        ("max_wait_ms", -1.0),
        ("max_wait_ms", float("nan")),
        ("queue_size", 0),
        ("max_chars", "many"),
        ("timeout", 0),
        ("grace", float("inf")),
        ("cors_origins", ("example.org",)),
        ("cors_origins", ("https://example.org/path",)),
        ("log_level", "loud"),
        ("docs", "yes"),
    ],
)
def test_a_wrong_value_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^\[G801\] '{name}' is .*: expected"):
        ServeSettings(**{name: value})


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match=r"G802.*\['prot'\].*host, port"):
        ServeSettings(prot=8000)


def test_a_request_fits_the_queue():
    with pytest.raises(ValueError, match="G801.*'max_texts' is 256.*which is 8"):
        ServeSettings(queue_size=8)
    assert ServeSettings(queue_size=8, max_texts=8).queue_size == 8


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"]
)
def test_this_machine_needs_no_token(host):
    settings = ServeSettings(host=host)
    assert not settings.is_public
    check_access(settings, None, without_token=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_other_machines_need_a_token(host):
    settings = ServeSettings(host=host)
    with pytest.raises(ValueError, match=rf"G804.*{host}.*{TOKEN_VARIABLE}"):
        check_access(settings, None, without_token=False)
    check_access(settings, "token", without_token=False)
    with pytest.warns(GennerWarning, match="W800.*without a token"):
        check_access(settings, None, without_token=True)


def test_the_token_is_read_from_the_environment():
    assert read_token({}) is None
    assert read_token({TOKEN_VARIABLE: "abc-123"}) == "abc-123"


@pytest.mark.parametrize("token", ["", "  ", "two words", "geheimnüs", "line\n"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    """A blank variable must not mean that there is no token."""
    with pytest.raises(ValueError, match=f"G803.*{TOKEN_VARIABLE}") as error:
        read_token({TOKEN_VARIABLE: token})
    assert not token.strip() or token not in str(error.value)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    spacy.blank("en").to_disk(tmp_path / "one")
    (tmp_path / "more").mkdir()
    spacy.blank("de").to_disk(tmp_path / "more" / "one")
    spacy.blank("fr").to_disk(tmp_path / "a=b")
    monkeypatch.chdir(tmp_path)


def languages(*arguments):
    models = load_models(arguments, "sc")
    return {model.name: model.nlp.lang for model in models}


def test_models_have_names(saved, monkeypatch, tmp_path):
    assert languages("one") == {"one": "en"}
    assert languages("./one/", "two=more/one") == {"one": "en", "two": "de"}
    # An existing folder is not split.
    assert languages("a=b", "c=a=b") == {"a=b": "fr", "c": "fr"}
    monkeypatch.chdir(tmp_path / "one")
    assert languages(".") == {"one": "en"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["one", "more/one"], "G801.*one, more/one.*NAME=MODEL"),
        (["=one"], "G801.*'=one'.*NAME=MODEL"),
        (["two="], "G801.*'two='"),
        (["nothing"], "G527.*nothing"),
        (["x=nothing"], "G527.*nothing"),
    ],
)
def test_models_that_cannot_be_served(saved, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_models(arguments, "sc")


def test_a_pipeline_without_the_component_needs_a_group(saved):
    with pytest.raises(ValueError, match="G526.*one.*--spans-key"):
        load_models(["one"])


def test_options_have_variables_and_are_documented():
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf8")
    options = {
        flag: param
        for param in typer.main.get_command(app).commands["serve"].params
        for flag in (*param.opts, *param.secondary_opts)
        if param.param_type_name == "option" and flag != "--help"
    }
    for param in options.values():
        assert any(f"`{flag}" in page for flag in (*param.opts, *param.secondary_opts))
        if param.envvar is not None:
            name = param.opts[0].removeprefix("--").upper().replace("-", "_")
            assert param.envvar == f"SPACY_GENNER_SERVE_{name}" != TOKEN_VARIABLE
    rows = re.findall(r"^\| (`--[^|]*) \| ([\d.,]+[^|]*) \|", page, re.MULTILINE)
    defaults = {}
    for flags, values in rows:
        names = re.findall(r"`(--[a-z-]+)`", flags)
        defaults |= zip(names, values.split(", "), strict=True)
    assert len(defaults) > 8
    for flag, value in defaults.items():
        default = options[flag].default
        assert type(default)(value.replace(",", "")) == default, flag
