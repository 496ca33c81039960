"""GGUF files with a merged adapter."""

import gguf
import numpy
import pytest
import torch
from gguf_cases import write_gguf

from spacy_genner.export import gguf as module
from spacy_genner.export.gguf import replace_weights, write_merged_gguf
from spacy_genner.models.base_model import get_base
from spacy_genner.models.gguf import PackageGGUF, joined_sha256
from spacy_genner.models.language_model import LanguageModel

Q8_0 = gguf.GGMLQuantizationType.Q8_0
QUERY = "model.layers.0.self_attn.q_proj.weight"


def write_source(path, weights, architecture="gemma3", kind=Q8_0, heads=None):
    """A GGUF file with some weights, matrices in a quantised dtype."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_token_list(["a", "b"])
    if heads is not None:
        writer.add_head_count(heads)
    for name, weight in weights.items():
        data = weight.numpy()
        dtype = kind if weight.ndim > 1 else None
        writer.add_tensor(
            name, gguf.quantize(data, dtype) if dtype else data, raw_dtype=dtype
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = gguf.GGUFReader(path)
    return {
        t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type))
        for t in reader.tensors
    }


def read(path):
    reader = gguf.GGUFReader(path)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    found = {
        t.name: torch.tensor(gguf.dequantize(t.data, t.tensor_type))
        for t in reader.tensors
    }
    return reader, kinds, found


WEIGHTS = {
    "token_embd.weight": torch.randn(2, 32),
    "blk.0.attn_q.weight": torch.randn(8, 32),
    "blk.0.attn_norm.weight": torch.randn(32),
    # The rows can't be divided into blocks of Q8_0.
    "blk.0.ffn_up.weight": torch.randn(3, 40).half().float(),
}


@pytest.mark.parametrize("quantization", ["f16", "q8_0"])
def test_adapted_weights_replace_those_of_the_base(tmp_path, quantization):
    weights = {k: v for k, v in WEIGHTS.items() if k != "blk.0.ffn_up.weight"}
    old = write_source(tmp_path / "a.gguf", weights)
    new = torch.randn(8, 32)
    before = {QUERY: old["blk.0.attn_q.weight"]}
    output = tmp_path / "b.gguf"
    replace_weights(tmp_path / "a.gguf", before, {QUERY: new}, output, quantization)
    reader, kinds, found = read(output)
    assert reader.get_field("tokenizer.ggml.tokens").contents() == ["a", "b"]
    file_type = gguf.LlamaFileType(reader.get_field("general.file_type").contents())
    assert file_type.name == f"MOSTLY_{quantization.upper()}"
    assert kinds == {
        "token_embd.weight": quantization.upper(),
        "blk.0.attn_q.weight": quantization.upper(),
        "blk.0.attn_norm.weight": "F32",
    }
    expected = {**old, "blk.0.attn_q.weight": new}
    tolerance = 2e-3 if quantization == "f16" else 0.02
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=tolerance, rtol=2e-3)
    # Weights that the adapter leaves as they are lose nothing.
    embedding = found["token_embd.weight"]
    torch.testing.assert_close(embedding, old["token_embd.weight"], atol=2e-3, rtol=0)


def test_rows_that_q8_0_cannot_hold_are_f16(tmp_path):
    kind = gguf.GGMLQuantizationType.F16
    old = write_source(tmp_path / "a.gguf", WEIGHTS, kind=kind)
    before = {QUERY: old["blk.0.attn_q.weight"]}
    output = tmp_path / "b.gguf"
    replace_weights(tmp_path / "a.gguf", before, before, output, "q8_0")
    _, kinds, found = read(output)
    assert (
        kinds["blk.0.ffn_up.weight"] == "F16" and kinds["token_embd.weight"] == "Q8_0"
    )
    assert torch.equal(found["blk.0.ffn_up.weight"], old["blk.0.ffn_up.weight"])


def test_permuted_rows_are_recognized(tmp_path):
    """As llama.cpp stores queries and keys of Llama."""
    heads = 2

    def permute(weight):
        rows = weight.reshape(heads, 2, len(weight) // heads // 2, -1)
        return rows.swapaxes(1, 2).reshape(weight.shape)

    own = torch.randn(8, 32).half().float()
    kind = gguf.GGMLQuantizationType.F16
    weights = {**WEIGHTS, "blk.0.attn_q.weight": permute(own)}
    write_source(tmp_path / "a.gguf", weights, "llama", kind, heads)
    new = torch.randn(8, 32).half().float()
    output = tmp_path / "b.gguf"
    replace_weights(tmp_path / "a.gguf", {QUERY: own}, {QUERY: new}, output)
    assert torch.equal(read(output)[2]["blk.0.attn_q.weight"], permute(new))


@pytest.mark.parametrize(
    ("name", "weight", "reason"),
    [
        ("model.layers.0.self_attn.unheard.weight", torch.randn(8, 32), "unheard"),
        (QUERY, torch.randn(8, 32), "every known order"),
        (QUERY, torch.randn(8, 16), "its shape"),
    ],
)
def test_weights_without_a_place_are_refused(tmp_path, name, weight, reason):
    write_source(tmp_path / "a.gguf", WEIGHTS, kind=gguf.GGMLQuantizationType.F16)
    with pytest.raises(ValueError, match=rf"G849.*{reason}"):
        replace_weights(
            tmp_path / "a.gguf", {name: weight}, {name: weight}, tmp_path / "c.gguf"
        )


def adapted(tiny_base, merge):
    lm = LanguageModel(
        str(tiny_base("gemma3")), lora={"rank": 2}, dtype="float32", merge=merge
    )
    for parameter in lm.adapter_parameters().values():
        parameter.data += 0.05
    lm.mark_changed()
    return lm


def test_a_whole_model_is_written(tiny_base, tmp_path, monkeypatch):
    """Every adapted weight of the network is in the file, merged."""
    lm = adapted(tiny_base, True)
    base = dict(lm.base.model.named_parameters())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, 2)
    stored = {
        names.get_name(name, try_suffixes=(".weight",)): weight.detach().float()
        for name, weight in base.items()
        if "norm" not in name and "lm_head" not in name
    }
    source = tmp_path / "source.gguf"
    write_source(source, stored, kind=gguf.GGMLQuantizationType.F16)
    checksum = joined_sha256([source])
    package = PackageGGUF("tiny", "1.0", "source.gguf", (source,), checksum)
    monkeypatch.setattr(module, "find_package_gguf", lambda name: package)
    lm.name = "pip:tiny"
    output = tmp_path / "merged.gguf"
    write_merged_gguf(lm, output)
    _, _, found = read(output)
    changed = 0
    for name, weight in lm.decoding_network().named_parameters():
        stored_name = names.get_name(name, try_suffixes=(".weight",))
        if stored_name in found:
            tensor = found[stored_name]
            torch.testing.assert_close(tensor, weight.detach(), atol=2e-3, rtol=2e-3)
            changed += not numpy.allclose(tensor, base[name].detach(), atol=5e-3)
    assert changed == 14
    assert sorted(p.name for p in tmp_path.iterdir()) == ["merged.gguf", "source.gguf"]


def test_what_cannot_be_written_is_refused(tiny_base, tmp_path):
    lm = adapted(tiny_base, False)
    with pytest.raises(ValueError, match="G847"):
        write_merged_gguf(lm, tmp_path / "x.gguf")
    lm.name = "pip:tiny"
    with pytest.raises(ValueError, match="G848"):
        write_merged_gguf(lm, tmp_path / "x.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parts", [1, 3])
def test_the_export_of_a_gguf_file_is_a_base(tiny_base, tmp_path, monkeypatch, parts):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))
    files = write_gguf(tiny_base("llama"), tmp_path / "tiny.gguf", parts=parts)
    lm = adapted(lambda family: files[0], True)
    output = tmp_path / "merged.gguf"
    write_merged_gguf(lm, output)
    merged = get_base(str(output), dtype="float32", device="cpu")
    ids = torch.arange(4, 300)[None]
    with torch.no_grad():
        expected = lm.decoding_network()(ids).logits
        found = merged.model(ids).logits
        plain = lm.base.model(ids).logits
    # The file has 16 bits a weight.
    assert (found - expected).abs().mean() < 0.02 < (plain - expected).abs().mean()
    text = "Lisbon 1995 😀"
    assert merged.tokenizer.encode(text) == lm.tokenizer.encode(text)
    assert not (tmp_path / "merged.gguf.source").exists()
