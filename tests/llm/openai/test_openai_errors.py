"""Permanent errors, and parameters that are left out since the server refuses them."""

import pytest
from remote_cases import ANSWERS, ENV, LABELS, make_client, sample_prompt
from server import KEY, Fail, Raw, Respond, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.protocol import answer_schema
from spacy_genner.llm.openai.retry import RemoteError

MANY = [str(i) for i in range(200)]


def test_invalid_key_stops_the_run(monkeypatch):
    monkeypatch.setenv(ENV, "sk-of-another-9876543210")
    with Server() as server:
        client = make_client(server)
        answers = client.answer(MANY)
        assert len(server.rejected) <= 8 and server.calls == []
        messages = {str(answer.error) for answer in answers}
        assert len(messages) == 1
        (message,) = messages
        assert "G710" in message and ENV in message and "401" in message
        assert all(isinstance(answer.error, RemoteError) for answer in answers)
        assert client.usage.failures == 200 and client.usage.retries == 0
        # The next call sends requests again, as the key may have been corrected.
        monkeypatch.setenv(ENV, KEY)
        assert client.answer(["a"]) == ["answer to a"]


def test_server_that_requires_a_key():
    with Server() as server:
        (answer,) = make_client(server, api_key_env=None).answer(["a"])
        assert "G710" in str(answer.error) and "api_key_env" in str(answer.error)
    with Server(key=None) as server:
        assert make_client(server, api_key_env=None).answer(["a"]) == ["answer to a"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_key_is_an_error_before_any_request(monkeypatch, value):
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
        assert server.calls == server.rejected == []


@pytest.mark.parametrize("value", ["sk-a b", "sk-a\nb: c", "sk-ä"])
def test_key_that_is_not_valid_in_a_header(monkeypatch, value):
    monkeypatch.setenv(ENV, value)
    with Server() as server:
        with pytest.raises(ValueError, match=f"G706.*{ENV}") as caught:
            make_client(server).answer(["a"])
        assert value not in str(caught.value)
        assert server.calls == server.rejected == []


@pytest.mark.parametrize(
    "settings, codes",
    [
        ({"name": "other"}, ("G712", "'other'", "base_url", "404")),
        ({"base_url": "/wrong"}, ("G712", "Invalid URL", "404")),
    ],
)
def test_wrong_model_or_address_stops_the_run(settings, codes):
    with Server() as server:
        if "base_url" in settings:
            settings = {"base_url": server.url + settings["base_url"]}
        answers = make_client(server, **settings).answer(MANY)
        assert len(server.rejected) <= 8
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
def test_fatal_errors_stop_the_run(action, code):
    with Server(lambda call: action) as server:
        answers = make_client(server).answer(MANY)
        assert len(server.calls) <= 8
        assert all(code in str(answer.error) for answer in answers)


def test_forbidden_prompt_after_others_succeeded():
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
def test_errors_of_a_single_prompt(action, code):
    def script(call):
        return action if call.prompt == "bad" else "good"

    with Server(script) as server:
        client = make_client(server, max_tokens=9)
        answers = client.answer(["bad", "good", "bad", "good"])
        assert [str(answer) for answer in answers] == ["", "good", "", "good"]
        assert code in str(answers[0].error) and code in str(answers[2].error)
        assert client.usage.retries == 0
        assert len(server.calls) == 4


def test_estimated_limit_is_left_out():
    def script(call):
        if "max_tokens" in call.body:
            return Fail(400, "This model's maximum context length is 300 tokens")
        return "good"

    with Server(script) as server:
        assert make_client(server).answer([sample_prompt()]) == ["good"]
        (answer,) = make_client(server, max_tokens=500).answer([sample_prompt()])
        assert "G714" in str(answer.error)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 300 tokens",
        "max_tokens is too large: 400. This model supports at most 300",
    ],
)
def test_estimated_limit_of_a_completion_is_halved(message):
    def script(call):
        # Without a limit, a completion would have very few tokens.
        return "good" if call.body["max_tokens"] <= 200 else Fail(400, message)

    prompt = sample_prompt("Lisbon " * 100 + "end")
    with Server(script) as server:
        client = make_client(server, call="completion")
        assert client.answer([prompt]) == ["good"]
        limits = [call.body["max_tokens"] for call in server.calls]
        assert limits == [limits[0] >> n for n in range(len(limits))]
        server.script = lambda call: Fail(400, message)
        (answer,) = client.answer([prompt])
        assert "G714" in str(answer.error)
        assert server.calls[-1].body["max_tokens"] >= 128


def test_estimated_limit_that_is_too_large_is_left_out():
    def script(call):
        large = "max_tokens is too large: 400. This model supports at most 300"
        return Fail(400, large) if "max_tokens" in call.body else "good"

    with Server(script) as server:
        assert make_client(server).answer([sample_prompt()]) == ["good"]


def test_max_completion_tokens():
    def script(call):
        if "max_tokens" in call.body:
            return Fail(400, "Use 'max_completion_tokens' instead of 'max_tokens'")
        return str(call.body["max_completion_tokens"])

    with Server(script) as server:
        client = make_client(server, max_tokens=50, max_concurrent=1)
        assert client.answer(["a", "b"]) == ["50", "50"]
        # The name is learned once.
        assert client.usage.requests == 3
        client = make_client(server, extra={"max_completion_tokens": 70})
        assert client.answer([sample_prompt()]) == ["70"]
        assert client.usage.requests == 1


@pytest.mark.parametrize("format", list(ANSWERS))
def test_server_without_structured_outputs(format):
    def script(call):
        if "response_format" in call.body:
            return Fail(400, "'response_format' of type 'json_schema' is not supported")
        return ANSWERS[format]

    prompts = [sample_prompt(format=format)] * 20
    with Server(script) as server:
        client = make_client(server)
        with pytest.warns(GennerWarning, match="W700.*not supported") as warned:
            assert client.answer(prompts) == [ANSWERS[format]] * 20
        assert len(warned) == 1
        assert client.usage.requests <= 20 + 8
        before = len(server.calls)
        assert client.answer(prompts) == [ANSWERS[format]] * 20
        assert len(server.calls) == before + 20

        answers = make_client(server, structured=True).answer(prompts[:2])
        assert all("G716" in str(answer.error) for answer in answers)

        before = len(server.calls)
        client = make_client(server, structured=False)
        assert client.answer(prompts) == [ANSWERS[format]] * 20
        assert len(server.calls) == before + 20


@pytest.mark.parametrize("structured", ["auto", True])
@pytest.mark.parametrize("format", list(ANSWERS))
def test_structured_outputs_of_llama_cpp_python(format, structured):
    """The server has its own form of a schema, and responds to OpenAI's form with a
    status of 500."""

    def script(call):
        if call.body["response_format"]["type"] != "json_object":
            message = (
                "'response_format', 'type': Input should be 'text' or 'json_object'"
            )
            return Fail(500, message)
        return ANSWERS[format]

    prompts = [sample_prompt(format=format)] * 20
    with Server(script) as server:
        client = make_client(server, structured=structured)
        assert client.answer(prompts) == [ANSWERS[format]] * 20
        assert client.usage.requests <= 20 + 8
        before = len(server.calls)
        assert client.answer(prompts) == [ANSWERS[format]] * 20
        assert len(server.calls) == before + 20
        asked = server.calls[-1].body["response_format"]
        assert asked["schema"] == answer_schema(format, LABELS)


@pytest.mark.parametrize("structured", ["auto", True])
def test_server_that_refuses_both_forms_of_structured_outputs(structured):
    def script(call):
        if "response_format" in call.body:
            return Fail(500, "'response_format' may not be 'json_object'")
        return ANSWERS["offset_json"]

    with Server(script) as server:
        client = make_client(server, structured=structured)
        prompt = sample_prompt(format="offset_json")
        if structured is True:
            (answer,) = client.answer([prompt])
            assert "G716" in str(answer.error)
        else:
            with pytest.warns(GennerWarning, match="W700"):
                assert client.answer([prompt]) == [ANSWERS["offset_json"]]
        # In the first form, in the second form, and without a schema.
        assert len(server.calls) == (2 if structured is True else 3)


def test_unrelated_error_keeps_the_schema():
    def script(call):
        return Fail(400, "no 'seed'") if "seed" in call.body else Respond("{}")

    with Server(script) as server:
        client = make_client(server, extra={"seed": 1})
        (answer,) = client.answer([sample_prompt(format="grouped_json")])
        assert "G715" in str(answer.error) and "seed" in str(answer.error)
        assert len(server.calls) == 1
