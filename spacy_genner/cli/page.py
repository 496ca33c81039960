"""`genner app`: a page to try pipelines and to correct annotations."""

import gc
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import Errors
from ..formats import FORMATS
from ._util import (
    FACTORY,
    Code,
    GpuId,
    SpansKey,
    add_entity_group,
    app,
    choice,
    choose_gpu,
    find_component,
    find_spans_key,
    load_pipeline,
    reports_errors,
)

if TYPE_CHECKING:
    from ..app.models import AppModel

# The orders of `spacy_genner.app.ordering`, which is imported when the command runs.
ORDERS = ("corpus", "margin", "entropy", "random")
PORT = 7860


@app.command("app")
@reports_errors
def run_app(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL ...]",
            help="Saved or installed pipelines, those of the Hugging Face hub, or "
            "'universal'. The first one suggests spans.",
            show_default=False,
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus",
            metavar="FILE",
            help="A corpus to correct: .jsonl, as 'genner annotate' writes it, or "
            ".spacy. The page can open another one.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.jsonl",
            help="The corrected documents. Default: NAME.corrected.jsonl beside the "
            "corpus. If the file exists, the correction continues. (--corpus)",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        str,
        choice(
            "--order",
            allowed=ORDERS,
            help="The order of the documents: that of the corpus, the least certain "
            "first (by the lowest margin of a span, or by the mean entropy of its "
            "spans), or a random one. (--corpus)",
        ),
    ] = "corpus",
    seed: Annotated[
        int, typer.Option("--seed", help="The seed of the random order. (--corpus)")
    ] = 0,
    output_format: Annotated[
        str | None,
        choice(
            "--format",
            allowed=FORMATS,
            help="The output format of the model to train, which decides whether spans "
            "may overlap in part. Default: that of the first pipeline, or "
            "inline_bracketed. (--corpus)",
            show_default=False,
        ),
    ] = None,
    lang: Annotated[
        str,
        typer.Option(
            "--lang", "-l", help="The language of the tokenizer if there is no MODEL."
        ),
    ] = "en",
    spans_key: SpansKey = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", "-p", min=0, max=65535, help="The port; 0 for any free one."
        ),
    ] = PORT,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Open a page to try pipelines and to correct annotations.

    The page is served to this machine only (127.0.0.1), and loads nothing from other
    machines. In the tab 'Try', pipelines annotate texts. In the tab 'Correct', a person
    accepts, rejects and changes the spans of a corpus. Each step is saved at once: the
    command can be stopped at any time, and the next call continues from there. The
    extra 'app' has to be installed.

    \b
    Examples:
      python -m spacy genner app training/demo/model-best
      python -m spacy genner annotate training/demo/model-best texts.txt spans.jsonl
      python -m spacy genner app training/demo/model-best --corpus spans.jsonl
          --order margin
      python -m spacy genner convert spans.corrected.jsonl corrected.spacy --from jsonl
    """
    for name in ("gradio", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(Errors.G880.format(name=name))
    if output is not None and corpus is None:
        raise typer.BadParameter("--output requires --corpus FILE.")
    from spacy.cli._util import import_code

    from ..app.page import GRACE, HOST, Workbench, bind, build_app, serve
    from ..corpora.convert import DocMaker

    import_code(code)
    choose_gpu(gpu_id)
    bound = bind(port)
    loaded = [_load(name, spans_key) for name in dict.fromkeys(models or ())]
    workbench = Workbench(loaded, DocMaker(lang).nlp, output_format)
    if corpus is not None:
        suggests = loaded[0].name if loaded else ""
        target = "" if output is None else str(output)
        workbench.open(str(corpus), target, order, suggests, seed)
    page = build_app(workbench)
    address = f"http://{HOST}:{bound.getsockname()[1]}"
    typer.echo(f"The page is at {address}. Press Ctrl+C to stop.")
    try:
        serve(page, bound)
    finally:
        workbench.close(GRACE)
        # At its end, Python looks for garbage in all objects of all libraries, which
        # takes seconds on a busy machine.
        gc.freeze()


def _load(name: str, spans_key: str | None) -> "AppModel":
    """Load a pipeline. One without a generative component needs the key of its spans,
    unless it assigns entities."""
    from ..app.models import AppModel

    nlp = load_pipeline(name)
    factories = [nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names]
    if FACTORY not in factories and (
        add_entity_group(nlp, spans_key or "sc") or spans_key
    ):
        return AppModel(name, nlp, spans_key or "sc")
    key = spans_key or find_spans_key(nlp, name)
    return AppModel(name, nlp, key, find_component(nlp, name))
