"""Shared fixtures: tiny tokenizers and tiny bases.

The bases are real transformers classes with random weights, so that no test needs the
network. They are small enough to be created in a fraction of a second. Each base is
created once per session, and tests must not write to it.
"""

import gc
import json
import os
import re
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

TINY_VOCAB = 400
TINY_HIDDEN = 32
TINY_FAMILIES = (
    "llama",
    "gemma2",
    "gemma3",
    "mistral",
    "qwen2",
    "qwen3",
    "granite",
    "granite4",
)
TINY_TOKENIZERS = ("bytelevel", "metaspace", "metaspace_prefix")
SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]

SENTENCES = [
    "Lisbon hosts the University of Lisbon.",
    "The University of Porto and the city of Porto signed the agreement.",
    "Labels: ORG, GPE, PERSON\nText: Maria lives in Lisbon.\nEntities: ",
    "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG].",
    "<GPE>Lisbon</GPE> hosts the <ORG>University</ORG>.",
    '{"ORG": ["University of Lisbon"], "GPE": ["Lisbon", "Lisbon"]}',
    "Expression of the interleukin-2 gene in human T cells requires NF-kappa B.",
    "In 1995, Maria Silva and John Smith met the president of the company.",
    "The protein binds the DNA of the cell line; the RNA was measured in 24 cells.",
    "  Two  spaces,\ttabs\nand lines: e.g. 3.5 % (IL-2)-induced!",
]


def _train_bytelevel() -> Any:
    """Train byte-level BPE, as in Llama 3, Qwen and Granite."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY_VOCAB,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _train_metaspace(prepend_scheme: str) -> Any:
    """Train a Unigram model over `▁` with byte fallback, as in SentencePiece models.

    prepend_scheme (str): "never" encodes a text unchanged, as in Gemma. "always"
        prepends a space to every encoded string, as in Llama 2 and Mistral.
    """
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    # No token contains a line break, as in real tokenizers.
    lines = [line for text in SENTENCES for line in text.splitlines()]
    seed = Tokenizer(models.Unigram())
    seed.normalizer = normalizers.Replace(" ", "▁")
    seed.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(
        vocab_size=TINY_VOCAB - 256 - len(SPECIALS),
        show_progress=False,
        max_piece_length=8,
    )
    seed.train_from_iterator(lines, trainer)
    # Training sets rare characters apart by 0.0001, in random order. Token ids and
    # scores have to be the same in each run.
    rows = json.loads(seed.to_str())["model"]["vocab"]
    learned = sorted(
        ((token, round(score, 2)) for token, score in rows),
        key=lambda row: (-row[1], row[0]),
    )
    vocab = [(token, 0.0) for token in SPECIALS]
    vocab += [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    vocab += [(token, score) for token, score in learned if token not in SPECIALS]
    vocab = vocab[:TINY_VOCAB]
    tokenizer = Tokenizer(
        models.Unigram(vocab, unk_id=SPECIALS.index("<unk>"), byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme=prepend_scheme, split=False
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prepend_scheme == "always":
        steps.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _make_tokenizer(kind: str) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    if kind == "bytelevel":
        tokenizer = _train_bytelevel()
    elif kind == "metaspace":
        tokenizer = _train_metaspace("never")
    elif kind == "metaspace_prefix":
        tokenizer = _train_metaspace("always")
    else:
        raise ValueError(f"No tiny tokenizer {kind!r}: {TINY_TOKENIZERS}")
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def _make_config(family: str, bos: int, eos: int, pad: int) -> Any:
    import transformers

    shared: dict[str, Any] = {
        "vocab_size": TINY_VOCAB,
        "hidden_size": TINY_HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        # Wider than the usual 0.02, so that random logits differ clearly.
        "initializer_range": 0.3,
    }
    if family == "llama":
        return transformers.LlamaConfig(**shared, tie_word_embeddings=False)
    if family == "gemma2":
        return transformers.Gemma2Config(
            **shared, head_dim=8, sliding_window=16, query_pre_attn_scalar=8
        )
    if family == "gemma3":
        # The texts of the tests are longer than this window.
        return transformers.Gemma3TextConfig(
            **shared,
            head_dim=8,
            sliding_window=16,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention"],
        )
    if family == "mistral":
        # All layers have the window, although `layer_types` is not set.
        return transformers.MistralConfig(
            **shared, head_dim=8, sliding_window=16, tie_word_embeddings=False
        )
    if family == "qwen2":
        return transformers.Qwen2Config(**shared, tie_word_embeddings=True)
    if family == "qwen3":
        return transformers.Qwen3Config(**shared, head_dim=8, tie_word_embeddings=True)
    if family == "granite":
        return transformers.GraniteConfig(
            **shared,
            embedding_multiplier=2.0,
            logits_scaling=2.0,
            residual_multiplier=0.5,
            attention_multiplier=0.35,
        )
    if family == "granite4":
        return transformers.GraniteMoeHybridConfig(
            **shared,
            layer_types=["mamba", "attention"],
            shared_intermediate_size=64,
            num_local_experts=0,
            num_experts_per_tok=0,
            mamba_n_heads=4,
            mamba_d_head=16,
            mamba_d_state=8,
            mamba_expand=2,
            mamba_chunk_size=16,
            attention_multiplier=0.35,
        )
    raise ValueError(f"No tiny base {family!r}: {TINY_FAMILIES}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes long, or loads the real base model")


@pytest.fixture(scope="session")
def tiny_tokenizers() -> dict[str, Any]:
    """Tokenizers by kind: "bytelevel", "metaspace" and "metaspace_prefix"."""
    return {kind: _make_tokenizer(kind) for kind in TINY_TOKENIZERS}


@pytest.fixture(scope="session")
def tiny_base(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizers: dict[str, Any]
) -> Callable[..., Path]:
    """A function (family, tokenizer_kind="bytelevel", seed=0) that returns the folder
    of a base.

    The base has float32 weights, a vocabulary of 400 tokens, hidden size 32 and two
    layers.
    """
    made: dict[tuple[str, str, int], Path] = {}

    def make(family: str, tokenizer_kind: str = "bytelevel", seed: int = 0) -> Path:
        import torch
        from transformers import AutoModelForCausalLM

        if family == "qwen2" and tokenizer_kind != "bytelevel":
            # transformers always loads its byte-level tokenizer class for qwen2.
            raise ValueError("A qwen2 base has a byte-level tokenizer.")
        key = (family, tokenizer_kind, seed)
        if key in made:
            return made[key]
        tokenizer = tiny_tokenizers[tokenizer_kind]
        config = _make_config(
            family,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        folder = tmp_path_factory.mktemp("bases") / f"{family}-{tokenizer_kind}-{seed}"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[key] = folder
        return folder

    return make


@pytest.fixture(scope="session")
def tuned_folder(
    tiny_base: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a saved pipeline with fixed labels, which reproduces the corpus of
    `component_cases`."""
    from component_cases import trained_pipeline

    folder = tmp_path_factory.mktemp("models") / "tuned"
    trained_pipeline(tiny_base("llama")).to_disk(folder)
    return folder


@pytest.fixture(scope="session")
def universal_package(
    tiny_base: Callable[..., Path],
    tuned_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[pytest.MonkeyPatch], None]:
    """A function (monkeypatch) that makes a tiny adapter the universal one of the
    package, on a tiny base."""
    from types import SimpleNamespace

    import spacy

    from spacy_genner.models import adapter_source
    from spacy_genner.pipeline import universal

    folder = tmp_path_factory.mktemp("package")
    target = folder / "adapters" / "universal"
    spacy.load(tuned_folder).get_pipe("generative_ner").to_disk(target)
    (target / "draft_head.safetensors").unlink(missing_ok=True)
    state = json.loads((target / "genner.json").read_text())
    state |= {"any_labels": True, "labels": [], "readings": 2}
    (target / "genner.json").write_text(json.dumps(state))

    def use(monkeypatch: pytest.MonkeyPatch) -> None:
        files = SimpleNamespace(files=lambda name: folder)
        monkeypatch.setattr(adapter_source, "resources", files)
        monkeypatch.setattr(universal, "BASE", str(tiny_base("llama")))

    return use


@pytest.fixture(scope="session")
def universal_folder(
    tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a saved pipeline with the same adapter, which takes any labels."""
    import shutil

    folder = tmp_path_factory.mktemp("models") / "any-labels"
    shutil.copytree(tuned_folder, folder)
    config = (folder / "config.cfg").read_text("utf8")
    config, count = re.subn(r"^labels = .*$", "labels = null", config, flags=re.M)
    assert count == 1
    (folder / "config.cfg").write_text(config, "utf8")
    path = folder / "generative_ner" / "genner.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "any_labels": True}))
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT, whose pieces are single characters."""
    import string

    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, BertTokenizerFast

    characters = string.ascii_lowercase + string.digits + string.punctuation
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*specials, *characters, *(f"##{each}" for each in characters)]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(each, vocab[each]) for each in ("[CLS]", "[SEP]")],
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=TINY_HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    folder = tmp_path_factory.mktemp("tiny-bert")
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def processor_seconds() -> Callable[..., float]:
    """Time a call: the processor seconds of this thread, the fewest of the repeats.
    Without garbage collection, whose time depends on the objects of other tests.
    """

    def measure(call: Callable[..., Any], *args: Any, repeats: int = 1) -> float:
        times = []
        for _ in range(repeats):
            gc.collect()
            gc.disable()
            try:
                started = time.thread_time()
                call(*args)
                times.append(time.thread_time() - started)
            finally:
                gc.enable()
        return min(times)

    return measure
