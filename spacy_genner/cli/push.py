"""`genner push`: send a pipeline to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._util import app, reports_errors


@app.command("push")
@reports_errors
def push(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="The folder that 'genner package' made, or a saved pipeline with a "
            "model card.",
        ),
    ],
    repo_id: Annotated[
        str, typer.Argument(metavar="REPO_ID", help="The repository, ORG/NAME.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Create a private repository.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            "-r",
            help="The branch, which is created if it does not exist. Default: main.",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option("--tag", "-t", help="Tag the commit.", show_default=False),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option(
            "--message", "-m", help="The message of the commit.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be sent, without the network."),
    ] = False,
) -> None:
    """Send a pipeline to the Hugging Face hub, in one commit.

    Log in first: 'hf auth login', or the environment variable HF_TOKEN. Only the files
    of the pipeline are sent, never weights of the base. A pipeline without a model
    card, or with a secret in its config, is refused.

    \b
    Example:
      python -m spacy genner push dist/en_demo-1.0.0 ORG/en_demo --tag v1.0.0
      python -m spacy genner annotate ORG/en_demo@v1.0.0 texts.txt spans.jsonl
    """
    from ..hub.push import prepare_push, send

    prepared = prepare_push(model, repo_id, revision, tag, private, message)
    if dry_run:
        visibility = "private" if private else "public"
        msg.info(f"Nothing is sent. To {repo_id} ({visibility} if it is new):")
        typer.echo(f"branch: {prepared.revision}")
        if tag:
            typer.echo(f"tag: {tag}")
        typer.echo(f"message: {prepared.message}")
        sizes = prepared.sizes()
        for path, size in sizes:
            typer.echo(f"{size:>12,}  {path}")
        typer.echo(f"{sum(size for _, size in sizes):>12,}  in total")
    for path in prepared.pipeline.left_out:
        msg.warn(f"Left out, as it is no part of the pipeline: {path}")
    if not dry_run:
        address = send(prepared)
        msg.good(f"Sent: {address}")
        where = repo_id if not tag else f"{repo_id}@{tag}"
        msg.info(f"Load it: spacy_genner.load({where!r})")
