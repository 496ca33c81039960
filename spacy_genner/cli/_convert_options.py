"""Which options of `convert` are for which forms."""

from typing import NamedTuple

import typer


class Forms(NamedTuple):
    """The forms that an option is for.

    read (Tuple[str, ...]): Forms to read.
    written (Tuple[str, ...]): Forms to write.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


# By the name of the parameter. All other options are for every form, or refused by a
# form's reader.
OPTIONS = {
    "detokenize": Forms(read=("alpaca", "conll", "conll-2012", "conll-nested")),
    "discontinuous": Forms(read=("brat",)),
    "extent": Forms(read=("ace2005",)),
    "labels": Forms(written=("alpaca",)),
    "output_format": Forms(read=("alpaca",), written=("alpaca",)),
    "triggers": Forms(read=("brat",)),
}


def check_options(context: typer.Context, form: str, to: str) -> None:
    """Refuse options that would do nothing as wrong usage (exit code 2).

    context (Context): What the command was given.
    form (str): The form to read.
    to (str): The form to write.
    RAISES (BadParameter): An option is for other forms.
    """
    for param in context.command.params:
        name = param.name or ""
        source = context.get_parameter_source(name)
        # The class of sources is click's, or typer's own, by typer's version.
        if source is None or source.name != "COMMANDLINE":
            continue
        forms = OPTIONS.get(name)
        if forms is None or form in forms.read or to in forms.written:
            continue
        ways = {"--from": forms.read, "--to": forms.written}
        expected = [f"{flag} {each}" for flag, all_ in ways.items() for each in all_]
        raise typer.BadParameter(
            f"with --from {form} and --to {to} it would do nothing. It is for "
            f"{', '.join(expected)}: leave it out.",
            param_hint=param.opts[0],
        )
