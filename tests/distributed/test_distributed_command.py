"""The command line of `annotate --ray`, without Ray."""

import json
import sys

import pytest
from distributed_cases import CODE, save_marks, write_jsonl
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.distributed import annotate_corpus


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a", "b", "c", "--workers", "2"], "--workers requires --ray"),
        (["a", "b", "c", "--part-size", "2"], "--part-size requires --ray"),
        (["a", "b", "c", "--resume"], "--resume requires --teacher CONFIG or --ray"),
        (["a", "b", "c", "--ray", "--gpu-id", "0"], "give --gpus-per-worker"),
        (["a", "b", "c", "--ray", "--keep", "ok"], "--keep requires --teacher"),
        (["b", "c", "--ray", "--teacher", "d"], "can't be combined"),
        (["a", "b", "--ray"], "Expected MODEL INPUT OUTPUT, found 2"),
        (["--ray", "a", "b", "c", "d"], "Expected MODEL INPUT OUTPUT, found 4"),
        (["a", "b", "c", "--ray", "--part-format", "csv"], "is not one of jsonl"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, message):
    result = CliRunner().invoke(app, ["annotate", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments, address, files",
    [
        (["--ray", "m", "i", "o"], None, ("m", "i", "o")),
        (["m", "i", "o", "--ray"], None, ("m", "i", "o")),
        (["m", "i", "o", "--ray", "auto"], "auto", ("m", "i", "o")),
        (["m", "--ray", "10.0.0.1:6379", "i", "o"], "10.0.0.1:6379", ("m", "i", "o")),
        (["m", "i", "o", "--ray=[::1]:6379"], "[::1]:6379", ("m", "i", "o")),
    ],
)
def test_the_address_is_optional(monkeypatch, arguments, address, files):
    seen = []
    monkeypatch.setattr(
        "spacy_genner.cli._ray.annotate_with_ray",
        lambda *args, **kwargs: seen.append((args, kwargs)),
    )
    result = CliRunner().invoke(app, ["annotate", *arguments])
    assert result.exit_code == 0, result.output
    [(paths, settings)] = seen
    assert tuple(map(str, paths)) == files and settings["address"] == address


def test_the_name_of_the_output_chooses_the_format(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "spacy_genner.cli._ray.annotate_with_ray",
        lambda *args, **kwargs: seen.append(kwargs["part_format"]),
    )
    for output, extra in (("o", []), ("o.parquet", []), ("o", ["parquet"])):
        given = [f"--part-format={value}" for value in extra]
        CliRunner().invoke(app, ["annotate", "m", "i", output, "--ray", *given])
    assert seen == ["jsonl", "parquet", "parquet"]


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    model = save_marks(tmp_path / "model")
    source = write_jsonl(tmp_path / "in.jsonl", ["Bo left."])
    with pytest.raises(ValueError, match=r"\[G820\].*spacy-genner\[ray\]"):
        annotate_corpus(model, source, tmp_path / "out", spans_key="sc", code=CODE)
    assert json.loads((tmp_path / "out" / "_progress" / "run.json").read_text())
