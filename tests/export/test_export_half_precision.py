"""The export of an adapter in half precision, as a start for other pipelines."""

import json
from pathlib import Path

import pytest
from component_cases import NAME, TEXTS, found, make_doc, pipeline, trained_pipeline
from safetensors.torch import load_file
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.export.half_precision import export_half_precision


@pytest.fixture
def saved(tiny_base, tmp_path):
    nlp = trained_pipeline(tiny_base("llama"))
    nlp.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_the_exported_adapter(tiny_base, saved, tmp_path):
    folder = export_half_precision(saved, tmp_path / "half")
    before = saved / NAME / "adapter" / "adapter_model.safetensors"
    after = folder / "adapter" / "adapter_model.safetensors"
    assert after.stat().st_size < 0.6 * before.stat().st_size
    wide, narrow = load_file(before), load_file(after)
    assert wide.keys() == narrow.keys()
    for name, tensor in narrow.items():
        assert (tensor == wide[name].to(tensor.dtype)).all()
    assert json.loads((folder / "genner.json").read_text(encoding="utf-8"))["labels"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("LICENSES_SOURCES", "adapter", "genner.json"),
    ]
    # Another pipeline starts from it.
    nlp = pipeline(tiny_base("llama"), labels=None, model__adapter=str(folder))
    for text, spans in TEXTS:
        doc = nlp(make_doc(nlp, text))
        assert found(doc) == sorted(spans, key=lambda span: (span[0], -span[1]))


def test_the_command(saved, tmp_path):
    output = tmp_path / "half"
    arguments = ["export", str(saved), str(output), "--to", "adapter"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (output / "adapter" / "adapter_config.json").is_file()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    other = [*arguments[:2], str(tmp_path / "other"), "--to", "adapter"]
    assert CliRunner().invoke(app, [*other, "-q", "f16"]).exit_code == 2


@pytest.mark.parametrize(
    "file, content, code",
    [
        ("adapter/adapter_model.safetensors", b"", "G252"),
        ("adapter/adapter_model.safetensors", b"\xff" * 100, "G252"),
        ("genner.json", b"{}", "G418"),
        ("genner.json", b"\xff", "G418"),
    ],
)
def test_a_damaged_component(saved, tmp_path, file, content, code):
    (saved / NAME / file).write_bytes(content)
    line = ["export", str(saved), str(tmp_path / "half"), "--to", "adapter"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 1 and code in result.output, result.exception
    assert not (tmp_path / "half").exists()


def test_a_home_folder_that_does_not_exist(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = export_half_precision(saved, Path("~no-such-user") / "half")
    assert folder == tmp_path / "~no-such-user" / "half"


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(ValueError, match="G84"):
        export_half_precision(tmp_path, tmp_path / "half")
    assert not (tmp_path / "half").exists()
