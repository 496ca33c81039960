"""The client: order, concurrency, request bodies, token limits and interruption."""

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
from remote_cases import ANSWERS, ENV, TEXT, make_client, sample_prompt
from server import KEY, Hang, Respond, Server

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.alignment import aligned
from spacy_genner.llm.messages import Completion
from spacy_genner.llm.openai.client import THREAD_NAME
from spacy_genner.llm.openai.protocol import make_request
from spacy_genner.llm.openai.retry import RemoteError
from spacy_genner.llm.openai.settings import RemoteSettings


def threads():
    return [t for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_answers_are_in_order(call):
    def slow_first(call):
        time.sleep(0.05 if call.number % 3 == 0 else 0)
        return Respond(f"answer to {call.prompt}")

    prompts = [f"prompt {i}" for i in range(40)]
    with Server(slow_first) as server:
        client = make_client(server, call=call)
        answers = client.answer(prompts)
        assert answers == [f"answer to prompt {i}" for i in range(40)]
        assert all(isinstance(answer, Completion) for answer in answers)
        assert all(answer.error is None for answer in answers)
        assert server.rejected == []
        assert {c.kind for c in server.calls} == {call}
        usage = client.usage
    assert (usage.requests, usage.retries, usage.failures) == (40, 0, 0)
    assert (usage.prompt_tokens, usage.completion_tokens) == (400, 80)
    assert usage.cost is None and usage.uncounted == 0
    assert threads() == []


def test_no_prompts_send_no_requests():
    with Server() as server:
        assert make_client(server).answer([]) == []
        assert server.calls == []


@pytest.mark.parametrize("limit", [1, 4])
def test_number_of_concurrent_requests(limit):
    def slow(call):
        time.sleep(0.02)
        return "yes"

    with Server(slow) as server:
        make_client(server, max_concurrent=limit).answer([str(i) for i in range(20)])
        assert server.max_in_flight == limit


def test_stream_reads_a_bounded_number_ahead():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield f"prompt {read}"

    with Server() as server:
        answers = make_client(server, max_concurrent=2).stream(endless())
        for number in range(1, 101):
            assert next(answers) == f"answer to prompt {number}"
            assert read <= number + 8
        answers.close()
        assert threads() == []
        assert len(server.calls) <= read


def test_stream_behind_a_slow_request_is_bounded():
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


def test_no_thread_is_left_after_the_last_answer():
    with Server() as server:
        answers = make_client(server).stream(["one"])
        assert next(answers) == "answer to one"
        assert threads() == []


def test_running_event_loop():
    async def notebook():
        return make_client(server).answer(["one", "two"])

    with Server() as server:
        assert asyncio.run(notebook()) == ["answer to one", "answer to two"]


def test_client_in_several_threads():
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


def test_request_bodies():
    with Server() as server:
        make_client(
            server, system="Be brief.", extra={"seed": 3, "top_p": 0.5}, max_tokens=7
        ).answer(["prompt"])
        make_client(server, temperature=None).answer(["prompt"])
        make_client(server, call="completion").answer(["prompt"])
        client = make_client(server, call="completion", structured=False)
        client.answer([sample_prompt("Text: a b")])
        client.answer([sample_prompt("a b")])
        assert server.rejected == []
        full, bare, completion, with_cue, prompt = (c.body for c in server.calls)
    assert full == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "prompt"},
        ],
        "temperature": 0.0,
        "max_tokens": 7,
        "seed": 3,
        "top_p": 0.5,
    }
    assert set(bare) == {"model", "messages"}
    assert completion["max_tokens"] > 200
    # A completion would continue with the next text. If the text has the same line,
    # that can't be detected.
    assert prompt["stop"] == ["\nText:"]
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
def test_correct_answers_fit_the_estimated_limit(name, format):
    text = LIMITED[name]
    prompt = sample_prompt(text, format, ("PERSON", "LOCATION"))
    ends = list(accumulate(len(word) + 1 for word in prompt.subject.words))
    spans = [
        CharSpan(end - 1 - len(word), end - 1, "LOCATION")
        for word, end in zip(prompt.subject.words, ends, strict=True)
    ]
    right = get_format(format).render(text, spans, prompt.layout.labels)
    limit = make_request(RemoteSettings(name="gpt"), prompt).body["max_tokens"]
    # A token has at least one byte.
    assert len(right.encode()) < limit < 3 * len(right.encode()) + 400


def test_estimated_limit_leaves_room_for_the_prompt():
    prompt = sample_prompt("Lisbon " * 200 + "end", "offset_json")

    def limit(length):
        settings = RemoteSettings(name="gpt", context_length=length)
        return make_request(settings, prompt).body["max_tokens"]

    assert limit(100_000) == limit(None) > 8000
    assert 1000 < limit(4096) < 4096 - 400
    # The server refuses a prompt that is too long.
    assert limit(100) == 100


def test_line_breaks_around_an_answer():
    with Server(lambda call: "\n[a | ORG]\n\n") as server:
        client = make_client(server)
        assert client.answer([sample_prompt("a"), sample_prompt("\n a \n")]) == [
            "[a | ORG]",
            "\n[a | ORG]\n\n",
        ]
        # The answers of foreign tasks are not changed.
        assert client.answer(["other"]) == ["\n[a | ORG]\n\n"]


@pytest.mark.parametrize("format", ["inline_bracketed", *ANSWERS])
def test_thoughts_are_not_part_of_the_answer(format):
    written = ANSWERS.get(format, TEXT)
    thought = "<think>\n[Lisbon | GPE]? [{\n</think>\n\n"
    with Server(lambda call: thought + written) as server:
        prompt = sample_prompt(format=format)
        (answer,) = make_client(server).answer([prompt])
    # Thoughts are kept for inspection.
    assert answer == thought + written
    doc = spacy.blank("en")(TEXT)
    outcome = aligned(doc, answer, get_format(format), prompt.layout.labels)
    assert [issue["code"] for issue in outcome.issues] == ["extra_text"]
    expected = aligned(doc, written, get_format(format), prompt.layout.labels)
    assert outcome.spans == expected.spans


def test_failing_iterable_leaves_no_thread():
    def source():
        yield "one"
        raise RuntimeError("the source broke")

    with Server(lambda call: Hang()) as server:
        with pytest.raises(RuntimeError, match="the source broke"):
            list(make_client(server).stream(source()))
        assert threads() == []


def test_keyboard_interrupt():
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import signal, threading
from remote_cases import make_client
# A background process may ignore the signal by default.
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
        # Only the main thread is left.
        assert output.strip() == "1"
