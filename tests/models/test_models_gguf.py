"""Converting GGUF: a tiny file written here, by one process and by two."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import gguf
import pytest
import torch

from spacy_genner.models.base_model import BaseSource, load_base
from spacy_genner.models.gguf import MANIFEST, convert_gguf, converted_folder


def write_gguf(base: Path, path: Path) -> None:
    """Write a tiny Qwen2 base as llama.cpp does."""
    import json

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    vocab = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    special = {token["content"] for token in tokenizer["added_tokens"]}
    merges = [
        pair if isinstance(pair, str) else " ".join(pair)
        for pair in tokenizer["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([3 if token in special else 1 for token, _ in vocab])
    writer.add_token_merges(merges)
    ids = dict(vocab)
    writer.add_eos_token_id(ids["<eos>"])
    writer.add_bos_token_id(ids["<bos>"])
    writer.add_pad_token_id(ids["<pad>"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        stem, suffix = name.rsplit(".", 1)
        array = tensor.float().contiguous().numpy()
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory, tiny_base):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(tiny_base("qwen2"), path)
    return path


def test_conversion(tiny_gguf, tiny_base, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path))
    data = tiny_gguf.read_bytes()
    half = len(data) // 2
    parts = [tmp_path / "a", tmp_path / "b"]
    parts[0].write_bytes(data[:half])
    parts[1].write_bytes(data[half:])
    folder = converted_folder(parts, "tiny", "1", hashlib.sha256(data).hexdigest())
    assert (folder / MANIFEST).is_file()
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    config = (folder / "config.json").read_text()
    assert "quantization_config" not in config
    assert str(tmp_path) not in config
    model = AutoModelForCausalLM.from_pretrained(folder)
    original = AutoModelForCausalLM.from_pretrained(tiny_base("qwen2"))
    assert model.dtype == torch.float32
    ids = torch.arange(4, 40)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, original(ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Lisbon hosts 😀 漢字\n\n<eos>"
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids["input_ids"]) == text
    assert tokenizer.eos_token_id not in ids["input_ids"]
    # The second time nothing is converted: the parts are not even read.
    for part in parts:
        part.unlink()
    again = converted_folder(parts, "tiny", "1", hashlib.sha256(data).hexdigest())
    assert again == folder


def test_rounded_weights_are_loaded_where_bfloat16_is_wanted(
    tiny_gguf, tmp_path, monkeypatch
):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path))
    checksum = hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    folder = converted_folder([tiny_gguf], "tiny", "1", checksum)
    source = BaseSource("pip:tiny", None, folder, checksum)
    cpu = torch.device("cpu")
    plain = load_base(source, torch.float32, cpu).model.state_dict()
    # Nothing else can be read now.
    (folder / "model.safetensors").unlink()
    rounded = load_base(source, torch.bfloat16, cpu).model.state_dict()
    assert set(rounded) == set(plain)
    for name, tensor in plain.items():
        assert rounded[name].dtype == torch.bfloat16
        assert torch.equal(rounded[name], tensor.to(torch.bfloat16)), name
    with pytest.raises(ValueError, match="G233"):
        load_base(source, torch.float32, cpu)


@pytest.mark.skipif(os.name != "posix", reason="Sets a limit of the system.")
def test_a_result_that_does_not_fit_the_disk(tiny_gguf, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ValueError, match="G222.*SPACY_GENNER_CACHE"):
            convert_gguf(tiny_gguf, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


SCRIPT = """
import hashlib, sys
from pathlib import Path
from spacy_genner.models import gguf
real = gguf.convert_gguf
def convert(file, folder):
    print("converting")
    real(file, folder)
gguf.convert_gguf = convert
import transformers
print("ready", flush=True)
sys.stdin.readline()
path = Path(sys.argv[1])
checksum = hashlib.sha256(path.read_bytes()).hexdigest()
folder = gguf.converted_folder([path], "tiny", "1", checksum)
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained(folder)
print(folder)
"""


def test_two_processes_convert_once(tiny_gguf, tmp_path):
    environment = {**os.environ, "SPACY_GENNER_CACHE": str(tmp_path)}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = root
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tiny_gguf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(output.count("converting") for output in outputs) == 1
    assert outputs[0][-1] == outputs[1][-1]
    bases = sorted(path.name for path in (tmp_path / "bases").iterdir())
    assert [name for name in bases if not name.endswith(".lock")] == [
        Path(outputs[0][-1]).name
    ]
