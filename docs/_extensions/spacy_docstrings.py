"""A griffe extension that reads docstrings in spaCy's form.

    Summary.

    name (type): An argument of a function, or an attribute of a class.
    RETURNS (type): The result.
    YIELDS (type): Each item of a generator.
    RAISES (ValueError): When the call fails.

An entry starts at the left margin, and its description may go on in indented lines.
Anything else is text. mkdocstrings then renders the entries as it renders those of
Google's or NumPy's style.
"""

import re
from typing import Any, NamedTuple

import griffe

_ENTRY = re.compile(
    r"(?P<name>\*{0,2}[A-Za-z_]\w*)[ ]\((?P<type>.+?)\):(?:[ ]+(?P<text>.*))?"
)
_RESULTS = ("RETURNS", "YIELDS", "RAISES")


class Entry(NamedTuple):
    """One entry of a docstring.

    name (str): The name of an argument or attribute, or "RETURNS", "YIELDS" or
        "RAISES".
    type (str): The type, as written.
    description (str): The description.
    """

    name: str
    type: str
    description: str


def read_docstring(text: str) -> list[str | Entry]:
    """Split a docstring into text and entries.

    text (str): The docstring, without the indentation of the source.
    RETURNS (list[str | Entry]): Blocks of text and entries, in their order.
    """
    blocks: list[str | Entry] = []
    lines: list[str] = []
    fenced = False

    def end_text() -> None:
        block = "\n".join(lines).strip("\n")
        if block:
            blocks.append(block)
        lines.clear()

    for line in text.split("\n"):
        entry = None if fenced else _ENTRY.fullmatch(line)
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if entry:
            end_text()
            blocks.append(Entry(entry["name"], entry["type"], entry["text"] or ""))
        elif line.startswith(" ") and not lines and _is_entry(blocks):
            last = blocks[-1]
            text_ = f"{last.description}\n{line.strip()}".strip()
            blocks[-1] = last._replace(description=text_)
        else:
            lines.append(line)
    end_text()
    return blocks


def _is_entry(blocks: list[str | Entry]) -> bool:
    return bool(blocks) and isinstance(blocks[-1], Entry)


class SpacyDocstrings(griffe.Extension):
    """Parse every docstring that has entries in spaCy's form."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Replace the parsed docstring of an object.

        obj (griffe.Object): A module, class, function or attribute.
        """
        if obj.docstring is not None:
            blocks = read_docstring(obj.docstring.value)
            if any(isinstance(block, Entry) for block in blocks):
                # `parsed` is a cached property: the value set here is kept.
                obj.docstring.parsed = _sections(blocks, obj)


def _sections(
    blocks: list[str | Entry], obj: griffe.Object
) -> list[griffe.DocstringSection]:
    """Make griffe's sections. Adjacent entries of one kind share a section."""
    sections: list[griffe.DocstringSection] = []
    for block in blocks:
        if isinstance(block, str):
            sections.append(griffe.DocstringSectionText(block))
            continue
        if obj.is_attribute and block.name == "RETURNS":
            # A property is documented like an attribute, whose type is in its
            # signature.
            sections.append(griffe.DocstringSectionText(block.description))
            continue
        section, element = _element(block, obj)
        if not (sections and type(sections[-1]) is section):
            sections.append(section([]))
        sections[-1].value.append(element)
    return sections


def _element(entry: Entry, obj: griffe.Object) -> tuple[type, Any]:
    annotation = griffe.parse_docstring_annotation(
        entry.type, obj.docstring, log_level=griffe.LogLevel.debug
    )
    details = {"annotation": annotation, "description": entry.description}
    if entry.name == "RAISES":
        return griffe.DocstringSectionRaises, griffe.DocstringRaise(**details)
    if entry.name == "RETURNS":
        result = griffe.DocstringReturn("", **details)
        return griffe.DocstringSectionReturns, result
    if entry.name == "YIELDS":
        return griffe.DocstringSectionYields, griffe.DocstringYield("", **details)
    parameters = _parameters(obj)
    if obj.is_class and entry.name not in parameters:
        # A field of a named tuple, a data class or a model, or an attribute that the
        # constructor sets.
        field = griffe.DocstringAttribute(entry.name, **details)
        return griffe.DocstringSectionAttributes, field
    default = parameters[entry.name].default if entry.name in parameters else None
    argument = griffe.DocstringParameter(entry.name, value=default, **details)
    return griffe.DocstringSectionParameters, argument


def _parameters(obj: griffe.Object) -> Any:
    """Get the parameters of a function, or of the constructor that a class defines."""
    function = obj.members.get("__init__") if obj.is_class else obj
    return getattr(function, "parameters", {})
