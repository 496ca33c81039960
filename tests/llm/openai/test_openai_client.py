"""Questions to a server and their answers: order, bounds, failures, ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import accumulate
from pathlib import Path

import pytest
import spacy
from remote_cases import ENV, SAID, TEXT, make_client, make_question
from server import KEY, Hang, Say, Server

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned
from spacy_genner.llm.messages import Completion
from spacy_genner.llm.openai.client import THREAD_NAME
from spacy_genner.llm.openai.protocol import make_request
from spacy_genner.llm.openai.retry import RemoteError
from spacy_genner.llm.openai.settings import RemoteSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def threads():
    return [t for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_answers_come_in_order(call):
    def slow_first(call):
        time.sleep(0.05 if call.number % 3 == 0 else 0)
        return Say(f"answer to {call.prompt}")

    questions = [f"question {i}" for i in range(40)]
    with Server(slow_first) as server:
        client = make_client(server, call=call)
        answers = client.answer(questions)
        assert answers == [f"answer to question {i}" for i in range(40)]
        assert all(isinstance(answer, Completion) for answer in answers)
        assert all(answer.error is None for answer in answers)
        assert server.wrong == []
        assert {c.kind for c in server.calls} == {call}
        usage = client.usage
    assert (usage.requests, usage.retries, usage.failures) == (40, 0, 0)
    assert (usage.prompt_tokens, usage.completion_tokens) == (400, 80)
    assert usage.cost is None and usage.uncounted == 0
    assert threads() == []


def test_nothing_is_asked_without_questions():
    with Server() as server:
        assert make_client(server).answer([]) == []
        assert server.calls == []


@pytest.mark.parametrize("limit", [1, 4])
def test_no_more_requests_at_a_time_than_allowed(limit):
    def slow(call):
        time.sleep(0.02)
        return "yes"

    with Server(slow) as server:
        make_client(server, max_concurrent=limit).answer([str(i) for i in range(20)])
        assert server.most_at_once == limit


def test_a_stream_holds_a_bounded_number():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield f"question {read}"

    with Server() as server:
        answers = make_client(server, max_concurrent=2).stream(endless())
        for number in range(1, 101):
            assert next(answers) == f"answer to question {number}"
            assert read <= number + 8
        answers.close()
        assert threads() == []
        assert len(server.calls) <= read


def test_a_stream_behind_a_slow_question_is_bounded():
    read = 0

    def source():
        nonlocal read
        for read in range(1, 101):
            yield str(read)

    with Server(lambda call: Hang() if call.prompt == "1" else "yes") as server:
        client = make_client(server, max_concurrent=2, timeout=3.0, max_tries=1)
        answers = list(client.stream(source()))
        assert isinstance(answers[0].error, RemoteError)
        assert answers[1:] == ["yes"] * 99

        answers = client.stream(source())
        assert next(answers).error is not None
        assert read <= 9
        answers.close()


def test_the_last_answer_leaves_no_thread():
    with Server() as server:
        answers = make_client(server).stream(["one"])
        assert next(answers) == "answer to one"
        assert threads() == []


def test_inside_a_running_event_loop():
    async def notebook():
        return make_client(server).answer(["one", "two"])

    with Server() as server:
        assert asyncio.run(notebook()) == ["answer to one", "answer to two"]


def test_one_client_in_several_threads():
    with Server() as server:
        client = make_client(server)
        found = {}

        def ask(name):
            found[name] = client.answer([f"{name} {i}" for i in range(20)])

        workers = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for name in "abc":
            assert found[name] == [f"answer to {name} {i}" for i in range(20)]
        assert client.usage.requests == 60


def test_what_a_request_says():
    with Server() as server:
        make_client(
            server, system="Be brief.", extra={"seed": 3, "top_p": 0.5}, max_tokens=7
        ).answer(["question"])
        make_client(server, temperature=None).answer(["question"])
        make_client(server, call="completion").answer(["question"])
        client = make_client(server, call="completion", structured=False)
        client.answer([make_question("Text: a b")])
        client.answer([make_question("a b")])
        assert server.wrong == []
        full, bare, completion, with_cue, question = (c.body for c in server.calls)
    assert full == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "question"},
        ],
        "temperature": 0.0,
        "max_tokens": 7,
        "seed": 3,
        "top_p": 0.5,
    }
    assert set(bare) == {"model", "messages"}
    assert completion["max_tokens"] > 200
    # A completion would go on to the next text; where the text says so itself, that
    # can't be seen.
    assert question["stop"] == ["\nText:"]
    assert "stop" not in with_cue


CITIES = [f"{name}{chr(97 + n)}" for name in ("Lisbon", "市川") for n in range(25)]
LIMITED = {
    "cities": ", ".join(CITIES * 2).replace(",", " ,"),
    "signs": " ".join('"' * 50),
    "Chinese": "市" * 1000,
    "short": "a b",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", LIMITED)
def test_no_right_answer_reaches_the_limit(name, format):
    text = LIMITED[name]
    question = make_question(text, format, ("PERSON", "LOCATION"))
    ends = list(accumulate(len(word) + 1 for word in question.subject.words))
    spans = [
        CharSpan(end - 1 - len(word), end - 1, "LOCATION")
        for word, end in zip(question.subject.words, ends, strict=True)
    ]
    right = get_format(format).render(text, spans, question.layout.labels)
    limit = make_request(RemoteSettings(name="gpt"), question).body["max_tokens"]
    # A token has a byte at least.
    assert len(right.encode()) < limit < 3 * len(right.encode()) + 400


def test_the_limit_leaves_room_for_the_prompt():
    question = make_question("Lisbon " * 200 + "end", "offset_json")

    def limit(length):
        settings = RemoteSettings(name="gpt", context_length=length)
        return make_request(settings, question).body["max_tokens"]

    assert limit(100_000) == limit(None) > 8000
    assert 1000 < limit(4096) < 4096 - 400
    # What is too long is the server's to refuse.
    assert limit(100) == 100


def test_line_breaks_around_an_answer():
    with Server(lambda call: "\n[a | ORG]\n\n") as server:
        client = make_client(server)
        assert client.answer([make_question("a"), make_question("\n a \n")]) == [
            "[a | ORG]",
            "\n[a | ORG]\n\n",
        ]
        # What another task asks for is its own.
        assert client.answer(["other"]) == ["\n[a | ORG]\n\n"]


@pytest.mark.parametrize("format", ["inline_bracketed", *SAID])
def test_what_is_thought_first_is_no_part_of_the_answer(format):
    written = SAID.get(format, TEXT)
    thought = "<think>\n[Lisbon | GPE]? [{\n</think>\n\n"
    with Server(lambda call: thought + written) as server:
        question = make_question(format=format)
        (answer,) = make_client(server).answer([question])
    # It is kept, for those who want to see it.
    assert answer == thought + written
    doc = spacy.blank("en")(TEXT)
    outcome = aligned(doc, answer, get_format(format), question.layout.labels)
    assert [issue["code"] for issue in outcome.issues] == ["extra_text"]
    expected = aligned(doc, written, get_format(format), question.layout.labels)
    assert outcome.spans == expected.spans


def test_a_source_that_fails_leaves_nothing():
    def source():
        yield "one"
        raise RuntimeError("the source broke")

    with Server(lambda call: Hang()) as server:
        with pytest.raises(RuntimeError, match="the source broke"):
            list(make_client(server).stream(source()))
        assert threads() == []


def test_ctrl_c_ends_at_once():
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import signal, threading
from remote_cases import make_client
# What runs in the background may have been started without it.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = make_client(sys.argv[1], timeout=600)
print("asking", flush=True)
try:
    client.answer([str(i) for i in range(100)])
except KeyboardInterrupt:
    print(threading.active_count(), flush=True)
"""
    with Server(lambda call: Hang()) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", program, server.url],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, ENV: KEY},
        )
        assert process.stdout.readline() == "asking\n"
        started = time.monotonic()
        while not server.calls and time.monotonic() - started < 30:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert time.monotonic() - started < 10
        assert process.returncode == 0
        # The main thread is all there is.
        assert output.strip() == "1"
