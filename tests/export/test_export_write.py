"""The folders that `genner export` writes."""

import json
import os
import stat
import subprocess

import pytest
from component_cases import NAME, pipeline
from spacy.util import load_config
from transformers import AutoTokenizer
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.export import write
from spacy_genner.export.served import read_served
from spacy_genner.export.vllm import max_lora_rank
from spacy_genner.export.write import export_adapter
from spacy_genner.models import licenses
from spacy_genner.models.adapter_files import AdapterFiles, read_adapter, write_adapter
from spacy_genner.models.licenses import GEMMA_NOTICE, base_license


@pytest.fixture
def model(tiny_base, tmp_path):
    """A saved pipeline with a component that is not the default one."""
    nlp = pipeline(
        tiny_base("llama"),
        model__lora={"rank": 12, "alpha": 24},
        labels={"ORG": "an organization", "GPE": ""},
        window={"unit": "doc", "max_tokens": 40, "overlap": 4},
        spans_key="found",
    )
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_vllm_gets_base_adapter_and_command(model, tmp_path):
    made = export_adapter(model, tmp_path / "out", "vllm", name="cells-1.2")
    out = made.folder
    assert sorted(path.name for path in out.iterdir()) == [
        *("LICENSES_SOURCES", "README.md", "adapter", "base"),
        *("genner.json", "serve.sh", "tokenizer"),
    ]  # fmt: skip
    config = read_adapter(out / "adapter").config
    assert config["base_model_name_or_path"] == str(out / "base") and config["r"] == 12
    # vLLM only accepts certain maximum ranks.
    assert "--max-lora-rank 16" in made.command
    assert "--lora-modules cells-1.2=./adapter" in made.command
    assert "--host 127.0.0.1" in made.command
    script = out / "serve.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    assert made.command in script.read_text() and made.command in made.readme
    assert (out / "README.md").read_text() == made.readme


def test_the_licenses_of_base_and_start(model, tmp_path, monkeypatch):
    config = load_config(model / "config.cfg")
    config["components"]["generative_ner"]["model"]["adapter"] = "universal"
    config.to_disk(model / "config.cfg")
    gemma = base_license("google/gemma-3-270m")
    monkeypatch.setattr(licenses, "base_license", lambda name: gemma)
    made = export_adapter(model, tmp_path / "out", "vllm")
    sources = (made.folder / "LICENSES_SOURCES").read_text(encoding="utf8")
    assert "Gemma Terms of Use" in sources and "CC BY-SA 4.0" in sources
    notice = (made.folder / "NOTICE").read_text(encoding="utf8")
    assert GEMMA_NOTICE in notice and "licensed under CC BY-SA 4.0" in notice
    assert "`base` contains the weights of the base" in made.readme
    assert "Keep `LICENSES_SOURCES` and `NOTICE` with copies" in made.readme
    assert "universal: CC BY-SA 4.0" in made.readme


def test_script_runs_the_command_in_its_folder(model, tmp_path):
    out = export_adapter(model, tmp_path / "a b", "vllm", name="x").folder
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "vllm").write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    (tools / "vllm").chmod(0o755)
    result = subprocess.run(
        [out / "serve.sh", "--port", "9"],
        env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    place, *arguments = result.stdout.splitlines()
    assert place == str(out)
    assert arguments[:2] == ["serve", "./base"] and arguments[-2:] == ["--port", "9"]


def test_client_reads_prompt_and_tokenizer(model, tmp_path):
    export_adapter(model, tmp_path / "out", "vllm", name="x")
    served, saved = read_served(tmp_path / "out"), read_served(model)
    assert (served.server, served.model, served.chat) == ("vllm", "x", False)
    assert served.state == saved.state and saved.server is None
    # 512 positions: the base has no more.
    assert served.context_length is not None and served.context_length % 256 == 0
    ids = [
        each.read_tokenizer()("The [ Porto ]")["input_ids"] for each in (served, saved)
    ]
    assert ids[0] == ids[1]
    # vLLM gets the same tokenizer.
    base = AutoTokenizer.from_pretrained(tmp_path / "out" / "base")
    assert base("The [ Porto ]")["input_ids"] == ids[0]


@pytest.mark.parametrize("level", ["pipeline", "component", "adapter"])
def test_the_config_of_the_client(model, tmp_path, level):
    given = {
        "pipeline": model,
        "component": model / NAME,
        "adapter": model / NAME / "adapter",
    }[level]
    made = export_adapter(given, tmp_path / "out", "vllm", name="x")
    assert made.component["window"]["max_tokens"] == 40
    assert made.component["spans_key"] == "found"
    assert made.component["readings"] == 1
    assert made.component["model"]["adapter"] == str(made.folder)
    for line in ('factory = "generative_ner"', "max_tokens = 40", 'name = "x"'):
        assert line in made.readme, line


def test_component_without_a_pipeline(model, tmp_path):
    (model / NAME).rename(tmp_path / "alone")
    made = export_adapter(tmp_path / "alone", tmp_path / "out", "vllm", name="x")
    assert made.component["window"]["max_tokens"] == 512


def test_base_that_is_no_gguf_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"G847.*--to vllm"):
        export_adapter(model, tmp_path / "out", "llama.cpp")
    assert not (tmp_path / "out").exists()


def test_llama_cpp_gets_one_file(model, tmp_path, monkeypatch):
    seen = []

    def fake(lm, output, quantization):
        # Merged in float32, on a network with the adapter.
        seen.append((lm.dtype_name, lm.merge, lm.has_adapter, quantization))
        output.write_bytes(b"GGUF")

    monkeypatch.setattr(write, "write_merged_gguf", fake)
    made = export_adapter(model, tmp_path / "out", "llama.cpp")
    assert seen == [("float32", True, True, "f16")]
    assert sorted(path.name for path in made.folder.iterdir()) == [
        *("LICENSES_SOURCES", "README.md", "genner.json", "model.gguf"),
        *("serve.sh", "tokenizer"),
    ]  # fmt: skip
    words = made.command.split()
    assert words[:3] == ["llama-server", "--model", "./model.gguf"]
    length = made.served.context_length
    assert words[words.index("--ctx-size") + 1] == str(4 * length)
    assert read_served(made.folder).server == "llama.cpp"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"r": 1}, 1),
        ({"r": 4}, 8),
        ({"r": 8}, 8),
        ({"r": 33}, 64),
        ({"r": 512, "rank_pattern": {}}, 512),
        ({"r": 513}, "up to 512"),
        ({"r": 8, "use_dora": True}, "DoRA"),
        ({"r": 8, "alpha_pattern": {"q_proj": 4}}, "alpha_pattern"),
        ({}, "None"),
    ],
)
def test_ranks_of_vllm(config, expected, tmp_path):
    if isinstance(expected, int):
        assert max_lora_rank(config, tmp_path) == expected
        return
    with pytest.raises(ValueError, match=rf"G846.*{expected}"):
        max_lora_rank(config, tmp_path)


def test_unsupported_adapter_leaves_nothing(model, tmp_path):
    folder = model / NAME / "adapter"
    files = read_adapter(folder)
    config = {**files.config, "rank_pattern": {"q_proj": 12}}
    write_adapter(AdapterFiles(config, files.weights).sealed(), folder)
    with pytest.raises(ValueError, match="G846"):
        export_adapter(model, tmp_path / "out", "vllm")
    assert not (tmp_path / "out").exists()


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_command_line(model, tmp_path):
    done = run(model, tmp_path / "out", "--to", "vllm", "--name", "x")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "genner.json").is_file()
    again = run(model, tmp_path / "out", "--to", "vllm", "--name", "x")
    assert again.exit_code == 1 and "G261" in again.output


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["model", "out"], 2, "--to"),
        (["model", "out", "--to", "tgi"], 2, "llama.cpp, vllm"),
        (["model", "out", "--to", "vllm", "-q", "f16"], 2, "--quantization"),
        (["model", "out", "--to", "llama.cpp", "-q", "q4"], 2, "f16, q8_0"),
        (["model", "out", "--to", "vllm", "-n", "a b"], 1, "G845"),
        (["nothing", "out", "--to", "vllm"], 1, "G840"),
        (["empty", "out", "--to", "vllm"], 1, "G840"),
    ],
)
def test_wrong_input_is_reported(arguments, code, shown, tmp_path):
    (tmp_path / "empty").mkdir()
    paths = {name: tmp_path / name for name in ("model", "out", "nothing", "empty")}
    result = run(*(paths.get(each, each) for each in arguments))
    assert result.exit_code == code
    assert shown in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 9}, "G844"),
        ({"server": "tgi"}, "G844"),
        ({"model": ""}, "G844"),
        ({"context_length": True}, "G844"),
        ({"chat": "auto"}, "G844"),
        (None, "G844"),
    ],
)
def test_damaged_exports_are_refused(model, tmp_path, change, code):
    path = export_adapter(model, tmp_path / "out", "vllm").folder / "genner.json"
    content = json.loads(path.read_text())
    content["export"] = {**content["export"], **change} if change else []
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=code):
        read_served(tmp_path / "out")


def test_missing_parts_are_named(model, tmp_path):
    out = export_adapter(model, tmp_path / "out", "vllm").folder
    for path in (out / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="G843"):
        read_served(out).read_tokenizer()
    (out / "tokenizer").rmdir()
    with pytest.raises(ValueError, match=r"G842.*tokenizer"):
        read_served(out).read_tokenizer()
