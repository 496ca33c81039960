"""`project.yml`: valid, with commands that exist and complete dependencies."""

import shlex
import shutil
from pathlib import Path

import pytest
import typer
from spacy.cli import app
from spacy.util import dot_to_object, load_config
from weasel.cli.run import project_run
from weasel.util import load_project_config, parse_config_overrides

import spacy_genner.cli  # noqa: F401

ROOT = Path(__file__).parents[2]
SPACY = typer.main.get_command(app)
WORKFLOWS = (
    "all",
    "genia",
    "baselines",
    "minilm",
    "gliner",
    "formats",
    "universal",
    "memorisation",
    "abilities",
    "study",
)
# Their own tests check the options of scripts.
SCRIPTS = "benchmarks/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the project file, since weasel creates the folders that it names."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "project.yml", folder)
    return folder


@pytest.fixture(scope="module")
def project(folder):
    return load_project_config(folder)


def steps(project, workflow):
    commands = {command["name"]: command for command in project["commands"]}
    return [commands[name] for name in project["workflows"][workflow]]


def parse(words):
    """Parse a command line as spaCy does, without running it.

    words (Iterable[str]): The command line after `python -m spacy`.
    RETURNS (tuple[str, dict[str, Any], list[str]]): The command's name, its arguments,
        and the remaining words, which may be overrides of a config.
    """
    command, rest, parent = SPACY, list(words), None
    while hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, words
        parent = command.make_context(name, [], resilient_parsing=True)
        command = command.commands[name]
    context = command.make_context(name, rest, parent=parent)
    return name, context.params, context.args


def scripts(project):
    return [line for command in project["commands"] for line in command["script"]]


def test_workflows_and_commands(project):
    assert set(project["workflows"]) == set(WORKFLOWS)
    in_workflows = {name for names in project["workflows"].values() for name in names}
    assert in_workflows == {command["name"] for command in project["commands"]}
    assert all(command["help"] for command in project["commands"])


def test_lines_are_valid_commands(project, monkeypatch):
    # While parsing, spaCy checks that a config exists.
    monkeypatch.chdir(ROOT)
    for line in scripts(project):
        words = shlex.split(line)
        # weasel runs commands without a shell.
        assert not set(words) & {"|", "&&", ";", ">", "<"}, line
        if words[1].startswith(SCRIPTS):
            assert (ROOT / words[1]).is_file(), line
            continue
        assert words[:3] == ["python", "-m", "spacy"], line
        name, params, extra = parse(words[3:])
        if name != "train":
            assert not extra, line
            continue
        config = load_config(params["config_path"])
        for key in parse_config_overrides(extra, env_var=None):
            dot_to_object(config, key)


def test_invalid_lines_are_detected(project):
    for line in (
        "genner convert a b.spacy",
        "genner convert a --from bracketed",
        "genner convert a b.spacy --from nothing",
        "genner evaluate model",
        "genner report metrics out.html --train-log x",
    ):
        with pytest.raises(Exception, match="Missing|not one of|No such option"):
            parse(shlex.split(line))
    with pytest.raises(AssertionError):
        parse(["genner", "nothing"])


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_dependencies_exist_or_were_made_before(project, workflow):
    data = f"{project['vars']['data_dir']}/"
    made = set()
    for command in steps(project, workflow):
        named = {word for line in command["script"] for word in shlex.split(line)}
        for path in command["deps"]:
            there = path in made or (ROOT / path).exists() or path.startswith(data)
            assert there, f"{command['name']}: {path}"
        for path in command["outputs"]:
            # Training writes to a folder inside the named one, and a benchmark has
            # its own default for the results.
            parts = {path, str(Path(path).parent)}
            own = any(word.startswith(SCRIPTS) for word in named)
            assert own or parts & named, f"{command['name']}: {path}"
            made.add(path)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_files_that_a_step_reads_are_dependencies(project, workflow, monkeypatch):
    """They are the files that its lines name, and those that the configs name."""
    monkeypatch.chdir(ROOT)
    for command in steps(project, workflow):
        known = {*command["deps"], *command["outputs"]}
        words = {word for line in command["script"] for word in shlex.split(line)[1:]}
        for path in filter(is_file, words):
            assert path in known, f"{command['name']}: {path}"
        for config in (path for path in command["deps"] if path.endswith(".cfg")):
            lines = [line for line in command["script"] if config in line] or [""]
            for line in lines:
                for path in files_of(config, overrides_of(line)):
                    assert path in known, f"{command['name']}: {path} of {config}"


def test_files_of_a_config():
    found = files_of(ROOT / "configs" / "demo.cfg", {"paths.dev": "other/dev.spacy"})
    assert found == {"corpus/train.spacy", "other/dev.spacy", "corpus/labels.json"}


def is_file(word):
    return Path(word).suffix in (".txt", ".json", ".jsonl", ".cfg", ".spacy", ".py")


def overrides_of(line):
    """The overrides of a config in a command line of training."""
    words = shlex.split(line)
    if words[1:3] != ["-m", "spacy"]:
        return {}
    return parse_config_overrides(parse(words[3:])[2], env_var=None)


def files_of(path, overrides):
    """The files that a config names."""

    def strings(value):
        if isinstance(value, dict):
            for inner in value.values():
                yield from strings(inner)
        elif isinstance(value, str):
            yield value

    return set(filter(is_file, strings(load_config(path, overrides, interpolate=True))))


def test_variables_apply_to_all_lines(project):
    """There is no variable for the span key or the language: if only some lines used
    it, the evaluation could not score the model."""
    text = (ROOT / "project.yml").read_text(encoding="utf8")
    for name in project["vars"]:
        assert f"${{vars.{name}}}" in text, name
    assert not {"spans_key", "lang"} & set(project["vars"])


def test_outputs_of_the_demo(project):
    made = {path for step in steps(project, "all") for path in step["outputs"]}
    assert {
        "training/demo/model-best",
        "metrics/demo.json",
        "reports/demo.html",
    } <= made


def test_table_of_baselines_has_the_generative_model(project):
    *before, table = steps(project, "baselines")
    [line] = table["script"]
    _, params, _ = parse(shlex.split(line)[3:])
    named = [params["folder"], *params["also"]]
    scores = {path for step in before for path in step["outputs"] if "metrics/" in path}
    assert scores == set(table["deps"])
    assert {Path(path).stem for path in scores} == {
        "ner",
        "spancat",
        "inline_bracketed",
    }
    for path in map(Path, scores):
        assert path in named or path.parent in named


def test_data_dir_is_a_variable(folder):
    config = load_project_config(folder, overrides={"vars.data_dir": "elsewhere"})
    lines = [line for line in scripts(config) if "elsewhere/genia/train.jsonl" in line]
    assert len(lines) == 1


def test_dry_run_prints_every_line(folder, project, capsys):
    project_run(folder, "all", dry=True, force=True)
    printed = capsys.readouterr().out
    for command in steps(project, "all"):
        for line in command["script"]:
            assert all(word in printed for word in shlex.split(line)[4:6])
