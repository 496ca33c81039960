"""The arguments of `annotate`, which are others with a teacher than without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer


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
