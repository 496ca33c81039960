"""The exit codes of every command: wrong usage, bad input and a full disk."""

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest
import spacy
import typer
from cli_cases import marks_first_word
from spacy.language import Language
from spacy.tokens import DocBin
from training_cases import TEXTS, docs, make_config, write_config, write_corpus
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.cli._util import reports_errors

RUNNER = CliRunner()
GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)


Language.component("exit_codes_first_word", func=marks_first_word("GPE", 0.5))


def run(line):
    return RUNNER.invoke(app, line.split())


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A working directory with a pipeline, a corpus and texts."""
    nlp = spacy.blank("en")
    nlp.add_pipe("exit_codes_first_word")
    nlp.to_disk(tmp_path / "model")
    write_corpus(tmp_path / "data.spacy")
    (tmp_path / "texts.txt").write_text("Porto is old .\nIt rains .\n")
    for name in ("a.json", "b.spans.jsonl"):
        (tmp_path / "folders" / name).mkdir(parents=True)
    (tmp_path / "good.txt").write_text("[Porto | GPE] is old .\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listing(folder):
    """The content of every file, which a failed command must not change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(line, code, *words):
    """Check that a command exits with 1 and a coded message on stderr."""
    result = run(line)
    assert result.exit_code == 1, (line, result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    # The message is wrapped at the width of the terminal.
    message = " ".join(result.stderr.split())
    assert f"[{code}]" in message, (line, message)
    for word in words:
        assert word in message, (line, message)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_argument_and_option(name):
    result = RUNNER.invoke(app, [name, "--help"])
    assert result.exit_code == 0
    for param in GROUP.commands[name].params:
        shown = param.metavar if param.param_type_name == "argument" else param.opts[0]
        assert (shown or param.name.upper()) in result.output, param.name


def test_the_commands_of_the_contract():
    contract = {"convert", "annotate", "evaluate", "report", "train", "export-base"}
    assert contract <= set(COMMANDS)
    result = RUNNER.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_exits_with_2(workdir, name):
    before = listing(workdir)
    # The page can be opened without a pipeline.
    assert name == "app" or run(name).exit_code == 2
    required = {
        "app": "model",
        "annotate": "model texts.txt out.jsonl",
        "calibrate": "model data.spacy out",
        "compare": "a.json b.json",
        "convert": "good.txt out.spacy --from bracketed",
        "demo": "text",
        "draft-head": "model data.spacy out",
        "evaluate": "model data.spacy --output out.json",
        "export": "model out --to vllm",
        "export-base": "model out",
        "init-config": "data.spacy out.cfg --dev data.spacy",
        "package": "model out",
        "push": "model org/name",
        "report": ". out.html",
        "serve": "model",
        "split": "data.spacy out",
        "study": "sample data.spacy sampled.spacy",
        "sweep": "tiny.cfg grid.json --output out",
        "table": ". out.md",
        "train": "tiny.cfg --output out",
        "tune-decoding": "model data.spacy out",
    }[name]
    assert run(f"{name} {required} --no-such-option").exit_code == 2
    # `train` and `sweep` take overrides of a config, `app` and `serve` any number of
    # models, and `demo` any number of texts.
    if name not in ("app", "demo", "serve", "sweep", "train"):
        assert run(f"{name} {required} one-too-many").exit_code == 2
    assert run("nothing").exit_code == 2
    assert listing(workdir) == before


@pytest.mark.parametrize(
    "name, source_format, text, code, line",
    [
        ("bad.txt", "bracketed", "fine\n[Porto | GPE\n", "G511", "line 2"),
        ("bad.jsonl", "jsonl", '{"text": "a", "spans": []}\n\n{', "G512", "line 3"),
        ("bad.jsonl", "jsonl", '{"text": "a"}\n', "G513", "line 1"),
        (
            "bad.jsonl",
            "jsonl",
            '{"text": "a", "spans": [{"start": 0, "end": 9, "label": "X"}]}\n',
            "G513",
            "line 1",
        ),
        ("bad.conll", "conll", "Porto B-GPE\nis\n", "G514", "line 2"),
        ("bad.conll", "conll-nested", "Porto B-GPE x\n", "G514", "line 1"),
        ("bad.spacy", "docbin", "no DocBin", "G515", ""),
    ],
)
def test_convert_names_the_file_and_the_line(
    workdir, name, source_format, text, code, line
):
    (workdir / name).write_text(text)
    (workdir / "out.spacy").write_bytes(b"what was there")
    before = listing(workdir)
    refused(f"convert {name} out.spacy --from {source_format}", code, name, line)
    assert listing(workdir) == before


def test_convert_names_the_line_that_is_not_utf8(workdir):
    (workdir / "latin.txt").write_bytes("fine\nÅse\n".encode("latin-1"))
    refused("convert latin.txt out.spacy --from bracketed", "G510", "line 2")


@pytest.mark.parametrize(
    "line, code",
    [
        ("annotate model none.txt out.jsonl", "G520"),
        ("annotate none texts.txt out.jsonl", "G527"),
        ("evaluate none data.spacy --output out.json", "G527"),
        ("evaluate model none.spacy --output out.json", "G520"),
        ("evaluate model texts.txt --output out.json", "G515"),
        ("evaluate model data.spacy --output out.json --spans-key x", "G603"),
        ("evaluate model data.spacy --output out.json --train none.spacy", "G520"),
        ("evaluate model data.spacy --output out.json --train texts.txt", "G515"),
        ("evaluate model data.spacy --output out.json --gpu-id 99", "G317"),
        ("annotate model texts.txt out.jsonl --gpu-id 99", "G317"),
        ("evaluate model data.spacy --output model", "G525"),
        ("evaluate model data.spacy --output folders/a.json", "G521"),
        ("evaluate model data.spacy --output folders/b.json", "G521"),
        ("evaluate model data.spacy --output data.spacy/out.json", "G577"),
        ("compare none.json none.json", "G520"),
        ("compare model/meta.json model/meta.json", "G605"),
        ("report none out.html", "G604"),
        ("report . out.html", "G604"),
        ("table none out.md", "G604"),
        ("table . out.md", "G604"),
        ("table . out.html", "G525"),
        ("draft-head none data.spacy out", "G527"),
        ("draft-head model data.spacy model", "G261"),
        ("draft-head model data.spacy out", "G992"),
        ("export-base none out", "G262"),
        ("export-base model out", "G262"),
        ("init-config none.spacy out.cfg --dev data.spacy", "G520"),
        ("init-config data.spacy out.cfg --dev none.spacy", "G520"),
        ("init-config data.spacy out.cfg --dev data.spacy --base none", "G"),
        ("train none.cfg --output out", "G520"),
    ],
)
def test_bad_input_exits_with_1_and_writes_nothing(workdir, line, code):
    before = listing(workdir)
    if line.startswith(("annotate", "evaluate")):
        line += "" if "--spans-key" in line else " --spans-key sc"
    if code == "G":
        result = run(line)
        assert result.exit_code == 1 and "[G" in result.stderr, result.exception
    else:
        refused(line, code)
    assert listing(workdir) == before


@pytest.mark.parametrize(
    "file, content",
    [
        ("config.cfg", b"[nlp\n"),
        ("config.cfg", b""),
        ("config.cfg", b'[nlp]\nlang = "en"\npipeline = ["nothing"]\n'),
        ("config.cfg", None),
        ("meta.json", b"{"),
        ("meta.json", b"{}"),
        ("meta.json", None),
        ("tokenizer", b"\xc1"),
        ("vocab/strings.json", b"["),
    ],
)
def test_a_damaged_pipeline_is_bad_input(workdir, file, content):
    path = workdir / "model" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    before = listing(workdir)
    refused("annotate model texts.txt out.jsonl --spans-key sc", "G527", "model")
    assert listing(workdir) == before


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", b"\xff\xfe"])
def test_report_of_a_damaged_evaluation(workdir, content):
    (workdir / "metrics").mkdir()
    (workdir / "metrics" / "bad.json").write_bytes(content)
    refused("report metrics out.html", "G605", "bad.json")
    assert not (workdir / "out.html").exists()


@pytest.mark.parametrize(
    "content, code",
    [
        (b"{\n", "G605"),
        (b"9" * 5000, "G605"),
        (b"[" * 1000 + b"]" * 1000, "G605"),
        (b"[]\n", "G607"),
        (b'{"step": 1}\n', "G607"),
        (b'{"step": 1, "losses": 3}\n', "G607"),
        (b"\xff\xfe\n", "G510"),
    ],
)
def test_report_with_a_damaged_log(workdir, content, code):
    line = "evaluate model data.spacy --spans-key sc --output metrics/demo.json"
    assert run(line).exit_code == 0
    (workdir / "log.jsonl").write_bytes(content)
    refused("report metrics out.html --training-log log.jsonl", code, "log.jsonl")
    refused("report metrics out.html --training-log none.jsonl", "G606", "none.jsonl")
    assert not (workdir / "out.html").exists()


@pytest.fixture
def full_disk(monkeypatch):
    """After the call, each write stores half of its data and then fails."""

    def fill():
        opened = Path.open

        def open_full(self, mode="r", *args, **kwargs):
            file = opened(self, mode, *args, **kwargs)
            if "w" not in mode:
                return file
            write = file.write

            def full(data):
                write(data[: len(data) // 2])
                # The operating system gives no file name.
                raise OSError(errno.ENOSPC, "No space left on device")

            file.write = full
            return file

        monkeypatch.setattr(Path, "open", open_full)

    return fill


@pytest.mark.parametrize(
    "line, output",
    [
        ("convert good.txt out/new.spacy --from bracketed", "new.spacy"),
        ("annotate model texts.txt out/new.jsonl --spans-key sc", "new.jsonl"),
        ("annotate model texts.txt out/new.spacy --spans-key sc", "new.spacy"),
        ("evaluate model data.spacy --output out/new.json --spans-key sc", "new.json"),
        ("report metrics out/new.html", "new.html"),
        ("table metrics out/new.md", "new.md"),
    ],
)
@pytest.mark.parametrize("old", [None, b"what was there"])
def test_a_full_disk_exits_with_1_and_names_the_file(
    workdir, full_disk, line, output, old
):
    made = "evaluate model data.spacy --spans-key sc --output metrics/demo.json"
    assert run(made).exit_code == 0
    (workdir / "out").mkdir()
    if old is not None:
        (workdir / "out" / line.split("out/")[1].split()[0]).write_bytes(old)
    before = listing(workdir)
    full_disk()
    refused(line, "G523", output)
    assert listing(workdir) == before


def test_training_on_a_full_disk_names_the_folder(workdir, full_disk, tiny_base):
    write_config(workdir / "tiny.cfg", make_config(tiny_base("llama"), "data.spacy"))
    before = listing(workdir)
    full_disk()
    refused("train tiny.cfg --output out", "G523", "out/model-last")
    assert listing(workdir) == before


def test_training_on_bad_data(workdir, tiny_base):
    other = [*TEXTS, ("Maria came .", [(0, 1, "PERSON")])]
    write_corpus(workdir / "other.spacy", other)
    own = list(docs())
    for doc in own:
        doc.spans["own"] = doc.spans.pop("sc")
    DocBin(docs=own).to_disk(workdir / "own.spacy")
    (workdir / "broken.spacy").write_bytes(b"no DocBin")
    config = make_config(tiny_base("llama"), workdir / "data.spacy")
    write_config(workdir / "tiny.cfg", config)
    before = listing(workdir)
    train = "train tiny.cfg --output out"
    refused(f"{train} --paths.train other.spacy", "G303", "'PERSON'")
    refused(f"{train} --paths.train none.spacy", "G520", "none.spacy")
    refused(f"{train} --paths.train broken.spacy", "G515", "broken.spacy")
    refused(f"{train} --paths.dev broken.spacy", "G515", "broken.spacy")
    # The labels are given, so no other check would report the missing group.
    refused(f"{train} --paths.train own.spacy", "G307", "'sc'")
    refused(f'{train} --components.generative_ner.spans_key ""', "G435", "spans_key")
    assert listing(workdir) == before


def test_the_path_of_a_damaged_corpus_is_reported(workdir):
    """Also for a sample, which counts the documents first."""
    from spacy_genner.corpora.corpus import make_corpus

    (workdir / "broken.spacy").write_bytes(b"no DocBin")
    for limit in (0, 2):
        corpus = make_corpus(str(workdir / "broken.spacy"), limit)
        with pytest.raises(ValueError, match=r"\[G515\].*broken\.spacy"):
            list(corpus(spacy.blank("en")))


def test_annotate_names_the_file_and_the_line(workdir):
    (workdir / "bad.jsonl").write_text(json.dumps({"text": "a"}) + "\n[1]\n")
    refused("annotate model bad.jsonl out.jsonl --spans-key sc", "G512", "line 2")
    assert not (workdir / "out.jsonl").exists()


def test_the_output_is_complete(workdir):
    """The same as the tests above, without a failure."""
    line = "annotate model data.spacy out.spacy --spans-key sc"
    assert run(line).exit_code == 0
    made = list(DocBin().from_disk("out.spacy").get_docs(spacy.blank("en").vocab))
    assert [len(doc.spans["sc"]) for doc in made] == [1] * len(TEXTS)


def test_evaluate_without_output_only_prints(workdir):
    before = listing(workdir)
    result = run("evaluate model data.spacy --spans-key sc")
    assert result.exit_code == 0, result.output
    assert "micro-F1" in result.stdout and "best min_score" in result.stdout
    assert listing(workdir) == before


def test_convert_lists_each_lost_span_on_a_line(workdir):
    line = '{"text": "at X1bound", "spans": [{"start": 5, "end": 10, "label": "A"}]}'
    (workdir / "x.jsonl").write_text(f"{line}\n{line}\n")
    result = run("convert x.jsonl x.spacy --from jsonl")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("- ")]
    assert len(lines) == 2 and all("'bound' (A)" in line for line in lines)


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_closed_pipe_ends_a_command_quietly(monkeypatch, capfd, unbuffered):
    """As in `genner ... | head -1`: no message, and the status of a shell."""
    reader, writer = os.pipe()
    os.close(reader)

    @reports_errors
    def command():
        print("Lisbon")

    with open(writer, "wb", buffering=0) as raw:
        stream = io.TextIOWrapper(raw, write_through=unbuffered)
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(typer.Exit) as ended:
            command()
        monkeypatch.undo()
    assert ended.value.exit_code == 141
    assert capfd.readouterr().err == ""


def test_other_broken_pipes_are_reported(capsys):
    @reports_errors
    def command():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    assert "[G524]" in capsys.readouterr().err


def test_places_that_hold_no_output_are_named(workdir):
    (workdir / "loop").symlink_to("loop")
    long = "n" * 300
    for place, code in (("loop", "G578"), ("good.txt/out", "G577"), (long, "G579")):
        line = f"convert good.txt {place}.spacy --from bracketed"
        if place == "loop":
            line = "convert good.txt loop/out.spacy --from bracketed"
        refused(line, code)
