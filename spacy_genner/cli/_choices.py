"""Options with a fixed list of values."""

from collections.abc import Callable, Collection

import typer


def one_of(allowed: Collection[str]) -> Callable[[str | None], str | None]:
    """Make a callback that refuses other values as wrong usage (exit code 2).

    allowed (Collection[str]): The values.
    RETURNS (Callable[[Optional[str]], Optional[str]]): The callback of an option; None
        passes, where that is the default.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
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
