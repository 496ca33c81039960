"""`genner compare`: two systems on the same documents."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import reports_errors


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
    from ..evaluation.compare import compare_files, format_comparison
    from ..storage.files import write_json
    from ._errors import fail

    if output is not None:
        if output.suffix != ".json":
            fail(Errors.G525.format(path=output, found=output.suffix, expected=".json"))
        if output.resolve() in (first.resolve(), second.resolve()):
            fail(Errors.G617.format(path=output))
    result = compare_files(first, second, samples, seed)
    if output is not None:
        write_json(output, result)
    typer.echo(format_comparison(result))
