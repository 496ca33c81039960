"""`genner annotate`: annotate texts with a pipeline, in this process or with Ray, or
distil a corpus from a teacher."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from ..distillation import DOUBTFUL_CHOICES, KEEP_CHOICES, FilterRules
from ._util import (
    Code,
    GpuId,
    SpansKey,
    app,
    choice,
    choose_gpu,
    parse_overrides,
    reports_errors,
)

STOP_AFTER = 200
PART_FORMATS = ("jsonl", "parquet")
# What may follow --ray as its address.
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.\-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


class AnnotateCommand(TyperCommand):
    """The command, with an optional value of `--ray`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give `--ray` an empty value unless an address follows.

        ctx (Any): The context.
        args (list[str]): The arguments of the command.
        RETURNS (list[str]): The arguments that are not parsed.
        """
        for index, argument in enumerate(args):
            if argument == "--":
                break
            following = args[index + 1] if index + 1 < len(args) else ""
            if argument == "--ray" and not _ADDRESS.fullmatch(following):
                args = [*args[:index], "--ray=", *args[index + 1 :]]
        return super().parse_args(ctx, args)


@app.command(
    "annotate", cls=AnnotateCommand, context_settings={"ignore_unknown_options": True}
)
@reports_errors
def annotate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] INPUT OUTPUT",
            help="MODEL: a saved or installed pipeline, one of the Hugging Face hub "
            "(ORG/NAME or ORG/NAME@REVISION), or 'universal'; not with --teacher. "
            "INPUT: the texts, as .txt (one on each line), .jsonl (under 'text') or "
            ".spacy. OUTPUT: the file to write, .jsonl or .spacy; with --teacher "
            ".spacy or a folder, and with --ray a folder.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="CONFIG",
            help="Create a training corpus with the pipeline of a config, or with a "
            "saved or installed pipeline.",
            show_default=False,
        ),
    ] = None,
    spans_key: SpansKey = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "-b",
            min=1,
            help="The number of documents in a batch. Default: that of the pipeline, "
            "with --teacher at most 128.",
            show_default=False,
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            "--review",
            metavar="FILE.jsonl",
            help="The review file to write. Default: NAME.review.jsonl beside OUTPUT. "
            "(--teacher)",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str,
        choice(
            "--keep",
            allowed=KEEP_CHOICES,
            help="The worst status of a document in the corpus. (--teacher)",
        ),
    ] = FilterRules.keep,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            min=0.0,
            max=1.0,
            help="Spans with a lower score are doubtful; see --doubtful. (--teacher)",
        ),
    ] = FilterRules.min_score,
    doubtful: Annotated[
        str,
        choice(
            "--doubtful",
            allowed=DOUBTFUL_CHOICES,
            help="What a doubtful span removes from the corpus: its document, or only "
            "the span. The default is the document, because the model would learn the "
            "text of a removed span as text without an entity. (--teacher)",
        ),
    ] = FilterRules.doubtful,
    stop_after: Annotated[
        int,
        typer.Option(
            "--stop-after",
            min=0,
            help="Stop after this number of consecutive failures, for example when a "
            "server is down; 0 to never stop. (--teacher)",
        ),
    ] = STOP_AFTER,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            help="Resume an interrupted run even if the teacher has changed, or start "
            "again. By default the same command resumes. (--teacher) With --ray: "
            "resume an interrupted run with the same settings, or remove its parts.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Annotate with the workers of a Ray cluster and write OUTPUT in "
            "parts. ADDRESS is 'local' for a cluster of this machine, 'auto' for the "
            "cluster of this node, or HOST:PORT. Default: $RAY_ADDRESS, else 'local'.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="The number of workers. Default: as many as the cluster has room "
            "for. (--ray)",
            show_default=False,
        ),
    ] = None,
    cpus: Annotated[
        float | None,
        typer.Option(
            "--cpus-per-worker",
            min=0.1,
            help="The CPUs of a worker, which computes with as many threads. Default: "
            "1. (--ray)",
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-worker",
            min=0.0,
            help="The GPUs of a worker. A fraction lets workers share one. Default: 0. "
            "(--ray)",
            show_default=False,
        ),
    ] = None,
    part_size: Annotated[
        int | None,
        typer.Option(
            "--part-size",
            min=1,
            help="The number of documents in a part. Default: 500. (--ray)",
            show_default=False,
        ),
    ] = None,
    part_format: Annotated[
        str | None,
        choice(
            "--part-format",
            allowed=PART_FORMATS,
            help="The format of the parts. Default: parquet if the name of OUTPUT ends "
            "with .parquet, else jsonl. (--ray)",
            show_default=False,
        ),
    ] = None,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Annotate texts with spans.

    Each text has a record in the output, in the order of the input. A text that fails
    has the status 'failed' and the reason under 'issues'. A record keeps the other keys
    of its JSON object. The output is written as a whole or not at all.

    With --teacher CONFIG, a large model, local or behind a server, annotates a training
    corpus for a small one. Documents that failed are not in the corpus. A review file
    lists the documents, those that most need correction first. Values of the config are
    overridden as in spaCy: --components.llm.model.name NAME. An interrupted run keeps
    the finished documents in OUTPUT.part, and the same command resumes it.

    With --ray, the workers of a Ray cluster annotate a corpus of any size. INPUT may
    also be .parquet, or a folder of files. OUTPUT is a folder with a file for each part
    of the corpus, in its order, and a manifest with counts. An interrupted run keeps
    its finished parts; --resume continues it.

    \b
    Examples:
      python -m spacy genner annotate training/demo/model-best texts.txt spans.jsonl
      python -m spacy genner annotate training/demo/model-best texts.jsonl spans --ray
      python -m spacy genner annotate --teacher configs/llm/teacher.cfg texts.txt
          corpus.spacy
      python -m spacy genner convert corpus.review.jsonl corrected.spacy --from jsonl
    """
    from spacy.cli._util import import_code

    arguments = split_arguments(files, has_teacher=teacher is not None)
    if ray is not None and teacher is not None:
        raise typer.BadParameter("--ray and --teacher can't be combined.")
    if ray is None:
        refuse_without(
            "--ray [ADDRESS]",
            workers=workers is not None,
            cpus_per_worker=cpus is not None,
            gpus_per_worker=gpus is not None,
            part_size=part_size is not None,
            part_format=part_format is not None,
        )
    if teacher is None:
        refuse_without(
            "--teacher CONFIG",
            review=review is not None,
            keep=keep != FilterRules.keep,
            min_score=min_score != FilterRules.min_score,
            doubtful=doubtful != FilterRules.doubtful,
            stop_after=stop_after != STOP_AFTER,
        )
        if ray is None:
            refuse_without(
                "--teacher CONFIG or --ray [ADDRESS]",
                resume=resume is True,
                restart=resume is False,
            )
    if ray is not None:
        if gpu_id >= 0:
            raise typer.BadParameter(
                "--gpu-id selects a GPU of this process. With --ray, give "
                "--gpus-per-worker."
            )
        from ._ray import annotate_with_ray

        default_format = PART_FORMATS[arguments.output.suffix == ".parquet"]
        annotate_with_ray(
            arguments.model,
            arguments.source,
            arguments.output,
            address=ray or None,
            workers=workers,
            cpus=1 if cpus is None else cpus,
            gpus=gpus or 0,
            part_size=part_size,
            part_format=part_format or default_format,
            spans_key=spans_key,
            batch_size=batch_size,
            code=code,
            resume=resume,
        )
        return
    import_code(code)
    choose_gpu(gpu_id)
    if teacher is None:
        from ._texts import annotate_texts

        annotate_texts(
            arguments.model, arguments.source, arguments.output, spans_key, batch_size
        )
        return
    from ._distill import Paths, distill, load_teacher

    default = arguments.output.with_suffix(".review.jsonl")
    paths = Paths(arguments.source, arguments.output, review or default)
    paths.check()
    distill(
        load_teacher(teacher, arguments.overrides, spans_key),
        paths,
        FilterRules(keep, min_score, doubtful),
        batch_size=batch_size,
        stop_after=stop_after,
        resume=resume,
    )


class Arguments(NamedTuple):
    """The positional arguments of the command, and overrides.

    model (str): The pipeline; empty with a teacher.
    source (Path): The texts.
    output (Path): The file or folder to write.
    overrides (dict[str, Any]): Values of the teacher's config, by section and key.
    """

    model: str
    source: Path
    output: Path
    overrides: dict[str, Any]


def split_arguments(arguments: Sequence[str], has_teacher: bool) -> Arguments:
    """Separate files from overrides of config values, which may come in between.

    arguments (Sequence[str]): All arguments that are not options of the command. An
        override is `--section.key=value`, or two arguments.
    has_teacher (bool): Whether --teacher is given, in which case there is no MODEL.
    RETURNS (Arguments): The arguments.
    RAISES (BadParameter): There are too few, too many or unknown arguments.
    """
    files: list[str] = []
    overrides: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("-") or argument == "-":
            files.append(argument)
            continue
        overrides.append(argument)
        if "=" not in argument and remaining and not remaining[0].startswith("--"):
            overrides.append(remaining.pop(0))
    if overrides and (not has_teacher or not overrides[0].startswith("--")):
        raise typer.BadParameter(f"No such option: {overrides[0]}")
    names = ["INPUT", "OUTPUT"] if has_teacher else ["MODEL", "INPUT", "OUTPUT"]
    if len(files) != len(names):
        raise typer.BadParameter(
            f"Expected {' '.join(names)}, found {len(files)}: {' '.join(files)}"
        )
    model, source, output = ["", *files][-3:]
    # Without a teacher, overrides from the environment are ignored.
    values = parse_overrides(overrides) if has_teacher else {}
    return Arguments(model, Path(source), Path(output), values)


def refuse_without(needed: str, **options: bool) -> None:
    """Refuse options that need another option.

    needed (str): The other option, which is not given.
    **options (bool): Whether each option is given, by its name.
    RAISES (BadParameter): An option is given.
    """
    for name, given in options.items():
        if given:
            flag = name.replace("_", "-")
            raise typer.BadParameter(f"--{flag} requires {needed}.")
