"""`export-base`: folders that peft and vLLM read."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._util import app, reports_errors


@app.command("export-base")
@reports_errors
def export_base(
    component: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A saved pipeline, component or adapter folder."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUTPUT]",
            help="A new or empty folder. Default: DIR-export beside DIR.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the base model and the adapter as other tools read them.

    peft and vLLM need the base as a folder, which a base named 'pip:PACKAGE' is not.
    OUTPUT/base gets config, safetensors and tokenizer, OUTPUT/adapter the adapter,
    naming that base.

    \b
    Example:
      python -m spacy genner export-base training/demo/model-best exported
    """
    from ..models.adapter_files import export_base as export

    folder = component.resolve()
    target = output or folder.with_name(folder.name + "-export")
    base, adapter = export(folder, target)
    msg.good(f"Base: {base}")
    msg.good(f"Adapter: {adapter}")
