"""Markdown from untrusted values: names, labels and definitions change no structure."""

import re
import unicodedata
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

# Everything that starts inline or block markup, in CommonMark, in tables, and as HTML.
_MARKUP = re.compile(r"([\\`*_{}\[\]#+\-.!|~$>&<=:^])")
# Marks without meaning within or after a word. After a number, a period makes a list.
_HARMLESS = re.compile(
    r"(?<=\w)\\([-.:])(?=\w)|(?<=[^\W\d])\\([.:])(?= |$)|(?<=[^\W\d]\))\\(\.)(?=$)"
)
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|www)(\\?[:.])")


def plain(value: Any) -> str:
    """Write a value on one line, without characters that control the text's display.

    value (Any): The value.
    RETURNS (str): Its text.
    """
    text = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") else char
        for char in str(value)
    )
    return " ".join(text.split())


def escape(value: Any) -> Markup:
    """Write a value as text in Markdown.

    value (Any): The value. `Markup` stays as it is.
    RETURNS (Markup): Markdown that shows the text and nothing else.
    """
    if isinstance(value, Markup):
        return value
    text = _MARKUP.sub(r"\\\1", plain(value))
    text = _HARMLESS.sub(lambda match: match[match.lastindex or 0], text)
    # A word joiner keeps the viewer from making a link of an address.
    return Markup(_AUTOLINK.sub("\\1\u2060\\2", text))  # noqa: S704


def code(value: Any) -> Markup:
    """Write a value as code within a line, also in a cell of a table.

    value (Any): The value.
    RETURNS (Markup): A code span.
    """
    text = plain(value)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    # A table takes a bar for the end of a cell, even within code.
    text = text.replace("|", r"\|")
    return Markup(f"{fence}{space}{text}{space}{fence}")  # noqa: S704


def block(value: Any, language: str = "") -> Markup:
    """Write a text as a block of code.

    value (Any): The text, with its line breaks.
    language (str): The language of the code.
    RETURNS (Markup): A fenced block.
    """
    text = "\n".join(plain_line(line) for line in str(value).splitlines())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{text}\n{fence}")  # noqa: S704


def plain_line(line: str) -> str:
    """Write a line without control characters. Its indentation stays.

    line (str): The line.
    RETURNS (str): The line.
    """
    indent = len(line) - len(line.lstrip(" "))
    return " " * indent + plain(line)


def link(text: Any, url: str) -> Markup:
    """Write a link. An address other than one of the web becomes text.

    text (Any): The text of the link.
    url (str): The address.
    RETURNS (Markup): The link.
    """
    if not re.fullmatch(r"https?://[^\s<>()\[\]\"'\\`|]+", url):
        return Markup(f"{escape(text)} ({escape(url)})")  # noqa: S704
    return Markup(f"[{escape(text)}]({url})")  # noqa: S704


@cache
def environment() -> Environment:
    """RETURNS (Environment): Renders the templates of this room. Every value is escaped
    as text unless a filter made Markdown of it."""
    made = Environment(  # noqa: S701
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["safe_line"] = lambda value: Markup(plain_line(str(value)))
    made.filters |= {"code": code, "block": block, "link": link, "escape": escape}
    return made


def render(template: str, **values: Any) -> str:
    """Render a template of this room.

    template (str): The name of its file.
    **values (Any): Its variables.
    RETURNS (str): The Markdown.
    """
    source = resources.files(__package__) / "templates" / template
    made = environment().from_string(source.read_text(encoding="utf8"))
    return re.sub(r"\n{3,}", "\n\n", made.render(**values)).strip() + "\n"
