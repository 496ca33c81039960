"""Fixtures that several modules of this folder share."""

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from spacy_genner.models.base_model import get_base

FAMILIES = ["llama", "gemma2", "gemma3", "qwen2", "qwen3", "granite", "granite4"]


@pytest.fixture(params=FAMILIES)
def networks(request, tiny_base):
    """A base as the project loads it, and as transformers loads it."""
    folder = tiny_base(request.param)
    # The attention of transformers that caps scores computes softmax in float32.
    capped = request.param == "gemma2"
    dtype = "float32" if capped else "float64"
    base = get_base(str(folder), dtype=dtype, device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=base.dtype,
        attn_implementation="eager" if capped else "sdpa",
    )
    # The reference keeps the base in memory.
    yield base.model, plain.eval().requires_grad_(False)


@pytest.fixture
def padded_batch():
    """The ids of three sequences, and the mask of their padding."""
    ids = torch.randint(4, 390, (3, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(40) < torch.tensor([40, 23, 1])[:, None]
    return ids, mask.long()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))


class Site:
    """A folder on sys.path with installed packages that are made up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name, files, requires=(), version="1.2"):
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        package = self.folder / name.replace("-", "_")
        package.mkdir(exist_ok=True)
        # An import would raise an error: no code of a package is run.
        files = {"__init__.py": b"raise SystemExit('imported')", **files}
        record = []
        for file, data in files.items():
            (package / file).parent.mkdir(exist_ok=True)
            (package / file).write_bytes(data)
            record.append(f"{package.name}/{file},,")
        (info / "RECORD").write_text("\n".join(record) + "\n")

    @staticmethod
    def sums(data: bytes, file: str) -> bytes:
        """The content of a SHA256SUMS file."""
        return f"{hashlib.sha256(data).hexdigest()}  {file}\n".encode()


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Site(folder)
