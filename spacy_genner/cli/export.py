"""`genner export`: write a tuned adapter for vLLM, llama.cpp or other pipelines."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._util import app, choice, reports_errors

# Those of `spacy_genner.export`, which is imported when the command runs.
_SERVERS = ("vllm", "llama.cpp")
_ADAPTER = "adapter"
_QUANTIZATIONS = ("f16", "q8_0")


@app.command("export")
@reports_errors
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="The folder of a saved pipeline or component."
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTDIR", help="A new or empty folder.")
    ],
    to: Annotated[
        str,
        choice(
            "--to",
            "-t",
            allowed=(*_SERVERS, _ADAPTER),
            help="The server to export for, or 'adapter' for other pipelines.",
        ),
    ],
    quantization: Annotated[
        str | None,
        choice(
            "--quantization",
            "-q",
            allowed=_QUANTIZATIONS,
            help="The dtype of the matrices for llama.cpp: f16, or q8_0, which is half "
            "as large and changes some spans. Default: f16.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            "-n",
            help="The name of the model on the server. Default: that of OUTDIR.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export a tuned adapter for a server, or for other pipelines.

    OUTDIR receives the files that the server loads, the script 'serve.sh' that starts
    it, and the files that its client needs to send the prompt that the adapter was
    tuned on: 'genner.json' and 'tokenizer'. README.md shows the config of the client.

    vLLM loads the base ('base') and the LoRA adapter ('adapter'). llama.cpp loads one
    file, 'model.gguf', with the adapter merged into the base in float32; the base must
    come as GGUF.

    --to adapter writes the adapter in half precision with its prompt. The setting
    'model.adapter' of another pipeline can name the folder.

    \b
    Example:
      python -m spacy genner export training/demo/model-best served --to llama.cpp
      served/serve.sh
    """
    if quantization is not None and to != "llama.cpp":
        raise typer.BadParameter(
            "--quantization is only for --to llama.cpp; vLLM loads the base as it is."
        )
    if to == _ADAPTER:
        from ..export.half_precision import export_half_precision

        if name is not None:
            raise typer.BadParameter("--name is only for servers.")
        msg.good(f"Adapter: {export_half_precision(model, output)}")
        return
    from ..export.write import export_adapter

    made = export_adapter(model, output, to, quantization or "f16", name)
    msg.good(f"Export: {made.folder}")
    msg.info(f"Serve it as {made.served.model!r}: {made.folder / 'serve.sh'}")
