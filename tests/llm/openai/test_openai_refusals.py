"""What a server refuses for good, and what is left out because it refuses it."""

import pytest
from remote_cases import ENV, LABELS, SAID, make_client, make_question
from server import KEY, Fail, Raw, Say, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.protocol import answer_schema
from spacy_genner.llm.openai.retry import RemoteError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


MANY = [str(i) for i in range(200)]


def test_a_wrong_key_stops_the_run(monkeypatch):
    monkeypatch.setenv(ENV, "sk-of-another-9876543210")
    with Server() as server:
        client = make_client(server)
        answers = client.answer(MANY)
        assert len(server.wrong) <= 8 and server.calls == []
        messages = {str(answer.error) for answer in answers}
        assert len(messages) == 1
        (message,) = messages
        assert "G710" in message and ENV in message and "401" in message
        assert all(isinstance(answer.error, RemoteError) for answer in answers)
        assert client.usage.failures == 200 and client.usage.retries == 0
        # The next call tries again: the key may have been set meanwhile.
        monkeypatch.setenv(ENV, KEY)
        assert client.answer(["a"]) == ["answer to a"]


def test_a_key_where_none_is_named():
    with Server() as server:
        (answer,) = make_client(server, api_key_env=None).answer(["a"])
        assert "G710" in str(answer.error) and "api_key_env" in str(answer.error)
    with Server(key=None) as server:
        assert make_client(server, api_key_env=None).answer(["a"]) == ["answer to a"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_an_error_before_anything_is_sent(monkeypatch, value):
    if value is None:
        monkeypatch.delenv(ENV)
    else:
        monkeypatch.setenv(ENV, value)
    with Server() as server:
        client = make_client(server)
        with pytest.raises(ValueError, match=f"G705.*{ENV}"):
            client.answer(MANY)
        with pytest.raises(ValueError, match=f"G705.*{ENV}"):
            client.probabilities(MANY)
        assert server.calls == server.wrong == []


@pytest.mark.parametrize("value", ["sk-a b", "sk-a\nb: c", "sk-ä"])
def test_a_key_that_no_header_takes(monkeypatch, value):
    monkeypatch.setenv(ENV, value)
    with Server() as server:
        with pytest.raises(ValueError, match=f"G706.*{ENV}") as caught:
            make_client(server).answer(["a"])
        assert value not in str(caught.value)
        assert server.calls == server.wrong == []


@pytest.mark.parametrize(
    "settings, codes",
    [
        ({"name": "other"}, ("G712", "'other'", "base_url", "404")),
        ({"base_url": "/wrong"}, ("G712", "Invalid URL", "404")),
    ],
)
def test_a_wrong_model_or_address_stops_the_run(settings, codes):
    with Server() as server:
        if "base_url" in settings:
            settings = {"base_url": server.url + settings["base_url"]}
        answers = make_client(server, **settings).answer(MANY)
        assert len(server.wrong) <= 8
        for answer in answers:
            assert all(code in str(answer.error) for code in codes)


@pytest.mark.parametrize(
    "action, code",
    [
        (Fail(403, "not for you"), "G711"),
        (Fail(405), "G712"),
        (Raw(b"", status=308), "G712"),
        (Fail(402, "pay"), "G713"),
        (Fail(429, "You exceeded your quota", "insufficient_quota"), "G713"),
    ],
)
def test_what_stops_the_run(action, code):
    with Server(lambda call: action) as server:
        answers = make_client(server).answer(MANY)
        assert len(server.calls) <= 8
        assert all(code in str(answer.error) for answer in answers)


def test_a_question_that_is_forbidden_alone():
    def script(call):
        return Fail(403, "flagged") if call.prompt == "bad" else "good"

    with Server(script) as server:
        answers = make_client(server, max_concurrent=1).answer(["a", "bad", "b"])
        assert [str(answer) for answer in answers] == ["good", "", "good"]
        assert "G711" in str(answers[1].error)


@pytest.mark.parametrize(
    "action, code",
    [
        (Fail(400, "maximum context length is 8", "context_length_exceeded"), "G714"),
        (Fail(413, "large"), "G714"),
        (Fail(400, "no"), "G715"),
        (Fail(422, "no"), "G715"),
        (Fail(418, "no"), "G715"),
        (Raw(b'{"detail": "not so"}', status=422), "not so"),
        (Raw(b'{"error": "plain"}', status=400), "plain"),
        (Raw(b"<b>proxy</b>", "text/html", 400), "<b>proxy</b>"),
        (Raw(b'{"error": {"message": "hidden", "code": 400}}'), "G715"),
    ],
)
def test_what_fails_one_question_alone(action, code):
    def script(call):
        return action if call.prompt == "bad" else "good"

    with Server(script) as server:
        client = make_client(server, max_tokens=9)
        answers = client.answer(["bad", "good", "bad", "good"])
        assert [str(answer) for answer in answers] == ["", "good", "", "good"]
        assert code in str(answers[0].error) and code in str(answers[2].error)
        assert client.usage.retries == 0
        assert len(server.calls) == 4


def test_a_limit_that_was_a_guess_is_left_out():
    def script(call):
        if "max_tokens" in call.body:
            return Fail(400, "This model's maximum context length is 300 tokens")
        return "good"

    with Server(script) as server:
        assert make_client(server).answer([make_question()]) == ["good"]
        (answer,) = make_client(server, max_tokens=500).answer([make_question()])
        assert "G714" in str(answer.error)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 300 tokens",
        "max_tokens is too large: 400. This model supports at most 300",
    ],
)
def test_a_guess_for_a_completion_is_halved(said):
    def script(call):
        # Without a limit, it would have very few tokens.
        return "good" if call.body["max_tokens"] <= 200 else Fail(400, said)

    question = make_question("Lisbon " * 100 + "end")
    with Server(script) as server:
        client = make_client(server, call="completion")
        assert client.answer([question]) == ["good"]
        limits = [call.body["max_tokens"] for call in server.calls]
        assert limits == [limits[0] >> n for n in range(len(limits))]
        server.script = lambda call: Fail(400, said)
        (answer,) = client.answer([question])
        assert "G714" in str(answer.error)
        assert server.calls[-1].body["max_tokens"] >= 128


def test_a_guess_that_is_too_large_is_left_out():
    def script(call):
        large = "max_tokens is too large: 400. This model supports at most 300"
        return Fail(400, large) if "max_tokens" in call.body else "good"

    with Server(script) as server:
        assert make_client(server).answer([make_question()]) == ["good"]


def test_models_with_another_name_for_the_limit():
    def script(call):
        if "max_tokens" in call.body:
            return Fail(400, "Use 'max_completion_tokens' instead of 'max_tokens'")
        return str(call.body["max_completion_tokens"])

    with Server(script) as server:
        client = make_client(server, max_tokens=50, max_concurrent=1)
        assert client.answer(["a", "b"]) == ["50", "50"]
        # It is learned once.
        assert client.usage.requests == 3
        client = make_client(server, extra={"max_completion_tokens": 70})
        assert client.answer([make_question()]) == ["70"]
        assert client.usage.requests == 1


@pytest.mark.parametrize("format", list(SAID))
def test_structured_outputs_where_the_server_has_none(format):
    def script(call):
        if "response_format" in call.body:
            return Fail(400, "'response_format' of type 'json_schema' is not supported")
        return SAID[format]

    questions = [make_question(format=format)] * 20
    with Server(script) as server:
        client = make_client(server)
        with pytest.warns(GennerWarning, match="W700.*not supported") as warned:
            assert client.answer(questions) == [SAID[format]] * 20
        assert len(warned) == 1
        assert client.usage.requests <= 20 + 8
        before = len(server.calls)
        assert client.answer(questions) == [SAID[format]] * 20
        assert len(server.calls) == before + 20

        answers = make_client(server, structured=True).answer(questions[:2])
        assert all("G716" in str(answer.error) for answer in answers)

        before = len(server.calls)
        client = make_client(server, structured=False)
        assert client.answer(questions) == [SAID[format]] * 20
        assert len(server.calls) == before + 20


@pytest.mark.parametrize("structured", ["auto", True])
@pytest.mark.parametrize("format", list(SAID))
def test_structured_outputs_as_another_server_has_them(format, structured):
    """llama.cpp's in Python: it knows a schema by another name, and calls a request
    that names it otherwise its own failure."""

    def script(call):
        if call.body["response_format"]["type"] != "json_object":
            said = "'response_format', 'type': Input should be 'text' or 'json_object'"
            return Fail(500, said)
        return SAID[format]

    questions = [make_question(format=format)] * 20
    with Server(script) as server:
        client = make_client(server, structured=structured)
        assert client.answer(questions) == [SAID[format]] * 20
        assert client.usage.requests <= 20 + 8
        before = len(server.calls)
        assert client.answer(questions) == [SAID[format]] * 20
        assert len(server.calls) == before + 20
        asked = server.calls[-1].body["response_format"]
        assert asked["schema"] == answer_schema(format, LABELS)


@pytest.mark.parametrize("structured", ["auto", True])
def test_structured_outputs_by_neither_name(structured):
    def script(call):
        if "response_format" in call.body:
            return Fail(500, "'response_format' may not be 'json_object'")
        return SAID["offset_json"]

    with Server(script) as server:
        client = make_client(server, structured=structured)
        question = make_question(format="offset_json")
        if structured is True:
            (answer,) = client.answer([question])
            assert "G716" in str(answer.error)
        else:
            with pytest.warns(GennerWarning, match="W700"):
                assert client.answer([question]) == [SAID["offset_json"]]
        # By its first name, by its second, and without.
        assert len(server.calls) == (2 if structured is True else 3)


def test_another_refusal_leaves_the_schema_alone():
    def script(call):
        return Fail(400, "no 'seed'") if "seed" in call.body else Say("{}")

    with Server(script) as server:
        client = make_client(server, extra={"seed": 1})
        (answer,) = client.answer([make_question(format="grouped_json")])
        assert "G715" in str(answer.error) and "seed" in str(answer.error)
        assert len(server.calls) == 1
