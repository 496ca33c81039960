"""`genner report`, `genner table` and `genner compare`: present evaluations."""

from pathlib import Path
from typing import Annotated

import typer

from ._util import app, reports_errors


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
    from ..evaluation.tables import read_evaluations, side_by_side
    from ..io import replaced_file
    from ._util import fail

    if output.suffix != ".md":
        fail(Errors.G525.format(path=output, found=output.suffix, expected=".md"))
    results = read_evaluations([folder, *(also or [])])
    with replaced_file(output) as fresh:
        fresh.write_text(side_by_side(results, markdown=True), encoding="utf8")
    typer.echo(side_by_side(results), nl=False)


@app.command("compare")
@reports_errors
def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A.json", help="What `evaluate` wrote for one.")
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B.json", help="And for the other.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A JSON file to write.", show_default=False
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="How many draws each test makes.")
    ] = 10000,
    seed: Annotated[int, typer.Option("--seed", help="Fixes the draws.")] = 0,
) -> None:
    """Compare two systems: the difference of F1, its interval, and if it is chance.

    Reads the .spans.jsonl files that `evaluate` wrote beside the JSON files. Both have
    to hold the same documents with the same reference, in the same order.

    \b
    Example:
      python -m spacy genner compare metrics/demo.json metrics/other.json
    """
    from ..errors import Errors
    from ..evaluation.significance import compare_files
    from ..evaluation.tables import format_comparison
    from ..io import write_json
    from ._util import fail

    if output is not None:
        if output.suffix != ".json":
            fail(Errors.G525.format(path=output, found=output.suffix, expected=".json"))
        if output.resolve() in (first.resolve(), second.resolve()):
            fail(Errors.G617.format(path=output))
    result = compare_files(first, second, samples, seed)
    if output is not None:
        write_json(output, result)
    typer.echo(format_comparison(result))
