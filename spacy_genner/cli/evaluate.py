"""`genner evaluate`: score a pipeline on annotated documents."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import Errors
from ._util import (
    BatchSize,
    GpuId,
    Model,
    SpansKey,
    add_entity_group,
    app,
    check_suffix,
    choose_gpu,
    find_spans_key,
    load_pipeline,
    progress_bar,
    reports_errors,
    warn_of_failures,
    warn_of_unwritten,
)


@app.command("evaluate")
@reports_errors
def evaluate(
    model: Model,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.spacy", help="Annotated documents (.spacy)."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The JSON file to write. Default: only print the scores.",
            show_default=False,
        ),
    ] = None,
    spans_key: SpansKey = None,
    batch_size: BatchSize = 64,
    train: Annotated[
        Path | None,
        typer.Option(
            "--train",
            metavar="FILE.spacy",
            help="The training data, to score seen and unseen mentions separately.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="The random seed of the bootstrap.")
    ] = 0,
    gpu_id: GpuId = -1,
) -> None:
    """Score a pipeline on annotated documents.

    The evaluation has the scores of exact spans with a confidence interval, breakdowns
    by label, nesting and length, kinds of errors, and the calibration of span scores.

    The pipeline annotates the texts as in production. With --output, the command writes
    a JSON file and beside it a .spans.jsonl file with every document, which `report`
    and `compare` read.

    \b
    Example:
      python -m spacy genner evaluate training/demo/model-best corpus/test.spacy
          --output metrics/demo.json
    """
    from ..corpora.docbin import load_docs
    from ..evaluation.breakdowns import read_mentions
    from ..evaluation.card import describe_data, describe_pipeline, timed_run
    from ..evaluation.evaluate import annotate, check_gold
    from ..evaluation.evaluate import evaluate as score
    from ..evaluation.records import write_evaluation
    from ..evaluation.tables import format_table
    from ..study.scores import study_scores

    # Check the output first: annotation may take hours.
    if output is not None:
        check_suffix(output, ".json")
        if output.is_dir():
            raise ValueError(Errors.G521.format(path=output))
    choose_gpu(gpu_id)
    nlp = load_pipeline(model)
    key = spans_key or find_spans_key(nlp, model)
    if add_entity_group(nlp, key):
        typer.echo(f"{model} writes no span group: its entities are scored")
    docs = list(load_docs(data, nlp.vocab))
    check_gold(docs, key)
    mentions = None if train is None else read_mentions(train, key)
    progress = progress_bar("documents", len(docs))
    rows, run = timed_run(
        nlp, docs, lambda: list(progress(annotate(nlp, docs, key, batch_size)))
    )
    result = score(rows, seed, mentions, metrics=[study_scores])
    result["pipeline"] = describe_pipeline(nlp, model, key)
    result["data"] = describe_data(docs, key, str(data))
    result["run"] = run
    if output is not None:
        write_evaluation(result, rows, output)
    typer.echo(format_table(result))
    warn_of_failures(rows)
    warn_of_unwritten(key, sum(not row.written for row in rows), len(rows))
