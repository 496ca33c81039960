"""The configs in `configs/llm` are assembled and run."""

from pathlib import Path

import pytest
import spacy
from server import MODEL, Server
from spacy.cli._util import app
from spacy_llm.util import assemble
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "llm"
LOCAL = ["spancat-local.cfg", "ner-local-few-shot.cfg", "teacher.cfg"]
REMOTE = ["spancat-remote.cfg"]
TEXTS = [
    "Lisbon hosts the University of Lisbon.",
    "May may move to Porto.",
    "It rains.",
]


def overrides(base):
    return {
        "components.llm.model.name": str(base),
        "components.llm.model.dtype": "float32",
        "components.llm.model.device": "cpu",
    }


def test_all_configs_are_tested():
    assert {path.name for path in FOLDER.glob("*.cfg")} == {*LOCAL, *REMOTE}


@pytest.mark.parametrize("name", LOCAL)
def test_configs_with_a_local_model(name, tiny_base, tmp_path, monkeypatch):
    # Paths in the configs are relative to the root of the project.
    monkeypatch.chdir(ROOT)
    nlp = assemble(FOLDER / name, overrides=overrides(tiny_base("llama")))
    docs = list(nlp.pipe(TEXTS))
    groups = [doc.spans["sc"] for doc in docs]
    assert [group.attrs["status"] for group in groups] == ["ok"] * 3
    assert all(0 < score <= 1 for g in groups for score in g.attrs["scores"])
    assert all(ent in list(doc.spans["sc"]) for doc in docs for ent in doc.ents)
    nlp.to_disk(tmp_path / "saved")
    again = list(spacy.load(tmp_path / "saved").pipe(TEXTS))
    for first, second in zip(docs, again, strict=True):
        assert list(map(str, first.spans["sc"])) == list(map(str, second.spans["sc"]))


def test_prompts_contain_examples_and_definitions(tiny_base, monkeypatch):
    monkeypatch.chdir(ROOT)
    nlp = assemble(FOLDER / LOCAL[1], overrides=overrides(tiny_base("llama")))
    template = nlp.get_pipe("llm").task.prompt_template
    assert (
        "[Maria Silva | PERSON] teaches at the "
        "[University of [Lisbon | GPE] | ORG]." in template
    )
    assert "[May | PERSON] may move to [Porto | GPE]." in template
    with_definitions = assemble(
        FOLDER / LOCAL[0], overrides=overrides(tiny_base("llama"))
    )
    assert "- GPE: A country, city or state" in (
        with_definitions.get_pipe("llm").task.prompt_template
    )


@pytest.mark.parametrize("name", LOCAL)
def test_configs_are_assembled_on_the_command_line(
    name, tiny_base, tmp_path, monkeypatch
):
    monkeypatch.chdir(ROOT)
    settings = [
        part
        for key, value in overrides(tiny_base("llama")).items()
        for part in (f"--{key}", value)
    ]
    output = tmp_path / "assembled"
    result = CliRunner().invoke(
        app, ["assemble", str(FOLDER / name), str(output), *settings]
    )
    assert result.exit_code == 0, result.output
    doc = spacy.load(output)(TEXTS[0])
    assert doc.spans["sc"].attrs["status"] == "ok"


@pytest.mark.parametrize("name", REMOTE)
def test_configs_with_a_remote_model(name, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    completions = {
        TEXTS[0]: "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG].",
        TEXTS[1]: "Here it is: [May | PERSON] may move to [Porto | GPE].",
        TEXTS[2]: TEXTS[2],
    }

    def script(call):
        [text] = [text for text in TEXTS if text in call.prompt]
        return completions[text]

    with Server(script, key=None) as server:
        config = {"vars.server": server.url, "vars.model": MODEL}
        nlp = assemble(FOLDER / name, overrides=config)
        docs = list(nlp.pipe(TEXTS))
        assert server.rejected == []
    groups = [doc.spans["sc"] for doc in docs]
    assert [g.attrs["status"] for g in groups] == ["ok", "repaired", "ok"]
    assert [[span.text for span in group] for group in groups] == [
        ["Lisbon", "University of Lisbon", "Lisbon"],
        ["May", "Porto"],
        [],
    ]
    assert groups[1].attrs["answer"] == completions[TEXTS[1]]
