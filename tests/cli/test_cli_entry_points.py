"""`genner`, `python -m spacy_genner` and `python -m spacy genner` are the same."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_genner.cli import app

TEXT = "[Mara | PERSON] left [Oslo | GPE].\nShe paid.\n"
# The script is beside the interpreter of the environment.
SCRIPT = shutil.which("genner", path=str(Path(sys.executable).parent))
COMMANDS = (
    [SCRIPT],
    [sys.executable, "-m", "spacy_genner"],
    [sys.executable, "-m", "spacy", "genner"],
)
# The name of the program in a usage message.
PROGRAM = re.compile(r"(?<=Usage: )(python -m spacy genner|genner)")
# Only a stand-alone program has the options for shell completion.
COMPLETION = re.compile(r"--install-completion .* (?=--help )")


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run(command, workdir, *arguments):
    """Run a command and return its exit code, and stdout and stderr as one line each,
    without the differences that are intended."""
    done = subprocess.run(
        [*command, *arguments],
        cwd=workdir,
        capture_output=True,
        text=True,
        timeout=120,
    )
    printed, errors = (" ".join(text.split()) for text in (done.stdout, done.stderr))
    errors = re.sub("Try '.* --help' for help", "Try --help for help", errors)
    printed = COMPLETION.sub("", printed)
    return done.returncode, *(PROGRAM.sub("NAME", text) for text in (printed, errors))


def run_all(workdir, *arguments):
    """Run a command in each way and return the result, which must be the same."""
    results = {run(command, workdir, *arguments) for command in COMMANDS}
    assert len(results) == 1, results
    return results.pop()


def test_the_script_is_installed():
    assert SCRIPT is not None


def test_help(workdir):
    code, printed, errors = run_all(workdir, "--help")
    assert (code, errors) == (0, "")
    assert printed.startswith("Usage: NAME ")
    assert all(command.name in printed for command in app.registered_commands)


def test_convert(workdir):
    corpora = []
    for number, command in enumerate(COMMANDS):
        output = workdir / f"{number}.spacy"
        arguments = ["convert", "corpus.txt", output.name, "--from", "bracketed"]
        code, printed, errors = run(command, workdir, *arguments)
        assert (code, errors) == (0, "")
        docs = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
        spans = [[(span.text, span.label_) for span in doc.spans["sc"]] for doc in docs]
        corpora.append((spans, printed.replace(output.name, "OUTPUT")))
    assert corpora[0] == corpora[1] == corpora[2]
    spans, printed = corpora[0]
    assert spans == [[("Mara", "PERSON"), ("Oslo", "GPE")]]
    assert "1 documents, 2 spans -> OUTPUT" in printed


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("convert none.txt out.spacy --from bracketed", (1, "[G520] none.txt")),
        ("convert corpus.txt out.spacy --from nothing", (2, "'nothing' is not one of")),
    ],
)
def test_exit_codes(workdir, arguments, expected):
    code, printed, errors = run_all(workdir, *arguments.split())
    assert code == expected[0] and expected[1] in errors, errors
    assert printed == ""
    assert sorted(path.name for path in workdir.iterdir()) == ["corpus.txt"]
