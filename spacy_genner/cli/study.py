"""`genner study`: the questions of the study that the project implements."""

from pathlib import Path
from typing import Annotated

import typer

from ._util import (
    GpuId,
    app,
    check_file,
    check_suffix,
    choose_gpu,
    parse_overrides,
    reports_errors,
)

HELP = """Answer the questions of the study for a base model and a corpus.

The study is arXiv 2601.17898 ("Assessment of Generative Named Entity Recognition in
the Era of Large Language Models"). The workflows memorisation, abilities and study of
project.yml call these commands.
Each workflow keeps the result of every stage, and continues after an interruption.
"""
study_app = typer.Typer(
    name="study", help=HELP, no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(study_app, name="study")

Plain = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The plain pipeline: trained on TRAIN with label definitions.",
    ),
]
Train = Annotated[
    Path, typer.Argument(metavar="TRAIN.spacy", help="Its training documents.")
]
Results = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="The folder of the results."),
]
Training = Annotated[
    Path, typer.Option("--training", metavar="DIR", help="The folder of pipelines.")
]
Corpus = Annotated[
    Path,
    typer.Option("--corpus", metavar="DIR", help="The folder of changed corpora."),
]
Seed = Annotated[int, typer.Option("--seed", help="The random seed.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Remove earlier results and start over.")
]


@study_app.command("sample")
@reports_errors
def sample(
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS.spacy", help="Annotated documents.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.spacy", help="The file to write.")
    ],
    limit: Annotated[
        int,
        typer.Option("--limit", min=0, help="The number of documents; 0 for all."),
    ] = 0,
    seed: Seed = 0,
) -> None:
    """Draw a random sample of a corpus, in its order.

    \b
    Example:
      python -m spacy genner study sample corpus/genia-train.spacy
          corpus/study/genia/train.spacy --limit 400
    """
    from ..study.samples import write_sample

    check_file(source)
    check_suffix(output, ".spacy")
    count, total = write_sample(source, output, limit, seed)
    typer.echo(f"{count} of {total} documents: {output}")


@study_app.command("memorisation")
@reports_errors
def memorisation(
    plain: Plain,
    train: Train,
    test: Annotated[
        Path, typer.Argument(metavar="TEST.spacy", help="The test documents.")
    ],
    held_out: Annotated[
        Path,
        typer.Option(
            "--held-out",
            metavar="FILE.spacy",
            help="Documents whose mentions replace those of the test documents.",
        ),
    ],
    output: Results,
    training: Training,
    corpus: Corpus,
    name: Annotated[
        str, typer.Option("--name", help="The name of the corpus.")
    ] = "corpus",
    seed: Seed = 0,
    fresh: Fresh = False,
) -> None:
    """Find out whether a tuned model recognizes entities or has memorized them.

    Four more pipelines are trained with the settings of MODEL on the same texts: with
    labels without definitions; with letters as labels, with and without definitions;
    and with labels that are shuffled from text to text. The plain pipeline and the
    shuffled one are then tested with the labels in another order, with unseen names and
    with exchanged names. The plain one also annotates texts with held-out mentions,
    random mentions and masked contexts.

    \b
    Example:
      python -m spacy genner study memorisation training/plain/model-last
          corpus/train.spacy corpus/test.spacy --held-out corpus/dev.spacy
          --output metrics/study --training training/study --corpus corpus/study
    """
    from ..study.memorisation import MemorisationStudy
    from ..study.stages import Stages

    for path in (train, test, held_out):
        check_file(path)
    study = MemorisationStudy(
        plain,
        train,
        test,
        held_out,
        Stages(output, training, notify=typer.echo),
        corpus,
        name,
        seed,
    )
    if fresh:
        study.clear()
    summary = study.run()
    for run, row in summary["runs"].items():
        low, high = (100 * row[key] for key in ("low", "high"))
        typer.echo(f"{run:24} F1 {100 * row['f']:5.1f} ({low:.1f} to {high:.1f})")
    typer.echo(f"Results: {output / 'memorisation.json'}")


@study_app.command("abilities")
@reports_errors
def abilities(
    ner: Plain,
    train: Train,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="The folder with gsm8k, piqa and mmlu_redux, for the local tasks.",
        ),
    ],
    output: Results,
    training: Training,
    corpus: Corpus,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            help="The tasks, separated by commas. Local: gsm8k_local, piqa, "
            "mmlu_redux, extractive. From the hub: mmlu, hellaswag, gsm8k, "
            "truthfulqa, drop.",
        ),
    ] = "gsm8k_local,piqa,mmlu_redux,extractive",
    limit: Annotated[
        int,
        typer.Option(
            "--limit", min=0, help="The number of questions of a task; 0 for all."
        ),
    ] = 100,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", min=1, help="The number of questions in a batch."),
    ] = 8,
    seed: Seed = 0,
    fresh: Fresh = False,
    gpu_id: GpuId = -1,
) -> None:
    """Find out what tuning for NER changes in the general abilities of a base.

    The base is compared with the adapter of MODEL, with the same adapter switched off,
    and with a control: an adapter that is tuned with the same settings to copy the
    texts of TRAIN without marks. Needs the extra 'study' (lm_eval).

    \b
    Example:
      python -m spacy genner study abilities training/plain/model-last
          corpus/train.spacy --data assets/general --output metrics/study
          --training training/study --corpus corpus/study
    """
    from ..study.abilities import AbilitiesStudy
    from ..study.stages import Stages

    check_file(train)
    choose_gpu(gpu_id)
    study = AbilitiesStudy(
        ner,
        train,
        data,
        Stages(output, training, notify=typer.echo),
        corpus,
        tuple(filter(None, (task.strip() for task in tasks.split(",")))),
        limit,
        seed,
        batch_size,
    )
    if fresh:
        study.clear()
    summary = study.run()
    for task, rows in summary["scores"].items():
        found = ", ".join(
            f"{row} {100 * each['score']:.1f} ({each['words']:.1f} words)"
            for row, each in rows.items()
        )
        typer.echo(f"{task:14} {found}")
    typer.echo(f"Results: {output / 'abilities.json'}")


@study_app.command("document")
@reports_errors
def document(
    metrics: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of all results.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.md", help="The Markdown file to write.")
    ],
    corpora: Annotated[
        str,
        typer.Option(
            "--corpora",
            help="The corpora, separated by commas. The adapters of the first one "
            "answered the questions on abilities.",
        ),
    ] = "genia,wikigold",
) -> None:
    """Write the study's document and its figures from the results of all stages.

    The figures are written to images/study beside OUTPUT.md. Needs the extra 'study'
    (matplotlib).

    \b
    Example:
      python -m spacy genner study document metrics/study docs/study.md
    """
    from ..study.document import StudyDocument

    check_suffix(output, ".md")
    names = [name.strip() for name in corpora.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("Give at least one corpus.")
    for path in StudyDocument(metrics, names).write(output):
        typer.echo(f"Written: {path}")


@study_app.command(
    "model",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@reports_errors
def model(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="One of the study's models, such as qwen-3-4b."
        ),
    ],
    corpus_name: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS", help="conll2003, ontonotes, ace2005 or genia."
        ),
    ],
    train: Annotated[
        Path, typer.Option("--train", metavar="FILE.spacy", help="Training documents.")
    ] = Path("corpus/genia-train.spacy"),
    dev: Annotated[
        Path,
        typer.Option("--dev", metavar="FILE.spacy", help="Development documents."),
    ] = Path("corpus/genia-dev.spacy"),
    test: Annotated[
        Path, typer.Option("--test", metavar="FILE.spacy", help="Test documents.")
    ] = Path("corpus/genia-test.spacy"),
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", metavar="FILE.json", help="The labels and their definitions."
        ),
    ] = Path("configs/genia-labels.json"),
    format: Annotated[
        str, typer.Option("--format", help="The output format.")
    ] = "inline_bracketed",
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            help="The commit of the model on the hub. Set it: a branch may change.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", metavar="CONFIG", help="The recipe.")
    ] = Path("configs/study.cfg"),
    output: Results = Path("metrics/study/models"),
    training: Training = Path("training/study/models"),
    table: Annotated[
        Path, typer.Option("--table", metavar="FILE.md", help="The table to write.")
    ] = Path("reports/study-models.md"),
    seed: Seed = 0,
    fresh: Fresh = False,
    gpu_id: GpuId = -1,
) -> None:
    """Train one of the study's models with the study's recipe, score it, and print the
    score beside the published one.

    The models have 3 to 9 billion parameters and need a GPU. The command continues an
    interrupted training, and writes the table of all runs so far. Settings of the
    recipe are overridden as in 'genner train', and the table names them.

    \b
    Example:
      python -m spacy genner study model qwen-3-4b genia --revision COMMIT
    """
    from ..study.models import ModelRun, write_table
    from ..study.stages import Stages

    changes = parse_overrides(ctx.args)
    check_suffix(table, ".md")
    run = ModelRun(
        name,
        corpus_name,
        train,
        dev,
        test,
        labels,
        config,
        Stages(output, training, notify=typer.echo),
        format,
        revision,
        changes,
        seed,
    )
    for path in (train, dev, test, labels, config):
        check_file(path)
    choose_gpu(gpu_id)
    if fresh:
        run.clear()
    run.run()
    typer.echo(write_table(output, table), nl=False)
    typer.echo(f"Table: {table}")
