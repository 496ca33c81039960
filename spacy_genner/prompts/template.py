"""Prompts as jinja templates, rendered around the text that they ask about."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import Errors

TEMPLATES = ("compact", "study")
# A character for private use, which texts hold as good as never.
_SLOT = "\ue0f8"


def read_template(name: str, own: Sequence[str] = TEMPLATES) -> str:
    """Find a template.

    name (str): One of the project's own, or a file that ends in `.jinja` or `.j2`.
    own (Sequence[str]): The project's own that serve the purpose.
    RETURNS (str): Its source.
    RAISES (ValueError): That is no name of a template.
    RAISES (OSError): The file can't be read.
    """
    if name in own:
        return _own(name)
    path = Path(name)
    if path.suffix not in (".jinja", ".j2"):
        expected = ", ".join(own)
        raise ValueError(Errors.G107.format(found=name, expected=expected))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OSError(Errors.G108.format(path=name, reason=error)) from error


def render_around(source: str, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Render a template around its `{{ text }}`.

    source (str): The template's source.
    variables (Mapping[str, Any]): What it may name, besides `text`. None of it is a
        template itself: braces in a definition or a demonstration stay braces.
    RETURNS (Tuple[str, ...]): What stands before the text, between one reading of it
        and the next, and after the last: one string more than it is read.
    RAISES (ValueError): The template can't be rendered, or does not hold the text.
    """
    slot = _SLOT
    # No string among the variables is as long a row of it as the longest, and one more.
    held = "\n".join(_strings(variables))
    while slot in held:
        slot += _SLOT
    try:
        written = _compiled(source).render({**variables, "text": slot})
    except Exception as error:
        # jinja2 raises whatever an expression raises.
        raise ValueError(Errors.G109.format(reason=error)) from error
    parts = tuple(written.split(slot))
    if len(parts) < 2:
        raise ValueError(Errors.G110)
    return parts


def _strings(value: Any) -> list[str]:
    """All strings in a string, a mapping or a sequence of such."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence):
        return [text for item in value for text in _strings(item)]
    return []


@cache
def _own(name: str) -> str:
    folder = resources.files(__package__) / "templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def _compiled(source: str) -> Any:
    # Loaded by whoever renders: not by every pipeline that is made.
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.from_string(source)
