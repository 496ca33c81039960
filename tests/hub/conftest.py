"""A pipeline to share, and a stand-in for the hub."""

import json

import pytest
from component_cases import trained_pipeline
from hub_server import TOKEN, Hub
from share_cases import BASE, make_scores


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running hub. `huggingface_hub` is logged in and has an empty cache."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    server = Hub()
    close_session()
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    yield server
    close_session()
    server.close()


@pytest.fixture(scope="session")
def saved(tmp_path_factory, tiny_base):
    """A saved, trained pipeline whose base is `tiny/base` of the hub."""
    local = tiny_base("llama")
    nlp = trained_pipeline(local)
    nlp.meta["name"] = "places"
    folder = tmp_path_factory.mktemp("saved") / "model"
    nlp.to_disk(folder)
    for path in [folder / "config.cfg", *(folder / "generative_ner").rglob("*.json")]:
        text = path.read_text(encoding="utf8").replace(str(local), BASE)
        path.write_text(text, encoding="utf8")
    return folder


@pytest.fixture
def scores_file(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(make_scores()), encoding="utf8")
    return path
