"""`genner table`: several evaluations side by side."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import reports_errors


@app.command("table")
@reports_errors
def table(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds what `evaluate` wrote.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.md", help="The Markdown file to write.")
    ],
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="PATH",
            help="Another folder, or a JSON file; may be given several times.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a table of evaluations, a row each, the best F1 first.

    Scores are in percent. Evaluations of 'benchmarks/formats.py' have five columns
    more. Three are of a sample under the grammar: well formed (the share of such
    outputs), output tokens (of a document) and ms a document. Two are of the same
    sample when nothing held the model to its format: well formed, free (the share of
    answers that needed no repair) and F1, free (of all answers, as they were read).

    \b
    Example:
      python -m spacy genner table metrics/baselines reports/baselines.md
          --also metrics/genia/genia.json
    """
    from ..errors import Errors
    from ..evaluation.side_by_side import read_evaluations, side_by_side
    from ..storage.files import replaced_file
    from ._errors import fail

    if output.suffix != ".md":
        fail(Errors.G525.format(path=output, found=output.suffix, expected=".md"))
    results = read_evaluations([folder, *(also or [])])
    with replaced_file(output) as fresh:
        fresh.write_text(side_by_side(results, markdown=True), encoding="utf8")
    typer.echo(side_by_side(results), nl=False)
