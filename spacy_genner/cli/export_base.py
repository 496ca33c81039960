"""`genner export-base`: write folders that peft and vLLM can load."""

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
            metavar="DIR", help="The folder of a saved pipeline, component or adapter."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUTPUT]",
            help="A new or empty folder. Default: DIR-export, beside DIR.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export the base model and the adapter for other tools.

    peft and vLLM load the base model from a folder, which a base such as 'pip:PACKAGE'
    or a GGUF file is not. OUTPUT/base contains the config, the weights (safetensors)
    and the tokenizer. OUTPUT/adapter contains the adapter, whose config names that
    base.

    \b
    Example:
      python -m spacy genner export-base training/demo/model-best exported
    """
    from ..export.peft import export_base as export

    folder = component.resolve()
    target = output or folder.with_name(folder.name + "-export")
    base, adapter = export(folder, target)
    msg.good(f"Base: {base}")
    msg.good(f"Adapter: {adapter}")
