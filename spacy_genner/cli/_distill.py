"""`annotate --teacher`: raw texts to a training corpus and a file for review."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer
from spacy.tokens import Doc
from tqdm import tqdm

from ..corpora.docbin import UNALIGNED
from ..distillation import (
    Counts,
    Entry,
    Journal,
    Review,
    Rules,
    check_corpus_path,
    corpus_writer,
    grade,
)
from ..errors import Errors, Warnings
from ..llm.usage import usage_of
from ..models.checksums import joined_sha256
from ._annotated_texts import Annotation, TextAnnotator
from ._distill_summary import print_summary, print_usage
from ._errors import warn_on_stderr
from ._teachers import Teacher
from ._texts import Text, count_texts, read_texts

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
    resume (Optional[bool]): As `Journal.open` has it.
    RAISES (ValueError): The input is not well formed, too many documents failed in a
        row, or none can be used.
    """
    total = count_texts(paths.source, teacher.nlp.vocab)
    identity = {"input": joined_sha256([paths.source]), "teacher": teacher.digest}
    journal = Journal(paths.journal, total)
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


def _stopped(journal: Journal, total: int) -> NoReturn:
    warn_on_stderr(
        Warnings.W762.format(count=journal.done, total=total, journal=journal.path)
    )
    raise typer.Exit(STOPPED) from None


class _Run:
    def __init__(self, teacher: Teacher, paths: Paths, journal: Journal, total: int):
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

    def write(self, rules: Rules) -> Counts:
        """Write the corpus and the review."""
        counts = Counts(self._total)
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

    def _texts(self) -> Iterator[Text]:
        for text in read_texts(self._paths.source, self._nlp.vocab):
            if text.text.strip() and not self._journal.is_done(text.number):
                yield text

    def _keep(self, annotation: Annotation) -> None:
        source, doc = annotation.source, annotation.doc
        if not annotation.written:
            raise ValueError(Errors.G764.format(key=self._key, number=source.number))
        _set_user_data(doc, source)
        self._journal.add(Entry(source.number, doc, annotation.error))

    def _nothing(self, counts: Counts) -> str:
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


def _set_user_data(doc: Doc, source: Text) -> None:
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
