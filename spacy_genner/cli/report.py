"""`genner report`, `genner table` and `genner compare`: present evaluations.

All three read the files that `genner evaluate` writes.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import Errors
from ._util import app, check_suffix, reports_errors


@app.command("report")
@reports_errors
def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder with the files of `evaluate`."),
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
    """Write an HTML report: one page with scores, curves and all examples.

    The page has the evaluations of DIR with their models and data, the confusion of
    labels, every document with gold spans above and predictions below the text, and
    the comparison of the evaluations. It needs no network. The losses of single steps
    are read from training_steps.jsonl beside the training log.

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
        Path,
        typer.Argument(metavar="DIR", help="The folder with the files of `evaluate`."),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.md", help="The Markdown file to write.")
    ],
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="PATH",
            help="Another folder or JSON file. May be given several times.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a table of evaluations, by descending F1.

    Each evaluation is a row. Scores are in percent. Evaluations of
    'benchmarks/formats.py' have five columns more. Three are measured on a sample under
    the grammar: well formed (the share of well-formed outputs), output tokens (of a
    document) and ms a document. Two are measured on the same sample without the
    grammar: well formed, free (the share of outputs that needed no repair) and F1, free
    (of all outputs, after repair).

    \b
    Example:
      python -m spacy genner table metrics/baselines reports/baselines.md
          --also metrics/genia/genia.json
    """
    from ..evaluation.tables import read_evaluations, side_by_side
    from ..io import replaced_file

    check_suffix(output, ".md")
    results = read_evaluations([folder, *(also or [])])
    with replaced_file(output) as fresh:
        fresh.write_text(side_by_side(results, markdown=True), encoding="utf8")
    typer.echo(side_by_side(results), nl=False)


@app.command("compare")
@reports_errors
def compare(
    first: Annotated[
        Path,
        typer.Argument(metavar="A.json", help="The evaluation of the first system."),
    ],
    second: Annotated[
        Path,
        typer.Argument(metavar="B.json", help="The evaluation of the second system."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The JSON file to write.", show_default=False
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="The number of draws of each test.")
    ] = 10000,
    seed: Annotated[
        int, typer.Option("--seed", help="The random seed of the draws.")
    ] = 0,
) -> None:
    """Compare two systems on the same documents.

    The comparison has the difference in F1, its interval and its significance. It reads
    the .spans.jsonl files that `evaluate` wrote beside the JSON files. Both must have
    the same documents with the same gold spans, in the same order.

    \b
    Example:
      python -m spacy genner compare metrics/demo.json metrics/other.json
    """
    from ..evaluation.significance import compare_files
    from ..evaluation.tables import format_comparison
    from ..io import write_json

    if output is not None:
        check_suffix(output, ".json")
        if os.path.realpath(output) in map(os.path.realpath, (first, second)):
            raise ValueError(Errors.G617.format(path=output))
    result = compare_files(first, second, samples, seed)
    if output is not None:
        write_json(output, result)
    typer.echo(format_comparison(result))
