"""Transient errors, malformed responses and limits, none of which lose a prompt."""

import gzip
import os
import time

import pytest
from remote_cases import ENV, FakeTime, make_client, sample_prompt
from server import Cut, Drip, Fail, Hang, Raw, Respond, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai import client as client_module
from spacy_genner.llm.openai.retry import RemoteError


@pytest.mark.parametrize(
    "action, message",
    [
        (Fail(500, "it broke"), "500: it broke"),
        (Fail(503), "503"),
        (Fail(408), "408"),
        (Fail(409), "409"),
        (Fail(425), "425"),
        (Cut(), "RemoteProtocolError"),
        (Raw(b'{"choices": [{"mess'), "not JSON"),
        (Raw(b"<html>Welcome</html>", "text/html"), "(text/html): '<html>Welcome"),
        (Raw(b'{"choices": []}'), "no choices"),
        (Raw(b'{"object": "list"}'), "no choices"),
        (Raw(b"[" * 100_000), "not JSON"),
        (Raw(b'{"choices": [{"message": 3}]}'), "message"),
        (Raw(b'{"choices": [{"message": {"content": 3}}]}'), "content"),
        (Raw(b'{"error": {"message": "busy"}}'), "busy"),
        (Raw(b'{"error": {"message": "busy", "code": 502}}'), "502: busy"),
    ],
)
def test_transient_errors_are_retried(action, message):
    with Server(lambda call: action if call.attempt < 3 else "good") as server:
        client = make_client(server)
        assert client.answer(["prompt", "other"]) == ["good", "good"]
        assert (client.usage.requests, client.usage.retries) == (6, 4)
    with Server(lambda call: action if call.prompt == "bad" else "good") as server:
        client = make_client(server, max_tries=3)
        good, bad, last = client.answer(["good", "bad", "last"])
        assert (good, last) == ("good", "good")
        assert bad == "" and isinstance(bad.error, RemoteError)
        assert "G717" in str(bad.error) and "in 3 tries" in str(bad.error)
        assert message in str(bad.error)
        assert (client.usage.requests, client.usage.failures) == (5, 1)
        assert server.rejected == []


@pytest.mark.parametrize("action", [Hang(), Drip()])
def test_time_limit(action):
    with Server(lambda call: action if call.attempt == 1 else "good") as server:
        client = make_client(server, timeout=1.0)
        started = time.monotonic()
        assert client.answer(["prompt"]) == ["good"]
        assert 1.0 <= time.monotonic() - started < 20
        # A slow machine may reach it again.
        assert client.usage.retries >= 1


def test_connection_refused():
    with Server() as server:
        url = server.url
    client = make_client(url, max_tries=2)
    answers = client.answer(["one", "two"])
    assert all("G717" in str(answer.error) for answer in answers)
    # Later prompts do not wait as long as the first ones did.
    answers = client.answer([str(i) for i in range(200)])
    assert len(answers) == 200
    assert "G718" in str(answers[-1].error) and url in str(answers[-1].error)
    assert client.usage.requests < 100


@pytest.mark.parametrize("workers", [1, 8, 20])
def test_circuit_breaker(workers):
    def script(call):
        return "good" if call.number <= 8 else Fail(500, "gone")

    prompts = [f"prompt {i}" for i in range(500)]
    with Server(script) as server:
        client = make_client(server, max_concurrent=workers, max_tries=3)
        answers = client.answer(prompts)
        assert [str(a) for a in answers].count("good") == 8
        errors = [str(answer.error) for answer in answers if answer.error]
        # No prompt is lost, and most are not sent.
        assert len(errors) == client.usage.failures == 492
        assert sum("G718" in error for error in errors) > 400
        assert "in a row" in errors[-1] and "500: gone" in errors[-1]
        assert client.usage.requests < 8 + 5 * 3 * max(16, workers)
        # The next call sends requests again.
        server.script = lambda call: "back"
        assert client.answer(prompts[:3]) == ["back"] * 3


def test_scattered_failures_do_not_open_the_circuit():
    def script(call):
        number = int(call.prompt)
        if number % 20 >= 10:
            return Fail(500)
        return Fail(400, "not this one") if number == 25 else "good"

    with Server(script) as server:
        client = make_client(server, max_concurrent=1, max_tries=1)
        answers = client.answer([str(i) for i in range(200)])
        assert client.usage.requests == 200 and client.usage.failures == 101
        assert not any("G718" in str(answer.error) for answer in answers)
        # A refused request shows that the server works.
        responses = [Fail(500)] * 7 + [Fail(400)]
        server.script = lambda call: responses[call.number % 8]
        answers = client.answer([f"again {i}" for i in range(80)])
        assert not any("G718" in str(answer.error) for answer in answers)


def test_answers_without_a_text():
    responses = {
        "null": Respond(None),
        "refused": Respond(None, refusal="I can't"),
        "thought": Respond(None, finish="length"),
        "filtered": Respond("half", finish="content_filter"),
    }
    with Server(lambda call: responses.get(call.prompt, "good")) as server:
        client = make_client(server)
        answers = client.answer([*responses, "good"])
        null, refused, thought, filtered = (str(a.error) for a in answers[:-1])
        assert answers[-1] == "good"
        assert "G719" in null and "null" in null
        assert "G719" in refused and "I can't" in refused
        assert "finish_reason: length" in thought and "max_tokens" in thought
        assert "G720" in filtered
        # The server answered, so that a retry would not help.
        assert client.usage.requests == 5 and client.usage.failures == 4
        # Thoughts are paid for.
        tokens = client.usage.prompt_tokens, client.usage.completion_tokens
        assert tokens == (50, 10) and client.usage.uncounted == 0


def test_truncated_answer():
    with Server(lambda call: Respond("[Lisbon | GP", finish="length")) as server:
        client = make_client(server)
        (answer,) = client.answer([sample_prompt()])
        assert answer == "[Lisbon | GP" and answer.error is None
        assert client.usage.truncated == 1
        # For prompts of foreign tasks, no parser of the project reports it.
        with pytest.warns(GennerWarning, match="W702.*max_tokens"):
            assert client.answer(["other", "another"]) == ["[Lisbon | GP"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x07 \u2028 \U0001f600 ]]>",
        '{"error": {"message": "no"}}',
        "<|im_end|><eos>\n\nHuman: ignore",
        "x" * 1_000_000,
    ],
)
def test_unusual_texts(text):
    with Server(lambda call: text) as server:
        assert make_client(server).answer(["prompt"]) == [text]


def test_lone_surrogates_are_replaced():
    with Server(lambda call: "a\ud800b") as server:
        (answer,) = make_client(server).answer(["prompt \udc00"])
        assert answer == "a\ufffdb"


def test_content_in_parts():
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]
    with Server(lambda call: Respond(parts)) as server:
        assert make_client(server).answer(["prompt"]) == ["yes"]


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_size_limit_of_a_response(monkeypatch, status, encoding):
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", 1000)
    content = b"x" * 10_000
    if encoding == "gzip":
        content = gzip.compress(content)
        assert len(content) < 1000
    raw = Raw(content, status=status, headers={"Content-Encoding": encoding})
    with Server(lambda call: raw) as server:
        (answer,) = make_client(server, max_tries=1).answer(["prompt"])
        assert "more than 1000 bytes" in str(answer.error)


def test_tokens_that_are_not_reported():
    usages = {"a": None, "b": {"prompt_tokens": -1}, "c": {"prompt_tokens": "many"}}

    def script(call):
        return (
            Respond("yes", usage=usages[call.prompt])
            if call.prompt in usages
            else "yes"
        )

    with Server(script) as server:
        client = make_client(server, prices={"input": 1.5, "output": 6})
        client.answer([*usages, "d"])
        usage = client.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 2)
    assert usage.uncounted == 3
    assert usage.cost == pytest.approx((10 * 1.5 + 2 * 6) / 1e6)


def test_no_answer_is_lost_to_failures(tmp_path):
    kinds = [
        Fail(429, headers={"Retry-After": "2"}),
        Fail(500),
        Cut(),
        Hang(),
        Fail(429),
    ]

    def script(call):
        number = int(call.prompt.split()[-1])
        # 5 of 100 requests fail, each kind in turn, and a few of them twice.
        if number % 20 == 0 and call.attempt <= 1 + (number % 200 == 0):
            return kinds[number // 20 % len(kinds)]
        return f"answer to {call.prompt}"

    prompts = [f"prompt {i}" for i in range(1000)]
    time = FakeTime()
    with Server(script) as server:
        client = make_client(server, time, timeout=1.0, cache=str(tmp_path))
        answers = list(client.stream(iter(prompts)))
        assert answers == [f"answer to {prompt}" for prompt in prompts]
        assert all(answer.error is None for answer in answers)
        # A slow machine may reach the time-out once more.
        assert client.usage.retries >= 55 and client.usage.failures == 0
        assert server.rejected == []
        asked = len(server.calls)
        assert 1055 <= asked <= client.usage.requests

        again = make_client(server, cache=str(tmp_path))
        assert again.answer(prompts) == answers
        assert len(server.calls) == asked
        assert again.usage.from_cache == 1000 and again.usage.requests == 0
    # Without a server and a key as well.
    os.environ.pop(ENV)
    assert make_client(server, cache=str(tmp_path)).answer(prompts) == answers
