"""`genner annotate --ray`: show the progress and the result of a run over a corpus."""

import sys
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm
from wasabi import msg

from ..distributed import PART_SIZE, annotate_corpus
from ..distributed.outputs import FAILED_FILE
from ..errors import Warnings
from ._util import warn_on_stderr


def annotate_with_ray(
    model: str, source: Path, output: Path, *, part_size: int | None, **settings: Any
) -> None:
    """Annotate a corpus with the workers of a Ray cluster.

    model (str): The folder of the pipeline, or the name of its package.
    source (Path): The corpus.
    output (Path): The folder to write.
    part_size (int | None): The maximum number of documents in a part.
    **settings (Any): Further arguments of `annotate_corpus`.
    RAISES (ValueError): The input is malformed, the pipeline or the cluster can't be
        used, or a part can't be annotated.
    """
    with _Progress() as progress:
        summary = annotate_corpus(
            model,
            source,
            output,
            part_size=PART_SIZE if part_size is None else part_size,
            on_progress=progress.show,
            **settings,
        )
    parts = f"{summary.parts} parts"
    if summary.resumed:
        parts += f", {summary.resumed} of them finished before"
    msg.good(f"{summary.documents} documents -> {output} ({parts})")
    statuses = [f"{count} {status}" for status, count in summary.statuses.items()]
    msg.text(f"Statuses: {', '.join(reversed(statuses))}. Spans: {summary.spans}")
    if summary.failed:
        warn_on_stderr(
            Warnings.W821.format(
                count=summary.failed,
                total=summary.documents,
                path=output / FAILED_FILE,
                first=summary.first_failure,
            )
        )


class _Progress:
    """A progress bar on stderr, or a line after every tenth of the documents if stderr
    is not a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._tenths = 0

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Show the progress.

        done (int): The number of finished documents.
        total (int): The number of documents.
        """
        if sys.stderr.isatty():
            if self._bar is None:
                # A resumed run does not count the documents of the earlier one as fast.
                self._bar = tqdm(
                    total=total, initial=done, unit=" documents", leave=False
                )
            self._bar.update(done - self._bar.n)
            return
        tenths = 10 * done // total if total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            typer.echo(f"documents: {done} of {total}", err=True)
