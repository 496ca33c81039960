"""`genner annotate --teacher`: distil a training corpus from the annotations of a
teacher.

A run has two parts. First the teacher annotates the input, and the progress log keeps
each finished document. Then the filter rules select the documents for the corpus, and
the corpus and the review file are written.
"""

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
    FilterRules,
    ProgressLog,
    ReviewWriter,
    check_corpus_path,
    corpus_writer,
    filter_entry,
)
from ..errors import Errors, Warnings
from ..llm.openai.usage import Usage, usage_of
from ..models.gguf import cached_sha256, joined_sha256
from ..pipeline.texts import (
    AnnotatedText,
    InputText,
    annotate_stream,
    count_texts,
    other_fields,
    read_texts,
    set_record,
)
from ..training.loop import check_blocks
from ._util import (
    CONFIG_ERRORS,
    FACTORY,
    add_entity_group,
    check_suffix,
    warn_on_stderr,
    without_values,
)

# An interruption loses the current batch, unless the teacher caches its answers.
MAX_BATCH_SIZE = 128
INTERRUPTED = 130
_LLM_FACTORY = "llm"
_CONFIG_FILE = "config.cfg"
_USAGE_ROWS = (
    "requests",
    "from_cache",
    "prompt_tokens",
    "completion_tokens",
    "uncounted",
)
# Warnings that the summary repeats, or that concern the training of the teacher.
_IGNORED_WARNINGS = r"\[(W730|W401)\]"


@dataclass(frozen=True)
class Paths:
    """The files of a run.

    source (Path): The texts.
    output (Path): The corpus: a `.spacy` file or a folder.
    review (Path): The review file, `.jsonl`.
    """

    source: Path
    output: Path
    review: Path

    @property
    def progress_log(self) -> Path:
        """RETURNS (Path): The file of the progress log."""
        return self.output.with_name(f"{self.output.name}.part")

    def check(self) -> None:
        """Check the paths before any work is done.

        RAISES (ValueError): A path has an unsuitable suffix, is a folder, or is given
            twice.
        """
        check_corpus_path(self.output)
        check_suffix(self.review, ".jsonl")
        if self.review.is_dir():
            raise ValueError(Errors.G521.format(path=self.review))
        named = {"INPUT": self.source, "OUTPUT": self.output, "--review": self.review}
        seen: dict[str, str] = {}
        for name, path in named.items():
            first = seen.setdefault(os.path.realpath(path), name)
            if first != name:
                raise ValueError(
                    Errors.G770.format(path=path, first=first, second=name)
                )


class Teacher(NamedTuple):
    """A pipeline that finds spans.

    nlp (Language): The pipeline, initialized.
    spans_key (str): The key of the span group that it writes.
    digest (str): A checksum of everything that its results depend on.
    """

    nlp: Language
    spans_key: str
    digest: str


def distill(
    teacher: Teacher,
    paths: Paths,
    rules: FilterRules,
    *,
    batch_size: int | None = None,
    stop_after: int = 200,
    resume: bool | None = None,
) -> None:
    """Annotate texts with a teacher and write a training corpus and a review file.

    teacher (Teacher): The teacher.
    paths (Paths): The files.
    rules (FilterRules): The rules for the corpus.
    batch_size (int | None): The batch size. Defaults to that of the pipeline, but at
        most 128.
    stop_after (int): The number of consecutive failures that ends the run; 0 for no
        limit.
    resume (bool | None): See `ProgressLog.open`.
    RAISES (ValueError): The input is malformed, too many consecutive documents failed,
        or no document can be used.
    """
    total = count_texts(paths.source, teacher.nlp.vocab)
    identity = {"input": joined_sha256([paths.source]), "teacher": teacher.digest}
    log = ProgressLog(paths.progress_log, total)
    log.open(identity, resume)
    try:
        with log, warnings.catch_warnings():
            warnings.filterwarnings("ignore", _IGNORED_WARNINGS)
            run = _Run(teacher, paths, log, total)
            try:
                size = batch_size or min(teacher.nlp.batch_size, MAX_BATCH_SIZE)
                run.annotate(size, stop_after)
            except KeyboardInterrupt:
                _exit_interrupted(log, total)
            counts = run.write(rules)
            log.remove()
        print_summary(counts, paths.output, paths.review, rules)
    finally:
        # Requests cost money even if the run fails.
        print_usage(usage_of(teacher.nlp))


def _exit_interrupted(log: ProgressLog, total: int) -> NoReturn:
    warn_on_stderr(Warnings.W762.format(count=log.done, total=total, journal=log.path))
    raise typer.Exit(INTERRUPTED) from None


class _Run:
    """The two parts of a run: annotation and output.

    teacher (Teacher): The teacher.
    paths (Paths): The files.
    log (ProgressLog): The open progress log.
    total (int): The number of documents in the input.
    """

    def __init__(self, teacher: Teacher, paths: Paths, log: ProgressLog, total: int):
        self._nlp = teacher.nlp
        self._key = teacher.spans_key
        self._paths = paths
        self._log = log
        self._total = total

    def annotate(self, batch_size: int, stop_after: int) -> None:
        """Annotate the documents that are not done and add them to the log."""
        failed = in_a_row = 0
        with tqdm(
            total=self._total,
            initial=self._log.done,
            unit=" documents",
            disable=None,
            leave=False,
        ) as bar:
            texts = self._remaining_texts()
            for annotated in annotate_stream(self._nlp, self._key, texts, batch_size):
                self._add_to_log(annotated)
                in_a_row = in_a_row + 1 if annotated.error is not None else 0
                failed += annotated.error is not None
                if in_a_row == stop_after > 0:
                    raise ValueError(
                        Errors.G765.format(
                            count=in_a_row,
                            reason=annotated.error,
                            journal=self._log.path,
                        )
                    )
                bar.set_postfix(failed=failed, refresh=False)
                bar.update()

    def _remaining_texts(self) -> Iterator[InputText]:
        for text in read_texts(self._paths.source, self._nlp.vocab):
            if text.text.strip() and not self._log.is_done(text.number):
                yield text

    def _add_to_log(self, annotated: AnnotatedText) -> None:
        source, doc = annotated.source, annotated.doc
        if not annotated.written:
            raise ValueError(Errors.G764.format(key=self._key, number=source.number))
        _set_user_data(doc, source)
        self._log.add(Entry(source.number, doc, annotated.error))

    def write(self, rules: FilterRules) -> FilterCounts:
        """Filter the documents of the log and write the corpus and the review file."""
        counts = FilterCounts(self._total)
        paths, log = self._paths, self._log
        with (
            corpus_writer(paths.output) as add,
            ReviewWriter(paths.review.parent, self._key) as review,
        ):
            for number in range(1, self._total + 1):
                if number not in log:
                    continue
                entry = log.read(number, self._nlp.vocab)
                result = filter_entry(entry, self._key, rules)
                counts.add(result)
                review.add(result)
                if result.accepted:
                    add(result.doc)
            review.write(paths.review)
            if not counts.accepted:
                raise ValueError(self._empty_corpus(counts))
        return counts

    def _empty_corpus(self, counts: FilterCounts) -> str:
        first = counts.first_failure
        return Errors.G766.format(
            total=counts.total,
            failed=counts.failed,
            left_out=counts.left_out,
            blank=counts.blank,
            output=self._paths.output,
            review=self._paths.review,
            journal=self._log.path,
            reason=f"The first that failed: {first}" if first else "",
        ).strip()


def _set_user_data(doc: Doc, source: InputText) -> None:
    """Store the id and the other fields of the input text in `doc.user_data`."""
    record = other_fields(source)
    doc_id = record.get("doc_id", source.number)
    if source.doc is not None:
        doc_id = source.doc.user_data.get("doc_id", doc_id)
        record = source.doc.user_data.get("record", {})
    doc.user_data["doc_id"] = str(doc_id)
    # These are gold spans of the input, not spans of the teacher.
    doc.user_data.pop(UNALIGNED, None)
    # spacy-llm stores the default of each extension attribute.
    for key, value in list(doc.user_data.items()):
        if isinstance(key, tuple) and key[:1] == ("._.",) and value is None:
            del doc.user_data[key]
    set_record(doc, record)


def print_summary(
    counts: FilterCounts, output: Path, review: Path, rules: FilterRules
) -> None:
    """Print the counts of a run, and warn of failures and unusable scores.

    counts (FilterCounts): The counts.
    output (Path): The corpus.
    review (Path): The review file.
    rules (FilterRules): The rules for the corpus.
    """
    msg.good(
        f"{counts.accepted} of {counts.total} documents, {counts.spans} spans -> "
        f"{output}"
    )
    msg.info(f"For review, doubtful documents first -> {review}")
    rows = [(label, str(count)) for label, count in sorted(counts.labels.items())]
    share = counts.with_issues / counts.annotated
    rows.append(("(documents with an issue)", f"{share:.1%}"))
    optional = {
        "(documents that failed)": counts.failed,
        "(documents left out)": counts.left_out,
        "(blank documents)": counts.blank,
        "(doubtful spans taken out)": counts.removed,
    }
    rows += [(name, str(count)) for name, count in optional.items() if count]
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
    """Print the requests of a run to models behind servers.

    usage (Mapping[str, Usage]): The usage of each component that sent requests.
    """
    for component, each in usage.items():
        msg.info(f"What this run asked for, component {component!r}:")
        rows = [
            (name.replace("_", " "), str(getattr(each, name))) for name in _USAGE_ROWS
        ]
        if each.cost is not None:
            rows.append(("cost", f"{each.cost:.4f}"))
        msg.table(rows, aligns=("l", "r"))


def load_teacher(
    source: str, overrides: Mapping[str, Any], spans_key: str | None = None
) -> Teacher:
    """Create the pipeline of a config, or load a saved or installed one.

    source (str): A config file, the folder of a saved pipeline, or the name of an
        installed one.
    overrides (Mapping[str, Any]): Values of the config, by section and key.
    spans_key (str | None): The key of the span group. Defaults to that of the only
        component that writes spans.
    RETURNS (Teacher): The teacher.
    RAISES (ValueError): The pipeline can't be created, has no labels, or has several or
        no components that write spans.
    """
    path = Path(source)
    try:
        if path.is_file():
            nlp = _assemble(path, overrides)
        else:
            config = path / _CONFIG_FILE
            if config.is_file():
                _check_spacy_llm(path, load_config(config, interpolate=False))
            nlp = spacy.load(path if path.exists() else source, config=dict(overrides))
    except (OSError, *CONFIG_ERRORS) as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        raise ValueError(Errors.G760.format(path=path, reason=reason)) from error
    for name, _ in _span_components(nlp):
        if not nlp.get_pipe(name).labels:  # type: ignore[attr-defined]
            raise ValueError(Errors.G763.format(name=name, path=path))
    key = spans_key or _find_group(nlp, path)
    return Teacher(nlp, key, _digest(nlp, key))


def _assemble(path: Path, overrides: Mapping[str, Any]) -> Language:
    """Create and initialize the pipeline of a config without examples, as spacy-llm's
    `assemble` does."""
    config = load_config(path, overrides=dict(overrides), interpolate=False)
    _check_spacy_llm(path, config)
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    for name in nlp.pipe_names:
        settings = whole["initialize"]["components"].get(name, {})
        if nlp.get_pipe_meta(name).factory == FACTORY:
            if not nlp.get_pipe(name).labels and not settings.get("labels"):  # type: ignore[attr-defined]
                raise ValueError(Errors.G763.format(name=name, path=path))
    sourced = get_sourced_components(config.interpolate())
    nlp._link_components()
    with nlp.select_pipes(disable=list(sourced)):
        nlp.initialize()
    return nlp


def _check_spacy_llm(path: Path, config: Config) -> None:
    check_blocks(config, path)
    components = config.get("components", {}).values()
    used = any(component.get("factory") == _LLM_FACTORY for component in components)
    if used and find_spec("spacy_llm") is None:
        raise ValueError(Errors.G761.format(path=path))


def _span_components(nlp: Language) -> Iterator[tuple[str, str]]:
    """The names of the components that write spans, and the keys of their groups."""
    for name in nlp.pipe_names:
        factory = nlp.get_pipe_meta(name).factory
        if factory == FACTORY:
            yield name, str(nlp.get_pipe_config(name)["spans_key"])
        elif factory == _LLM_FACTORY:
            task = getattr(nlp.get_pipe(name), "task", None)
            # Only the tasks of this project have these settings.
            key = getattr(getattr(task, "settings", None), "spans_key", None)
            if key is not None:
                yield name, str(key)


def _find_group(nlp: Language, path: Path) -> str:
    keys = [key for _, key in _span_components(nlp)]
    if not keys and add_entity_group(nlp, "sc"):
        return "sc"
    if len(keys) != 1:
        raise ValueError(Errors.G762.format(path=path, found=len(keys)))
    return keys[0]


def _digest(nlp: Language, key: str) -> str:
    whole = nlp.config.interpolate()
    config = json.dumps([key, whole], default=str)
    digest = hashlib.sha256(config.encode("utf8"))
    for path in _referenced_files(whole["components"]):
        digest.update(f"{path} {cached_sha256(path)}\n".encode())
    # An untrained component is determined by the config. Its adapter may have random
    # initial weights, which must not change the digest.
    exclude = () if nlp.path else ("adapter",)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "to_bytes"):
            digest.update(pipe.to_bytes(exclude=exclude))
    return digest.hexdigest()


def _referenced_files(config: Any, setting: str = "") -> Iterator[Path]:
    """The files that settings refer to, such as a template, and the files of adapter
    folders."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _referenced_files(value, key)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _referenced_files(value, setting)
    # Unlike Path.is_file, os.path.isfile accepts strings that are too long for a path.
    elif isinstance(config, str) and os.path.isfile(config):
        yield Path(config)
    elif isinstance(config, str) and setting == "adapter":
        yield from sorted(path for path in Path(config).rglob("*") if path.is_file())
