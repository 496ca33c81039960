"""The training loop of `genner train`.

The loop makes the steps of `spacy train`, in the same order and with the same results,
and writes checkpoints: a run that is interrupted can be resumed. It reuses the parts of
spaCy's loop that prepare batches, evaluate and write metadata.

Before a run, `fill_total_steps` computes the number of steps that the learning rate
schedule needs, and `check_training_config` reports errors of the config that would
otherwise surface only after the base has been loaded.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.loop import (
    DIR_MODEL_BEST,
    DIR_MODEL_LAST,
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
from ..corpora.docbin import check_not_entities_alone, warn_of_missing_groups
from ..corpora.labels import labels_in_file
from ..errors import Errors
from ..io import copy_folder, remove, replaced_folder
from .checkpoint import (
    FOLDER,
    STREAMED,
    Checkpoint,
    Identity,
    Progress,
    corpus_digest,
    flatten_config,
    get_python_state,
    write_checkpoint,
)
from .logger import FILE, STEPS_FILE, StepLog, write_row
from .logger import NAME as LOGGER
from .schedules import NAME as SCHEDULE
from .tracking import FILE as TRACKING
from .tracking import TrackedRuns

LABELS_READER = "spacy.read_labels.v1"
# The sections that a training config must have.
SECTIONS = ("nlp", "training")
# The settings that training divides by.
COUNTS = ("eval_frequency", "accumulate_gradient")


class Stop(Exception):
    """Training has stopped on request. The checkpoint is written."""


@dataclass
class TrainingRun:
    """A training run: a pipeline, its settings and its progress.

    nlp (Language): The initialized pipeline.
    settings (dict[str, Any]): The resolved section `[training]`.
    train_corpus (Callable[[Language], Iterable[Example]]): The training corpus.
    evaluate (Callable[[], tuple[float, dict[str, Any]]]): Evaluates the pipeline on the
        development corpus. Returns the score and all scores.
    identity (Identity): The identity of the run.
    progress (Progress): The progress of the run.
    data (dict[str, Any]): The sizes of the corpora, `train` and `dev`: numbers of
        `documents` and `words`, and of the spans of each label (`labels`). A streamed
        corpus has none.
    """

    nlp: Language
    settings: dict[str, Any]
    train_corpus: Callable[[Language], Iterable[Example]]
    evaluate: Callable[[], tuple[float, dict[str, Any]]]
    identity: Identity
    progress: Progress
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def optimizer(self) -> Optimizer:
        """RETURNS (Optimizer): The optimizer."""
        optimizer: Optimizer = self.settings["optimizer"]
        return optimizer

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether `patience` or `max_steps` ends the run."""
        step, results = self.progress.step - 1, self.progress.results
        if step < 0:
            return False
        # The earliest of equal scores is the best, as in spaCy.
        best_step = -max((score, -at) for score, at in results)[1]
        patience, max_steps = self.settings["patience"], self.settings["max_steps"]
        if patience and step - best_step >= patience:
            return True
        return bool(max_steps and step >= max_steps)

    def averaged_weights(self) -> AbstractContextManager[Any]:
        """RETURNS (AbstractContextManager): Uses the averages of the optimizer, if it
        has any, as weights of the pipeline."""
        averages = self.optimizer.averages
        return self.nlp.use_params(averages) if averages else nullcontext()

    def describe(self) -> None:
        """Write to the metadata of the pipeline what it was trained on so far. The card
        of an evaluation shows it."""
        self.nlp.meta["training"] = {
            **self.data,
            "seed": self.settings["seed"],
            "step": max(0, self.progress.step - 1),
            "epoch": self.progress.epoch,
            "seconds": int(self.progress.seconds),
        }

    def steps(self, checkpoint: Checkpoint | None) -> Iterator[dict[str, Any]]:
        """Make the steps of the run.

        checkpoint (Checkpoint | None): The checkpoint to resume from.
        YIELDS (dict[str, Any]): After each step, the information that spaCy passes to
            loggers; `is_best`, None without an evaluation; and the `step_losses` and
            the `learn_rate` of the step.
        """
        progress = self.progress
        max_epochs = self.settings["max_epochs"]
        batches = create_train_batches(
            self.nlp, self.train_corpus, self.settings["batcher"], max_epochs
        )
        seconds_before = progress.seconds
        if checkpoint is not None:
            _skip_batches(batches, checkpoint)
            checkpoint.restore_random_states()
        started = perf_counter()
        while not self.finished:
            random_state = get_python_state()
            try:
                epoch, batch = next(batches)
            except StopIteration:
                return
            if epoch >= len(progress.epoch_batches):
                progress.epoch_batches.append(0)
                progress.epoch_states.append(random_state)
            progress.epoch_batches[epoch] += 1
            progress.epoch = epoch
            losses_before = dict(progress.losses)
            learn_rate = float(self.optimizer.learn_rate)
            self._update(epoch, batch)
            score, other_scores, is_best = None, None, None
            if progress.step % self.settings["eval_frequency"] == 0:
                with self.averaged_weights():
                    score, other_scores = self.evaluate()
                progress.results.append((float(score), progress.step))
                is_best = score == max(progress.results)[0]
            progress.words += sum(len(example) for example in batch)
            progress.seconds = seconds_before + perf_counter() - started
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
                "learn_rate": learn_rate,
                "step_losses": {
                    name: float(loss) - float(losses_before.get(name, 0.0))
                    for name, loss in progress.losses.items()
                },
            }
            progress.step += 1
            if is_best is not None:
                # A new dict, because the info holds the old one.
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


def _skip_batches(
    batches: Iterator[tuple[int, list[Example]]], checkpoint: Checkpoint
) -> None:
    """Skip the batches of the interrupted run, with each epoch shuffled as it was."""
    for epoch, count in enumerate(checkpoint.progress.epoch_batches):
        checkpoint.restore_epoch_start(epoch)
        for _ in range(count):
            found, _batch = next(batches, (None, None))
            if found != epoch:
                reason = f"epoch {epoch} has fewer than {count} batches"
                raise ValueError(Errors.G312.format(reason=reason))


def train(
    nlp: Language,
    output: Path,
    *,
    checkpoint: Checkpoint | None = None,
    checkpoint_minutes: float = 10.0,
    should_stop: Callable[[], bool] = lambda: False,
    stdout: IO = sys.stdout,
    stderr: IO = sys.stderr,
) -> Path:
    """Train a pipeline as `spacy train` does, with checkpoints.

    nlp (Language): The initialized pipeline with the whole config.
    output (Path): The folder for `model-best`, `model-last`, `checkpoint` and
        `training_log.jsonl`.
    checkpoint (Checkpoint | None): The checkpoint to resume from. None for a new run.
    checkpoint_minutes (float): The maximum time between two checkpoints. Each
        evaluation writes one, too.
    should_stop (Callable[[], bool]): Whether to stop. Called after each step.
    stdout (IO): The stream of the log.
    stderr (IO): The stream of the progress bar.
    RETURNS (Path): The folder `model-last`.
    RAISES (ValueError): The config or a corpus differs from that of the checkpoint.
    RAISES (Stop): `should_stop` returned True. The checkpoint is written.
    """
    msg = Printer(no_print=True)
    run = prepare_run(nlp, checkpoint)
    settings = run.settings
    before_to_disk = create_before_to_disk_callback(settings["before_to_disk"])
    frozen = settings["frozen_components"]

    def save_models(is_best: bool) -> None:
        last, best = output / DIR_MODEL_LAST, output / DIR_MODEL_BEST
        run.describe()
        with run.averaged_weights(), replaced_folder(last) as folder:
            before_to_disk(nlp).to_disk(folder)
        if is_best:
            with replaced_folder(best) as folder:
                copy_folder(last, folder)

    def save_checkpoint() -> None:
        run.progress.performance = dict(nlp.meta.get("performance", {}))
        write_checkpoint(
            output / FOLDER, nlp, run.optimizer, run.progress, run.identity
        )

    if checkpoint is None:
        _remove_results(output)
    stdout.write(msg.info(f"Pipeline: {nlp.pipe_names}") + "\n")
    if frozen:
        stdout.write(msg.info(f"Frozen components: {frozen}") + "\n")
    if settings["annotating_components"]:
        names = settings["annotating_components"]
        stdout.write(msg.info(f"Set annotations on update for: {names}") + "\n")
    learn_rate = float(run.optimizer.learn_rate)
    stdout.write(msg.info(f"Learn rate: {learn_rate:.2e}") + "\n")
    if checkpoint is not None:
        done = run.progress.step
        stdout.write(msg.info(f"Resuming after {done} steps") + "\n")
    runs = TrackedRuns(output / TRACKING, resumed=checkpoint is not None)
    with nlp.select_pipes(disable=frozen), runs.opening():
        log_step, finalize_logger = settings["logger"](nlp, stdout, stderr)
    steps = StepLog(output / STEPS_FILE, run.progress.step)
    writes_log = nlp.config["training"]["logger"].get("@loggers") == LOGGER
    saved_at = perf_counter()
    completed = False
    try:
        for info in run.steps(checkpoint):
            is_best = info.pop("is_best")
            learn_rate, losses = info.pop("learn_rate"), info.pop("step_losses")
            steps.add(info["step"], info["epoch"], losses, learn_rate)
            if is_best is not None:
                with nlp.select_pipes(disable=frozen):
                    update_meta(settings, nlp, info)
                save_models(is_best)
                info["output_path"] = str(output / DIR_MODEL_LAST)
                with runs.at_step(info["step"]):
                    log_step(info)
                if not writes_log:
                    write_row(output / FILE, info)
            else:
                log_step(None)
            due = perf_counter() - saved_at >= 60 * checkpoint_minutes
            stop = should_stop()
            if is_best is not None or due or stop:
                # First the steps, so that a resumed run finds those before it.
                steps.flush()
                save_checkpoint()
                saved_at = perf_counter()
            if stop:
                raise Stop
        steps.flush()
        save_checkpoint()
        completed = True
    finally:
        finalize_logger()
        if run.progress.step:
            save_models(False)
        if not completed and (output / FOLDER).is_dir():
            text = f"To resume from the checkpoint, use --resume {output}"
            stdout.write(msg.warn(text) + "\n")
    stdout.write(
        msg.good("Saved pipeline to output directory", output / DIR_MODEL_LAST) + "\n"
    )
    for line in _summary(run.progress, output / DIR_MODEL_BEST):
        stdout.write(f"{line}\n")
    return output / DIR_MODEL_LAST


def _summary(progress: Progress, best: Path) -> list[str]:
    """The best score and the next command."""
    if not progress.results:
        return []
    # The earliest of equal scores is the best.
    score, step = max(progress.results, key=lambda result: (result[0], -result[1]))
    return [
        f"Best score: {score:.4f} at step {step}, saved in {best}",
        f"To evaluate it: python -m spacy genner evaluate {best} TEST.spacy",
    ]


def _remove_results(output: Path) -> None:
    """Remove the models, the checkpoint and the log of an earlier run. A link stays,
    and its target is removed: the new result takes the same place."""
    for name in (DIR_MODEL_BEST, DIR_MODEL_LAST, FOLDER, FILE, STEPS_FILE, TRACKING):
        remove(Path(os.path.realpath(output / name)))


def prepare_run(nlp: Language, checkpoint: Checkpoint | None) -> TrainingRun:
    """Resolve the training settings of a pipeline, and restore a checkpoint.

    The random seed is set as in `spacy train`.

    nlp (Language): The initialized pipeline.
    checkpoint (Checkpoint | None): The checkpoint to resume from. None for a new run.
    RETURNS (TrainingRun): The run.
    RAISES (ValueError): The config or a corpus differs from that of the checkpoint, or
        a corpus has no spans for a component.
    """
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    settings = registry.resolve(config["training"], schema=ConfigSchemaTraining)  # type: ignore[arg-type]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train_corpus, dev_corpus = resolve_dot_names(config, corpora)
    limit = STREAMED if settings["max_epochs"] < 0 else None
    train_size, dev_size = _CorpusSize(nlp), _CorpusSize(nlp)
    identity = Identity(
        flatten_config(config),
        corpus_digest(train_corpus, nlp, limit, train_size.add),
        corpus_digest(dev_corpus, nlp, observe=dev_size.add),
    )
    data = {"dev": dev_size.to_json()}
    if limit is None:
        data["train"] = train_size.to_json()
    progress = Progress()
    if checkpoint is not None:
        identity.check(checkpoint.identity, checkpoint.folder)
        progress = checkpoint.progress
        checkpoint.restore(nlp, settings["optimizer"])
    _check_corpora(nlp, settings["frozen_components"], train_corpus, dev_corpus)
    evaluate = create_evaluation_callback(nlp, dev_corpus, settings["score_weights"])
    return TrainingRun(nlp, settings, train_corpus, evaluate, identity, progress, data)


class _CorpusSize:
    """Counts the documents, words and spans of a corpus.

    nlp (Language): The pipeline. The spans of the groups that it learns are counted.
    """

    def __init__(self, nlp: Language):
        self._keys = {str(pipe.key) for _, pipe in nlp.pipeline if hasattr(pipe, "key")}
        self.documents = self.words = 0
        self.labels: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        self.documents += 1
        self.words += len(example.reference)
        for key in self._keys & set(example.reference.spans):
            self.labels.update(span.label_ for span in example.reference.spans[key])

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "words": self.words,
            "labels": dict(sorted(self.labels.items())),
        }


def _check_corpora(
    nlp: Language,
    frozen: Collection[str],
    train_corpus: Callable[[Language], Iterable[Example]],
    dev_corpus: Callable[[Language], Iterable[Example]],
) -> None:
    """Check that the corpora have spans for the components that are trained. Without
    them, each evaluation has the score 0."""
    for name, pipe in nlp.pipeline:
        if name in frozen or not hasattr(pipe, "gold_counts"):
            continue
        key = str(pipe.key)  # type: ignore[attr-defined]
        train = (each.reference for each in islice(train_corpus(nlp), STREAMED))
        check_not_entities_alone(train, key, "The training corpus")
        dev = [each.reference for each in dev_corpus(nlp)]
        check_evaluable(dev, key, "The development corpus")
        warn_of_missing_groups(dev, key, "The development corpus")


def check_evaluable(docs: Iterable[Doc], key: str, place: str) -> None:
    """Check that Docs have spans to evaluate on. The check stops at the first Doc with
    the group, which may be empty.

    docs (Iterable[Doc]): The Docs.
    key (str): The group of `doc.spans`.
    place (str): The name or path of the corpus, for the message.
    RAISES (ValueError): There are Docs, and none has the group.
    """
    found: set[str] = set()
    has_entities = has_docs = False
    for doc in docs:
        if key in doc.spans:
            return
        has_docs = True
        has_entities = has_entities or bool(doc.ents)
        found.update(doc.spans)
    if has_entities:
        raise ValueError(Errors.G346.format(place=place, key=key))
    if has_docs:
        found_text = sorted(found) or "none"
        raise ValueError(Errors.G347.format(place=place, key=key, found=found_text))


# The number of steps


def fill_total_steps(config: Config, known: dict[str, Any] | None = None) -> int | None:
    """Replace a `total_steps` of 0 in the cosine schedules of a config.

    config (Config): A config, not interpolated. It is changed in place.
    known (dict[str, Any] | None): The flat config of a run to resume. Its numbers are
        used again, because the learning rates of the run depend on them.
    RETURNS (int | None): The number of steps. None if no schedule needs it.
    RAISES (ValueError): The config sets no end to the training.
    """
    schedules = [
        (place, block)
        for place, block in _blocks(
            config.get("training", {}), "training", "@schedules", SCHEDULE
        )
        if _lacks_steps(config, place)
    ]
    steps: int | None = None
    counted: int | None = None
    for place, block in schedules:
        found = (known or {}).get(f"{place}.total_steps")
        if found is None:
            counted = counted or count_steps(config)
            found = counted
        steps = block["total_steps"] = int(found)
    return steps


def _lacks_steps(config: Config, place: str) -> bool:
    schedule: Any = config.interpolate()
    for key in place.split("."):
        schedule = schedule[key]
    return str(schedule.get("total_steps", 0)) in ("0", "0.0")


def count_steps(config: Config) -> int:
    """Count the optimizer steps that `spacy train` makes with a config, without regard
    to `patience`.

    config (Config): The config, not interpolated.
    RETURNS (int): The number of steps.
    RAISES (ValueError): The config sets no end to the training.
    """
    training = config.interpolate()["training"]
    max_epochs = int(training.get("max_epochs", 0))
    max_steps = int(training.get("max_steps", 20000))
    # spaCy makes the steps 0 to `max_steps`.
    limit = max_steps + 1 if max_steps else None
    if max_epochs <= 0:
        if limit is None:
            raise ValueError(Errors.G316.format())
        return limit
    nlp = load_model_from_config(config, auto_fill=True)
    return len(epoch_sizes(nlp, max_epochs, limit))


def epoch_sizes(
    nlp: Language, max_epochs: int, limit: int | None = None
) -> list[tuple[int, int]]:
    """Get the sizes of the batches of a training run, without a model.

    nlp (Language): The pipeline with the whole config.
    max_epochs (int): The number of epochs, at least 1.
    limit (int | None): The maximum number of batches.
    RETURNS (list[tuple[int, int]]): Epoch and number of examples of each batch.
    """
    config = nlp.config.interpolate()
    training = config["training"]
    (corpus,) = resolve_dot_names(config, [training["train_corpus"]])
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    if training["seed"] is not None:
        fix_random_seed(training["seed"])
    batches = create_train_batches(nlp, corpus, batcher, max_epochs)
    return [(epoch, len(batch)) for epoch, batch in islice(batches, limit)]


# Checks of the config


def check_training_config(config: Config, path: Path) -> None:
    """Check the sections, counts, loggers and labels files of a training config.

    config (Config): The config, not interpolated.
    path (Path): The file of the config, for the message.
    RAISES (ValueError): A section is missing, a count is not a whole number of at least
        1, a logger needs a library that is not installed, or a labels file is missing
        or damaged.
    """
    for name in SECTIONS:
        if name not in config:
            raise ValueError(Errors.G340.format(path=path, section=name))
    check_blocks(config, path)
    filled = config.interpolate()
    for key in COUNTS:
        if key in filled["training"]:
            check_count(f"training.{key}", filled["training"][key])
    logger = filled["training"].get("logger")
    if isinstance(logger, dict) and "@loggers" in logger:
        try:
            registry.resolve({"logger": logger})
        except ImportError as err:
            # spacy-loggers import the library of a logger when the logger is made.
            raise ValueError(Errors.G621.format(reason=err)) from err
    initialize = filled.get("initialize", {})
    for place, block in _blocks(initialize, "initialize", "@readers", LABELS_READER):
        file = Path(str(block.get("path")))
        if block.get("require") or file.exists():
            read_labels_file(file, f"[{place}]")


def check_blocks(config: Config, path: Path) -> None:
    """Check that a config has blocks of settings where spaCy expects them.

    config (Config): The config, not interpolated.
    path (Path): The file of the config, for the message.
    RAISES (ValueError): A section is not a block, or a component is not.
    """
    places: dict[str, Any] = dict(config)
    for section in ("components", "initialize.components"):
        blocks: Any = config
        for key in section.split("."):
            blocks = blocks.get(key) if isinstance(blocks, dict) else None
        if isinstance(blocks, dict):
            places.update({f"{section}.{name}": each for name, each in blocks.items()})
        elif blocks is not None:
            places[section] = blocks
    for place, block in places.items():
        if not isinstance(block, dict):
            reason = f"[{place}] is {block!r} and not a section with settings"
            raise ValueError(Errors.G342.format(path=path, reason=reason))


def read_labels_file(path: Path, place: str) -> Any:
    """Read a labels file as `spacy.read_labels.v1` does.

    path (Path): A JSON file.
    place (str): The section or option that names the file, for the message.
    RETURNS (Any): The content: for most components a list, or an object of labels with
        their definitions.
    RAISES (ValueError): The file cannot be read, or contains no labels.
    """
    try:
        return labels_in_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise ValueError(Errors.G341.format(path=path, place=place, reason=reason))


def _blocks(
    section: Any, place: str, registry_key: str, name: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks of a registered function below a section, with their dotted names."""
    if not isinstance(section, dict):
        return
    if section.get(registry_key) == name:
        yield place, section
    for key, value in section.items():
        yield from _blocks(value, f"{place}.{key}", registry_key, name)
