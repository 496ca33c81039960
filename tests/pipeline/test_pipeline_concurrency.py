"""Streams, threads, processes, and several components on one base."""

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from component_cases import (
    NAME,
    NESTED,
    TEXTS,
    component,
    digest,
    found,
    make_doc,
    make_examples,
    perturb,
    pipeline,
    result,
    results,
    trained_pipeline,
)
from thinc.api import Adam

from spacy_genner.errors import GennerWarning
from spacy_genner.pipeline.local import warn_gpu_in_subprocess

TESTS = Path(__file__).parent
MANY = [text for text, _ in TEXTS + NESTED] * 3


def assert_close(one, two, tolerance=1e-5):
    """The results are equal up to the last digits of the scores, which depend on the
    padding of a batch."""
    assert [row[0] for row in one] == [row[0] for row in two]
    for first, second in zip(one, two, strict=True):
        assert first[1] == pytest.approx(second[1], abs=tolerance)
        assert first[2:] == second[2:]


def counted(items, seen):
    for item in items:
        seen.append(item)
        yield item


LONG_STREAM = """
import random, resource, sys
sys.path.insert(0, sys.argv[1])
from component_cases import trained_pipeline

def resident():
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[1]) * resource.getpagesize() / 1e6

def sentences(count, seen):
    choose = random.Random(0)
    words = ["Lisbon", "hosts", "the", "University", "of", "Porto", "Maria", "rains"]
    for number in range(count):
        seen.append(number)
        picked = [choose.choice(words) for _ in range(choose.randint(0, 9))]
        yield " ".join([*picked, str(number)]), number

nlp = trained_pipeline(sys.argv[2])
read = []
sizes = []
behind = 0
for expected, (doc, number) in enumerate(
    nlp.pipe(sentences(20_000, read), as_tuples=True, batch_size=64)
):
    assert number == expected and doc.text.split()[-1] == str(number)
    assert doc.spans["sc"].attrs["status"] == "ok"
    behind = max(behind, len(read) - expected)
    if number in (4_999, 19_999):
        sizes.append(resident())
print(len(read), behind, *sizes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Reads /proc.")
def test_memory_does_not_grow_with_a_long_stream(tiny_base):
    """20,000 sentences are yielded in order, and at most two batches are read ahead.
    The tolerance covers spaCy's string store, which grows with new words."""
    run = subprocess.run(
        [sys.executable, "-c", LONG_STREAM, str(TESTS), str(tiny_base("llama"))],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    count, behind, early, late = map(float, run.stdout.split())
    assert count == 20_000 and behind <= 128
    assert late - early < 40


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stream_is_read_batch_by_batch(tiny_base, batch_size):
    """At most one batch is read ahead, and its documents are yielded directly."""
    nlp = trained_pipeline(tiny_base("llama"))
    seen = []
    docs = (make_doc(nlp, text) for text in MANY)
    stream = nlp.pipe(counted(docs, seen), batch_size=batch_size)
    for index in range(len(MANY)):
        doc = next(stream)
        assert doc is seen[index]
        assert len(seen) == min(len(MANY), (index // batch_size + 1) * batch_size)
    assert next(stream, None) is None


def test_an_endless_stream(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))

    def endless():
        while True:
            yield make_doc(nlp, TEXTS[1][0])

    stream = nlp.pipe(endless(), batch_size=2)
    assert [found(next(stream)) for _ in range(5)] == [TEXTS[1][1]] * 5


def test_batches_and_single_documents_give_the_same_results(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    docs = [make_doc(nlp, text) for text in MANY]
    alone = [result(nlp(make_doc(nlp, text))) for text in MANY]
    assert_close([result(doc) for doc in nlp.pipe(docs)], alone)


def test_as_tuples(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pairs = [(make_doc(nlp, text), number) for number, (text, _) in enumerate(TEXTS)]
    out = list(nlp.pipe(pairs, as_tuples=True, batch_size=3))
    assert [number for _, number in out] == [0, 1, 2, 3]
    assert [found(doc) for doc, _ in out] == [spans for _, spans in TEXTS]


def test_a_disabled_component(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    with nlp.select_pipes(disable=NAME):
        assert "sc" not in nlp(make_doc(nlp, TEXTS[1][0])).spans
        assert all("sc" not in doc.spans for doc in nlp.pipe(["Lisbon"]))
        assert not component(nlp).lm.is_loaded
    assert found(nlp(make_doc(nlp, TEXTS[1][0]))) == TEXTS[1][1]
    doc = next(nlp.pipe([make_doc(nlp, TEXTS[1][0])], disable=[NAME]))
    assert "sc" not in doc.spans


def test_in_a_memory_zone(tiny_base):
    """A zone frees its strings at its end, and the next zone adds the labels again."""
    nlp = trained_pipeline(tiny_base("llama"))
    expected = results(nlp)
    fresh = trained_pipeline(tiny_base("llama"))
    for _ in range(2):
        with fresh.memory_zone():
            docs = [make_doc(fresh, text) for text, _ in TEXTS]
            assert_close([result(doc) for doc in fresh.pipe(docs)], expected)
    assert results(fresh) == expected


@pytest.mark.parametrize("merge", [True, False])
def test_threads(tiny_base, merge):
    """Several threads may load the weights at the same time."""
    serial = trained_pipeline(tiny_base("llama"), model__merge=merge)
    expected = [result(serial(make_doc(serial, text))) for text in MANY]
    nlp = trained_pipeline(tiny_base("llama"), model__merge=merge)
    docs = [make_doc(nlp, text) for text in MANY]
    assert not component(nlp).lm.is_loaded
    with ThreadPoolExecutor(4) as pool:
        assert [result(doc) for doc in pool.map(nlp, docs)] == expected
        # Several threads run a stream through the same component.
        batches = [[make_doc(nlp, text) for text in MANY] for _ in range(3)]
        for out in pool.map(lambda batch: list(nlp.pipe(batch)), batches):
            assert_close([result(doc) for doc in out], expected)


def test_three_components_share_one_base(tiny_base):
    """Two components have an adapter and one has none. Each gives the same results as
    alone, and no tensor of the base changes."""
    base = tiny_base("llama")
    alone = [
        results(trained_pipeline(base)),
        results(trained_pipeline(base, NESTED), NESTED),
        results(pipeline(base, model__lora=None)),
    ]
    one, two = (
        trained_pipeline(base),
        trained_pipeline(base, NESTED, model__merge=False),
    )
    plain = pipeline(base, model__lora=None)
    shared = component(plain).lm.base
    before = digest(shared.model)
    assert shared is component(one).lm.base is component(two).lm.base
    for _ in range(2):
        assert_close(results(one), alone[0])
        assert_close(results(two, NESTED), alone[1], 1e-4)
        assert_close(results(plain), alone[2])
    assert alone[0] != alone[2]
    # Training one of them does not change the others.
    examples = make_examples(one)
    sgd = Adam(0.05)
    for _ in range(3):
        component(one).update(examples, sgd=sgd, drop=0.1)
        assert_close(results(plain), alone[2])
    assert results(one) != alone[0]
    assert_close(results(two, NESTED), alone[1], 1e-4)
    assert digest(shared.model) == before
    assert not any(weights.requires_grad for weights in shared.model.parameters())


def test_merged_and_unmerged_adapters_agree(tiny_base):
    base = tiny_base("llama")
    for nlp in (trained_pipeline(base), perturb(pipeline(base), 5)):
        data = nlp.to_bytes()
        merged = pipeline(base, model__merge=True).from_bytes(data)
        unmerged = pipeline(base, model__merge=False).from_bytes(data)
        assert_close(results(merged), results(unmerged), 1e-4)
        ids = torch.arange(4, 40)[None]
        with torch.no_grad():
            logits = [
                component(each).lm.decoding_network()(ids).logits
                for each in (merged, unmerged)
            ]
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


def test_both_decoders_agree(tiny_base):
    base = tiny_base("llama")
    step = {"@misc": "spacy-genner.StepDecoder.v1"}
    data = perturb(pipeline(base, model__dtype="float64"), 7).to_bytes()
    drafts = pipeline(base, model__dtype="float64").from_bytes(data)
    steps = pipeline(base, model__dtype="float64", decoder=step).from_bytes(data)
    expected = results(steps, TEXTS + NESTED)
    assert_close(results(drafts, TEXTS + NESTED), expected)
    assert any(row[0] for row in expected)


PROCESSES = """
import multiprocessing
import sys

import spacy
from component_cases import TEXTS, make_doc, result


def rows(nlp, **settings):
    docs = [make_doc(nlp, text) for text, _ in TEXTS * 3]
    return [result(doc) for doc in nlp.pipe(docs, batch_size=3, **settings)]


if __name__ == "__main__":
    path, method = sys.argv[1:]
    multiprocessing.set_start_method(method)
    nlp = spacy.load(path)
    # The parent loads its weights and starts its threads before it forks.
    expected = rows(nlp)
    assert [row[0] for row in expected] == [spans for _, spans in TEXTS] * 3
    assert all(row[2] == "ok" for row in expected)
    found = rows(nlp, n_process=2)
    assert [row[0] for row in found] == [row[0] for row in expected]
    for one, two in zip(found, expected):
        assert all(abs(a - b) < 1e-5 for a, b in zip(one[1], two[1]))
        assert one[2:] == two[2:]
    # The parent still works.
    assert rows(nlp) == expected
    print("same")
"""


@pytest.mark.parametrize(
    "method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_processes(tiny_base, tmp_path, method):
    """The script runs in a subprocess with a time limit, in case it hangs."""
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "pipeline")
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "pipeline"), method],
        # More than one thread, as by default: a forked child loses them.
        env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A session of its own, so that its workers can be killed with it.
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail("The script hangs.")
    assert process.returncode == 0, output
    assert output.strip().endswith("same")


def test_subprocesses_on_a_gpu_give_a_warning(monkeypatch):
    warn_gpu_in_subprocess("cuda")
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    warn_gpu_in_subprocess("cpu")
    with pytest.warns(GennerWarning, match="W405.*'cuda'.*n_process"):
        warn_gpu_in_subprocess("cuda")


def test_copies(tiny_base):
    """A copy has the settings and the adapter, but not the weights of the base."""
    import copy
    import pickle

    nlp = trained_pipeline(tiny_base("llama"), min_score=0.3, set_ents="inner")
    expected = results(nlp)
    pipe = component(nlp)
    data = pickle.dumps(pipe)
    size = sum(w.numel() for w in pipe.lm.base.model.parameters())
    adapter = sum(w.numel() for w in pipe.lm.adapter_parameters().values())
    head = len(pipe.lm.drafting.to_bytes())
    assert len(data) < 4 * (adapter + size / 4) + head + 100_000
    for other in (pickle.loads(data), copy.deepcopy(pipe)):
        assert not other.lm.is_loaded
        assert other.labels == pipe.labels and other.cfg == pipe.cfg
        assert other.cfg is not pipe.cfg
        docs = [other(make_doc(nlp, text)) for text, _ in TEXTS]
        assert [result(doc) for doc in docs] == expected
    again = pickle.loads(pickle.dumps(nlp))
    assert results(again) == expected
