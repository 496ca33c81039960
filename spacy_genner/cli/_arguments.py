"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A saved or installed pipeline.")
]
SpansKey = Annotated[
    str | None,
    typer.Option(
        "--spans-key",
        "-k",
        help="The group of doc.spans. Default: that of the component.",
        show_default=False,
    ),
]
Code = Annotated[
    Path | None,
    typer.Option(
        "--code",
        "-c",
        metavar="FILE",
        help="Python file with registered functions.",
        show_default=False,
    ),
]
