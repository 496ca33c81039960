"""Retries: backoff, requested waits and the rate limiter."""

import pytest
from remote_cases import FakeTime, make_client
from server import Fail, Respond, Server

from spacy_genner.llm.openai.retry import Clock, exhausted_wait, requested_wait

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "headers, limited, wait",
    [
        ({}, True, None),
        ({"retry-after": "7"}, False, 7.0),
        ({"retry-after": "0.5"}, True, 0.5),
        ({"retry-after": "-3"}, True, 0.0),
        ({"retry-after": "soon"}, True, None),
        ({"retry-after": "nan"}, True, None),
        ({"retry-after": "inf"}, True, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, True, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, True, 0.0),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:00 GMT"}, True, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, True, 1.5),
        ({"x-ratelimit-reset-requests": "1m30.5s"}, True, 90.5),
        ({"x-ratelimit-reset-requests": "20ms"}, True, 0.02),
        ({"x-ratelimit-reset-tokens": "1h2m"}, True, 3720.0),
        ({"x-ratelimit-reset-tokens": "12"}, True, 12.0),
        ({"x-ratelimit-reset-tokens": "1m nonsense"}, True, None),
        ({"x-ratelimit-reset": str(int(NOW) + 40)}, True, 40.0),
        ({"x-ratelimit-reset": str(int(NOW + 40) * 1000)}, True, 40.0),
        # Only an exhausted limit is waited for.
        (
            {
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-requests": "6m",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "3s",
            },
            True,
            3.0,
        ),
        # A server sends its limits with other errors as well.
        ({"x-ratelimit-reset-requests": "6m"}, False, None),
    ],
)
def test_requested_wait(headers, limited, wait):
    assert requested_wait(headers, NOW, limited) == pytest.approx(wait)


def test_exhausted_wait():
    assert exhausted_wait({"x-ratelimit-reset-tokens": "3s"}, NOW) is None
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3s"}
    assert exhausted_wait(headers, NOW) == 3.0


def test_backoff():
    highest = Clock(draw=lambda: 1.0)
    assert [highest.backoff(n) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert highest.backoff(10_000) == 30
    assert Clock(draw=lambda: 0.0).backoff(5) == 0
    assert 0 < Clock(draw=lambda: 0.3).backoff(2) < 0.5


def test_backoff_grows_with_failures():
    time = FakeTime()
    with Server(lambda call: Fail(500)) as server:
        make_client(server, time, max_tries=4).answer(["prompt"])
        assert len(server.calls) == 4
    limits = [0.5, 1.0, 2.0]
    assert len(time.slept) == 3
    assert all(0 <= s <= most for s, most in zip(time.slept, limits, strict=True))
    assert len(set(time.slept)) == 3


def test_pause_holds_back_all_requests():
    time = FakeTime()
    moments = []

    def script(call):
        moments.append((call.number, call.prompt, time.seconds))
        if call.number == 1:
            return Fail(429, headers={"Retry-After": "30"})
        return "good"

    with Server(script) as server:
        client = make_client(server, time, max_concurrent=1)
        assert client.answer(["a", "b", "c"]) == ["good"] * 3
    first, *others = moments
    assert all(moment >= first[2] + 30 for _, _, moment in others)
    assert 30.0 in time.slept


def test_concurrent_requests_wait_for_the_pause():
    time = FakeTime()
    late = []

    def script(call):
        if call.prompt == "0":
            return (
                Fail(429, headers={"Retry-After": "50"}) if call.attempt == 1 else "x"
            )
        if call.attempt == 1 and int(call.prompt) < 4:
            return Fail(500)
        late.append(time.seconds)
        return "x"

    with Server(script) as server:
        client = make_client(server, time, max_concurrent=4)
        assert client.answer([str(i) for i in range(12)]) == ["x"] * 12
    # All were sent after the pause, or together with the request that caused it.
    assert sum(moment >= 1050 for moment in late) >= 8


def test_rate_limit_with_a_time_does_not_count_as_a_failure():
    def script(call):
        return Fail(429, headers={"Retry-After": "1"}) if call.attempt < 9 else "good"

    with Server(script) as server:
        client = make_client(server, max_tries=2)
        assert client.answer(["prompt"]) == ["good"]
        assert client.usage.retries == 8


def test_endless_rate_limit():
    time = FakeTime()
    with Server(lambda call: Fail(429, headers={"Retry-After": "1"})) as server:
        client = make_client(server, time)
        (answer,) = client.answer(["prompt"])
        assert "G717" in str(answer.error) and "429" in str(answer.error)
        assert len(server.calls) < 100
    assert 500 < sum(time.slept) < 900


def test_endless_rate_limit_is_waited_for_once():
    def script(call):
        good = call.number <= 20
        return "good" if good else Fail(429, headers={"Retry-After": "100"})

    time = FakeTime()
    with Server(script) as server:
        client = make_client(server, time, max_concurrent=1)
        answers = client.answer([str(i) for i in range(300)])
        assert [str(answer) for answer in answers[:21]] == ["good"] * 20 + [""]
        # The first waits as long as allowed, and the others have their attempts.
        assert len(server.calls) <= 20 + 6 + 16 * 5
        assert "G717" in str(answers[20].error) and "G718" in str(answers[-1].error)


def test_rate_limit_without_a_time():
    time = FakeTime()
    with Server(lambda call: Fail(429)) as server:
        (answer,) = make_client(server, time, max_tries=3).answer(["prompt"])
        assert "in 3 tries" in str(answer.error)
    assert len(time.slept) == 2


def test_too_long_a_wait_stops_the_run():
    with Server(lambda call: Fail(429, headers={"Retry-After": "86400"})) as server:
        client = make_client(server, max_concurrent=2)
        answers = client.answer([str(i) for i in range(50)])
        assert all("G721" in str(answer.error) for answer in answers)
        assert "86400 seconds" in str(answers[0].error)
        assert len(server.calls) <= 2


def test_answer_that_exhausts_the_rate_limit():
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "20s",
    }
    time = FakeTime()
    moments = []

    def script(call):
        moments.append(time.seconds)
        return Respond("good", headers=headers if call.number == 1 else {})

    with Server(script) as server:
        client = make_client(server, time, max_concurrent=1)
        assert client.answer(["a", "b"]) == ["good", "good"]
    assert moments[1] >= moments[0] + 20
