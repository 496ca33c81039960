"""GGUF files of the hub as base models."""

import pytest
from gguf_cases import write_gguf

from spacy_genner.models.base_model import get_base, resolve_base
from spacy_genner.models.licenses import base_license, hub_base

REPO = "some/weights-GGUF"


@pytest.fixture
def files(hub, tiny_base, tmp_path, monkeypatch):
    """A repository with a whole file and a split one."""
    from huggingface_hub import HfApi

    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "bases"))
    HfApi().create_repo(REPO)
    whole = write_gguf(tiny_base("qwen2"), tmp_path / "tiny-f32.gguf")
    split = write_gguf(tiny_base("llama"), tmp_path / "big.gguf", parts=3)
    tree = {path.name: path.read_bytes() for path in whole}
    tree |= {f"f32/{path.name}": path.read_bytes() for path in split}
    tree["other.gguf"] = b"not needed"
    hub.repos[REPO].add(tree, "main", "weights")
    return tree


def downloads(hub):
    return [path for method, path in hub.requests if "/resolve/" in path]


def test_a_file_is_downloaded_once(hub, files, monkeypatch):
    from huggingface_hub import constants

    name = f"{REPO}:tiny-f32.gguf"
    base = get_base(name, dtype="float32", device="cpu")
    assert base.model.config.model_type == "qwen2"
    assert base.source.name == name
    found = {path.rpartition("/")[2] for path in downloads(hub)}
    assert found == {"tiny-f32.gguf"}
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_base(name) == base.source
    assert hub.requests == []
    with pytest.raises(ValueError, match=f"G205.*hf download {REPO} other.gguf"):
        resolve_base(f"{REPO}:other.gguf")


def test_all_parts_of_a_split_file_are_downloaded(hub, files):
    source = resolve_base(f"{REPO}:f32/big-00002-of-00003.gguf", "main")
    assert len(source.gguf) == 3
    assert len({path.rpartition("/")[2] for path in downloads(hub)}) == 3
    other = resolve_base(f"{REPO}:f32/big-00001-of-00003.gguf")
    assert (other.folder, other.checksum) == (source.folder, source.checksum)


def test_a_file_that_is_not_there_is_an_error(hub, files):
    with pytest.raises(ValueError, match=r"G353.*tiny-f8.*other.gguf, tiny-f32.gguf"):
        resolve_base(f"{REPO}:tiny-f8.gguf")
    with pytest.raises(ValueError, match="G207.*no/repo"):
        resolve_base("no/repo:a.gguf")
    with pytest.raises(ValueError, match=r"G221.*other.gguf"):
        resolve_base(f"{REPO}:other.gguf")


def test_the_card_names_the_repository():
    assert hub_base("org/gemma-3-GGUF:a.gguf") == "org/gemma-3-GGUF"
    assert hub_base("models/a.gguf") is None
    assert base_license("org/gemma-3-GGUF:a.gguf").id == "gemma"
    other = base_license("org/some:a.gguf")
    assert other.url == "https://huggingface.co/org/some"
