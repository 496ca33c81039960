"""`genner draft-head`: make a trained pipeline faster."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._util import Model, app, reports_errors


@app.command("draft-head")
@reports_errors
def draft_head(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA.spacy", help="Annotated documents, best those of training."
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A new or empty folder.")
    ],
    limit: Annotated[
        int,
        typer.Option("--limit", min=0, help="Documents to take; 0 for all."),
    ] = 3000,
    learn_rate: Annotated[
        float, typer.Option("--learn-rate", help="The highest learning rate.")
    ] = 5e-4,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            min=1,
            help="How often the head learns from each; by default 3 times, and more "
            "often where documents are few.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Fixes the sample and its order.")
    ] = 0,
) -> None:
    """Train a draft head for a pipeline whose adapter is trained already, as one that
    was tuned elsewhere: it annotates in fewer passes, with the same result.

    Training does it by itself, so this is for pipelines without
    generative_ner/draft_head.safetensors. Texts are only read, not written, and once,
    so it takes a small part of the time of training; what was read is held in memory.

    \b
    Example:
      python -m spacy genner draft-head training/genia/model-best
          corpus/genia-train.spacy training/genia/faster
    """
    from ..corpora.corpus import make_corpus
    from ..errors import Errors
    from ..io import check_unused
    from ..training.trainer import train_draft_head
    from ._util import find_component, load_pipeline, progress_bar

    check_unused(output)
    nlp = load_pipeline(model)
    pipe = find_component(nlp, model)
    examples = list(make_corpus(str(data), limit=limit, seed=seed)(nlp))
    if not examples:
        raise ValueError(Errors.G321.format(path=data))
    losses = train_draft_head(
        pipe,
        examples,
        learn_rate,
        epochs=epochs,
        seed=seed,
        shown=progress_bar("reading"),
    )
    if not losses:
        raise ValueError(Errors.G321.format(path=data))
    nlp.to_disk(output)
    last = losses[-10:]
    msg.good(
        f"{len(examples)} documents, loss {losses[0]:.2f} at first and "
        f"{sum(last) / len(last):.2f} in the end -> {output}"
    )
