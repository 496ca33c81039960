"""Batches across requests: order, turns, limits, deadlines and the end."""

import random
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from spacy_genner.serving.batcher import (
    FAILED,
    READY,
    STOPPED,
    NotAccepting,
    QueueFull,
    RequestBatcher,
)

LATER = float("inf")
# Fails a test instead of blocking it.
LIMIT = 10


def wait_for(condition):
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


class Work:
    """Records the batches. `gate` holds them until it is set."""

    def __init__(self, is_open=True):
        self.batches = []
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, texts):
        self.batches.append(texts)
        assert self.gate.wait(LIMIT)
        if "bad" in texts:
            raise ValueError("bad batch")
        return [text.upper() for text in texts]


@pytest.fixture
def make():
    """A function (work, **settings) -> a batcher that is ready."""
    made = []

    def start(work, **settings):
        batcher = RequestBatcher(work, **{"max_wait": 0.0, **settings})
        made.append((batcher, work))
        batcher.start()
        wait_for(lambda: batcher.state == READY)
        return batcher

    yield start
    for batcher, work in made:
        work.gate.set()
        batcher.abort()
        assert batcher.join(LIMIT)


def hold(batcher, work):
    """Let the batcher work on a first text until the gate is opened."""
    first = batcher.submit(["first"], LATER)
    wait_for(lambda: work.batches == [["first"]])
    return first


def test_texts_of_several_requests_share_a_batch_and_return_in_order(make):
    work = Work(is_open=False)
    batcher = make(work)
    first = hold(batcher, work)
    one, two = batcher.submit(["a", "b"], LATER), batcher.submit(["c"], LATER)
    assert (batcher.queued, batcher.running) == (3, 1)
    work.gate.set()
    assert first.future.result(LIMIT) == ["FIRST"]
    assert one.future.result(LIMIT) == ["A", "B"]
    assert two.future.result(LIMIT) == ["C"]
    assert work.batches[1:] == [["a", "c", "b"]]


def test_requests_take_turns(make):
    """A request with one text is in the next batch, however many others wait."""
    work = Work(is_open=False)
    batcher = make(work, batch_size=4)
    hold(batcher, work)
    large = batcher.submit([f"large {number}" for number in range(10)], LATER)
    small = batcher.submit(["small"], LATER)
    work.gate.set()
    assert large.future.result(LIMIT) == [f"LARGE {number}" for number in range(10)]
    assert small.future.result(LIMIT) == ["SMALL"]
    assert work.batches[1] == ["large 0", "small", "large 1", "large 2"]
    assert [len(batch) for batch in work.batches[1:]] == [4, 4, 3]


def test_the_first_text_waits_for_others(make):
    work = Work()
    batcher = make(work, max_wait=LIMIT, batch_size=3)
    requests = [batcher.submit([text], LATER) for text in "abc"]
    # The batch is full, so nothing waits for the limit.
    assert [each.future.result(LIMIT / 2) for each in requests] == [["A"], ["B"], ["C"]]
    assert work.batches == [["a", "b", "c"]]


def test_a_lone_text_waits_no_longer_than_the_limit(make):
    batcher = make(Work(), max_wait=0.01)
    assert batcher.submit(["a"], LATER).future.result(LIMIT) == ["A"]


def test_a_full_queue_takes_a_request_as_a_whole_or_not_at_all(make):
    work = Work(is_open=False)
    batcher = make(work, queue_size=3)
    hold(batcher, work)
    kept = batcher.submit(["a", "b"], LATER)
    with pytest.raises(
        QueueFull, match=r"G813.*2 texts wait.*holds 3.*the 2 texts"
    ) as e:
        batcher.submit(["c", "d"], LATER)
    assert e.value.retry_after >= 1
    assert batcher.queued == 2
    last = batcher.submit(["e"], LATER)
    work.gate.set()
    assert kept.future.result(LIMIT) == ["A", "B"]
    assert last.future.result(LIMIT) == ["E"]
    assert sorted(sum(work.batches, [])) == ["a", "b", "e", "first"]


def test_the_time_to_retry_follows_the_measured_speed(make):
    batcher = make(Work(), queue_size=4)
    batcher.submit(["a"], LATER).future.result(LIMIT)
    wait_for(lambda: not batcher.running)
    batcher._seconds_per_text = 3.0
    assert batcher.retry_after(5) == 4
    batcher._seconds_per_text = 1e6
    assert batcher.retry_after(5) == 60


def test_a_request_without_texts_is_complete(make):
    batcher = make(Work())
    assert batcher.submit([], LATER).future.result(0) == []


def test_the_texts_of_a_cancelled_request_are_not_processed(make):
    work = Work(is_open=False)
    batcher = make(work, batch_size=2)
    hold(batcher, work)
    gone, kept = batcher.submit(["a", "b", "c"], LATER), batcher.submit(["d"], LATER)
    assert batcher.cancel(gone) == 3
    assert batcher.queued == 1
    work.gate.set()
    assert kept.future.result(LIMIT) == ["D"]
    assert work.batches == [["first"], ["d"]]
    with pytest.raises(CancelledError):
        gone.future.result(0)


def test_a_request_that_is_cancelled_during_its_batch_harms_nobody(make):
    work = Work(is_open=False)
    batcher = make(work)
    first = hold(batcher, work)
    assert batcher.cancel(first) == 0
    work.gate.set()
    assert batcher.submit(["a"], LATER).future.result(LIMIT) == ["A"]


def test_texts_are_dropped_after_their_deadline(make):
    work = Work(is_open=False)
    batcher = make(work)
    hold(batcher, work)
    late = batcher.submit(["a", "b"], time.monotonic())
    kept = batcher.submit(["c"], LATER)
    work.gate.set()
    assert kept.future.result(LIMIT) == ["C"]
    assert work.batches == [["first"], ["c"]]
    assert batcher.queued == 0
    # Whoever waits for it learns the number of dropped texts.
    assert batcher.cancel(late) == 2


def test_an_error_fails_only_the_requests_of_its_batch(make):
    work = Work()
    batcher = make(work, batch_size=1)
    bad = batcher.submit(["bad", "not processed"], LATER)
    with pytest.raises(ValueError, match="bad batch"):
        bad.future.result(LIMIT)
    assert batcher.submit(["a"], LATER).future.result(LIMIT) == ["A"]
    assert work.batches == [["bad"], ["a"]]
    assert batcher.queued == 0


def test_closing_finishes_what_waits_and_refuses_more(make):
    work = Work(is_open=False)
    batcher = make(work, batch_size=1)
    hold(batcher, work)
    waiting = batcher.submit(["a", "b"], LATER)
    batcher.close()
    with pytest.raises(NotAccepting, match="G815.*stops"):
        batcher.submit(["c"], LATER)
    work.gate.set()
    assert waiting.future.result(LIMIT) == ["A", "B"]
    assert batcher.join(LIMIT)
    assert batcher.state == STOPPED and not batcher.is_alive


def test_aborting_fails_what_waits_and_what_runs(make):
    work = Work(is_open=False)
    batcher = make(work)
    first = hold(batcher, work)
    waiting = batcher.submit(["a", "b"], LATER)
    assert batcher.abort() == 2
    for request in (first, waiting):
        with pytest.raises(NotAccepting):
            request.future.result(0)
    work.gate.set()
    assert batcher.join(LIMIT)
    assert work.batches == [["first"]]


def test_texts_are_refused_until_the_model_is_ready():
    gate = threading.Event()
    batcher = RequestBatcher(Work(), prepare=lambda: gate.wait(LIMIT))
    batcher.start()
    with pytest.raises(NotAccepting, match="G815.*loaded"):
        batcher.submit(["a"], LATER)
    gate.set()
    wait_for(lambda: batcher.state == READY)
    batcher.close()
    assert batcher.join(LIMIT)


def test_a_model_that_cannot_be_prepared():
    def fail():
        raise ValueError("no base")

    batcher = RequestBatcher(Work(), prepare=fail)
    batcher.start()
    assert batcher.join(LIMIT)
    assert batcher.state == FAILED and str(batcher.failure) == "no base"
    with pytest.raises(NotAccepting):
        batcher.submit(["a"], LATER)


def test_many_threads_lose_and_mix_nothing(make):
    seen = []
    batches = []

    def work(texts):
        time.sleep(random.random() / 2000)
        seen.extend(texts)
        return [text.upper() for text in texts]

    work.gate = threading.Event()
    batcher = make(
        work,
        batch_size=7,
        max_wait=0.0005,
        queue_size=10_000,
        on_batch=lambda size, seconds: batches.append(size),
    )

    def client(number):
        choose = random.Random(number)
        sent = cancelled = 0
        for turn in range(40):
            texts = [f"{number}-{turn}-{i}-x" for i in range(choose.randint(0, 9))]
            request = batcher.submit(texts, LATER)
            if choose.random() < 0.1:
                cancelled += batcher.cancel(request)
            else:
                expected = [text.upper() for text in texts]
                assert request.future.result(LIMIT) == expected
            sent += len(texts)
        return sent, cancelled

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(client, range(16)))
    wait_for(lambda: not batcher.queued and not batcher.running)
    sent, cancelled = (sum(column) for column in zip(*counts, strict=True))
    assert len(seen) == len(set(seen)) == sent - cancelled == sum(batches)
    assert max(batches) > 1
