"""The command line: `python -m spacy genner ...`. Importing this package adds the
commands to the command line of spaCy.

The commands import their dependencies when they run, so that `--help` is fast.
"""

from spacy.cli import app as spacy_app

from . import (  # noqa: F401
    annotate,
    calibrate,
    convert,
    demo,
    draft_head,
    evaluate,
    export,
    export_base,
    init_config,
    package,
    page,
    push,
    report,
    serve,
    split,
    study,
    sweep,
    train,
    tune_decoding,
)
from ._util import app

spacy_app.add_typer(app, name="genner")

__all__ = ["app"]
