"""`python -m spacy genner ...`: loading this module adds the commands to spaCy's own.

What a command needs is imported when it runs, so that `--help` is quick.
"""

from spacy.cli import app as spacy_app

from . import (  # noqa: F401
    annotate,
    convert,
    draft_head,
    evaluate,
    export_base,
    init_config,
    report,
    train,
)
from ._util import app

spacy_app.add_typer(app, name="genner")

__all__ = ["app"]
