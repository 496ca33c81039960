"""`genner tune-decoding`: choose settings of decoding on development data."""

from typing import Annotated, Any

import typer
from wasabi import msg

from ..errors import Errors, Warnings
from ._util import (
    BatchSize,
    DevData,
    GpuId,
    Limit,
    Model,
    NewFolder,
    app,
    choose_gpu,
    find_component,
    load_pipeline,
    progress_bar,
    reports_errors,
    warn_of_failures,
    warn_on_stderr,
)


@app.command("tune-decoding")
@reports_errors
def tune_decoding(
    model: Model,
    data: DevData,
    output: NewFolder,
    limit: Limit = 500,
    batch_size: BatchSize = 64,
    seed: Annotated[
        int, typer.Option("--seed", help="The random seed of the sample of DEV.")
    ] = 0,
    gpu_id: GpuId = -1,
) -> None:
    """Choose the weight of the draft head and the bias of opening spans, with the best
    F1 on DEV, and save the pipeline with them.

    The adapter and the draft head stay the same. The command annotates DEV ten to
    twenty times. A calibration of the scores is removed: calibrate the result again.

    \b
    Example:
      python -m spacy genner tune-decoding training/demo/model-best corpus/dev.spacy
          training/demo/tuned
    """
    from spacy.util import load_config

    from ..corpora.corpus import SampledCorpus
    from ..evaluation.evaluate import annotate, check_gold
    from ..evaluation.records import Annotation
    from ..evaluation.scores import score_documents
    from ..evaluation.tuning import VALUES, Setting, best, tune
    from ..io import check_new_folder, replaced_folder

    check_new_folder(output)
    choose_gpu(gpu_id)
    nlp = load_pipeline(model)
    pipe = find_component(nlp, model)
    _check_tunable(pipe, model)
    engine, decoder = pipe.predictor.engine(), pipe.decoder
    # The pipeline tokenizes the texts, and one that it refuses fails alone.
    corpus = SampledCorpus(data, limit=limit, seed=seed)
    docs = list(corpus.read_docbin(nlp.vocab, [data]))
    check_gold(docs, pipe.key)
    if not any(doc.spans.get(pipe.key) for doc in docs):
        raise ValueError(Errors.G608.format(path=data, key=pipe.key))
    calibrated, pipe.score_map = pipe.score_map is not None, None

    rows: dict[Setting, list[Annotation]] = {}

    def score(setting: Setting) -> float:
        engine.head_weight = setting.head_weight
        decoder.opening_bias = setting.opening_bias
        progress = progress_bar("documents", len(docs))
        rows[setting] = list(progress(annotate(nlp, docs, pipe.key, batch_size)))
        found = score_documents(
            [row.gold for row in rows[setting]],
            [row.predicted for row in rows[setting]],
        )
        shown = [f"{100 * found[key]:.2f}" for key in ("micro_f", "micro_p", "micro_r")]
        nested = ""
        if found["nested_gold"]:
            nested = f", nested spans found {100 * found['nested_r']:.2f} %"
        msg.text(f"{setting}: F1 {shown[0]}, P {shown[1]}, R {shown[2]}{nested}")
        return float(found["micro_f"])

    before = Setting(engine.head_weight, decoder.opening_bias)
    values = dict(VALUES)
    if engine.draft_head is None:
        del values["head_weight"]
    scores = tune(score, before, values)
    chosen = best(scores)
    # A document that fails does so with each setting.
    warn_of_failures(rows[chosen])
    with replaced_folder(output) as fresh:
        nlp.to_disk(fresh)
        config = load_config(fresh / "config.cfg")
        section = config["components"][pipe.name]
        section["model"]["head_weight"] = chosen.head_weight
        section["decoder"]["opening_bias"] = chosen.opening_bias
        config.to_disk(fresh / "config.cfg")
    if calibrated:
        warn_on_stderr(Warnings.W923.format(name=pipe.name))
    msg.good(
        f"{chosen}: F1 {100 * scores[chosen]:.2f} ({100 * scores[before]:.2f} before) "
        f"on {len(docs)} documents -> {output}"
    )


def _check_tunable(pipe: Any, model: str) -> None:
    """Check that a component has a decoder whose settings have an effect."""
    from ..decoding.decoder import StepDecoder
    from ..formats import InlineFormat
    from ..pipeline.local import LocalPredictor

    reason = ""
    if not isinstance(pipe.predictor, LocalPredictor):
        reason = "its model is on a server"
    elif not isinstance(pipe.format, InlineFormat):
        reason = f"the format {pipe.format.name!r} does not mark spans in the text"
    elif not isinstance(pipe.decoder, StepDecoder):
        reason = f"it is {type(pipe.decoder).__name__!r}"
    if reason:
        raise ValueError(Errors.G997.format(model=model, reason=reason))
