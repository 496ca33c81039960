"""`app`: bad input and usage. tests/app/browser has the page itself."""

import importlib.util
import socket

import pytest
from typer.testing import CliRunner

from spacy_genner.app import ordering, page
from spacy_genner.cli import app
from spacy_genner.cli.page import ORDERS, PORT

RUNNER = CliRunner()


@pytest.fixture
def installed(monkeypatch):
    """Pretends that the extra is installed. No test here gets as far as the page."""
    find = importlib.util.find_spec
    names = ("gradio", "uvicorn")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: True if n in names else find(n, *a)
    )


def run(*arguments):
    result = RUNNER.invoke(app, ["app", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_and_its_module_agree():
    assert ORDERS == ordering.ORDERS
    assert PORT == page.PORT


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
    code, output = run()
    assert code == 1
    assert "[G880]" in output and "spacy-genner[app]" in output


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--port", "70000"], 2, "--port"),
        (["--order", "alphabet"], 2, "'alphabet' is not one of"),
        (["--format", "xml"], 2, "'xml' is not one of"),
        (["--output", "out.jsonl"], 2, "--output requires --corpus"),
        (["none", "--port", "0"], 1, "[G527]"),
        (["--corpus", "none.jsonl", "--port", "0"], 1, "[G891]"),
        (["--lang", "xx-none", "--port", "0"], 1, "[G503]"),
    ],
)
def test_bad_input(installed, arguments, code, message):
    found, output = run(*arguments)
    assert found == code and message in output, output


def test_a_port_that_is_taken(installed):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, output = run("--port", taken.getsockname()[1])
    assert code == 1 and "[G892]" in output


def test_a_corpus_that_can_not_be_corrected(installed, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a", "label": [[0, 1, "X"]]}\n', "utf8")
    code, output = run("--corpus", path, "--port", 0)
    assert code == 1 and "[G881]" in output and "--to jsonl" in output
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]
