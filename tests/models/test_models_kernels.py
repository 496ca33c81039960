"""Prepared products are limited where a base is loaded, and a user's choice stays."""

import os

import pytest

from spacy_genner.models.base_model import (
    ONEDNN_CACHE_CAPACITY,
    ONEDNN_CACHE_VARIABLES,
    load_base,
    limit_onednn_cache,
    resolve_base,
)


@pytest.fixture
def unset(monkeypatch):
    for name in ONEDNN_CACHE_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_loading_a_base_limits_them(unset, tiny_base):
    import torch

    source = resolve_base(str(tiny_base("llama")), None)
    load_base(source, torch.float32, torch.device("cpu"))
    assert [os.environ[name] for name in ONEDNN_CACHE_VARIABLES] == [
        str(ONEDNN_CACHE_CAPACITY)
    ] * 2


def test_what_is_set_stays(unset, monkeypatch):
    monkeypatch.setenv(ONEDNN_CACHE_VARIABLES[0], "7")
    limit_onednn_cache()
    assert [os.environ[name] for name in ONEDNN_CACHE_VARIABLES] == [
        "7",
        str(ONEDNN_CACHE_CAPACITY),
    ]
