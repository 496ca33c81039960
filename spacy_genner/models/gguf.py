"""Convert GGUF weights once into the folder that transformers loads quickly.

Reading GGUF takes a minute or more, loading the result seconds. The converted
folder holds config.json, model.safetensors in float32 and the tokenizer's files.
Float32 because the blocks of GGUF hold values that bfloat16 would round: the
folder then has exactly the weights of the file, for every dtype. Beside it the same
rounded to bfloat16, half as much to read where that is wanted.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import Errors
from .cache_folder import cache_folder

logger = logging.getLogger("spacy_genner")

MANIFEST = "genner_base.json"
# What transformers calls weights beside the plain ones.
ROUNDED = "bfloat16"
# Part of the key: raise it when the same file gives another folder than before.
_LAYOUT = "2"
_CHUNK = 1 << 22


def converted_folder(
    parts: Sequence[Path], package: str, version: str, checksum: str
) -> Path:
    """The folder of converted weights in the cache; converts them the first time.

    parts (Sequence[Path]): The files that make the GGUF file, in order.
    package (str): The package that carries them.
    version (str): Its version.
    checksum (str): SHA-256 of the whole, which is checked before converting.
    RETURNS (Path): Folder with config.json, model.safetensors and tokenizer files.
    RAISES (ValueError): If the checksum differs or the file can't be converted.
    """

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="join-") as place:
            whole = Path(place) / "model.gguf"
            join_parts(parts, whole, checksum, package)
            convert_gguf(whole, folder)

    key = f"{package}-{version}-{checksum[:16]}-{_LAYOUT}"
    origin = {"package": package, "version": version, "sha256": checksum}
    return publish_once(key, build, origin)


def publish_once(
    key: str, build: Callable[[Path], None], manifest: dict[str, str]
) -> Path:
    """Build a folder of the cache once, however many processes ask for it.

    One process builds under a lock while the others wait. A folder appears under
    its name only when it is complete, so one that is there can be used; what a
    killed process left is removed by the next one.

    key (str): The folder's name.
    build (Callable[[Path], None]): Fills the empty folder it is given.
    manifest (dict[str, str]): What to note in the folder about its origin.
    RETURNS (Path): The complete folder.
    """
    from filelock import FileLock

    root = cache_folder() / "bases"
    folder = root / key
    if (folder / MANIFEST).is_file():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(Errors.G222.format(folder=root, reason=err)) from err
    with FileLock(root / f"{key}.lock"):
        if (folder / MANIFEST).is_file():
            return folder
        for leftover in root.glob(f"{key}.*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(dir=root, prefix=f"{key}.", suffix=".tmp"))
        try:
            fresh = work / "base"
            fresh.mkdir()
            build(fresh)
            (fresh / MANIFEST).write_text(json.dumps(manifest), encoding="utf8")
            os.replace(fresh, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def join_parts(
    parts: Sequence[Path], output: Path, checksum: str, package: str
) -> None:
    """Put the parts of a file one after the other and check the result.

    parts (Sequence[Path]): The parts, in order.
    output (Path): The file to write.
    checksum (str): SHA-256 that the whole must have.
    package (str): The package that carries them, for messages.
    RAISES (ValueError): If it has another one, or if a part can't be read.
    """
    digest = hashlib.sha256()
    try:
        with output.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        whole.write(chunk)
    except OSError as err:
        raise ValueError(Errors.G222.format(folder=output.parent, reason=err)) from err
    if digest.hexdigest() != checksum:
        raise ValueError(
            Errors.G220.format(
                files=", ".join(str(part) for part in parts),
                found=digest.hexdigest(),
                expected=checksum,
                package=package,
            )
        )


def convert_gguf(file: Path, folder: Path) -> None:
    """Convert a GGUF file to a folder that `from_pretrained` loads.

    file (Path): The GGUF file.
    folder (Path): An existing folder for the result.
    RAISES (ValueError): If transformers can't read the file, or the result can't be
        written.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    logger.info("Converting %s, once: this takes a minute or more.", file.name)
    place, name = str(file.parent), file.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(
            place,
            gguf_file=name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
    # gguf raises NotImplementedError for a quantisation that it can not read.
    except (ValueError, KeyError, NotImplementedError, OSError, ImportError) as err:
        raise ValueError(Errors.G221.format(file=file.name, reason=err)) from err
    # Says where the weights were read from: a temporary file.
    model.config._name_or_path = ""
    try:
        model.save_pretrained(folder)
        plain = (folder / "config.json").read_bytes()
        model.bfloat16().save_pretrained(folder, variant=ROUNDED)
        # The folder's own dtype is that of the plain weights.
        (folder / "config.json").write_bytes(plain)
        tokenizer.save_pretrained(folder)
        for path in folder.glob("*.safetensors"):
            # Written for the owner alone, while a cache may be shared.
            shutil.copymode(folder / "config.json", path)
    except (OSError, SafetensorError) as err:
        raise ValueError(Errors.G222.format(folder=folder.parent, reason=err)) from err
