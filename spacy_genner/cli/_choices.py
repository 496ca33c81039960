"""Options with a fixed list of values."""

from collections.abc import Callable, Collection

import typer


def one_of(allowed: Collection[str]) -> Callable[[str], str]:
    """Make a callback that refuses other values as wrong usage (exit code 2).

    allowed (Collection[str]): The values.
    RETURNS (Callable[[str], str]): The callback of an option.
    """

    def check(value: str) -> str:
        if value not in allowed:
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(sorted(allowed))}."
            )
        return value

    return check


def shown(allowed: Collection[str]) -> str:
    """Write the values as `--help` shows them.

    allowed (Collection[str]): The values.
    RETURNS (str): The metavar.
    """
    return f"[{'|'.join(sorted(allowed))}]"
