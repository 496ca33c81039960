"""`the <ORG>University of <GPE>Lisbon</GPE></ORG>`."""

import re

from .inline import InlineFormat

_LABEL = r"[A-Za-z_][\w.\-]*"


class InlineXml(InlineFormat):
    """Tags like those of XML; the text's own `<`, `>` and `&` stay as they are."""

    name = "inline_xml"
    open_names_label = True
    legal_label = re.compile(_LABEL)
    opening = re.compile(rf"<({_LABEL})>")
    closing = re.compile(rf"</({_LABEL})>")
    label_rule = "a letter or '_', then letters, digits, '_', '.' and '-'"

    def open_mark(self, label: str) -> str:
        """RETURNS (str): The opening tag."""
        return f"<{label}>"

    def close_mark(self, label: str) -> str:
        """RETURNS (str): The closing tag."""
        return f"</{label}>"
