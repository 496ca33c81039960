"""The training loop of `genner train`."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.loop import (
    DIR_MODEL_BEST,
    DIR_MODEL_LAST,
    clean_output_dir,
    create_before_to_disk_callback,
    create_evaluation_callback,
    create_train_batches,
    subdivide_batch,
    update_meta,
)
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config, Optimizer, fix_random_seed
from wasabi import Printer

from ..config.settings import check_count
from ..corpora.labels import labels_in_file
from ..errors import Errors
from ..io import replaced_folder
from .checkpoint import (
    FOLDER,
    STREAMED,
    Checkpoint,
    Identity,
    Progress,
    corpus_digest,
    flat_config,
    python_state,
    write_checkpoint,
)
from .logger import FILE, write_row
from .logger import NAME as LOGGER
from .schedules import NAME


class Stop(Exception):
    """A run is asked to stop after the step it is in."""


@dataclass
class TrainingRun:
    """A run: a pipeline, its settings, and how far it is.

    nlp (Language): The initialized pipeline.
    settings (Dict[str, Any]): The resolved section `[training]`.
    train_corpus (Callable[[Language], Iterable[Example]]): The training corpus.
    evaluate (Callable[[], Tuple[float, Dict[str, Any]]]): Evaluates.
    identity (Identity): What it is a run of.
    progress (Progress): How far it is.
    """

    nlp: Language
    settings: dict[str, Any]
    train_corpus: Callable[[Language], Iterable[Example]]
    evaluate: Callable[[], tuple[float, dict[str, Any]]]
    identity: Identity
    progress: Progress

    @property
    def optimizer(self) -> Optimizer:
        """RETURNS (Optimizer): The optimizer."""
        optimizer: Optimizer = self.settings["optimizer"]
        return optimizer

    @property
    def over(self) -> bool:
        """RETURNS (bool): Whether patience or the steps have run out."""
        step, results = self.progress.step - 1, self.progress.results
        if step < 0:
            return False
        # Of equal scores the earlier one counts, as in spaCy.
        best_step = -max((score, -at) for score, at in results)[1]
        patience, max_steps = self.settings["patience"], self.settings["max_steps"]
        if patience and step - best_step >= patience:
            return True
        return bool(max_steps and step >= max_steps)

    def steps(self, checkpoint: Checkpoint | None) -> Iterator[dict[str, Any]]:
        """Make the steps of the run.

        checkpoint (Optional[Checkpoint]): Where it goes on.
        YIELDS (Dict[str, Any]): After each step what spaCy tells loggers, `is_best`
            besides: None where nothing was evaluated.
        """
        progress, optimizer = self.progress, self.optimizer
        max_epochs = self.settings["max_epochs"]
        batches = create_train_batches(
            self.nlp, self.train_corpus, self.settings["batcher"], max_epochs
        )
        before = progress.seconds
        if checkpoint is not None:
            _skip(batches, checkpoint)
            checkpoint.restore_random_states()
        started = perf_counter()
        while not self.over:
            state = python_state()
            try:
                epoch, batch = next(batches)
            except StopIteration:
                return
            if epoch >= len(progress.epoch_batches):
                progress.epoch_batches.append(0)
                progress.epoch_states.append(state)
            progress.epoch_batches[epoch] += 1
            progress.epoch = epoch
            self._update(epoch, batch)
            score, other_scores, is_best = None, None, None
            if progress.step % self.settings["eval_frequency"] == 0:
                averages = optimizer.averages
                with self.nlp.use_params(averages) if averages else nullcontext():
                    score, other_scores = self.evaluate()
                progress.results.append((float(score), progress.step))
                is_best = score == max(progress.results)[0]
            progress.words += sum(len(example) for example in batch)
            progress.seconds = before + perf_counter() - started
            info = {
                "epoch": epoch,
                "step": progress.step,
                "score": score,
                "other_scores": other_scores,
                "losses": progress.losses,
                "checkpoints": progress.results,
                "seconds": int(progress.seconds),
                "words": progress.words,
                "is_best": is_best,
            }
            progress.step += 1
            if is_best is not None:
                # Whoever gets this info keeps the old dict.
                progress.losses = {}
            yield info

    def _update(self, epoch: int, batch: list[Example]) -> None:
        nlp, settings = self.nlp, self.settings
        if settings["before_update"]:
            settings["before_update"](nlp, {"step": self.progress.step, "epoch": epoch})
        frozen = settings["frozen_components"]
        for part in subdivide_batch(batch, settings["accumulate_gradient"]):
            nlp.update(
                part,
                drop=settings["dropout"],
                losses=self.progress.losses,
                sgd=False,  # type: ignore[arg-type]
                exclude=frozen,
                annotates=settings["annotating_components"],
            )
        for name, pipe in nlp.pipeline:
            if name in frozen or not getattr(pipe, "is_trainable", False):
                continue
            if pipe.model not in (True, False, None):  # type: ignore[attr-defined]
                pipe.finish_update(self.optimizer)  # type: ignore[attr-defined]
        self.optimizer.step_schedules()


def train(
    nlp: Language,
    output: Path,
    *,
    checkpoint: Checkpoint | None = None,
    checkpoint_minutes: float = 10.0,
    stopping: Callable[[], bool] = lambda: False,
    stdout: IO = sys.stdout,
    stderr: IO = sys.stderr,
) -> Path:
    """Train a pipeline as `spacy train` does, with checkpoints.

    nlp (Language): The initialized pipeline with the whole config.
    output (Path): Gets `model-best`, `model-last`, `checkpoint` and
        `training_log.jsonl`.
    checkpoint (Optional[Checkpoint]): Where to go on; None to begin.
    checkpoint_minutes (float): A checkpoint is written at each evaluation, and when
        this time has passed without one.
    stopping (Callable[[], bool]): Asked after each step whether to stop there.
    stdout (IO): Where the log goes.
    stderr (IO): Where the progress bar goes.
    RETURNS (Path): The folder `model-last`.
    RAISES (ValueError): The checkpoint is one of another config or corpus.
    RAISES (Stop): It was stopped; the checkpoint is written.
    """
    msg = Printer(no_print=True)
    run = prepare(nlp, checkpoint, output / FOLDER)
    settings, optimizer = run.settings, run.optimizer
    before_to_disk = create_before_to_disk_callback(settings["before_to_disk"])
    frozen = settings["frozen_components"]

    def save_models(is_best: bool) -> None:
        last, best = output / DIR_MODEL_LAST, output / DIR_MODEL_BEST
        averages = optimizer.averages
        with nlp.use_params(averages) if averages else nullcontext():
            with replaced_folder(last) as folder:
                before_to_disk(nlp).to_disk(folder)
        if is_best:
            with replaced_folder(best) as folder:
                shutil.copytree(last, folder, dirs_exist_ok=True)

    def save_checkpoint() -> None:
        run.progress.performance = dict(nlp.meta.get("performance", {}))
        write_checkpoint(output / FOLDER, nlp, optimizer, run.progress, run.identity)

    if checkpoint is None:
        clean_output_dir(output)
        for leftover in (output / FOLDER, output / FILE):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.exists():
                leftover.unlink()
    stdout.write(msg.info(f"Pipeline: {nlp.pipe_names}") + "\n")
    if frozen:
        stdout.write(msg.info(f"Frozen components: {frozen}") + "\n")
    if settings["annotating_components"]:
        names = settings["annotating_components"]
        stdout.write(msg.info(f"Set annotations on update for: {names}") + "\n")
    stdout.write(msg.info(f"Learn rate: {optimizer.learn_rate}") + "\n")
    if checkpoint is not None:
        done = run.progress.step
        stdout.write(msg.info(f"Going on after {done} steps") + "\n")
    with nlp.select_pipes(disable=frozen):
        log_step, finalize_logger = settings["logger"](nlp, stdout, stderr)
    writes_log = nlp.config["training"]["logger"].get("@loggers") == LOGGER
    saved_at = perf_counter()
    ended = False
    try:
        for info in run.steps(checkpoint):
            is_best = info.pop("is_best")
            if is_best is not None:
                with nlp.select_pipes(disable=frozen):
                    update_meta(settings, nlp, info)
                save_models(is_best)
                info["output_path"] = str(output / DIR_MODEL_LAST)
                log_step(info)
                if not writes_log:
                    write_row(output / FILE, info)
            else:
                log_step(None)
            due = perf_counter() - saved_at >= 60 * checkpoint_minutes
            stop = stopping()
            if is_best is not None or due or stop:
                save_checkpoint()
                saved_at = perf_counter()
            if stop:
                raise Stop
        save_checkpoint()
        ended = True
    finally:
        finalize_logger()
        if run.progress.step:
            save_models(False)
        if not ended and (output / FOLDER).is_dir():
            text = f"Go on from the checkpoint: --resume {output}"
            stdout.write(msg.warn(text) + "\n")
    stdout.write(
        msg.good("Saved pipeline to output directory", output / DIR_MODEL_LAST) + "\n"
    )
    return output / DIR_MODEL_LAST


def prepare(nlp: Language, checkpoint: Checkpoint | None, folder: Path) -> TrainingRun:
    """Resolve a pipeline's training settings, and go where a checkpoint is.

    nlp (Language): The initialized pipeline.
    checkpoint (Optional[Checkpoint]): The checkpoint.
    folder (Path): Where checkpoints go.
    RETURNS (TrainingRun): The run. The seed is set as `spacy train` sets it.
    RAISES (ValueError): The checkpoint is one of another config or corpus.
    """
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    settings = registry.resolve(config["training"], schema=ConfigSchemaTraining)  # type: ignore[arg-type]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train_corpus, dev_corpus = resolve_dot_names(config, corpora)
    limit = STREAMED if settings["max_epochs"] < 0 else None
    identity = Identity(
        flat_config(config),
        corpus_digest(train_corpus, nlp, limit),
        corpus_digest(dev_corpus, nlp),
    )
    progress = Progress()
    if checkpoint is not None:
        identity.check(checkpoint.identity, checkpoint.folder)
        progress = checkpoint.progress
        checkpoint.restore(nlp, settings["optimizer"])
    evaluate = create_evaluation_callback(nlp, dev_corpus, settings["score_weights"])
    return TrainingRun(nlp, settings, train_corpus, evaluate, identity, progress)


def _skip(batches: Iterator[tuple[int, list[Example]]], checkpoint: Checkpoint) -> None:
    """Take the batches that were trained on, each epoch shuffled as it was then."""
    for epoch, count in enumerate(checkpoint.progress.epoch_batches):
        checkpoint.enter_epoch(epoch)
        for _ in range(count):
            found, _batch = next(batches, (None, None))
            if found != epoch:
                reason = f"epoch {epoch} has fewer than {count} batches"
                raise ValueError(Errors.G312.format(reason=reason))


def fill_total_steps(config: Config, known: dict[str, Any] | None = None) -> int | None:
    """Set `total_steps` of the cosine schedules of a config where it is 0.

    config (Config): A config, not interpolated; changed in place.
    known (Optional[Dict[str, Any]]): The flat config of a run that goes on: what was
        counted for it is taken over, as its learning rates hang on it.
    RETURNS (Optional[int]): The number that was set; None where there was none to set.
    RAISES (ValueError): The config sets no end to the training.
    """
    places = [
        place
        for place in _schedules(config.get("training", {}), "training")
        if _is_open(config, place)
    ]
    if not places:
        return None
    total = None
    steps = 0
    for place in places:
        found = (known or {}).get(f"{place}.total_steps")
        if found is None:
            total = total or count_steps(config)
            found = total
        steps = int(found)
        section: Any = config
        for key in place.split("."):
            section = section[key]
        section["total_steps"] = steps
    return steps


def count_steps(config: Config) -> int:
    """Count the optimizer steps that `spacy train` makes of a config, apart from
    `patience`.

    config (Config): The config, not interpolated.
    RETURNS (int): The steps.
    RAISES (ValueError): The config sets no end to the training.
    """
    training = config.interpolate()["training"]
    max_epochs = int(training.get("max_epochs", 0))
    max_steps = int(training.get("max_steps", 20000))
    # spaCy makes step 0 and step `max_steps`.
    most = max_steps + 1 if max_steps else None
    if max_epochs <= 0:
        if most is None:
            raise ValueError(Errors.G316.format())
        return most
    nlp = load_model_from_config(config, auto_fill=True)
    return len(epoch_sizes(nlp, max_epochs, most))


def epoch_sizes(
    nlp: Language, max_epochs: int, most: int | None = None
) -> list[tuple[int, int]]:
    """The batches that a training run will meet, without a model.

    nlp (Language): The pipeline with the whole config.
    max_epochs (int): How many epochs, from 1.
    most (Optional[int]): At most so many batches.
    RETURNS (List[Tuple[int, int]]): Epoch and number of examples of each.
    """
    config = nlp.config.interpolate()
    training = config["training"]
    (corpus,) = resolve_dot_names(config, [training["train_corpus"]])
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    if training["seed"] is not None:
        fix_random_seed(training["seed"])
    batches = create_train_batches(nlp, corpus, batcher, max_epochs)
    return [(epoch, len(batch)) for epoch, batch in islice(batches, most)]


def _schedules(section: Any, place: str) -> list[str]:
    """The places of the cosine schedules below a section, dotted."""
    if not isinstance(section, dict):
        return []
    if section.get("@schedules") == NAME:
        return [place]
    return [
        found
        for key, value in section.items()
        for found in _schedules(value, f"{place}.{key}")
    ]


def _is_open(config: Config, place: str) -> bool:
    section: Any = config.interpolate()
    for key in place.split("."):
        section = section[key]
    return str(section.get("total_steps", 0)) in ("0", "0.0")


SECTIONS = ("nlp", "training")
# Numbers that training divides by.
COUNTS = ("eval_frequency", "accumulate_gradient")
_LABELS = "spacy.read_labels.v1"


def check_training_config(config: Config, path: Path) -> None:
    """Check a training config: its sections, its counts and its files of labels.

    config (Config): The config, not interpolated.
    path (Path): Where it was read, for the message.
    RAISES (ValueError): A section is missing, a count is no whole number of at least
        1, or a file of labels is missing or damaged.
    """
    for name in SECTIONS:
        if name not in config:
            raise ValueError(Errors.G340.format(path=path, section=name))
    filled = config.interpolate()
    for key in COUNTS:
        if key in filled["training"]:
            check_count(f"training.{key}", filled["training"][key])
    for place, block in _readers(filled.get("initialize", {}), "initialize"):
        file = Path(str(block.get("path")))
        if block.get("require") or file.exists():
            read_labels_file(file, f"[{place}]")


def read_labels_file(path: Path, place: str) -> Any:
    """Read labels as `spacy.read_labels.v1` does.

    path (Path): A JSON file.
    place (str): What names the file, for the message.
    RETURNS (Any): What it holds: for most components a list, or an object of labels
        with their definitions.
    RAISES (ValueError): It can't be read, or holds something else.
    """
    try:
        return labels_in_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise ValueError(Errors.G341.format(path=path, place=place, reason=reason))


def _readers(section: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks that read labels below a section, with their dotted places."""
    if not isinstance(section, dict):
        return
    if section.get("@readers") == _LABELS:
        yield place, section
    for key, value in section.items():
        yield from _readers(value, f"{place}.{key}")
