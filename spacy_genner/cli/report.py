"""`genner report`: one HTML file on a folder of evaluations."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import reports_errors


@app.command("report")
@reports_errors
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds what `evaluate` wrote.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.html", help="The HTML file to write.")
    ],
    training_log: Annotated[
        Path | None,
        typer.Option(
            "--training-log",
            help="The training_log.jsonl of the training run.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a report: scores, curves, and examples of what was missed and invented.

    \b
    Example:
      python -m spacy genner report metrics reports/demo.html
          --training-log training/demo/training_log.jsonl
    """
    from ..evaluation.report import write_report

    names = write_report(folder, output, training_log)
    typer.echo(f"Report on {', '.join(names)}: {output}")
