"""`genner annotate`: annotate texts with a pipeline, or distil a corpus from a
teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

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


@app.command("annotate", context_settings={"ignore_unknown_options": True})
@reports_errors
def annotate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] INPUT OUTPUT",
            help="The saved or installed pipeline, unless --teacher names one; the "
            "texts: .txt (one a line), .jsonl (under 'text') or .spacy; and the file "
            "to write: .jsonl or .spacy, or with --teacher .spacy or a folder.",
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
            help="Spans with a lower score are doubtful. (--teacher)",
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
            help="Stop after this number of consecutive failures, as when a server is "
            "down; 0 to never stop. (--teacher)",
        ),
    ] = STOP_AFTER,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            help="Resume an interrupted run even if the teacher has changed, or start "
            "again. By default the same command resumes. (--teacher)",
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
    corpus for a small one. Documents that failed are not in the corpus, and a review
    file lists first the documents that most need correction. Values of the config are
    overridden as in spaCy: --components.llm.model.name NAME. An interrupted run keeps
    the finished documents in OUTPUT.part, and the same command resumes it.

    \b
    Examples:
      python -m spacy genner annotate training/demo/model-best texts.txt spans.jsonl
      python -m spacy genner annotate --teacher configs/llm/teacher.cfg texts.txt
          corpus.spacy
      python -m spacy genner convert corpus.review.jsonl corrected.spacy --from jsonl
    """
    from spacy.cli._util import import_code

    arguments = split_arguments(files, has_teacher=teacher is not None)
    import_code(code)
    choose_gpu(gpu_id)
    if teacher is None:
        from ._texts import annotate_texts

        refuse_without_teacher(
            review=review is not None,
            keep=keep != FilterRules.keep,
            min_score=min_score != FilterRules.min_score,
            doubtful=doubtful != FilterRules.doubtful,
            stop_after=stop_after != STOP_AFTER,
            resume=resume is True,
            restart=resume is False,
        )
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


def refuse_without_teacher(**options: bool) -> None:
    """Refuse options that need a teacher.

    **options (bool): Whether each option is given, by its name.
    RAISES (BadParameter): An option is given.
    """
    for name, given in options.items():
        if given:
            flag = name.replace("_", "-")
            raise typer.BadParameter(f"--{flag} requires --teacher CONFIG.")
