"""The API key is sent in a header, and shown nowhere."""

import logging
import pickle

import pytest
import spacy
from remote_cases import ENV, make_client, sample_prompt
from server import KEY, Fail, Raw, Respond, Server

from spacy_genner.llm.openai.settings import HIDDEN, RemoteSettings, Secret, read_secret

PARTS = [KEY[i : i + 10] for i in range(len(KEY) - 9)]


def holds_key(text):
    return any(part in text for part in PARTS)


def shown_by(error):
    seen = []
    while error is not None:
        seen += [str(error), repr(error), repr(pickle.dumps(error)), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(seen)


def test_key_is_not_shown(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    echoes = {
        "500": Fail(500, f"no {KEY}"),
        "400": Fail(400, f"Bearer {KEY} is bad", KEY),
        "429": Fail(429, f"{KEY}", headers={"Retry-After": "999"}),
        "html": Raw(f"<p>{KEY}</p>".encode(), "text/html"),
        "long": Raw(b"x" * 190 + KEY.encode()),
        "part": Fail(500, f"key {KEY[:15]}... is bad"),
        "choices": Raw(f'{{"choices": [], "key": "{KEY}"}}'.encode()),
        "refusal": Respond(None, refusal=KEY),
        "finish": Respond(None, finish=KEY),
        "error": Raw(f'{{"error": "{KEY}"}}'.encode()),
    }
    with Server(lambda call: echoes.get(call.prompt, "good")) as server:
        client = make_client(server, cache=tmp_path, max_tries=1)
        settings = client.settings
        for prompt in [*echoes, "good"]:
            (answer,) = client.answer([prompt])
            assert (prompt == "good") == (answer.error is None)
            if answer.error is not None:
                assert not holds_key(shown_by(answer.error)), prompt
                assert not holds_key(repr(pickle.dumps(answer))), prompt
        client.answer([sample_prompt()])
        assert all(call.prompt for call in server.calls) and server.rejected == []
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


def test_refused_key_is_not_shown(monkeypatch):
    with Server(key="sk-another") as server:
        (answer,) = make_client(server).answer(["prompt"])
        # The server received the key and repeated it.
        assert KEY in server.rejected[0]
    assert "G710" in str(answer.error) and HIDDEN in str(answer.error)
    assert not holds_key(shown_by(answer.error))


def test_key_is_not_shown_if_the_connection_is_refused(caplog):
    caplog.set_level(logging.DEBUG)
    with Server() as server:
        url = server.url
    (answer,) = make_client(url, max_tries=1).answer(["prompt"])
    assert not holds_key(shown_by(answer.error) + caplog.text)


def test_pickled_client_reads_the_key_again():
    with Server() as server:
        client = make_client(server)
        client.answer(["a"])
        copy = pickle.loads(pickle.dumps(client))
        assert copy.settings == client.settings
        assert copy.answer(["b"]) == ["answer to b"]
        assert copy.usage.requests == 1


def test_secret_is_hidden():
    secret = read_secret(RemoteSettings(name="gpt", api_key_env=ENV))
    assert secret.value == KEY
    assert not holds_key(repr(secret) + str(secret) + repr(pickle.dumps(secret)))
    assert secret.redact(f"a {KEY} b {KEY}") == f"a {HIDDEN} b {HIDDEN}"
    assert secret.redact(KEY + KEY) in (HIDDEN, HIDDEN + HIDDEN)
    assert not holds_key(secret.redact(f"a {KEY[3:20]} b"))
    assert secret.redact("nothing of it") == "nothing of it"
    assert secret.redact("") == ""
    # A short key is hidden only as a whole word.
    assert Secret("x").redact("x-axis: extra x") == f"{HIDDEN}-axis: extra {HIDDEN}"
    assert Secret("").redact("anything") == "anything"
    assert Secret("").value == ""


def test_key_in_the_config_of_a_component_is_not_shown():
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": "gpt",
        "api_key": KEY,
    }
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="G700.*'api_key_env'") as error:
        nlp.add_pipe("generative_ner", config={"labels": ["A"], "model": model})
    assert not holds_key(shown_by(error.value))


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
def test_environment_variables_of_the_sdk_are_ignored(monkeypatch, call, key):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with Server(key=key) as server:
        client = make_client(server, call=call, api_key_env=key and ENV)
        assert client.answer(["a"]) == ["answer to a"]
        assert server.rejected == []
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
def test_redirects_are_not_followed(status):
    with Server() as other:
        location = {"Location": f"{other.url}/chat/completions"}
        redirect = Raw(b"", status=status, headers=location)
        with Server(lambda call: redirect) as server:
            (answer,) = make_client(server).answer(["prompt"])
            assert "G712" in str(answer.error) and str(status) in str(answer.error)
            assert len(server.calls) == 1
        assert other.calls == other.rejected == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_proxy_of_the_environment_is_used(monkeypatch, variable):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server() as proxy:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        client = make_client("http://server.invalid/v1", allow_http=True)
        (answer,) = client.answer(["prompt"])
        assert "http://server.invalid/v1/chat/completions" in proxy.rejected[0]
        assert "G712" in str(answer.error)


LOCAL = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1"]
LOCAL += ["127.8.9.1", "[::1]", "[::ffff:127.0.0.1]"]
REMOTE = ["gpu-box", "192.168.1.5", "10.0.0.1", "[fe80::1]", "localhost.example.com"]
REMOTE += ["127.0.0.1.example.com", "notlocalhost", "0.0.0.0", "2130706433"]
REMOTE += ["[::ffff:10.0.0.1]", "128.0.0.1"]


@pytest.mark.parametrize("host", LOCAL + REMOTE)
def test_a_key_is_sent_encrypted(monkeypatch, host):
    monkeypatch.setenv(ENV, KEY)
    values = {"name": "gpt", "base_url": f"http://{host}:8000/v1"}
    settings = RemoteSettings(**values, api_key_env=ENV)
    if host in LOCAL:
        assert read_secret(settings).value == KEY
    else:
        with pytest.raises(ValueError, match="G709.*https.*allow_http") as error:
            read_secret(settings)
        assert not holds_key(shown_by(error.value))
        allowed = RemoteSettings(**values, api_key_env=ENV, allow_http=True)
        assert read_secret(allowed).value == KEY
    values["base_url"] = f"https://{host}:8000/v1"
    assert read_secret(RemoteSettings(**values, api_key_env=ENV)).value == KEY
    # Without a key, nothing has to be encrypted.
    values["base_url"] = f"http://{host}:8000/v1"
    assert read_secret(RemoteSettings(**values, api_key_env=None)).value == ""


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "HF_TOKEN", "MY_SECRET", "KEY", "TOKEN", "OPENAIKEY", "KEY_2"]
    + ["DB_PASSWORD", "SERVER_AUTH", "GITHUB_PAT", "AZURE_OPENAI_KEY1", "API_KEYS"],
)
def test_variables_with_names_of_keys(monkeypatch, name):
    monkeypatch.setenv(name, KEY)
    assert read_secret(RemoteSettings(name="gpt", api_key_env=name)).value == KEY


@pytest.mark.parametrize(
    "name",
    ["HOME", "PATH", "DATABASE_URL", "PYTHONPATH", "SSH_AUTH_SOCK", "USER", "_"]
    + ["KEYBOARD", "TOKENIZERS_PARALLELISM", "SECRET_FILE", "OAUTH", "COMPASS"],
)
def test_other_variables_must_be_confirmed(monkeypatch, name):
    """The environment confirms them, which a pipeline can't change."""
    monkeypatch.setenv(name, KEY)
    settings = RemoteSettings(name="gpt", api_key_env=name)
    with pytest.raises(ValueError, match="G708.*SPACY_GENNER_KEY_VARIABLES") as error:
        read_secret(settings)
    assert not holds_key(shown_by(error.value))
    monkeypatch.setenv("SPACY_GENNER_KEY_VARIABLES", f"OTHER, {name}")
    assert read_secret(settings).value == KEY


def test_a_key_is_not_sent_to_another_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    client = make_client("http://server.invalid/v1")
    with pytest.raises(ValueError, match="G709"):
        client.answer(["prompt"])
