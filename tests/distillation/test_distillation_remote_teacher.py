"""`annotate --teacher` with a server: failures and the cache."""

import json

import pytest
import spacy
from remote_cases import ENV
from server import KEY, MODEL, Fail, Server
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app

LLM = """
[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "spacy-genner.SpanCat.v1"
labels = ["GPE"]

[components.llm.model]
@llm_models = "spacy-genner.OpenAICompatible.v1"
name = "NAME"
base_url = "URL"
api_key_env = "ENV"
cache = "CACHE"
max_tries = 1
context_length = 10000
prices = {"input": 2.0, "output": 10.0}
"""
COMPONENT = """
[nlp]
lang = "en"
pipeline = ["generative_ner"]

[components]

[components.generative_ner]
factory = "generative_ner"
labels = ["GPE"]
readings = 1

[components.generative_ner.model]
@architectures = "spacy-genner.OpenAICompatible.v1"
name = "NAME"
base_url = "URL"
api_key_env = "ENV"
cache = "CACHE"
max_tries = 1
context_length = 10000
prices = {"input": 2.0, "output": 10.0}
keep_answers = true
"""
TEXTS = [f"Lisbon has {number} hills." for number in range(40)]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def write_inputs(folder, url, config=LLM):
    values = {"NAME": MODEL, "URL": url, "ENV": ENV, "CACHE": str(folder / "cache")}
    for key, value in values.items():
        config = config.replace(f'"{key}"', f'"{value}"')
    (folder / "teacher.cfg").write_text(config)
    (folder / "in.txt").write_text("".join(f"{text}\n" for text in TEXTS))


def teach(folder, *args):
    paths = [folder / name for name in ("teacher.cfg", "in.txt", "out.spacy")]
    result = CliRunner().invoke(
        app, ["annotate", "--teacher", *map(str, paths), *map(str, args)]
    )
    return result, " ".join(result.output.split())


def mark(text):
    return text.replace("Lisbon", "[Lisbon | GPE]")


def asked_about(call):
    return next(text for text in TEXTS if text in call.prompt)


@pytest.mark.parametrize("config", [LLM, COMPONENT], ids=["llm", "component"])
def test_a_second_run_only_requests_what_failed(tmp_path, config):
    def script(call):
        text = asked_about(call)
        if text in TEXTS[::20] and call.attempt == 1:
            return Fail(500, "the server is tired")
        return mark(text)

    with Server(script) as server:
        write_inputs(tmp_path, server.url, config)
        result, printed = teach(tmp_path)
        assert result.exit_code == 0, result.output
        assert "[W760] 2 of 40 documents failed" in printed
        assert "requests 40" in printed
        assert "prompt tokens 380" in printed
        assert "completion tokens 76" in printed
        assert "cost 0.0015" in printed
        calls = len(server.calls)
        result, printed = teach(tmp_path)
        assert len(server.calls) == calls + 2
        assert "from cache 38" in printed
    docs = list(DocBin().from_disk(tmp_path / "out.spacy").get_docs(blank()))
    assert [doc.text for doc in docs] == TEXTS
    assert all(str(doc.spans["sc"][0]) == "Lisbon" for doc in docs)
    assert KEY not in (tmp_path / "out.review.jsonl").read_text()


def test_a_server_outage_ends_the_run_without_losses(tmp_path):
    def script(call):
        gone = not restored and TEXTS.index(asked_about(call)) >= 20
        return Fail(503, "gone") if gone else mark(asked_about(call))

    restored = []
    with Server(script) as server:
        write_inputs(tmp_path, server.url)
        arguments = ("--stop-after", 8, "--batch-size", 8)
        result, printed = teach(tmp_path, *arguments)
        assert (result.exit_code, "[G765]" in printed) == (1, True)
        assert not (tmp_path / "out.spacy").exists()
        assert KEY not in (tmp_path / "out.spacy.part").read_text()
        restored.append(True)
        calls = len(server.calls)
        # A changed setting makes another teacher.
        result, printed = teach(tmp_path, "--components.llm.model.timeout", 30)
        assert (result.exit_code, "[G767]" in printed) == (1, True)
        result, printed = teach(tmp_path, *arguments)
        assert result.exit_code == 0, result.output
        assert len(server.calls) == calls + 20
    rows = (tmp_path / "out.review.jsonl").read_text().splitlines()
    assert {json.loads(row)["status"] for row in rows} == {"ok"}
    assert len(rows) == len(TEXTS)


def blank():
    return spacy.blank("en").vocab
