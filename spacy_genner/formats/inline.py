"""The inline formats: bracketed and XML-like."""

import re
from collections.abc import Iterable, Sequence

from ..errors import Errors
from .base import CharSpan, Format, Issue, Parsed, crossings, ordered
from .repair import Mark, Repaired, repaired


class InlineFormat(Format):
    """A format whose output is a copy of the text with marks.

    Nothing is escaped. Where the text itself goes on with the characters of a mark,
    the copy is the reading that wins.

    open_names_label (bool): Whether the opening mark says the label.
    legal_label (re.Pattern): What a label must match.
    opening (re.Pattern): An opening mark; group 1 is the label where it has one.
    closing (re.Pattern): A closing mark; group 1 is the label.
    """

    allows_crossing = False
    open_names_label: bool
    legal_label: re.Pattern[str]
    opening: re.Pattern[str]
    closing: re.Pattern[str]

    def open_mark(self, label: str) -> str:
        """RETURNS (str): What stands before a span of this label."""
        raise AssertionError(label)

    def close_mark(self, label: str) -> str:
        """RETURNS (str): What stands after a span of this label."""
        raise AssertionError(label)

    def is_legal(self, label: str) -> bool:
        return self.legal_label.fullmatch(label) is not None

    def written(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        pairs = crossings(spans)
        if pairs:
            raise ValueError(
                Errors.G004.format(first=tuple(pairs[0][0]), second=tuple(pairs[0][1]))
            )
        opens: dict[int, str] = {}
        closes: dict[int, str] = {}
        # Outer spans first; of one range the later label is the outer.
        rank = {span: place for place, span in enumerate(spans)}
        nested = sorted(spans, key=lambda s: (s.start, -s.end, -rank[s]))
        for span in nested:
            opens[span.start] = opens.get(span.start, "") + self.open_mark(span.label)
        for span in reversed(nested):
            closes[span.end] = closes.get(span.end, "") + self.close_mark(span.label)
        pieces, last = [], 0
        for place in sorted({*opens, *closes}):
            pieces += [text[last:place], closes.get(place, ""), opens.get(place, "")]
            last = place
        return "".join([*pieces, text[last:]])

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        # The copy wins over a mark that the text goes on with.
        return [
            span
            for span in ordered(set(spans))
            if text.startswith(self.open_mark(span.label), span.start)
            or text.startswith(self.close_mark(span.label), span.end)
        ]

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        found = self._exact(output, text)
        if found is None:
            found = repaired(output, text, self.marks(output))
        issues = list(found.issues)
        spans: list[CharSpan] = []
        for whole, mark in found.spans:
            span = _trimmed(text, whole)
            if span.start == span.end:
                message = f"a span of white space ({span.label})"
                issues.append(Issue("not_in_text", message, mark.start, mark.end))
            elif labels is not None and span.label not in labels:
                message = f"{span.label!r} is not among the labels"
                issues.append(Issue("unknown_label", message, mark.start, mark.end))
            elif span in spans:
                message = f"{span.label} over {text[span.start : span.end]!r} again"
                issues.append(Issue("duplicate", message, mark.start, mark.end))
            else:
                spans.append(span)
        if not issues and not self._says(output, text, spans, labels):
            message = "the marks are not where, or not in the order, they are to be"
            issues.append(Issue("copy_differs", message, 0, len(output)))
        issues.sort(key=lambda issue: (issue.start, issue.end, issue.code))
        return Parsed(ordered(spans, labels), issues)

    def marks(self, output: str) -> list[Mark]:
        """What looks like a mark in an output, in order.

        output (str): The output.
        RETURNS (List[Mark]): Marks that can be, some of them copies.
        """
        found = [
            Mark(m.start(), m.end(), True, m.group(1) if m.re.groups else None)
            for m in self.opening.finditer(output)
        ]
        found += [
            Mark(m.start(), m.end(), False, m.group(1))
            for m in self.closing.finditer(output)
        ]
        return sorted(found)

    def _exact(self, output: str, text: str) -> Repaired | None:
        """The spans of an output that is a copy with marks, None for another."""
        at = place = 0
        stack: list[tuple[int, str | None]] = []
        spans: list[tuple[CharSpan, Mark]] = []
        while at < len(output):
            opened = self.opening.match(output, at)
            closed = None if opened else self.closing.match(output, at)
            mark = opened or closed
            if mark is not None and text.startswith(mark.group(), place):
                place += len(mark.group())
            elif opened is not None:
                label = opened.group(1) if opened.re.groups else None
                stack.append((place, label))
            elif closed is not None and stack:
                start, label = stack.pop()
                if label not in (None, closed.group(1)) or start >= place:
                    return None
                span = CharSpan(start, place, closed.group(1))
                spans.append((span, Mark(*closed.span(), False, span.label)))
            elif place < len(text) and output[at] == text[place]:
                at += 1
                place += 1
                continue
            else:
                return None
            at = mark.end()  # type: ignore[union-attr]
        return None if stack or place < len(text) else Repaired(spans)

    def _says(
        self,
        output: str,
        text: str,
        spans: list[CharSpan],
        labels: Sequence[str] | None,
    ) -> bool:
        if self.unsayable(text, spans) or crossings(spans):
            return False
        return self.render(text, spans, labels) == output


def _trimmed(text: str, span: CharSpan) -> CharSpan:
    """A span without the white space at its edges."""
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    return span._replace(start=start, end=max(start, start + len(inside.strip())))


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


_XML_LABEL = r"[A-Za-z_][\w.\-]*"


class InlineXml(InlineFormat):
    """Tags like those of XML; the text's own `<`, `>` and `&` stay as they are."""

    name = "inline_xml"
    open_names_label = True
    legal_label = re.compile(_XML_LABEL)
    opening = re.compile(rf"<({_XML_LABEL})>")
    closing = re.compile(rf"</({_XML_LABEL})>")
    label_rule = "a letter or '_', then letters, digits, '_', '.' and '-'"

    def open_mark(self, label: str) -> str:
        """RETURNS (str): The opening tag."""
        return f"<{label}>"

    def close_mark(self, label: str) -> str:
        """RETURNS (str): The closing tag."""
        return f"</{label}>"
