"""The response cache: hits, concurrent use and damaged files."""

import multiprocessing
import os
import sqlite3
import threading
import time

import pytest
from remote_cases import ANSWERS, make_client, sample_prompt
from server import Fail, Respond, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.cache import FILE, CacheError, ResponseCache, request_key
from spacy_genner.llm.openai.protocol import ParsedResponse, YesNoProbability
from spacy_genner.llm.openai.settings import RemoteSettings


def test_answer_is_read_from_the_cache(tmp_path):
    folder = tmp_path / "new" / "cache"
    cut = Respond("cut \ud800 \x00 é", finish="length")
    with Server(lambda call: cut) as server:
        first = make_client(server, cache=folder)
        again = make_client(server, cache=str(folder))
        for client in (first, again):
            assert client.answer([sample_prompt()]) == ["cut \ufffd \x00 é"]
            assert client.usage.truncated == 1
        assert len(server.calls) == 1
        assert first.usage.from_cache == 0 and first.usage.prompt_tokens == 10
        assert again.usage.from_cache == 1 and again.usage.prompt_tokens == 0


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"extra": {"seed": 1}},
        {"system": "Be brief."},
        {"call": "completion"},
    ],
)
def test_different_requests_have_different_entries(tmp_path, change):
    with Server() as server:
        make_client(server, cache=tmp_path).answer(["prompt"])
        make_client(server, cache=tmp_path, **change).answer(["prompt"])
        make_client(server, cache=tmp_path).answer(["prompt "])
        assert len(server.calls) == 3
        make_client(server, cache=tmp_path, max_tries=1).answer(["prompt"])
        assert len(server.calls) == 3


def test_request_key():
    def key(url="http://a/v1", call="chat", **body):
        settings = RemoteSettings(name="m", base_url=url, call=call)
        return request_key(settings, body)

    keys = [
        key(),
        key(url="http://b/v1"),
        key(call="completion"),
        key(model="m"),
        key(model="n"),
        key(model="m", messages=["x"]),
    ]
    assert len(set(keys)) == len(keys)
    assert key(model="m") == keys[3]
    assert all(len(k) == 64 for k in keys)


def test_failures_are_not_cached(tmp_path):
    bad = {"null": Respond(None), "500": Fail(500), "400": Fail(400)}
    with Server(lambda call: bad.get(call.prompt, "good")) as server:
        client = make_client(server, cache=tmp_path, max_tries=1)
        client.answer([*bad, "good"])
        bad.clear()
        assert client.answer(["null", "500", "400", "good"]) == ["good"] * 4
        assert client.usage.from_cache == 1
        assert len(server.calls) == 7


def test_cache_hit_after_a_schema_was_refused(tmp_path):
    def script(call):
        refused = "response_format" in call.body
        return Fail(400, "response_format") if refused else ANSWERS["offset_json"]

    prompts = [sample_prompt(f"{i}", "offset_json") for i in range(5)]
    with Server(script) as server:
        with pytest.warns(GennerWarning, match="W700"):
            make_client(server, cache=tmp_path).answer(prompts)
        asked = len(server.calls)
        answers = make_client(server, cache=tmp_path).answer(prompts)
        assert answers == [ANSWERS["offset_json"]] * 5
        assert len(server.calls) == asked


def test_identical_requests_in_flight_are_sent_once(tmp_path):
    def script(call):
        time.sleep(0.05)
        return Fail(400) if call.prompt == "bad" else Respond("good", finish="length")

    prompts = [sample_prompt()] * 10 + ["bad"] * 3 + [sample_prompt("other")] * 2
    with Server(script) as server:
        client = make_client(server, cache=tmp_path)
        answers = client.answer(prompts)
        assert [str(a) for a in answers] == ["good"] * 10 + [""] * 3 + ["good"] * 2
        assert all("G715" in str(answer.error) for answer in answers[10:13])
        assert 3 <= len(server.calls) <= 5
        usage = client.usage
        assert (usage.from_cache, usage.truncated, usage.failures) == (10, 12, 3)
        # Without a cache every request is sent.
        before = len(server.calls)
        make_client(server).answer([sample_prompt()] * 5)
        assert len(server.calls) == before + 5


def test_cached_answer_without_a_required_schema_is_not_used(tmp_path):
    refuses = True

    def script(call):
        bad = refuses and "response_format" in call.body
        return Fail(400, "response_format") if bad else ANSWERS["offset_json"]

    prompt = sample_prompt(format="offset_json")
    with Server(script) as server:
        with pytest.warns(GennerWarning, match="W700"):
            make_client(server, cache=tmp_path).answer([prompt])
        required = {"cache": tmp_path, "structured": True}
        (answer,) = make_client(server, **required).answer([prompt])
        assert "G716" in str(answer.error)
        refuses = False
        for from_cache in (0, 1):
            client = make_client(server, **required)
            assert client.answer([prompt]) == [ANSWERS["offset_json"]]
            assert client.usage.from_cache == from_cache


def test_cached_answer_without_logprobs_warns_again(tmp_path):
    def script(call):
        return Fail(400, "no logprobs") if "logprobs" in call.body else "Yes"

    with Server(script) as server:
        for message in ("no logprobs", "in the cache"):
            client = make_client(server, cache=tmp_path)
            with pytest.warns(GennerWarning, match=f"W701.*{message}") as warned:
                assert client.probabilities(["a", "b"]) == [YesNoProbability(1.0)] * 2
                client.probabilities(["a", "b"])
            assert len(warned) == 1
        assert len(server.calls) <= 6


def test_row_of_an_earlier_version(tmp_path):
    with Server() as server:
        make_client(server, cache=tmp_path).answer(["prompt"])
        with sqlite3.connect(tmp_path / FILE) as database:
            row = '["of old", false, null, 1, 1]'
            database.execute("UPDATE answers SET reply = ?", (row,))
        database.close()
        answers = make_client(server, cache=tmp_path).answer(["prompt"])
        assert answers == ["of old"]


def test_logprobs_are_cached(tmp_path):
    top = [{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -2.0}]
    content = {"content": [{**top[0], "top_logprobs": top}]}
    with Server(lambda call: Respond("Yes", logprobs=content)) as server:
        first = make_client(server, cache=tmp_path).probabilities(["prompt"])
        assert make_client(server, cache=tmp_path).probabilities(["prompt"]) == first
        assert len(server.calls) == 1
        assert 0.8 < first[0].probability < 0.9


def test_interrupted_run_keeps_its_answers(tmp_path):
    with Server() as server:
        client = make_client(server, cache=tmp_path, max_concurrent=2)
        answers = client.stream(str(i) for i in range(1000))
        for _ in range(20):
            next(answers)
        answers.close()
        again = make_client(server, cache=tmp_path)
        again.answer([str(i) for i in range(20)])
        assert again.usage.from_cache == 20


def write(folder, name):
    cache = ResponseCache(folder)
    for i in range(200):
        cache.put(f"{name} {i}", ParsedResponse(f"{name} {i}"))
        cache.put("both", ParsedResponse("same"))
        assert cache.get("both") == ParsedResponse("same")
    cache.close()


def test_concurrent_processes_and_threads(tmp_path):
    folder = str(tmp_path)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=write, args=(folder, n)) for n in ("one", "two")]
    for other in others:
        other.start()
    cache = ResponseCache(folder)

    def work(name):
        for i in range(100):
            cache.put(f"{name} {i}", ParsedResponse(f"{name} {i}", True, [1.5], 3, 4))

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    for name in ("one", "two"):
        assert all(cache.get(f"{name} {i}").text == f"{name} {i}" for i in range(200))
    for name in "abcd":
        for i in range(100):
            assert cache.get(f"{name} {i}") == ParsedResponse(
                f"{name} {i}", True, [1.5], 3, 4
            )
    assert cache.get("none") is None
    cache.close()


def refused(folder):
    with Server() as server:
        client = make_client(server, cache=folder)
        with pytest.raises(
            CacheError, match=r"G72[23].*(Remove|Check|folder)"
        ) as error:
            client.answer(["prompt"])
        assert server.calls == []
    return str(error.value)


def test_damaged_file(tmp_path):
    file = tmp_path / FILE
    file.write_bytes(b"no database at all, but long enough to be one" * 100)
    message = refused(tmp_path)
    assert "G722" in message and str(file) in message
    assert file.read_bytes().startswith(b"no database")


def test_truncated_file(tmp_path):
    cache = ResponseCache(str(tmp_path))
    for i in range(500):
        cache.put(str(i), ParsedResponse("x" * 200))
    cache.close()
    file = tmp_path / FILE
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CacheError, match="G722"):
        cache = ResponseCache(str(tmp_path))
        try:
            for i in range(500):
                cache.get(str(i))
        finally:
            cache.close()


@pytest.mark.parametrize(
    "reply", ["no JSON", "[]", "3", "[1, false, null, 1, 1]", "[1, 2, 3, 4, 5, 6]"]
)
def test_damaged_row(tmp_path, reply):
    with Server() as server:
        client = make_client(server, cache=tmp_path)
        client.answer(["prompt"])
        with sqlite3.connect(tmp_path / FILE) as database:
            database.execute("UPDATE answers SET reply = ?", (reply,))
        database.close()
        with pytest.raises(CacheError, match="G722"):
            client.answer(["prompt"])


def test_file_of_another_program(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    assert "another program" in refused(tmp_path)


def test_file_of_another_version(tmp_path):
    ResponseCache(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    assert "layout" in refused(tmp_path)


def test_folder_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert "G723" in refused(tmp_path / "file")
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    assert "G723" in refused(tmp_path / "folder")


def test_answer_is_returned_if_the_cache_is_full(tmp_path, monkeypatch):
    def full(self, key, reply):
        raise CacheError("[G723] disk full")

    monkeypatch.setattr(ResponseCache, "put", full)
    with Server() as server:
        client = make_client(server, cache=tmp_path)
        with pytest.warns(GennerWarning, match="W704.*disk full"):
            assert client.answer(["a"]) == ["answer to a"]


@pytest.mark.skipif(os.name != "posix", reason="Modes of POSIX systems.")
def test_only_the_owner_can_read_answers(tmp_path):
    before = os.umask(0)
    try:
        cache = ResponseCache(str(tmp_path / "new" / "answers"))
        cache.put("key", ParsedResponse("x", False, None, 1, 1, ()))
    finally:
        os.umask(before)
    folder = tmp_path / "new" / "answers"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) > 1
    for path in (folder, folder.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    cache.close()
