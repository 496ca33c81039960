"""The part of `annotate` that distils a corpus from a teacher's annotations."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import spacy
import typer
from confection import Config
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_sourced_components, load_config, load_model_from_config
from tqdm import tqdm
from wasabi import msg

from ..corpora.docbin import UNALIGNED
from ..distillation import (
    Entry,
    FilterCounts,
    ProgressLog,
    Review,
    Rules,
    check_corpus_path,
    corpus_writer,
    grade,
)
from ..errors import Errors, Warnings
from ..llm.openai.usage import Usage, usage_of
from ..models.gguf import cached_sha256, joined_sha256
from ._texts import Annotation, InputText, TextAnnotator, count_texts, read_texts
from ._util import add_group_of_entities, warn_on_stderr, without_values

_SHOWN = ("requests", "from_cache", "prompt_tokens", "completion_tokens", "uncounted")


def print_summary(
    counts: FilterCounts,
    output: Path,
    review: Path,
    rules: Rules,
) -> None:
    """Print what a run has made, and what asks for a look.

    counts (FilterCounts): What it has made.
    output (Path): The corpus.
    review (Path): The review.
    rules (Rules): What was good enough.
    """
    msg.good(
        f"{counts.usable} of {counts.total} documents, {counts.spans} spans -> {output}"
    )
    msg.info(f"For a person to look at, the doubtful first -> {review}")
    rows = [(label, str(count)) for label, count in sorted(counts.labels.items())]
    share = counts.with_issues / counts.graded
    rows.append(("(documents with an issue)", f"{share:.1%}"))
    told = {
        "(documents that failed)": counts.failed,
        "(documents left out)": counts.left_out,
        "(blank documents)": counts.blank,
        "(doubtful spans taken out)": counts.taken_out,
    }
    rows += [(name, str(count)) for name, count in told.items() if count]
    msg.table(rows, aligns=("l", "r"))
    if rules.min_score and counts.spans and not counts.scored:
        warn_on_stderr(Warnings.W761.format(least=rules.min_score))
    if counts.failed:
        warn_on_stderr(
            Warnings.W760.format(
                count=counts.failed,
                total=counts.total,
                output=output,
                review=review,
                first=counts.first_failure,
            )
        )


def print_usage(usage: Mapping[str, Usage]) -> None:
    """Print what a run has asked of models behind servers.

    usage (Mapping[str, Usage]): The counts of each component that has asked one.
    """
    for component, each in usage.items():
        msg.info(f"What this run asked for, component {component!r}:")
        rows = [(name.replace("_", " "), str(getattr(each, name))) for name in _SHOWN]
        if each.cost is not None:
            rows.append(("cost", f"{each.cost:.4f}"))
        msg.table(rows, aligns=("l", "r"))


_GENERATIVE, _LLM = "generative_ner", "llm"
_CONFIG = "config.cfg"


class Teacher(NamedTuple):
    """A pipeline that finds spans.

    nlp (Language): The pipeline, ready for use.
    spans_key (str): The group of `doc.spans` that it writes.
    digest (str): A checksum of all that its results depend on.
    """

    nlp: Language
    spans_key: str
    digest: str


def load_teacher(
    source: str, overrides: Mapping[str, Any], spans_key: str | None = None
) -> Teacher:
    """Make the pipeline of a config, or load a saved one.

    source (str): A config file, the folder of a saved pipeline, or the name of an
        installed one.
    overrides (Mapping[str, Any]): Values of the config, by section and key.
    spans_key (Optional[str]): The group that it writes; None to find it.
    RETURNS (Teacher): The teacher.
    RAISES (ValueError): It can't be made, or does not say which spans to take.
    """
    path = Path(source)
    try:
        if path.is_file():
            nlp = _assembled(path, overrides)
        else:
            config = path / _CONFIG
            if config.is_file():
                _check_extra(path, load_config(config, interpolate=False))
            nlp = spacy.load(path if path.exists() else source, config=dict(overrides))
    except (OSError, ValueError) as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        raise ValueError(Errors.G760.format(path=path, reason=reason)) from error
    _check_labels(nlp, path)
    key = spans_key or _find_key(nlp, path)
    return Teacher(nlp, key, _digest(nlp, key))


def _assembled(path: Path, overrides: Mapping[str, Any]) -> Language:
    """As spacy-llm assembles a config, with or without a component of its own."""
    config = load_config(path, overrides=dict(overrides), interpolate=False)
    _check_extra(path, config)
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    for name in nlp.pipe_names:
        settings = whole["initialize"]["components"].get(name, {})
        if nlp.get_pipe_meta(name).factory == _GENERATIVE:
            if not nlp.get_pipe(name).labels and not settings.get("labels"):  # type: ignore[attr-defined]
                raise ValueError(Errors.G763.format(name=name, path=path))
    sourced = get_sourced_components(config.interpolate())
    nlp._link_components()
    with nlp.select_pipes(disable=list(sourced)):
        nlp.initialize()
    return nlp


def _check_extra(path: Path, config: Config) -> None:
    components = config.get("components", {}).values()
    used = any(component.get("factory") == _LLM for component in components)
    if used and find_spec("spacy_llm") is None:
        raise ValueError(Errors.G761.format(path=path))


def _writers(nlp: Language) -> Iterator[tuple[str, str]]:
    """The components that write spans, with their groups."""
    for name in nlp.pipe_names:
        factory = nlp.get_pipe_meta(name).factory
        if factory == _GENERATIVE:
            yield name, str(nlp.get_pipe_config(name)["spans_key"])
        elif factory == _LLM:
            task = getattr(nlp.get_pipe(name), "task", None)
            # Tasks of others have settings of other kinds.
            key = getattr(getattr(task, "settings", None), "spans_key", None)
            if key is not None:
                yield name, str(key)


def _check_labels(nlp: Language, path: Path) -> None:
    for name, _ in _writers(nlp):
        if not nlp.get_pipe(name).labels:  # type: ignore[attr-defined]
            raise ValueError(Errors.G763.format(name=name, path=path))


def _find_key(nlp: Language, path: Path) -> str:
    keys = [key for _, key in _writers(nlp)]
    if not keys and add_group_of_entities(nlp, "sc"):
        return "sc"
    if len(keys) != 1:
        raise ValueError(Errors.G762.format(path=path, found=len(keys)))
    return keys[0]


def _digest(nlp: Language, key: str) -> str:
    whole = nlp.config.interpolate()
    config = json.dumps([key, whole], default=str)
    digest = hashlib.sha256(config.encode("utf8"))
    for path in _files_named(whole["components"]):
        digest.update(f"{path} {cached_sha256(path)}\n".encode())
    # What no training has touched is as the config says; its first weights may be
    # drawn by chance.
    exclude = () if nlp.path else ("adapter",)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "to_bytes"):
            digest.update(pipe.to_bytes(exclude=exclude))
    return digest.hexdigest()


def _files_named(config: Any, setting: str = "") -> Iterator[Path]:
    """The files that settings name, such as a template, and those of adapters."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _files_named(value, key)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _files_named(value, setting)
    # Unlike a Path, it takes texts that are too long for a path.
    elif isinstance(config, str) and os.path.isfile(config):
        yield Path(config)
    elif isinstance(config, str) and setting == "adapter":
        yield from sorted(path for path in Path(config).rglob("*") if path.is_file())


# A batch is what a run that is broken off loses, where the teacher keeps no answers.
BATCH = 128
STOPPED = 130
# What the summary says too, and what is about training the teacher.
_SAID_ELSEWHERE = r"\[(W730|W401)\]"


@dataclass(frozen=True)
class Paths:
    """The files of a run.

    source (Path): The texts.
    output (Path): The corpus: a `.spacy` file, or a folder.
    review (Path): The review, a `.jsonl` file.
    """

    source: Path
    output: Path
    review: Path

    @property
    def journal(self) -> Path:
        """RETURNS (Path): Where a run keeps what it has done."""
        return self.output.with_name(f"{self.output.name}.part")

    def check(self) -> None:
        """Look at what can be seen before any work is done.

        RAISES (ValueError): A file has an ending that it can't have, is a folder, or
            is named twice.
        """
        check_corpus_path(self.output)
        if self.review.suffix != ".jsonl":
            found = self.review.suffix
            raise ValueError(
                Errors.G525.format(path=self.review, found=found, expected=".jsonl")
            )
        if self.review.is_dir():
            raise ValueError(Errors.G521.format(path=self.review))
        named = {"INPUT": self.source, "OUTPUT": self.output, "--review": self.review}
        taken: dict[Path, str] = {}
        for name, path in named.items():
            first = taken.setdefault(path.resolve(), name)
            if first != name:
                raise ValueError(
                    Errors.G770.format(path=path, first=first, second=name)
                )


def distill(
    teacher: Teacher,
    paths: Paths,
    rules: Rules,
    *,
    batch_size: int | None = None,
    stop_after: int = 200,
    resume: bool | None = None,
) -> None:
    """Have a teacher label texts, and write what can be learnt from.

    teacher (Teacher): The pipeline.
    paths (Paths): The files.
    rules (Rules): What is good enough for the corpus.
    batch_size (Optional[int]): Documents at once; None for the pipeline's own number,
        or 128 where that is more.
    stop_after (int): How many failures in a row end the run; 0 for any number.
    resume (Optional[bool]): As `ProgressLog.open` has it.
    RAISES (ValueError): The input is not well formed, too many documents failed in a
        row, or none can be used.
    """
    total = count_texts(paths.source, teacher.nlp.vocab)
    identity = {"input": joined_sha256([paths.source]), "teacher": teacher.digest}
    journal = ProgressLog(paths.journal, total)
    journal.open(identity, resume)
    try:
        with journal, warnings.catch_warnings():
            warnings.filterwarnings("ignore", _SAID_ELSEWHERE)
            run = _Run(teacher, paths, journal, total)
            size = batch_size or min(teacher.nlp.batch_size, BATCH)
            try:
                run.annotate(size, stop_after)
            except KeyboardInterrupt:
                _stopped(journal, total)
            counts = run.write(rules)
            journal.remove()
        print_summary(counts, paths.output, paths.review, rules)
    finally:
        # What was asked is paid for, however the run ends.
        print_usage(usage_of(teacher.nlp))


def _stopped(journal: ProgressLog, total: int) -> NoReturn:
    warn_on_stderr(
        Warnings.W762.format(count=journal.done, total=total, journal=journal.path)
    )
    raise typer.Exit(STOPPED) from None


class _Run:
    def __init__(
        self, teacher: Teacher, paths: Paths, journal: ProgressLog, total: int
    ):
        self._nlp = teacher.nlp
        self._key = teacher.spans_key
        self._paths = paths
        self._journal = journal
        self._total = total

    def annotate(self, batch_size: int, stop_after: int) -> None:
        """Do what is not done yet."""
        annotator = TextAnnotator(self._nlp, self._key)
        failed = in_a_row = 0
        with tqdm(
            total=self._total,
            initial=self._journal.done,
            unit=" documents",
            disable=None,
            leave=False,
        ) as bar:
            for annotation in annotator(self._texts(), batch_size):
                self._keep(annotation)
                in_a_row = in_a_row + 1 if annotation.error is not None else 0
                failed += annotation.error is not None
                if in_a_row == stop_after > 0:
                    raise ValueError(
                        Errors.G765.format(
                            count=in_a_row,
                            reason=annotation.error,
                            journal=self._journal.path,
                        )
                    )
                bar.set_postfix(failed=failed, refresh=False)
                bar.update()

    def write(self, rules: Rules) -> FilterCounts:
        """Write the corpus and the review."""
        counts = FilterCounts(self._total)
        paths, journal = self._paths, self._journal
        with (
            corpus_writer(paths.output) as add,
            Review(paths.review.parent, self._key) as review,
        ):
            for number in filter(journal.holds, range(1, self._total + 1)):
                entry = journal.read(number, self._nlp.vocab)
                graded = grade(entry, self._key, rules)
                counts.add(graded)
                review.add(graded)
                if graded.usable:
                    add(graded.doc)
            review.write(paths.review)
            if not counts.usable:
                raise ValueError(self._nothing(counts))
        return counts

    def _texts(self) -> Iterator[InputText]:
        for text in read_texts(self._paths.source, self._nlp.vocab):
            if text.text.strip() and not self._journal.is_done(text.number):
                yield text

    def _keep(self, annotation: Annotation) -> None:
        source, doc = annotation.source, annotation.doc
        if not annotation.written:
            raise ValueError(Errors.G764.format(key=self._key, number=source.number))
        _set_user_data(doc, source)
        self._journal.add(Entry(source.number, doc, annotation.error))

    def _nothing(self, counts: FilterCounts) -> str:
        first = counts.first_failure
        return Errors.G766.format(
            total=counts.total,
            failed=counts.failed,
            left_out=counts.left_out,
            blank=counts.blank,
            output=self._paths.output,
            review=self._paths.review,
            journal=self._journal.path,
            reason=f"The first that failed: {first}" if first else "",
        ).strip()


def _set_user_data(doc: Doc, source: InputText) -> None:
    """Say where a document is from. A Doc out of a cache has what an earlier run said
    of it."""
    record = {key: value for key, value in source.fields.items() if key != "text"}
    doc_id = record.get("doc_id", source.number)
    if source.doc is not None:
        doc_id = source.doc.user_data.get("doc_id", doc_id)
        record = source.doc.user_data.get("record", {})
    doc.user_data["doc_id"] = str(doc_id)
    # Gold spans of the input are none of the teacher's.
    doc.user_data.pop(UNALIGNED, None)
    doc.user_data.pop("record", None)
    if record:
        doc.user_data["record"] = record
