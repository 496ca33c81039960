"""The key is in the header of a request, and nowhere else."""

import logging
import pickle

import pytest
import spacy
from remote_cases import ENV, make_client, make_question
from server import KEY, Fail, Raw, Say, Server

from spacy_genner.llm.openai.settings import HIDDEN, RemoteSettings, Secret, read_secret

PARTS = [KEY[i : i + 10] for i in range(len(KEY) - 9)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def holds_key(text):
    return any(part in text for part in PARTS)


def everything_of(error):
    seen = []
    while error is not None:
        seen += [str(error), repr(error), repr(pickle.dumps(error)), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(seen)


def test_a_key_shows_itself_nowhere(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    echoes = {
        "500": Fail(500, f"no {KEY}"),
        "400": Fail(400, f"Bearer {KEY} is bad", KEY),
        "429": Fail(429, f"{KEY}", headers={"Retry-After": "999"}),
        "html": Raw(f"<p>{KEY}</p>".encode(), "text/html"),
        "long": Raw(b"x" * 190 + KEY.encode()),
        "part": Fail(500, f"key {KEY[:15]}... is bad"),
        "choices": Raw(f'{{"choices": [], "key": "{KEY}"}}'.encode()),
        "refusal": Say(None, refusal=KEY),
        "finish": Say(None, finish=KEY),
        "error": Raw(f'{{"error": "{KEY}"}}'.encode()),
    }
    with Server(lambda call: echoes.get(call.prompt, "good")) as server:
        client = make_client(server, cache=tmp_path, max_tries=1)
        settings = client.settings
        for prompt in [*echoes, "good"]:
            (answer,) = client.answer([prompt])
            assert (prompt == "good") == (answer.error is None)
            if answer.error is not None:
                assert not holds_key(everything_of(answer.error)), prompt
                assert not holds_key(repr(pickle.dumps(answer))), prompt
        client.answer([make_question()])
        assert all(call.prompt for call in server.calls) and server.wrong == []
    for shown in (
        repr(client),
        repr(settings),
        repr(vars(client)),
        repr(client.usage),
        repr(pickle.dumps(client)),
        repr(pickle.dumps(settings)),
        caplog.text,
        *capfd.readouterr(),
    ):
        assert not holds_key(shown)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert not holds_key(path.read_bytes().decode("latin-1"))


def test_a_refused_key_is_not_shown(monkeypatch):
    with Server(key="sk-another") as server:
        (answer,) = make_client(server).answer(["question"])
        # The server did get it, and said it.
        assert KEY in server.wrong[0]
    assert "G710" in str(answer.error) and HIDDEN in str(answer.error)
    assert not holds_key(everything_of(answer.error))


def test_a_server_that_is_not_there(caplog):
    caplog.set_level(logging.DEBUG)
    with Server() as server:
        url = server.url
    (answer,) = make_client(url, max_tries=1).answer(["question"])
    assert not holds_key(everything_of(answer.error) + caplog.text)


def test_a_copy_in_another_process_asks_as_well():
    with Server() as server:
        client = make_client(server)
        client.answer(["a"])
        copy = pickle.loads(pickle.dumps(client))
        assert copy.settings == client.settings
        assert copy.answer(["b"]) == ["answer to b"]
        assert copy.usage.requests == 1


def test_a_secret_is_hidden():
    secret = read_secret(RemoteSettings("gpt", api_key_env=ENV))
    assert secret.header == f"Bearer {KEY}"
    assert not holds_key(repr(secret) + str(secret) + repr(pickle.dumps(secret)))
    assert secret.scrubbed(f"a {KEY} b {KEY}") == f"a {HIDDEN} b {HIDDEN}"
    assert secret.scrubbed(KEY + KEY) in (HIDDEN, HIDDEN + HIDDEN)
    assert not holds_key(secret.scrubbed(f"a {KEY[3:20]} b"))
    assert secret.scrubbed("nothing of it") == "nothing of it"
    assert secret.scrubbed("") == ""
    # A short key is a word of its own.
    assert Secret("x").scrubbed("x-axis: extra x") == f"{HIDDEN}-axis: extra {HIDDEN}"
    assert Secret("").scrubbed("anything") == "anything"
    assert Secret("").header == ""


def test_a_key_in_the_config_of_a_component_is_not_shown():
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": "gpt",
        "api_key": KEY,
    }
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="G700.*'api_key_env'") as error:
        nlp.add_pipe("generative_ner", config={"labels": ["A"], "model": model})
    assert not holds_key(everything_of(error.value))
