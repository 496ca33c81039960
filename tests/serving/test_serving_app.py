"""The HTTP interface: answers, selection, limits, failures, access and the end."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager

import httpx
import pytest
import spacy
from cli_cases import marks_first_word
from component_cases import TEXTS, component, trained_pipeline
from prometheus_client.parser import text_string_to_metric_families
from spacy.language import Language
from spacy.tokens import Doc
from typer.testing import CliRunner

from spacy_genner.cli import app as cli
from spacy_genner.serving.app import create_app
from spacy_genner.serving.models import ServedModel, select_spans
from spacy_genner.serving.schemas import AnnotateRequest, AnnotateResponse
from spacy_genner.serving.settings import ServeSettings

TOKEN = "a-long-random-string"
NESTED = TEXTS[0][0]
MANY = [text for text, _ in TEXTS] * 3

Language.component("serving_marks", func=marks_first_word("FIRST", 0.25))


@Language.component("serving_breaks")
def break_on_boom(doc: Doc) -> Doc:
    if "boom" in doc.text:
        raise ValueError("it went off")
    return doc


class Gate:
    """A component that holds texts with "slow" until the gate is opened, and records
    all texts."""

    def __init__(self):
        self.opened = threading.Event()
        self.texts = []

    def __call__(self, doc):
        self.texts.append(doc.text)
        if "slow" in doc.text:
            assert self.opened.wait(10)
        return doc


@Language.factory("serving_gate")
def make_gate(nlp, name):
    return Gate()


@pytest.fixture
def simple():
    """A model without a language model, and its gate."""
    nlp = spacy.blank("en")
    gate = nlp.add_pipe("serving_gate")
    nlp.add_pipe("serving_marks")
    nlp.add_pipe("serving_breaks")
    yield ServedModel("simple", nlp, "sc")
    gate.opened.set()


def marking_model():
    nlp = spacy.blank("en")
    nlp.add_pipe("serving_marks")
    return ServedModel("simple", nlp, "sc")


def gate_of(model):
    return model.nlp.get_pipe("serving_gate")


@pytest.fixture(scope="module")
def tuned(tiny_base):
    return ServedModel("tuned", trained_pipeline(tiny_base("llama")), "sc")


@asynccontextmanager
async def client_of(*models, token=None, ready=True, **settings):
    """A client of a server with these models, once they are loaded."""
    app = create_app(models, ServeSettings(**settings), token)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        client.service = app.state.service
        if ready:
            await until(lambda: client.service.state == "ready")
        yield client


async def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def annotate(client, *texts, **fields):
    return client.post("/annotate", json={"texts": list(texts), **fields})


def refusal(response, status, code, *words):
    """Check a response with an error."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert error["code"] == code, error
    for word in words:
        assert str(word) in error["message"], error
    return error


def metrics(client):
    """The values of the metrics by name and labels."""
    text = client.service.metrics.render().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# Answers


def test_the_records_are_those_of_the_command(tuned, tmp_path):
    """The spans, with nested ones, statuses and issues are those of `annotate`."""
    tuned.nlp.to_disk(tmp_path / "model")
    texts = [*(text for text, _ in TEXTS), "", "Åse 😀 Porto ."]
    source, output = tmp_path / "texts.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"text": text}) for text in texts]
    source.write_text("\n".join(lines), "utf8")
    arguments = ["annotate", tmp_path / "model", source, output]
    assert CliRunner().invoke(cli, list(map(str, arguments))).exit_code == 0
    written = [json.loads(line) for line in output.read_text("utf8").splitlines()]

    async def main():
        async with client_of(tuned) as client:
            return (await annotate(client, *texts)).json()

    answer = asyncio.run(main())
    assert (answer["model"], answer["unit"]) == ("tuned", "characters")
    for found, expected in zip(answer["results"], written, strict=True):
        assert found.pop("error") is None
        for one, two in zip(found["spans"], expected["spans"], strict=True):
            # The last digits depend on the padding of the batch.
            assert one.pop("score") == pytest.approx(two.pop("score"), abs=1e-5)
        assert list(found) == list(expected) and found == expected
    [outer, inner] = answer["results"][2]["spans"]
    assert outer["start"] < inner["start"] and inner["end"] == outer["end"]
    # Characters are code points: the emoji is one.
    for span in answer["results"][-1]["spans"]:
        assert 0 <= span["start"] < span["end"] <= len(texts[-1])


def test_concurrent_requests_share_batches_and_get_their_own_results(tuned):
    async def main():
        async with client_of(tuned, max_wait_ms=50) as client:
            expected = (await annotate(client, *MANY)).json()["results"]
            requests = [annotate(client, MANY[i], MANY[-i]) for i in range(len(MANY))]
            answers = [each.json() for each in await asyncio.gather(*requests)]
            for number, answer in enumerate(answers):
                for found, index in zip(
                    answer["results"], (number, -number), strict=True
                ):
                    assert found["text"] == MANY[index]
                    spans = [(s["start"], s["label"]) for s in found["spans"]]
                    known = [(s["start"], s["label"]) for s in expected[index]["spans"]]
                    assert spans == known
            values = metrics(client)
            texts = values["genner_batch_texts_sum", "tuned"]
            assert texts == 3 * len(MANY)
            assert values["genner_batch_texts_count", "tuned"] <= 4
            assert values["genner_texts_total", "tuned", "ok"] == texts

    asyncio.run(main())


def test_a_request_selects_labels_and_scores(tuned):
    async def main():
        async with client_of(tuned) as client:
            every = (await annotate(client, NESTED)).json()["results"][0]["spans"]
            least = sorted(span["score"] for span in every)[1]
            selections = ({"labels": ["GPE"]}, {"labels": []}, {"min_score": least})
            answers = [await annotate(client, NESTED, **each) for each in selections]
            unknown = await annotate(client, NESTED, labels=["GPE", "gpe"])
            refusal(unknown, 422, "G811", "'gpe'", "'ORG', 'GPE'", "Leave out 'labels'")
        places, none, likely = (each.json()["results"][0]["spans"] for each in answers)
        assert {span["label"] for span in every} == {"ORG", "GPE"}
        assert places == [span for span in every if span["label"] == "GPE"]
        assert none == []
        assert likely == [span for span in every if span["score"] >= least]
        assert len(likely) == len(every) - 1

    asyncio.run(main())


def test_a_span_without_a_score_is_never_below_the_minimum():
    spans = [{"label": "A", "score": None}, {"label": "A", "score": 0.4}]
    assert select_spans({"spans": spans}, {"A"}, 0.5) == {"spans": spans[:1]}


def test_the_failure_of_a_text_is_its_own(simple):
    """Other components of the pipeline run, too, and may fail."""

    async def main():
        async with client_of(simple) as client:
            response = await annotate(client, "a b", "boom", "c")
            assert response.status_code == 200
            first, failed, last = response.json()["results"]
            assert [first["status"], last["status"]] == ["ok", "ok"]
            span = {"start": 0, "end": 1, "label": "FIRST", "score": 0.25}
            assert first["spans"] == last["spans"] == [span]
            assert first["error"] is last["error"] is None
            assert (failed["status"], failed["spans"]) == ("failed", [])
            assert "it went off" in failed["error"]
            assert "it went off" in failed["issues"][0]["message"]
            assert metrics(client)["genner_texts_total", "simple", "failed"] == 1

    asyncio.run(main())


def test_an_error_that_breaks_a_batch_fails_only_its_text(simple, monkeypatch):
    """Such as an error outside of the components."""
    annotated = simple._annotate

    def break_batch(texts):
        if "broken" in texts:
            raise MemoryError("too large")
        return annotated(texts)

    monkeypatch.setattr(simple, "_annotate", break_batch)
    one, two = simple.annotate(["a", "broken"])
    assert (one["status"], len(one["spans"])) == ("ok", 1)
    assert (two["status"], two["text"], two["spans"]) == ("failed", "broken", [])
    assert two["error"] == "too large" and "too large" in two["issues"][0]["message"]
    assert list(one) == list(two)


def test_several_models_by_name(tuned, simple, tiny_base):
    other = ServedModel("other", trained_pipeline(tiny_base("llama")), "sc")

    async def main():
        async with client_of(tuned, simple, other) as client:
            for name in ("tuned", "simple", "other"):
                answer = (await annotate(client, NESTED, model=name)).json()
                assert answer["model"] == name
                labels = {span["label"] for span in answer["results"][0]["spans"]}
                assert labels == ({"FIRST"} if name == "simple" else {"ORG", "GPE"})
            expected = ("'tuned', 'simple', 'other'",)
            refusal(await annotate(client, "a"), 422, "G812", "missing", *expected)
            refusal(await annotate(client, "a", model="x"), 404, "G812", *expected)
            models = (await client.get("/models")).json()["models"]
        assert [model["name"] for model in models] == ["tuned", "simple", "other"]
        assert models[0]["labels"] == {"ORG": "", "GPE": ""}
        assert models[0]["components"] == ["generative_ner"]
        # The folder of the base is not shown.
        assert models[0]["bases"] == [tiny_base("llama").name]
        assert all(model["state"] == "ready" for model in models)

    asyncio.run(main())
    assert component(tuned.nlp).lm.base is component(other.nlp).lm.base


def test_strings_of_texts_are_forgotten(tuned):
    """A vocabulary that grows with each new word would fill the memory."""
    tuned.annotate(["Lisbon hosts"])
    before = len(tuned.nlp.vocab.strings)
    texts = [f"word{number} lives in Porto{number} ." for number in range(50)]
    records = tuned.annotate(texts)
    assert [record["text"] for record in records] == texts
    assert len(tuned.nlp.vocab.strings) == before


def test_the_thread_of_a_model_uses_the_chosen_gpu(monkeypatch):
    """torch and thinc keep the GPU for each thread."""
    import torch
    from thinc.api import NumpyOps, get_current_ops
    from thinc.backends import context_ops

    used = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(
        torch.cuda,
        "set_device",
        lambda gpu: used.append((gpu, threading.current_thread().name)),
    )
    model = marking_model()
    monkeypatch.setattr(model, "annotate", lambda texts: [get_current_ops()])

    class OtherOps(NumpyOps):
        name = "other"

    async def main(ops):
        # In the context of this task alone.
        context_ops.set(ops)
        async with client_of(model) as client:
            pending = client.service.batchers["simple"].submit(["a"], float("inf"))
            return pending.future.result(10)

    ops = OtherOps()
    assert asyncio.run(main(ops)) == [ops]
    assert used == [(3, "genner-simple")]


# Limits


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["field required"]),
        (b"{", ["not JSON"]),
        (b"\xff\xfe", ["not JSON"]),
        (b"[" * 100_000, ["nested"]),
        (b'{"texts": ' + b"9" * 10_000 + b"}", ["not JSON"]),
        (b"[]", ["the body is []"]),
        (b"{}", ["'texts': field required"]),
        (b'{"texts": null}', ["'texts' is None"]),
        (b'{"texts": "Porto"}', ["'texts' is 'Porto'", "list"]),
        (b'{"texts": ["a", 5]}', ["'texts.1' is 5", "string"]),
        (b'{"texts": [], "label": []}', ["'label': extra", "'labels'"]),
        (b'{"texts": [], "labels": "GPE"}', ["'labels' is 'GPE'"]),
        (b'{"texts": [], "min_score": 2}', ["'min_score' is 2"]),
        (b'{"texts": [], "min_score": NaN}', ["'min_score' is nan"]),
        (b'{"texts": [], "min_score": true}', ["'min_score.float' is True"]),
        (b'{"texts": ["\\ud83d"]}', ["'texts.0'", "surrogate", "Unicode"]),
        (b'{"texts": [1, 2, 3, 4, 5]}', ["'texts.2' is 3", "2 more"]),
    ],
)
def test_a_malformed_request_is_refused(simple, content, words):
    async def main():
        async with client_of(simple) as client:
            headers = {"Content-Type": "application/json"}
            response = await client.post("/annotate", content=content, headers=headers)
            refusal(response, 422, "G808", *words)
            assert "a" * 50 not in response.text
            assert not gate_of(simple).texts

    asyncio.run(main())


def test_a_request_without_its_media_type_is_refused(simple):
    """A web page of another origin could send it without asking."""

    async def main():
        async with client_of(simple) as client:
            headers = {"Content-Type": "text/plain"}
            content = b'{"texts": ["a"]}'
            response = await client.post("/annotate", content=content, headers=headers)
            refusal(response, 422, "G808", "application/json")

    asyncio.run(main())


async def chunks(*parts):
    for part in parts:
        yield part


def test_the_sizes_of_a_request_are_limited(simple):
    async def main():
        limits = {"max_body": 200, "max_texts": 3, "max_chars": 20}
        async with client_of(simple, **limits) as client:
            assert (await annotate(client, "a" * 20, "b", "c")).status_code == 200
            body = json.dumps({"texts": ["a" * 200]}).encode()
            large = [
                await client.post("/annotate", content=body),
                # Without the header Content-Length.
                await client.post("/annotate", content=chunks(body[:150], body[150:])),
            ]
            for response in large:
                refusal(response, 413, "G807", len(body), "200", "--max-body")
            many = await annotate(client, *"abcd")
            refusal(many, 422, "G809", "4 texts", "at most 3", "--max-texts")
            long = await annotate(client, "a", "b" * 21)
            refusal(long, 422, "G810", "text 1", "21", "20", "--max-chars")
            assert metrics(client)["genner_errors_total", "G807"] == 2
        assert gate_of(simple).texts == ["a" * 20, "b", "c"]

    asyncio.run(main())


def test_a_full_queue_refuses_a_request_which_succeeds_later(simple):
    async def main():
        async with client_of(simple, queue_size=3, max_texts=3) as client:
            running = asyncio.ensure_future(annotate(client, "slow"))
            await until(lambda: gate_of(simple).texts == ["slow"])
            waiting = asyncio.ensure_future(annotate(client, "a", "b"))
            await until(lambda: client.service.batchers["simple"].queued == 2)
            assert metrics(client)["genner_queued_texts", "simple"] == 2
            refused = await annotate(client, "c", "d")
            refusal(refused, 429, "G813", "2 texts wait", "holds 3", "2 texts of")
            assert int(refused.headers["Retry-After"]) >= 1
            gate_of(simple).opened.set()
            assert (await running).status_code == (await waiting).status_code == 200
            assert (await annotate(client, "c", "d")).status_code == 200
        assert sorted(gate_of(simple).texts) == ["a", "b", "c", "d", "slow"]

    asyncio.run(main())


def test_the_number_of_requests_is_limited(simple):
    async def main():
        async with client_of(simple, max_requests=1) as client:
            running = asyncio.ensure_future(annotate(client, "slow"))
            await until(lambda: gate_of(simple).texts == ["slow"])
            refused = await annotate(client, "a")
            refusal(refused, 429, "G816", "1 requests", "--max-requests")
            assert int(refused.headers["Retry-After"]) >= 1
            # The checks of an orchestrator are not requests for annotation.
            assert (await client.get("/health")).status_code == 200
            gate_of(simple).opened.set()
            assert (await running).status_code == 200
            assert (await annotate(client, "a")).status_code == 200

    asyncio.run(main())


def test_the_texts_of_a_late_request_are_dropped(simple):
    async def main():
        async with client_of(simple, timeout=0.2, batch_size=1) as client:
            late = await asyncio.gather(
                annotate(client, "slow"), annotate(client, *"ab")
            )
            refusal(late[0], 504, "G814", "0.2 s", "0 of its 1", "--timeout")
            refusal(late[1], 504, "G814", "2 of its 2 texts")
            assert client.service.batchers["simple"].queued == 0
            gate_of(simple).opened.set()
            assert (await annotate(client, "c")).status_code == 200
            assert metrics(client)["genner_dropped_texts_total", "simple"] == 2
        assert gate_of(simple).texts == ["slow", "c"]

    asyncio.run(main())


def test_a_body_that_does_not_arrive_is_refused(simple):
    async def endless():
        yield b"{"
        await asyncio.sleep(10)

    async def main():
        async with client_of(simple, timeout=0.1) as client:
            response = await client.post("/annotate", content=endless())
            refusal(response, 408, "G805", "0.1 s")

    asyncio.run(main())


def test_the_texts_of_a_client_that_has_gone_are_dropped(simple):
    """The protocol is spoken by hand, as the transport of httpx never disconnects."""
    body = json.dumps({"texts": ["a", "b"]}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/annotate",
        "raw_path": b"/annotate",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }

    async def main():
        async with client_of(simple) as client:
            running = asyncio.ensure_future(annotate(client, "slow"))
            await until(lambda: gate_of(simple).texts == ["slow"])
            messages = [{"type": "http.request", "body": body, "more_body": False}]
            sent = []

            async def receive():
                if messages:
                    return messages.pop()
                batcher = client.service.batchers["simple"]
                await until(lambda: batcher.queued == 2)
                return {"type": "http.disconnect"}

            async def send(message):
                sent.append(message)

            await client._transport.app(scope, receive, send)
            assert sent == [] and client.service.batchers["simple"].queued == 0
            gate_of(simple).opened.set()
            await running
            values = metrics(client)
            assert values["genner_requests_total", "/annotate", "499"] == 1
            assert values["genner_dropped_texts_total", "simple"] == 2
        assert gate_of(simple).texts == ["slow"]

    asyncio.run(main())


def test_an_error_of_the_server_has_a_code(simple, monkeypatch):
    async def main():
        async with client_of(simple) as client:

            def fail(*_):
                raise RuntimeError("a secret detail")

            monkeypatch.setattr(client.service, "check", fail)
            response = await annotate(client, "a")
            refusal(response, 500, "G819", "log")
            assert "secret" not in response.text
            values = metrics(client)
            assert values["genner_requests_total", "/annotate", "500"] == 1

    asyncio.run(main())


# Access


def test_a_token_protects_everything_but_the_checks_and_the_description(simple):
    async def main():
        async with client_of(simple, token=TOKEN) as client:
            for path in ("/health", "/ready", "/docs", "/openapi.json"):
                assert (await client.get(path)).status_code == 200
            refused = [await client.get("/models"), await client.get("/metrics")]
            refused += [await client.get("/nothing"), await annotate(client, "a")]
            for given in (TOKEN, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "ü"):
                client.headers["Authorization"] = given
                refused.append(await annotate(client, "a"))
            for response in refused:
                refusal(response, 401, "G817", "Authorization: Bearer")
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert TOKEN not in response.text
            for kind in ("Bearer", "bearer"):
                client.headers["Authorization"] = f"{kind} {TOKEN}"
                assert (await annotate(client, "a")).status_code == 200
            assert (await client.get("/models")).status_code == 200
            assert TOKEN not in (await client.get("/metrics")).text
        assert gate_of(simple).texts == ["a", "a"]

    asyncio.run(main())


def test_cors_is_off_by_default(simple):
    async def main():
        asks = {
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with client_of(simple, token=TOKEN) as client:
            response = await client.options("/annotate", headers=asks)
            assert response.status_code == 405
            assert "access-control-allow-origin" not in response.headers
        origins = ("https://example.org",)
        async with client_of(
            marking_model(), token=TOKEN, cors_origins=origins
        ) as client:
            response = await client.options("/annotate", headers=asks)
            assert response.status_code == 200
            allowed = response.headers["access-control-allow-origin"]
            assert allowed == "https://example.org"
            # A page can read the reason of a refusal.
            refused = await client.get("/models", headers={"Origin": origins[0]})
            refusal(refused, 401, "G817")
            assert refused.headers["access-control-allow-origin"] == origins[0]
            other = {**asks, "Origin": "https://example.com"}
            response = await client.options("/annotate", headers=other)
            assert "access-control-allow-origin" not in response.headers

    asyncio.run(main())


# State and description


def test_health_and_readiness_follow_the_models(simple, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(simple, "load", lambda: gate.wait(10))

    async def main():
        async with client_of(simple, ready=False) as client:
            assert (await client.get("/health")).json()["status"] == "loading"
            response = await client.get("/ready")
            assert response.status_code == 503
            assert response.json()["models"] == {"simple": "loading"}
            assert int(response.headers["Retry-After"]) >= 1
            early = await annotate(client, "a")
            refusal(early, 503, "G815", "still being loaded")
            assert int(early.headers["Retry-After"]) >= 1
            gate.set()
            await until(lambda: client.service.state == "ready")
            assert (await client.get("/ready")).status_code == 200
            assert (await annotate(client, "a")).status_code == 200

    asyncio.run(main())


def test_a_model_that_cannot_be_loaded_is_unhealthy(simple, monkeypatch):
    def fail():
        raise ValueError("[G200] no base")

    monkeypatch.setattr(simple, "load", fail)

    async def main():
        async with client_of(simple, ready=False) as client:
            await until(lambda: client.service.state == "failed")
            for path in ("/health", "/ready"):
                response = await client.get(path)
                assert response.status_code == 503
                assert response.json()["status"] == "failed"
            assert str(client.service.failure) == "[G200] no base"

    asyncio.run(main())


def test_a_stopping_server_finishes_what_waits_and_refuses_more(simple):
    async def main():
        async with client_of(simple, batch_size=1) as client:
            accepted = [
                asyncio.ensure_future(annotate(client, text)) for text in ("slow", "a")
            ]
            await until(lambda: client.service.batchers["simple"].queued == 1)
            client.service.stop()
            late = await annotate(client, "b")
            refusal(late, 503, "G815", "it stops")
            assert int(late.headers["Retry-After"]) >= 1
            assert late.headers["connection"] == "close"
            assert (await client.get("/ready")).status_code == 503
            assert (await client.get("/health")).status_code == 200
            assert not client.service.is_idle
            gate_of(simple).opened.set()
            for response in await asyncio.gather(*accepted):
                assert response.status_code == 200
                assert response.json()["results"][0]["status"] == "ok"
            await until(lambda: client.service.is_idle)
        assert gate_of(simple).texts == ["slow", "a"]

    asyncio.run(main())


def test_a_server_without_time_left_fails_what_waits(simple):
    async def main():
        async with client_of(simple, grace=0.05) as client:
            accepted = asyncio.ensure_future(annotate(client, "slow"))
            await until(lambda: gate_of(simple).texts == ["slow"])
            client.service.stop()
            await asyncio.sleep(0.05)
            assert client.service.abort() == 1
            refusal(await accepted, 503, "G815")

    asyncio.run(main())


def test_metrics_of_unknown_paths_share_a_name(simple):
    async def main():
        async with client_of(simple) as client:
            for path in ("/a", "/b", "/annotate"):
                response = await client.get(path)
                status = 405 if path == "/annotate" else 404
                refusal(response, status, "G818", f"GET '{path}'", "/annotate, /models")
            assert (
                (await client.get("/metrics"))
                .headers["content-type"]
                .startswith("text/plain")
            )
            values = metrics(client)
        assert values["genner_requests_total", "other", "404"] == 2
        assert values["genner_requests_total", "/annotate", "405"] == 1
        assert values["genner_errors_total", "G818"] == 3

    asyncio.run(main())


def test_the_description_fits_the_server(tuned):
    async def main():
        async with client_of(tuned) as client:
            schema = (await client.get("/openapi.json")).json()
            page = (await client.get("/docs")).text
            content = schema["paths"]["/annotate"]["post"]["requestBody"]["content"]
            examples = content["application/json"]["examples"]
            for example in examples.values():
                request = {**example["value"], "model": None}
                AnnotateRequest.model_validate(request)
                answer = await client.post("/annotate", json=request)
                assert answer.status_code == 200
                AnnotateResponse.model_validate(answer.json(), strict=True)
            return schema, page

    schema, page = asyncio.run(main())
    assert "/openapi.json" in page
    responses = schema["paths"]["/annotate"]["post"]["responses"]
    expected = "200 401 404 408 413 422 429 500 503 504"
    assert sorted(responses) == expected.split()
    example = responses["200"]["content"]["application/json"]["example"]
    # FastAPI leaves null out of examples.
    example["results"][0]["error"] = None
    AnnotateResponse.model_validate(example, strict=True)
    # Errors have the form of the server, and not that of FastAPI.
    assert "HTTPValidationError" not in json.dumps(schema)


def test_the_description_can_be_left_out(simple):
    async def main():
        async with client_of(simple, docs=False) as client:
            for path in ("/docs", "/openapi.json"):
                refusal(await client.get(path), 404, "G818")

    asyncio.run(main())
