"""The process of a server: `genner serve`, its address, and its end by a signal."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from component_cases import trained_pipeline
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.serving.models import ServedModel
from spacy_genner.serving.server import address_of, bind
from spacy_genner.serving.settings import TOKEN_VARIABLE, ServeSettings

TOKEN = "a-long-random-string"
# A component of a user, which holds texts with "slow" until a file exists.
SLOW = """
import os
import time
from spacy.language import Language

@Language.component("serving_slow")
def slow(doc):
    until = time.monotonic() + 100
    while "slow" in doc.text and not os.path.exists(os.environ["SERVING_GATE"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    return doc
"""


class Server:
    """The process of `genner serve`, with its output so far."""

    def __init__(self, *args, **environment):
        command = [sys.executable, "-m", "spacy_genner", "serve", *map(str, args)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()
        # The server answers while it loads its models.
        self.url = self._wait(lambda: re.search(r"http://\S+:\d+", self.output))[0]
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120
        )
        self._wait(lambda: self.client.get("/ready").status_code == 200)

    @property
    def output(self):
        return "".join(self.lines)

    def _read(self):
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def _wait(self, condition):
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                found = condition()
            except httpx.TransportError:
                found = None
            if found:
                return found
            time.sleep(0.05)
        pytest.fail(f"The server does not start: {self.output}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.kill()
        self.process.wait()

    def annotate(self, *texts):
        return self.client.post("/annotate", json={"texts": texts})


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_base):
    """A saved pipeline with another component, and the file with its code."""
    folder = tmp_path_factory.mktemp("served")
    code = folder / "slow.py"
    code.write_text(SLOW)
    exec(SLOW, {})
    nlp = trained_pipeline(tiny_base("llama"))
    nlp.add_pipe("serving_slow")
    nlp.to_disk(folder / "tuned")
    return folder / "tuned", code


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_sigterm_finishes_what_is_accepted_and_refuses_more(model, tmp_path):
    folder, code = model
    gate = tmp_path / "gate"
    options = ["--port", 0, "--code", code, "--batch-size", 1]
    options += ["--timeout", 100, "--grace", 100]
    environment = {
        TOKEN_VARIABLE: TOKEN,
        "SPACY_GENNER_SERVE_MAX_TEXTS": "5",
        "SERVING_GATE": str(gate),
    }
    with (
        Server(folder, *options, **environment) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        found = server.annotate("The University of Porto is old .").json()
        spans = [(s["start"], s["end"]) for s in found["results"][0]["spans"]]
        assert found["model"] == "tuned" and spans == [(4, 23), (18, 23)]
        # The variable of the environment has set a limit.
        assert server.annotate(*"abcdef").json()["error"]["code"] == "G809"
        assert httpx.get(f"{server.url}/models").status_code == 401
        running = pool.submit(server.annotate, "slow")
        waiting = [pool.submit(server.annotate, f"Porto {i} .") for i in range(3)]
        queued = 'genner_queued_texts{model="tuned"} 3.0'
        server._wait(lambda: queued in server.client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        server._wait(lambda: server.client.get("/ready").status_code == 503)
        refused = server.annotate("late")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "G815"
        assert server.client.get("/health").status_code == 200
        gate.touch()
        for number, request in enumerate([running, *waiting]):
            response = request.result(100)
            assert response.status_code == 200
            [record] = response.json()["results"]
            expected = "slow" if not number else f"Porto {number - 1} ."
            assert (record["text"], record["status"]) == (expected, "ok")
        # A graceful end is a success.
        assert server.process.wait(100) == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")
        time.sleep(0.1)
        assert "Traceback" not in server.output
        assert TOKEN not in server.output and TOKEN_VARIABLE in server.output


def test_an_address_that_is_taken_is_bad_input(model):
    folder, _ = model
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", str(folder), "--port", str(port)])
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert f"[G806] The server can't listen on 127.0.0.1, port {port}" in message


def test_a_host_that_is_unknown_is_bad_input():
    with pytest.raises(ValueError, match=r"G806.*no\.such\.invalid"):
        bind(ServeSettings(host="no.such.invalid"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_the_address_of_a_socket(host):
    try:
        with bind(ServeSettings(host=host, port=0)) as listener:
            url = address_of(listener, host)
            port = listener.getsockname()[1]
    except ValueError:
        pytest.skip(f"no {host}")
    expected = "[::1]" if ":" in host else host
    assert port > 0 and url == f"http://{expected}:{port}"


def test_a_model_that_cannot_be_loaded_ends_the_server(model, monkeypatch):
    """The server listens before it loads the base, and ends with the reason."""

    def fail(_):
        raise ValueError("[G200] no base")

    folder, _ = model
    monkeypatch.setattr(ServedModel, "load", fail)
    # Stops the server if it does not end by itself.
    timer = threading.Timer(60, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    arguments = ["serve", str(folder), "--port", "0", "--log-level", "critical"]
    result = CliRunner().invoke(app, arguments)
    timer.cancel()
    assert result.exit_code == 1
    assert "[G200] no base" in result.stderr
