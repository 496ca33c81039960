"""`the [University of [Lisbon | GPE] | ORG]`."""

import re

from .inline import InlineFormat

_LABEL = r"[^\[\]|\s](?:[^\[\]|\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*[^\[\]|\s])?"


class InlineBracketed(InlineFormat):
    """Brackets around a span, with a bar and the label before the closing one."""

    name = "inline_bracketed"
    open_names_label = False
    legal_label = re.compile(_LABEL)
    opening = re.compile(r"\[")
    closing = re.compile(rf" \| ({_LABEL})\]")
    label_rule = "no '[', ']', '|' or line break in it, and no white space at its ends"

    def open_mark(self, label: str) -> str:
        """RETURNS (str): The opening bracket."""
        return "["

    def close_mark(self, label: str) -> str:
        """RETURNS (str): Bar, label and closing bracket."""
        return f" | {label}]"
