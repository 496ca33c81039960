"""`genner calibrate`: fit the scores of spans to the share of correct spans."""

import math
from typing import Annotated

import typer
from wasabi import msg

from ..errors import Errors, Warnings
from ._util import (
    BatchSize,
    DevData,
    GpuId,
    Model,
    NewFolder,
    app,
    choice,
    choose_gpu,
    find_component,
    load_pipeline,
    progress_bar,
    reports_errors,
    warn_of_failures,
    warn_on_stderr,
)


@app.command("calibrate")
@reports_errors
def calibrate(
    model: Model,
    data: DevData,
    output: NewFolder,
    method: Annotated[
        str | None,
        choice(
            "--method",
            allowed=("isotonic", "temperature"),
            help="The function of the scores. Default: the better one on held-out "
            "parts of DEV.",
            show_default=False,
        ),
    ] = None,
    batch_size: BatchSize = 64,
    seed: Annotated[
        int, typer.Option("--seed", help="The random seed of the parts of DEV.")
    ] = 0,
    gpu_id: GpuId = -1,
) -> None:
    """Calibrate the scores of a pipeline, so that a score is the probability that the
    span is right.

    The command annotates DEV, fits an increasing function from scores to shares of
    correct spans, and saves the pipeline with it. The spans and their order stay the
    same. The minimum score with the best F1 on DEV is printed, but not set.

    \b
    Example:
      python -m spacy genner calibrate training/demo/model-best corpus/dev.spacy
          training/demo/calibrated
    """
    from ..corpora.docbin import load_docs
    from ..evaluation.calibration import (
        best_threshold,
        fit_score_map,
        threshold_curve,
    )
    from ..evaluation.evaluate import annotate, check_gold
    from ..io import check_new_folder, replaced_folder

    check_new_folder(output)
    choose_gpu(gpu_id)
    nlp = load_pipeline(model)
    pipe = find_component(nlp, model)
    docs = list(load_docs(data, nlp.vocab))
    check_gold(docs, pipe.key)
    min_score = pipe.cfg["min_score"]
    # All spans are needed, with the model's own scores.
    pipe.cfg["min_score"], pipe.score_map = 0.0, None
    progress = progress_bar("documents", len(docs))
    rows = list(progress(annotate(nlp, docs, pipe.key, batch_size)))
    warn_of_failures(rows)
    if not all(row.scored for row in rows if row.predicted):
        reason = "its spans have no scores"
        raise ValueError(Errors.G929.format(model=model, reason=reason))
    scores = [score for row in rows for score in row.scores]
    correct = [
        span in gold
        for row in rows
        for gold in [set(row.gold)]
        for span in row.predicted
    ]
    documents = [number for number, row in enumerate(rows) for _ in row.predicted]
    fitted, facts = fit_score_map(scores, correct, documents, method, seed)
    for name in ("before", "temperature", "isotonic"):
        found = facts[name]
        msg.text(f"{name}: ECE {100 * found['ece']:.2f}, Brier {found['brier']:.4f}")
    if fitted is None:
        msg.warn("The scores are best as they are. They are saved without calibration.")
    pipe.cfg["min_score"], pipe.score_map = min_score, fitted
    with replaced_folder(output) as fresh:
        nlp.to_disk(fresh)
    if fitted is not None:
        detail = f" {fitted.temperature:.3f}" if fitted.method == "temperature" else ""
        spans = f"{facts['spans']} spans"
        msg.good(f"Calibrated by {fitted.method}{detail} on {spans} -> {output}")
        if min_score:
            warn_on_stderr(Warnings.W921.format(name=pipe.name, found=min_score))
        scores = [fitted(score) for score in scores]
    gold = sum(len(set(row.gold)) for row in rows)
    best = best_threshold(threshold_curve(scores, correct, gold))
    if best is not None:
        # Rounded down, so that the span with this score is kept.
        value = math.floor(10_000 * best["min_score"]) / 10_000
        shares = f"P {100 * best['p']:.2f}, R {100 * best['r']:.2f}"
        msg.info(
            f"F1 {100 * best['f']:.2f} with min_score {value} ({shares}), the best on "
            f"{data}. To use it, set min_score of "
            f"[components.{pipe.name}] in {output / 'config.cfg'}"
        )
