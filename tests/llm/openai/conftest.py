"""The environment of all tests of remote models."""

import pytest
from remote_cases import ENV
from server import KEY


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
