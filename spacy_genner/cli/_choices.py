"""Options with a fixed list of values."""

from collections.abc import Collection
from typing import Any

import typer


def choice(*flags: str, allowed: Collection[str], **more: Any) -> Any:
    """Make an option that takes one of a few values, and refuses others as wrong usage
    (exit code 2).

    *flags (str): The option's names.
    allowed (Collection[str]): The values, which `--help` shows.
    **more: What else `typer.Option` takes.
    RETURNS (OptionInfo): The option. None passes, where that is its default.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(sorted(allowed))}."
            )
        return value

    metavar = f"[{'|'.join(sorted(allowed))}]"
    return typer.Option(*flags, metavar=metavar, callback=check, **more)
