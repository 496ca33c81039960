"""`genner evaluate`: score a pipeline on annotated documents."""

from pathlib import Path
from typing import Annotated

import typer

from ._util import Model, SpansKey, app, reports_errors


@app.command("evaluate")
@reports_errors
def evaluate(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.spacy", help="Annotated documents (.spacy)."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The JSON file to write.")
    ],
    spans_key: SpansKey = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Documents at once.")
    ] = 64,
    train: Annotated[
        Path | None,
        typer.Option(
            "--train",
            metavar="FILE.spacy",
            help="The training data: scores mentions it holds, and others, apart.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Fixes the bootstrap interval.")
    ] = 0,
    gpu_id: Annotated[
        int, typer.Option("--gpu-id", "-g", help="A GPU, or -1 for the CPU.")
    ] = -1,
) -> None:
    """Score a pipeline: exact spans with an interval, by label, nesting and length,
    kinds of error, and how far span scores can be believed.

    The texts go through the pipeline as a user's would; beside the JSON file a
    .spans.jsonl file with every document is written, which `report` reads.

    \b
    Example:
      python -m spacy genner evaluate training/demo/model-best corpus/test.spacy
          --output metrics/demo.json
    """
    from ..corpora.docbin import load_docs
    from ..errors import Errors, Warnings
    from ..evaluation.breakdowns import read_mentions
    from ..evaluation.evaluate import annotate, check_gold
    from ..evaluation.evaluate import evaluate as score
    from ..evaluation.records import write_evaluation
    from ..evaluation.tables import format_table
    from ..pipeline.tolerant import FAILED
    from ..study.scores import study_scores
    from ._util import (
        add_group_of_entities,
        choose_gpu,
        fail,
        find_spans_key,
        load_pipeline,
        progress_bar,
        warn_on_stderr,
    )

    # What can be seen before the hours that the texts may take; `report` reads .json.
    if output.suffix != ".json":
        fail(Errors.G525.format(path=output, found=output.suffix, expected=".json"))
    if output.is_dir():
        fail(Errors.G521.format(path=output))
    choose_gpu(gpu_id)
    nlp = load_pipeline(model)
    key = spans_key or find_spans_key(nlp, model)
    if add_group_of_entities(nlp, key):
        typer.echo(f"{model} writes no group of spans: its entities are scored")
    docs = list(load_docs(data, nlp.vocab))
    check_gold(docs, key)
    mentions = None if train is None else read_mentions(train, key)
    shown = progress_bar("documents", len(docs))
    rows = list(shown(annotate(nlp, docs, key, batch_size)))
    result = score(rows, seed, mentions, metrics=[study_scores])
    write_evaluation(result, rows, output)
    typer.echo(format_table(result))
    failed = [row for row in rows if row.status == FAILED]
    if failed:
        first = next((issue["message"] for issue in failed[0].issues), FAILED)
        warn_on_stderr(
            Warnings.W601.format(count=len(failed), total=len(rows), first=first)
        )
