"""The one place where a failure becomes a message and an exit code."""

import errno
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from confection import ConfigValidationError
from wasabi import Printer

from ..errors import Errors

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 1
# This project's codes, and spaCy's.
_CODED = re.compile(r"\[[GE]\d{3,4}\] ")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command its exit codes: 1 for bad input, with a message on stderr.

    An error without a code is a fault of the program and keeps its traceback.

    command (Callable): The command.
    RETURNS (Callable): The same, with the same signature.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return command(*args, **kwargs)
        except ConfigValidationError as error:
            fail(without_values(error))
        except OSError as error:
            fail(_os_message(error))
        except Exception as error:
            # KeyError shows its message in quotes.
            message = str(error.args[0]) if error.args else str(error)
            if not _CODED.match(message):
                raise
            fail(message)

    return run


def without_values(error: Exception) -> str:
    """What an error says. One of a config that does not fit would show the whole block,
    in which a key may stand.

    error (Exception): The error.
    RETURNS (str): Its message, without the values of a config.
    """
    if isinstance(error, ConfigValidationError):
        error = ConfigValidationError.from_error(error, show_config=False)
    return str(error)


def fail(message: str) -> NoReturn:
    """Print a message on stderr and end with the exit code for bad input.

    message (str): The message.
    """
    typer.echo(Printer(no_print=True).fail(message), err=True)
    raise typer.Exit(BAD_INPUT)


def warn_on_stderr(message: str) -> None:
    """Print a warning on stderr: stdout is for results.

    message (str): The message.
    """
    typer.echo(Printer(no_print=True).warn(message), err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn_on_stderr(str(message))


def _os_message(error: OSError) -> str:
    if _CODED.match(str(error)):
        return str(error)
    path = error.filename if error.filename is not None else "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Errors.G523.format(path=path)
    if isinstance(error, FileNotFoundError):
        return Errors.G520.format(path=path)
    if isinstance(error, IsADirectoryError):
        return Errors.G521.format(path=path)
    if isinstance(error, PermissionError):
        return Errors.G522.format(path=path)
    return Errors.G524.format(path=path, reason=error.strerror or error)
