"""`genner annotate`: annotate texts with a trained pipeline or a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from ..distillation import DOUBTFUL, KEEP, Rules
from ._util import Code, SpansKey, app, choice, reports_errors


class Given(NamedTuple):
    """What was given.

    model (str): The pipeline; empty with a teacher.
    source (Path): The texts.
    output (Path): What to write.
    overrides (Dict[str, Any]): Values of the teacher's config, by section and key.
    """

    model: str
    source: Path
    output: Path
    overrides: dict[str, Any]


def split_arguments(arguments: Sequence[str], has_teacher: bool) -> Given:
    """Part files from overrides of config values, which may stand among them.

    arguments (Sequence[str]): All that is no option of the command. An override is
        `--section.key=value`, or two arguments.
    has_teacher (bool): Whether --teacher is given: there is no MODEL then.
    RETURNS (Given): The arguments.
    RAISES (BadParameter): There are too few, too many, or unknown ones.
    """
    from click import NoSuchOption
    from spacy.cli._util import parse_config_overrides

    files: list[str] = []
    overriding: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-") or argument == "-":
            files.append(argument)
            continue
        overriding.append(argument)
        if "=" not in argument and waiting and not waiting[0].startswith("--"):
            overriding.append(waiting.pop(0))
    if overriding and (not has_teacher or not overriding[0].startswith("--")):
        raise typer.BadParameter(f"No such option: {overriding[0]}")
    names = ["INPUT", "OUTPUT"] if has_teacher else ["MODEL", "INPUT", "OUTPUT"]
    if len(files) != len(names):
        raise typer.BadParameter(
            f"Expected {' '.join(names)}, found {len(files)}: {' '.join(files)}"
        )
    model, source, output = ["", *files][-3:]
    try:
        # The environment has overrides, too: for the teacher alone.
        overrides = parse_config_overrides(overriding) if has_teacher else {}
    except NoSuchOption as error:
        # spaCy's is click's own, which not every typer shows as wrong usage.
        raise typer.BadParameter(error.message) from None
    return Given(model, Path(source), Path(output), overrides)


def refuse_without_teacher(**options: bool) -> None:
    """Refuse options that only mean something with a teacher.

    **options (bool): Whether each is given, by its name.
    RAISES (BadParameter): One is.
    """
    for name, given in options.items():
        if given:
            flag = name.replace("_", "-")
            raise typer.BadParameter(f"--{flag} goes with --teacher CONFIG.")


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
            "to write: .jsonl or .spacy, with --teacher .spacy or a folder.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="CONFIG",
            help="Make a training corpus with the pipeline of a config, or a saved or "
            "installed one.",
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
            help="Documents at once. Default: the pipeline's; with --teacher 128 at "
            "most.",
            show_default=False,
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            "--review",
            metavar="FILE.jsonl",
            help="Where the review goes. Default: beside OUTPUT, as "
            "NAME.review.jsonl. (--teacher)",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str,
        choice(
            "--keep",
            allowed=KEEP,
            help="The worst status that is good enough for the corpus. (--teacher)",
        ),
    ] = Rules.keep,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            min=0.0,
            max=1.0,
            help="Spans less probable are doubtful. (--teacher)",
        ),
    ] = Rules.min_score,
    doubtful: Annotated[
        str,
        choice(
            "--doubtful",
            allowed=DOUBTFUL,
            help="What a doubtful span takes out of the corpus: its document, or the "
            "span alone. By default the document: a span left out of it would be "
            "learnt as text without an entity. (--teacher)",
        ),
    ] = Rules.doubtful,
    stop_after: Annotated[
        int,
        typer.Option(
            "--stop-after",
            min=0,
            help="Failures in a row that end the run, as where a server is gone; 0 "
            "for never. (--teacher)",
        ),
    ] = STOP_AFTER,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            help="Go on with what a run has left, also where it was another teacher; "
            "or begin anew. By default the same command goes on. (--teacher)",
            show_default=False,
        ),
    ] = None,
    code: Code = None,
) -> None:
    """Find the spans of texts.

    Every text gets its record, in the input's order; one that fails has the status
    'failed' and the reason under 'issues'. A record keeps the other keys of its JSON
    object. The output is there in whole or not at all.

    With --teacher CONFIG, a large model, local or behind a server, labels a training
    corpus for a small one: documents that failed are not in it, and a review file says
    what a person should look at first. Values of the config are overridden as in
    spaCy: --components.llm.model.name NAME. A run that is broken off leaves what it has
    done in OUTPUT.part, and the same command goes on from there.

    \b
    Examples:
      python -m spacy genner annotate training/demo/model-best texts.txt spans.jsonl
      python -m spacy genner annotate --teacher configs/llm/teacher.cfg texts.txt
          corpus.spacy
      python -m spacy genner convert corpus.review.jsonl corrected.spacy --from jsonl
    """
    from spacy.cli._util import import_code

    given = split_arguments(files, has_teacher=teacher is not None)
    import_code(code)
    rules = Rules(keep, min_score, doubtful)
    if teacher is None:
        from ._texts import annotate_texts

        refuse_without_teacher(
            review=review is not None,
            keep=keep != Rules.keep,
            min_score=min_score != Rules.min_score,
            doubtful=doubtful != Rules.doubtful,
            stop_after=stop_after != STOP_AFTER,
            resume=resume is True,
            restart=resume is False,
        )
        annotate_texts(given.model, given.source, given.output, spans_key, batch_size)
        return
    from ._distill import Paths, distill, load_teacher

    default = given.output.with_suffix(".review.jsonl")
    paths = Paths(given.source, given.output, review or default)
    paths.check()
    distill(
        load_teacher(teacher, given.overrides, spans_key),
        paths,
        rules,
        batch_size=batch_size,
        stop_after=stop_after,
        resume=resume,
    )
