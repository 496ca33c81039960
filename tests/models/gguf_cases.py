"""Tiny bases written as llama.cpp writes them."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch

# Token types in GGUF.
NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
ARCHITECTURES = {
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "granite": "granite",
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}


def write_gguf(
    base: Path,
    path: Path,
    *,
    parts: int = 1,
    pre: str = "gpt-2",
    template: str | None = None,
    settings: dict[str, Any] | None = None,
    tensors: dict[str, Any] | None = None,
    vocabulary: bool = True,
) -> list[Path]:
    """Write a base as GGUF.

    base (Path): The folder of the base.
    path (Path): The file. The parts of a split file get the names of llama.cpp.
    parts (int): The number of files. With several, the first has no tensors.
    pre (str): The name of the pre-tokenizer of a byte-level vocabulary.
    template (str | None): The chat template.
    settings (dict[str, Any] | None): More fields, or other values. None removes one.
    tensors (dict[str, Any] | None): More tensors.
    vocabulary (bool): Whether to write the vocabulary.
    RETURNS (list[Path]): The files.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    arch = ARCHITECTURES[model.config.model_type]
    fields = _network_fields(model.config, arch)
    if vocabulary:
        fields |= _vocabulary_fields(base, pre)
    if template is not None:
        fields["tokenizer.chat_template"] = template
    fields |= settings or {}
    arrays = {**_arrays(model, arch), **(tensors or {})}
    if parts == 1:
        files, groups = [path], [list(arrays)]
    else:
        names = list(arrays)
        size = -(-len(names) // (parts - 1))
        groups = [[], *(names[i : i + size] for i in range(0, len(names), size))]
        files = [
            path.with_name(f"{path.stem}-{i + 1:05d}-of-{parts:05d}.gguf")
            for i in range(parts)
        ]
    for number, (file, group) in enumerate(zip(files, groups, strict=True)):
        writer = gguf.GGUFWriter(file, arch)
        if number == 0:
            for key, value in fields.items():
                if value is not None:
                    add_field(writer, key, value)
        if parts > 1:
            writer.add_uint16("split.no", number)
            writer.add_uint16("split.count", parts)
            writer.add_int32("split.tensors.count", len(arrays))
        for name in group:
            writer.add_tensor(name, numpy.ascontiguousarray(arrays[name]))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return files


def add_field(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _network_fields(config: Any, arch: str) -> dict[str, Any]:
    rope = config.rope_parameters
    head = getattr(config, "head_dim", None)
    fields = {
        "general.name": "tiny",
        f"{arch}.context_length": config.max_position_embeddings,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.block_count": config.num_hidden_layers,
        f"{arch}.feed_forward_length": config.intermediate_size,
        f"{arch}.attention.head_count": config.num_attention_heads,
        f"{arch}.attention.head_count_kv": config.num_key_value_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{arch}.rope.freq_base": rope.get("full_attention", rope)["rope_theta"],
    }
    if arch == "llama":
        fields[f"{arch}.rope.dimension_count"] = head
    elif head is not None:
        fields[f"{arch}.attention.key_length"] = head
        fields[f"{arch}.attention.value_length"] = head
    if arch.startswith("gemma"):
        fields[f"{arch}.attention.sliding_window"] = config.sliding_window
    if arch == "gemma2":
        fields[f"{arch}.attn_logit_softcapping"] = config.attn_logit_softcapping
        fields[f"{arch}.final_logit_softcapping"] = config.final_logit_softcapping
    if arch == "gemma3":
        is_local = [kind == "sliding_attention" for kind in config.layer_types]
        fields[f"{arch}.attention.sliding_window_pattern"] = is_local
    return fields


def _vocabulary_fields(base: Path, pre: str) -> dict[str, Any]:
    tokenizer = json.loads((base / "tokenizer.json").read_text("utf8"))
    model = tokenizer["model"]
    vocab = sorted(model["vocab"].items(), key=lambda item: item[1])
    added = {token["content"]: token["special"] for token in tokenizer["added_tokens"]}
    is_bytes = model["byte_fallback"]
    kinds = [
        (CONTROL if added[token] else USER_DEFINED)
        if token in added
        else BYTE
        if is_bytes and token.startswith("<0x")
        else NORMAL
        for token, _ in vocab
    ]
    tokens = [token for token, _ in vocab]
    ids = dict(vocab)
    fields = {
        "tokenizer.ggml.model": "llama" if is_bytes else "gpt2",
        "tokenizer.ggml.pre": "default" if is_bytes else pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": ids["<bos>"],
        "tokenizer.ggml.eos_token_id": ids["<eos>"],
        "tokenizer.ggml.padding_token_id": ids["<pad>"],
        "tokenizer.ggml.add_bos_token": True,
    }
    if is_bytes:
        fields["tokenizer.ggml.scores"] = [float(-i) for i in range(len(vocab))]
        fields["tokenizer.ggml.unknown_token_id"] = ids["<unk>"]
    else:
        fields["tokenizer.ggml.merges"] = [
            pair if isinstance(pair, str) else " ".join(pair)
            for pair in model["merges"]
        ]
    return fields


def _arrays(model: Any, arch: str) -> dict[str, Any]:
    config = model.config
    ids = {name: id_ for id_, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(ids[arch], config.num_hidden_layers)
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": config.num_key_value_heads,
    }
    arrays = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, suffix = name.rsplit(".", 1)
        array = tensor.float().numpy()
        layer = stem.rpartition(".")[2]
        if arch == "llama" and layer in heads:
            # Rotary embedding of neighbouring rows instead of halves.
            count = heads[layer]
            split = array.reshape(count, 2, len(array) // count // 2, -1)
            array = split.swapaxes(1, 2).reshape(array.shape)
        if arch.startswith("gemma") and stem.endswith("norm"):
            array = array + 1
        arrays[f"{names.get_name(stem)}.{suffix}"] = array
    return arrays
