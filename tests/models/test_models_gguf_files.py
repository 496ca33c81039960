"""GGUF files as base models: found, read as the original, and converted once."""

import gc
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from component_cases import results, trained_pipeline
from gguf_cases import write_gguf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from spacy_genner.export.peft import export_base
from spacy_genner.models import gguf_files
from spacy_genner.models.base_model import get_base, resolve_base
from spacy_genner.models.gguf import cache_folder
from spacy_genner.models.gguf_conversion import compact_tokenizer
from spacy_genner.models.gguf_files import (
    HubFile,
    find_gguf_parts,
    gguf_checksum,
    parse_hub_file,
    part_names,
)

FAMILIES = ["llama", "qwen2", "qwen3", "gemma2", "gemma3"]
NASTY = [
    "In 1995, 3.14159 and 1,000,000 cells (24/7) on 2024-11-30.",
    "  Two  spaces,\ttabs\n\n\nand lines: \r\n e.g. 3.5 % \u00a0 nbsp \u2003 em ",
    "😀 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 漢字かな交じり文 한국어 中文，标点。 ไทย हिन्दी مرحبا",
    "caf\u00e9 cafe\u0301 ﬁ ½ ² Ⅷ ١٢٣ don't WE'LL İ ß a\u200bb",
    "<eos> <bos>x<0x0A> ▁ ▁▁ ▁▁▁a",
    "Lisbon hosts the University of Lisbon.",
    "   ",
    " leading and trailing ",
]


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory):
    """One cache for the module, so that a file is converted once."""
    before = os.environ.get("SPACY_GENNER_CACHE")
    os.environ["SPACY_GENNER_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["SPACY_GENNER_CACHE"]
    else:
        os.environ["SPACY_GENNER_CACHE"] = before


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory, tiny_base):
    """A function (family) that returns a GGUF file."""
    folder = tmp_path_factory.mktemp("gguf")

    def make(family):
        path = folder / f"{family}.gguf"
        if not path.is_file():
            write_gguf(tiny_base(family), path)
        return path

    return make


def logits(model):
    ids = torch.randint(4, 390, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(ids).logits


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


# The network


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_gives_the_logits_of_its_model(family, tiny_gguf, tiny_base):
    from transformers import AutoModelForCausalLM

    path = tiny_gguf(family)
    base = get_base(str(path), dtype="float32", device="cpu")
    original = AutoModelForCausalLM.from_pretrained(tiny_base(family))
    original.set_attn_implementation("eager")
    base.model.set_attn_implementation("eager")
    torch.testing.assert_close(
        logits(base.model), logits(original), rtol=1e-4, atol=1e-4
    )
    assert base.source.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert base.source.gguf == (path,)
    assert base.source.requirement is None
    config = (base.source.folder / "config.json").read_text("utf8")
    assert str(path.parent) not in config and "quantization" not in config
    tokenizer = (base.source.folder / "tokenizer_config.json").read_text("utf8")
    assert str(path.parent) not in tokenizer


def tiny_llama(folder, tiny_base, **changes):
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(tiny_base("llama"), folder)
    config = AutoConfig.from_pretrained(folder)
    config.update(changes)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return model.eval()


def test_the_rotary_factors_of_llama_3_are_kept(tmp_path, tiny_base):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    folder = tmp_path / "base"
    original = tiny_llama(folder, tiny_base, rope_parameters=rope)
    config = original.config
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 500_000.0 ** -(torch.arange(0, 8, 2) / 8)
    factors = (plain / scaled).numpy()
    path = tmp_path / "llama3.gguf"
    write_gguf(folder, path, tensors={"rope_freqs.weight": factors})
    model = get_base(str(path), dtype="float32", device="cpu").model
    ids = torch.arange(4, 390)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            model(ids).logits, original(ids).logits, rtol=1e-4, atol=1e-4
        )
    assert model.config.rope_parameters["factor"] == 32.0
    # Other factors can't be written as parameters of transformers.
    write_gguf(folder, path, tensors={"rope_freqs.weight": factors * 1.5})
    with pytest.raises(ValueError, match="G355.*rope_freqs.weight"):
        resolve_base(str(path))


def test_scaled_positions_are_kept(tmp_path, tiny_base):
    rope = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
    folder = tmp_path / "base"
    original = tiny_llama(folder, tiny_base, rope_parameters=rope)
    scaling = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    path = tmp_path / "linear.gguf"
    write_gguf(folder, path, settings=scaling)
    model = get_base(str(path), dtype="float32", device="cpu").model
    torch.testing.assert_close(logits(model), logits(original), rtol=1e-4, atol=1e-4)
    yarn = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}
    write_gguf(folder, path, settings=yarn)
    with pytest.raises(ValueError, match="G355.*original context"):
        resolve_base(str(path))
    write_gguf(folder, path, settings={"llama.rope.scaling.type": "longrope"})
    with pytest.raises(ValueError, match="G355.*longrope"):
        resolve_base(str(path))


@pytest.mark.parametrize(
    "settings, tensors, found",
    [
        ({"llama.expert_count": 8}, {}, "llama.expert_count = 8"),
        ({"llama.logit_scale": 0.5}, {}, "llama.logit_scale = 0.5"),
        ({"llama.attention.causal": False}, {}, "attention.causal = False"),
        ({"llama.rope.dimension_count": 4, "llama.attention.key_length": 8}, {}, "4"),
        ({}, {"blk.0.attn_sinks.weight": [0.0]}, "blk.0.attn_sinks.weight"),
    ],
)
def test_what_would_be_ignored_is_an_error(
    tmp_path, tiny_base, settings, tensors, found
):
    path = tmp_path / "odd.gguf"
    arrays = {key: torch.tensor(value).numpy() for key, value in tensors.items()}
    write_gguf(tiny_base("llama"), path, settings=settings, tensors=arrays)
    with pytest.raises(ValueError, match=f"G355.*odd.gguf.*{found}"):
        resolve_base(str(path))


def test_neutral_settings_are_no_error(tmp_path, tiny_base):
    path = tmp_path / "neutral.gguf"
    settings = {"llama.expert_count": 0, "llama.rope.scaling.type": "none"}
    # A model of this name is another architecture for transformers.
    settings |= {"general.name": "mistral"}
    write_gguf(tiny_base("llama"), path, settings=settings)
    base = get_base(str(path), dtype="float32", device="cpu")
    assert base.model.config.model_type == "llama"


def test_an_unknown_architecture_is_an_error(tmp_path, tiny_base):
    path = tmp_path / "granite.gguf"
    write_gguf(tiny_base("granite"), path)
    with pytest.raises(ValueError, match="G354.*'granite'.*gemma3, llama"):
        resolve_base(str(path))
    assert list((cache_folder() / "bases").glob(".*genner-new*")) == []


def test_an_output_layer_that_is_the_embedding_is_shared(tmp_path, tiny_base):
    from transformers import AutoModelForCausalLM

    base = tiny_base("qwen2")
    embedding = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings()
    path = tmp_path / "doubled.gguf"
    doubled = {"output.weight": embedding.weight.detach().numpy()}
    write_gguf(base, path, tensors=doubled)
    model = get_base(str(path), dtype="float32", device="cpu").model
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight is model.get_input_embeddings().weight
    write_gguf(base, path, tensors={"output.weight": doubled["output.weight"] + 1})
    model = get_base(str(path), dtype="float32", device="cpu").model
    assert not model.config.tie_word_embeddings


# The tokenizer


def reference(kind, base):
    """The tokenizer of a family as its authors publish it, over a tiny vocabulary."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBER"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    from tokenizers import Regex

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if kind == "gpt-2":
        steps = [byte_level]
    elif kind == "smollm":
        steps = [pre_tokenizers.Digits(individual_digits=True), byte_level]
    else:
        number = {"qwen2": "", "llama-bpe": "{1,3}"}[kind]
        pattern = Regex(words.replace("NUMBER", number))
        steps = [pre_tokenizers.Split(pattern, "isolated"), plain_bytes]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    if kind == "llama-bpe":
        tokenizer.model.ignore_merges = True
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("left", ["a", "#version", "#versions", "a "])
def test_a_compact_tokenizer_is_the_same(left, tmp_path):
    pieces = ["b", left, f"{left}b", "\n", "\n\n", "<unk>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = [(left, "b"), ("\n", "\n")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    size = path.stat().st_size
    for _ in range(2):
        compact_tokenizer(path)
        assert Tokenizer.from_file(str(path)).to_str() == tokenizer.to_str()
        assert path.stat().st_size < size


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", "qwen2", "llama-bpe"])
def test_a_byte_level_tokenizer_is_that_of_its_family(kind, tmp_path, tiny_base):
    base = tiny_base("llama")
    path = tmp_path / "tokens.gguf"
    write_gguf(base, path, pre=kind, template="{{ messages[0]['content'] }}<eos>")
    tokenizer = get_base(str(path), dtype="float32", device="cpu").tokenizer
    original = reference(kind, base)
    for text in NASTY:
        ids = encode(tokenizer, text)
        assert ids == original.encode(text, add_special_tokens=False).ids, text
        if kind != "qwen2":
            assert tokenizer.decode(ids) == text
    for name in ("bos", "eos", "pad"):
        assert getattr(tokenizer, f"{name}_token") == f"<{name}>"
    assert tokenizer.encode("a")[0] == tokenizer.bos_token_id
    turn = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(turn, tokenize=False) == "Hi<eos>"


def test_a_file_that_wants_no_begin_has_none(tmp_path, tiny_base):
    path = tmp_path / "plain.gguf"
    silent = {"tokenizer.ggml.add_bos_token": None}
    write_gguf(tiny_base("llama"), path, settings=silent)
    base = get_base(str(path), dtype="float32", device="cpu")
    assert base.token_encoder.begin_ids == ()
    # Llama 3 begins each text, even if its file does not say so.
    write_gguf(tiny_base("llama"), path, pre="llama-bpe", settings=silent)
    base = get_base(str(path), dtype="float32", device="cpu")
    assert base.token_encoder.begin_ids == (base.tokenizer.bos_token_id,)


SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]


def sentencepiece_base(folder, tiny_base, family, prefix, runs):
    """A base with the tokenizer of SentencePiece files: BPE over `▁` and bytes."""
    from tokenizers import trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=120, show_progress=False)
    trained.train_from_iterator(["Lisbon hosts the University of Lisbon."], trainer)
    learned = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    spaces = ["▁" * count for count in range(2, 5)] if runs else []
    tokens = [*SPECIALS, *spaces, *bytes_, *(token for token, _ in learned)][:400]
    vocab = {token: id_ for id_, token in enumerate(dict.fromkeys(tokens))}
    merges = [
        (token[:cut], token[cut:])
        for token in vocab
        if token not in (*SPECIALS, *bytes_)
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    steps = [normalizers.Replace(" ", "▁")]
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        steps.insert(0, normalizers.Prepend("▁"))
        parts.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(parts)
    from tokenizers import AddedToken

    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.add_tokens([AddedToken(run, normalized=False) for run in spaces])
    shutil.copytree(tiny_base(family), folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
    ).save_pretrained(folder)
    return folder, tokenizer


@pytest.mark.parametrize(
    "family, prefix", [("gemma3", False), ("llama", True), ("llama", False)]
)
def test_a_sentencepiece_tokenizer_is_that_of_its_family(
    family, prefix, tmp_path, tiny_base
):
    is_gemma = family == "gemma3"
    base, original = sentencepiece_base(
        tmp_path / "base", tiny_base, family, prefix, runs=is_gemma
    )
    path = tmp_path / "pieces.gguf"
    settings = {"tokenizer.ggml.add_space_prefix": prefix}
    if is_gemma:
        # llama.cpp writes the tokens of several spaces with spaces.
        tokens = sorted(original.get_vocab(), key=original.get_vocab().get)
        settings["tokenizer.ggml.tokens"] = [
            token.replace("▁", " ") if set(token) == {"▁"} and token != "▁" else token
            for token in tokens
        ]
    write_gguf(base, path, settings=settings)
    tokenizer = get_base(str(path), dtype="float32", device="cpu").tokenizer
    original.encode_special_tokens = True
    for text in NASTY:
        ids = encode(tokenizer, text)
        assert ids == original.encode(text, add_special_tokens=False).ids, text
        if "▁" not in text:
            assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"tokenizer.ggml.pre": "superbpe"}, "pre-tokenizer 'superbpe'.*smollm"),
        ({"tokenizer.ggml.pre": None}, "pre-tokenizer None"),
        ({"tokenizer.ggml.model": "rwkv"}, "kind 'rwkv'.*gpt2, llama"),
        ({"tokenizer.ggml.model": None}, "kind None"),
    ],
)
def test_an_unknown_tokenizer_is_an_error(tmp_path, tiny_base, settings, found):
    path = tmp_path / "odd.gguf"
    write_gguf(tiny_base("llama"), path, settings=settings)
    with pytest.raises(ValueError, match=f"G356.*odd.gguf.*{found}"):
        resolve_base(str(path))


# Files


def test_a_split_file_is_read_from_any_part(tmp_path, tiny_gguf, tiny_base):
    parts = write_gguf(tiny_base("llama"), tmp_path / "tiny.gguf", parts=3)
    assert [part.name for part in parts][1] == "tiny-00002-of-00003.gguf"
    first = resolve_base(str(parts[0]))
    assert resolve_base(str(parts[2])).folder == first.folder
    assert first.gguf == tuple(parts)
    whole = get_base(str(tiny_gguf("llama")), dtype="float32", device="cpu").model
    split = get_base(str(parts[1]), dtype="float32", device="cpu").model
    assert torch.equal(logits(split), logits(whole))
    # The names of the parts are not part of the checksum.
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, part in enumerate(parts, 1):
        shutil.copy(part, moved / f"other-{number:05d}-of-00003.GGUF")
    found = resolve_base(str(moved / "other-00001-of-00003.GGUF"))
    assert (found.folder, found.checksum) == (first.folder, first.checksum)


def test_parts_that_do_not_fit_are_an_error(tmp_path, tiny_base):
    parts = write_gguf(tiny_base("llama"), tmp_path / "tiny.gguf", parts=3)
    parts[1].rename(tmp_path / "away.gguf")
    with pytest.raises(ValueError, match=r"G352.*tiny-00002-of-00003.gguf missing"):
        resolve_base(str(parts[0]))
    with pytest.raises(ValueError, match=r"G352.*part 2 of 3"):
        resolve_base(str(tmp_path / "away.gguf"))
    shutil.copy(parts[2], parts[1])
    with pytest.raises(ValueError, match=r"G352.*part 3 of 3"):
        resolve_base(str(parts[0]))
    with pytest.raises(ValueError, match="G352.*tiny-00004-of-00003.gguf"):
        part_names("tiny-00004-of-00003.gguf")


def test_a_missing_file_is_an_error(tmp_path):
    (tmp_path / "there.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="G350.*there.gguf"):
        resolve_base(str(tmp_path / "gone.gguf"))
    with pytest.raises(ValueError, match="G350.*none"):
        find_gguf_parts(tmp_path / "no" / "gone.gguf")
    with pytest.raises(ValueError, match="G351.*'v2'"):
        resolve_base(str(tmp_path / "there.gguf"), "v2")


@pytest.mark.parametrize("size", [0, 3, 4, 300, -1000])
def test_a_damaged_file_is_an_error(tmp_path, tiny_gguf, size):
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_gguf("qwen2").read_bytes()[:size])
    with pytest.raises(ValueError, match="G221.*cut.gguf"):
        resolve_base(str(path))


def test_a_file_needs_no_ending(tmp_path, tiny_gguf):
    path = tmp_path / "sha256-0123"
    shutil.copy(tiny_gguf("qwen2"), path)
    source = resolve_base(str(path))
    assert source.folder == resolve_base(str(tiny_gguf("qwen2"))).folder
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="G202"):
        resolve_base(str(tmp_path / "text"))


def test_a_file_that_changes_is_converted_again(
    tmp_path, tiny_gguf, tiny_base, monkeypatch
):
    path = tmp_path / "tiny.gguf"
    shutil.copy(tiny_gguf("qwen2"), path)
    one = get_base(str(path), dtype="float32", device="cpu")
    assert get_base(str(path), dtype="float32", device="cpu") is one
    conversions = []
    real = gguf_files.convert_gguf
    monkeypatch.setattr(
        gguf_files, "convert_gguf", lambda *args: conversions.append(1) or real(*args)
    )
    # A copy, a move and another time are the same file.
    os.utime(path, (1, 1))
    assert resolve_base(str(path)).folder == one.source.folder
    assert not conversions
    write_gguf(tiny_base("qwen2", seed=5), path)
    other = get_base(str(path), dtype="float32", device="cpu")
    assert conversions and other is not one
    assert other.source.checksum == gguf_checksum((path,)) != one.source.checksum
    assert not torch.equal(logits(one.model), logits(other.model))


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path, tiny_base, monkeypatch):
    path = tmp_path / "tiny.gguf"
    write_gguf(tiny_base("qwen2", seed=6), path)

    def grow(files, folder):
        (folder / "config.json").write_text("{}")
        path.write_bytes(path.read_bytes() + b"\0")

    monkeypatch.setattr(gguf_files, "convert_gguf", grow)
    with pytest.raises(ValueError, match="G357.*tiny.gguf"):
        resolve_base(str(path))
    assert not list((cache_folder() / "bases").glob(".*genner-new*"))


def test_the_names_of_files_of_the_hub():
    assert parse_hub_file("org/repo:a.gguf") == HubFile("org/repo", "a.gguf")
    split = parse_hub_file("org/repo:Q4/m-00002-of-00002.gguf")
    assert split.files == ["Q4/m-00001-of-00002.gguf", "Q4/m-00002-of-00002.gguf"]
    for other in ("pip:a", "a.gguf", "org/repo", "C:\\a.gguf", "C:/a/b.gguf"):
        assert parse_hub_file(other) is None
    for bad in ("org/repo:Q4_K_M", "org/repo:/a.gguf", "org/repo:../a.gguf"):
        with pytest.raises(ValueError, match="G353.*ORG/REPO:FILE.gguf"):
            resolve_base(bad)


# Pipelines


def test_a_pipeline_on_a_file_is_saved_and_exported(tmp_path, tiny_gguf):
    import spacy
    from transformers import AutoModelForCausalLM

    nlp = trained_pipeline(tiny_gguf("gemma3"))
    before = results(nlp)
    nlp.to_disk(tmp_path / "saved")
    checksum = nlp.get_pipe("generative_ner").lm.checksum
    assert checksum == hashlib.sha256(tiny_gguf("gemma3").read_bytes()).hexdigest()
    del nlp
    gc.collect()
    loaded = spacy.load(tmp_path / "saved")
    assert results(loaded) == before
    assert "requirements" not in loaded.meta
    base, adapter = export_base(tmp_path / "saved", tmp_path / "exported")
    AutoModelForCausalLM.from_pretrained(base)
    config = json.loads((adapter / "adapter_config.json").read_text("utf8"))
    assert config["base_model_name_or_path"] == str(base)
    assert not list(base.glob("*bfloat16*"))


def test_two_components_share_a_file(tiny_gguf):
    name = str(tiny_gguf("llama"))
    one, two = (trained_pipeline(Path(name)) for _ in range(2))
    bases = [nlp.get_pipe("generative_ner").lm.base for nlp in (one, two)]
    assert bases[0] is bases[1]
