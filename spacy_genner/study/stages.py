"""Stages of a long run: each is computed once, and its result is kept in a file.

A run that was killed goes on with the first stage that has no result, and ends with the
same results. A stage has an identity: its settings and the checksums of its files. A
result of another identity is refused rather than mixed with those of this run.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from confection import ConfigValidationError
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from ..errors import Errors
from ..evaluation.records import SPANS_SUFFIX, Annotation, write_evaluation
from ..io import check_folder, parse_json, read_text, remove, write_json
from ..training.checkpoint import FOLDER, Checkpoint
from ..training.loop import check_training_config, fill_total_steps, train

# The key of a result that holds the identity and the time of its stage.
STAGE = "stage"
# The file beside the pipelines of a training run that has ended.
TRAINED = "stage.json"
LAST = "model-last"

Identity = Mapping[str, Any]


def checksum(paths: Iterable[Path]) -> str:
    """Compute the checksum of files and folders.

    paths (Iterable[Path]): The files, and folders with all files below them.
    RETURNS (str): The first 16 hexadecimal digits of the SHA-256 of their contents, in
        the given order.
    RAISES (OSError): A path does not exist.
    """
    state = hashlib.sha256()
    for path in paths:
        files = sorted(f for f in path.rglob("*") if f.is_file())
        for file in files if path.is_dir() else [path]:
            if path.is_dir():
                state.update(file.relative_to(path).as_posix().encode())
            state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()[:16]


@dataclass
class Stages:
    """The stages of one run.

    results (Path): The folder of the results, one JSON file for each stage.
    training (Path): The folder of the trained pipelines.
    total (int): The number of stages, for the progress.
    notify (Callable[[str], None]): Receives a line before each stage, and one for each
        stage whose result is there already.

    done (int): The number of stages so far.
    """

    results: Path
    training: Path
    total: int = 0
    notify: Callable[[str], None] = lambda line: None
    done: int = 0

    def result(
        self,
        name: str,
        identity: Identity,
        compute: Callable[[], dict[str, Any] | tuple[dict[str, Any], list[Annotation]]],
    ) -> dict[str, Any]:
        """Get the result of a stage.

        name (str): The name of the stage and of its file, without a suffix.
        identity (Mapping[str, Any]): The identity, which JSON can represent.
        compute (Callable): Computes the result: a JSON object, or an evaluation and its
            documents.
        RETURNS (dict[str, Any]): The result, with the `identity` and the `seconds` of
            its stage under `stage`.
        RAISES (ValueError): There is a result of another identity, or a damaged one.
        """
        path = self.results / f"{name}.json"
        kept = read_result(path)
        if kept is not None:
            self._check(kept.get(STAGE, {}), identity, path)
            self._say(name, "kept")
            return kept
        self._say(name, "")
        started = perf_counter()
        computed = compute()
        made = computed if isinstance(computed, dict) else computed[0]
        stage = {"identity": _plain(identity), "seconds": perf_counter() - started}
        made = {**made, STAGE: stage}
        if isinstance(computed, dict):
            write_json(path, made)
        else:
            write_evaluation(made, computed[1], path)
        # The same value that a later run reads.
        return read_result(path) or {}

    def pipeline(
        self, name: str, identity: Identity, config: Path, overrides: dict[str, Any]
    ) -> Path:
        """Train a pipeline, or go on with its training.

        name (str): The name of the stage and of its folder.
        identity (Mapping[str, Any]): The identity.
        config (Path): The training config.
        overrides (dict[str, Any]): Settings that replace those of the config, by dotted
            name.
        RETURNS (Path): The last checkpoint.
        RAISES (ValueError): The folder has a pipeline of another identity, or the
            config is invalid.
        """
        output = self.training / name
        identity = {**identity, "overrides": overrides, "config": checksum([config])}
        kept = read_result(output / TRAINED)
        if kept is not None and (output / LAST).is_dir():
            self._check(kept, identity, output)
            self._say(f"{name}: training", "kept")
            return output / LAST
        self._say(f"{name}: training", "")
        train_pipeline(config, overrides, output)
        # The metadata count the time before an interruption, too.
        meta = read_result(output / LAST / "meta.json") or {}
        seconds = meta["training"]["seconds"]
        write_json(output / TRAINED, {"identity": _plain(identity), "seconds": seconds})
        return output / LAST

    def clear(self, results: Iterable[str], pipelines: Iterable[str]) -> None:
        """Remove results and pipelines, all at once before the first stage, so that a
        run that starts over can be interrupted as well.

        results (Iterable[str]): The names of results.
        pipelines (Iterable[str]): The names of pipelines.
        """
        for name in results:
            path = self.results / f"{name}.json"
            for each in (path, path.with_suffix(SPANS_SUFFIX)):
                remove(each)
        for name in pipelines:
            remove(self.training / name)

    def _check(self, stage: Any, identity: Identity, path: Path) -> None:
        found = stage.get("identity") if isinstance(stage, dict) else None
        wanted = _plain(identity)
        if found == wanted:
            return
        found = found if isinstance(found, dict) else {}
        changed = sorted(
            key for key in {*found, *wanted} if found.get(key) != wanted.get(key)
        )
        raise ValueError(Errors.G940.format(path=path, changed=", ".join(changed)))

    def _say(self, name: str, state: str) -> None:
        self.done += 1
        total = f" of {self.total}" if self.total else ""
        suffix = f" ({state})" if state else ""
        self.notify(f"Stage {self.done}{total}: {name}{suffix}")


def train_pipeline(config: Path, overrides: dict[str, Any], output: Path) -> None:
    """Train a pipeline as `genner train` does, from its last checkpoint if there is
    one.

    config (Path): The training config.
    overrides (dict[str, Any]): Settings that replace those of the config.
    output (Path): The folder for the pipelines and the checkpoint.
    RAISES (ValueError): The config is invalid, or the checkpoint belongs to another
        run.
    """
    checkpoint = None
    check_folder(output / FOLDER)
    if (output / FOLDER).is_dir():
        checkpoint = Checkpoint.read(output / FOLDER)
    try:
        loaded = load_config(config, overrides=overrides, interpolate=False)
    except ConfigValidationError:
        raise
    except ValueError as error:
        # Such as a file that is not text.
        raise ValueError(Errors.G342.format(path=config, reason=error)) from error
    check_training_config(loaded, config)
    output.mkdir(parents=True, exist_ok=True)
    fill_total_steps(loaded, None if checkpoint is None else checkpoint.identity.config)
    nlp = init_nlp(loaded)
    train(nlp, output, checkpoint=checkpoint, checkpoint_minutes=2.0)


def check_replaceable(config: Path, keys: Iterable[str]) -> None:
    """Check that a training config has the settings that other runs replace.

    config (Path): The config.
    keys (Iterable[str]): The settings, by dotted name.
    RAISES (ValueError): The config lacks one of them.
    """
    loaded = load_config(config, interpolate=True)
    for key in keys:
        value: Any = loaded
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise ValueError(Errors.G952.format(path=config.parent, found=key))


def training_seconds(folder: Path) -> float:
    """Read the time of a training run that has ended.

    folder (Path): The folder of the run.
    RETURNS (float): The seconds; 0 if the run has not ended.
    """
    kept = read_result(folder / TRAINED)
    return float(kept["seconds"]) if kept else 0.0


def read_result(path: Path) -> dict[str, Any] | None:
    """Read the result of a stage.

    path (Path): The file.
    RETURNS (dict[str, Any] | None): The result; None if there is none.
    RAISES (ValueError): The file is not a JSON object.
    """
    if not path.is_file():
        return None
    try:
        found = parse_json(read_text(path))
    except ValueError as error:
        raise ValueError(Errors.G941.format(path=path, reason=error)) from error
    if not isinstance(found, dict):
        reason = f"it holds a {type(found).__name__}"
        raise ValueError(Errors.G941.format(path=path, reason=reason))
    return found


def _plain(identity: Identity) -> dict[str, Any]:
    """The identity as JSON returns it: paths are strings, and tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(identity), default=str))
    return plain
