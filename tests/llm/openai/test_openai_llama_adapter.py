"""A real tuned adapter, exported and served by llama.cpp: the server of
llama-cpp-python, and llama-server if it is installed.

The environment variable SPACY_GENNER_TUNED names a saved pipeline, by default that of
the demo, and SPACY_GENNER_LLAMA_PYTHON an interpreter that has llama-cpp-python."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_genner.export.write import export_adapter

ROOT = Path(__file__).parents[3]
PIPELINE = Path(os.environ.get("SPACY_GENNER_TUNED", ROOT / "training/demo/model-best"))
PYTHON = os.environ.get("SPACY_GENNER_LLAMA_PYTHON", sys.executable)
DATA = ROOT / "corpus" / "dev.spacy"
NAME = "cells"
DOCUMENTS = 2
# The F1 score between the spans of the server and those of the local decoder.
LEAST = 0.97

pytestmark = pytest.mark.slow


def has_llama_cpp() -> bool:
    check = "import fastapi, llama_cpp, uvicorn"
    done = subprocess.run([PYTHON, "-c", check], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def local():
    if not PIPELINE.is_dir() or not DATA.is_file():
        pytest.skip("there is no tuned pipeline")
    # The precision of the export. In bfloat16 close decisions differ.
    model = {"dtype": "float32"}
    return spacy.load(
        PIPELINE, config={"components": {"generative_ner": {"model": model}}}
    )


@pytest.fixture(scope="module")
def export(local, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "out"
    return export_adapter(PIPELINE, folder, "llama.cpp", name=NAME).folder


@pytest.fixture(params=["llama_cpp.server", "llama-server"])
def server(request, export, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = ["--host", "127.0.0.1", "--port", port]
    if request.param == "llama_cpp.server":
        if not has_llama_cpp():
            pytest.skip("llama-cpp-python is not installed")
        command = [PYTHON, "-m", "llama_cpp.server", "--model", "model.gguf"]
        command += ["--model_alias", NAME, "--n_ctx", "1024", *address]
    elif shutil.which("llama-server"):
        # Options at the end of the script's command replace its own.
        command = ["./serve.sh", *address, "--ctx-size", "4096"]
    else:
        pytest.skip("llama-server is not installed")
    log = tmp_path / "log"
    with log.open("w") as output:
        running = subprocess.Popen(command, cwd=export, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(600):
            assert running.poll() is None, log.read_text()
            try:
                urlopen(f"{url}/models", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        else:
            raise AssertionError(log.read_text())
        yield request.param, url
    finally:
        running.kill()
        running.wait()


@pytest.mark.filterwarnings("ignore:.*W840")
def test_spans_are_those_of_the_local_decoder(local, export, server):
    kind, url = server
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": NAME,
        "adapter": str(export),
        "base_url": url,
        "api_key_env": None,
        "timeout": 300.0,
        "max_concurrent": 1,
        # llama-cpp-python sorts the whole vocabulary in Python for each token.
        "scores": kind == "llama-server",
    }
    config = {"components": {"generative_ner": {"model": model}}}
    remote = spacy.load(PIPELINE, config=config)
    corpus = list(DocBin().from_disk(DATA).get_docs(local.vocab))[:DOCUMENTS]

    def annotated(nlp):
        texts = [
            Doc(
                nlp.vocab,
                words=[token.text for token in doc],
                spaces=[bool(token.whitespace_) for token in doc],
            )
            for doc in corpus
        ]
        return list(nlp.pipe(texts))

    # The documents have to outlive their span groups.
    docs = annotated(local), annotated(remote)
    expected, found = ([doc.spans["sc"] for doc in each] for each in docs)
    one, other = (
        {
            (index, span.start, span.end, span.label_): float(score)
            for index, group in enumerate(groups)
            for span, score in zip(group, group.attrs["scores"], strict=True)
        }
        for groups in (expected, found)
    )
    both = one.keys() & other.keys()
    assert len(one) >= 10
    assert 2 * len(both) >= LEAST * (len(one) + len(other)), one.keys() ^ other.keys()
    assert {group.attrs["status"] for group in found} <= {"ok", "windowed"}
    if model["scores"]:
        differences = [abs(one[span] - other[span]) for span in both]
        # A legal alternative may be missing among those that the server reports.
        assert sum(differences) < 0.05 * len(both)
