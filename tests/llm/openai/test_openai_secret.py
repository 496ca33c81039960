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
    secret = read_secret(RemoteSettings(name="gpt", api_key_env=ENV))
    assert secret.value == KEY
    assert not holds_key(repr(secret) + str(secret) + repr(pickle.dumps(secret)))
    assert secret.redact(f"a {KEY} b {KEY}") == f"a {HIDDEN} b {HIDDEN}"
    assert secret.redact(KEY + KEY) in (HIDDEN, HIDDEN + HIDDEN)
    assert not holds_key(secret.redact(f"a {KEY[3:20]} b"))
    assert secret.redact("nothing of it") == "nothing of it"
    assert secret.redact("") == ""
    # A short key is a word of its own.
    assert Secret("x").redact("x-axis: extra x") == f"{HIDDEN}-axis: extra {HIDDEN}"
    assert Secret("").redact("anything") == "anything"
    assert Secret("").value == ""


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


ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-of-the-environment",
    "OPENAI_ADMIN_KEY": "sk-of-an-admin",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OPENAI_ORG_ID": "my-organization",
    "OPENAI_PROJECT_ID": "my-project",
    "OPENAI_CUSTOM_HEADERS": "X-Mine: 1\nAuthorization: Bearer sk-of-a-header",
}


@pytest.mark.parametrize("call", ["chat", "completion"])
@pytest.mark.parametrize("key", [KEY, None])
def test_the_environment_of_the_sdk_is_not_read(monkeypatch, call, key):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with Server(key=key) as server:
        client = make_client(server, call=call, api_key_env=key and ENV)
        assert client.answer(["a"]) == ["answer to a"]
        assert server.wrong == []
        headers = server.calls[0].headers
    assert headers.get("authorization") == (key and f"Bearer {key}")
    assert {n for n in headers if n not in ("authorization", "host")} <= {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "user-agent",
        "x-stainless-raw-response",
        "x-stainless-read-timeout",
        "x-stainless-retry-count",
    }
    for value in ENVIRONMENT.values():
        assert value not in str(headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with Server() as other:
        location = {"Location": f"{other.url}/chat/completions"}
        redirect = Raw(b"", status=status, headers=location)
        with Server(lambda call: redirect) as server:
            (answer,) = make_client(server).answer(["question"])
            assert "G712" in str(answer.error) and str(status) in str(answer.error)
            assert len(server.calls) == 1
        assert other.calls == other.wrong == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_used(monkeypatch, variable):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server() as proxy:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        (answer,) = make_client("http://server.invalid/v1").answer(["question"])
        assert "http://server.invalid/v1/chat/completions" in proxy.wrong[0]
        assert "G712" in str(answer.error)
