"""`genner draft-head`: train a draft head for a trained pipeline."""

import math
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..errors import Errors
from ._util import (
    Limit,
    Model,
    NewFolder,
    app,
    find_component,
    load_pipeline,
    progress_bar,
    reports_errors,
)


@app.command("draft-head")
@reports_errors
def draft_head(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA.spacy",
            help="Annotated documents, preferably the training data.",
        ),
    ],
    output: NewFolder,
    limit: Limit = 3000,
    learn_rate: Annotated[
        float, typer.Option("--learn-rate", help="The maximum learning rate.")
    ] = 5e-4,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            min=1,
            help="The number of epochs. Default: 3, and more for few documents.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="The random seed of the sample and its order.")
    ] = 0,
) -> None:
    """Train a draft head for a pipeline with a trained adapter. With it, the pipeline
    annotates in fewer forward passes. The result is the same, unless the model weighs
    the head's scores (head_weight).

    Training already trains a draft head, so this command is for pipelines without
    generative_ner/draft_head.safetensors, such as those with an adapter that was tuned
    with other tools. It takes a small part of the time of training, because the base
    model encodes each text only once. The hidden states are kept in memory.

    \b
    Example:
      python -m spacy genner draft-head training/genia/model-best
          corpus/genia-train.spacy training/genia/faster
    """
    from ..corpora.corpus import make_corpus
    from ..io import check_new_folder, replaced_folder
    from ..training.trainer import train_draft_head

    if not 0 < learn_rate < math.inf:
        raise ValueError(Errors.G319.format(name="--learn-rate", found=learn_rate))
    check_new_folder(output)
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
        progress=progress_bar("reading", lines=True),
        learning=progress_bar("learning", lines=True),
    )
    if not losses:
        raise ValueError(Errors.G321.format(path=data))
    with replaced_folder(output) as fresh:
        nlp.to_disk(fresh)
    last = losses[-10:]
    msg.good(
        f"{len(examples)} documents, initial loss {losses[0]:.2f}, final loss "
        f"{sum(last) / len(last):.2f} -> {output}"
    )
