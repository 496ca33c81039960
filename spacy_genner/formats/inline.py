"""The inline formats: a copy of the text with markup around the entities.

A tag is one opening or closing piece of markup, such as `[` and ` | ORG]` or `<ORG>`
and `</ORG>`. Nothing is escaped, so the text itself may contain the characters of a
tag. Where it does, the copy takes precedence: characters that continue the text are
read as text.
"""

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence

from ..errors import Errors
from .base import CharSpan, Format, Issue, Parsed, crossings, sort_spans
from .repair import Tag, TaggedSpan, repair


class InlineFormat(Format):
    """Base class of the formats that mark entities inside a copy of the text.

    open_names_label (bool): Whether the opening tag contains the label.
    legal_label (re.Pattern[str]): Matches the legal labels.
    open_pattern (re.Pattern[str]): Matches an opening tag. Group 1, if the pattern has
        one, is the label.
    close_pattern (re.Pattern[str]): Matches a closing tag. Group 1 is the label.
    """

    allows_crossing = False
    open_names_label: bool
    legal_label: re.Pattern[str]
    open_pattern: re.Pattern[str]
    close_pattern: re.Pattern[str]

    @abstractmethod
    def open_tag(self, label: str) -> str:
        """RETURNS (str): The opening tag of a span with the label."""

    @abstractmethod
    def close_tag(self, label: str) -> str:
        """RETURNS (str): The closing tag of a span with the label."""

    def is_legal(self, label: str) -> bool:
        return self.legal_label.fullmatch(label) is not None

    def render_unchecked(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        pairs = crossings(spans)
        if pairs:
            raise ValueError(
                Errors.G004.format(first=tuple(pairs[0][0]), second=tuple(pairs[0][1]))
            )
        opening: dict[int, str] = {}
        closing: dict[int, str] = {}
        # Outer spans come first. Of two labels on one range, the later is the outer.
        rank = {span: index for index, span in enumerate(spans)}
        nested = sorted(spans, key=lambda s: (s.start, -s.end, -rank[s]))
        for span in nested:
            tag = self.open_tag(span.label)
            opening[span.start] = opening.get(span.start, "") + tag
        for span in reversed(nested):
            tag = self.close_tag(span.label)
            closing[span.end] = closing.get(span.end, "") + tag
        parts, last = [], 0
        for offset in sorted({*opening, *closing}):
            copied = text[last:offset]
            parts += [copied, closing.get(offset, ""), opening.get(offset, "")]
            last = offset
        return "".join([*parts, text[last:]])

    def unsayable(self, text: str, spans: Iterable[CharSpan]) -> list[CharSpan]:
        # The copy takes precedence over a tag with which the text itself continues.
        return [
            span
            for span in sort_spans(set(spans))
            if text.startswith(self.open_tag(span.label), span.start)
            or text.startswith(self.close_tag(span.label), span.end)
        ]

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        issues: list[Issue] = []
        tagged = self._parse_exact(output, text)
        if tagged is None:
            tagged, issues = repair(output, text, self._find_tags(output))
        spans: list[CharSpan] = []
        for untrimmed, tag in tagged:
            span = _trimmed(text, untrimmed)
            if span.start == span.end:
                message = f"the {span.label} span contains only white space"
                issues.append(Issue("not_in_text", message, tag.start, tag.end))
            elif labels is not None and span.label not in labels:
                message = f"{span.label!r} is not among the labels"
                issues.append(Issue("unknown_label", message, tag.start, tag.end))
            elif span in spans:
                found = text[span.start : span.end]
                message = f"the {span.label} span {found!r} is repeated"
                issues.append(Issue("duplicate", message, tag.start, tag.end))
            else:
                spans.append(span)
        if not issues and not self._is_rendered(output, text, spans, labels):
            message = "the position or the order of the tags differs from the expected"
            issues.append(Issue("copy_differs", message, 0, len(output)))
        issues.sort(key=lambda issue: (issue.start, issue.end, issue.code))
        return Parsed(sort_spans(spans, labels), issues)

    def _parse_exact(self, output: str, text: str) -> list[TaggedSpan] | None:
        """Parse an output that copies the text exactly. Return None for any other."""
        at = copied = 0
        stack: list[tuple[int, str | None]] = []
        spans: list[TaggedSpan] = []
        while at < len(output):
            opened = self.open_pattern.match(output, at)
            closed = None if opened else self.close_pattern.match(output, at)
            tag = opened or closed
            if tag is not None and text.startswith(tag.group(), copied):
                copied += len(tag.group())
                at = tag.end()
            elif opened is not None:
                stack.append((copied, _label(opened)))
                at = opened.end()
            elif closed is not None and stack:
                start, label = stack.pop()
                if label not in (None, closed.group(1)) or start >= copied:
                    return None
                span = CharSpan(start, copied, closed.group(1))
                spans.append((span, Tag(*closed.span(), False, span.label)))
                at = closed.end()
            elif copied < len(text) and output[at] == text[copied]:
                at += 1
                copied += 1
            else:
                return None
        return None if stack or copied < len(text) else spans

    def _find_tags(self, output: str) -> list[Tag]:
        """Find everything that looks like a tag, including copies from the text."""
        opening = self.open_pattern.finditer(output)
        closing = self.close_pattern.finditer(output)
        return sorted(
            [
                *(Tag(*match.span(), True, _label(match)) for match in opening),
                *(Tag(*match.span(), False, match.group(1)) for match in closing),
            ]
        )

    def _is_rendered(
        self,
        output: str,
        text: str,
        spans: list[CharSpan],
        labels: Sequence[str] | None,
    ) -> bool:
        """Whether the output is what `render` gives for the spans."""
        if self.unsayable(text, spans) or crossings(spans):
            return False
        return self.render(text, spans, labels) == output


def _label(opened: re.Match[str]) -> str | None:
    return opened.group(1) if opened.re.groups else None


def _trimmed(text: str, span: CharSpan) -> CharSpan:
    """Remove the white space at both ends of a span."""
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    return span._replace(start=start, end=max(start, start + len(inside.strip())))


_BRACKETED_LABEL = (
    r"[^\[\]|\s](?:[^\[\]|\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*[^\[\]|\s])?"
)


class InlineBracketed(InlineFormat):
    """Brackets around each span, with the label before the closing bracket:
    `[Lisbon | GPE]`."""

    name = "inline_bracketed"
    open_names_label = False
    legal_label = re.compile(_BRACKETED_LABEL)
    open_pattern = re.compile(r"\[")
    close_pattern = re.compile(rf" \| ({_BRACKETED_LABEL})\]")
    label_rule = "no '[', ']', '|' or line break, and no white space at either end"

    def open_tag(self, label: str) -> str:
        return "["

    def close_tag(self, label: str) -> str:
        return f" | {label}]"


_XML_LABEL = r"[A-Za-z_][\w.\-]*"


class InlineXml(InlineFormat):
    """XML-like tags around each span: `<GPE>Lisbon</GPE>`.

    The output is not XML: `<`, `>` and `&` of the text are copied unchanged.
    """

    name = "inline_xml"
    open_names_label = True
    legal_label = re.compile(_XML_LABEL)
    open_pattern = re.compile(rf"<({_XML_LABEL})>")
    close_pattern = re.compile(rf"</({_XML_LABEL})>")
    label_rule = "a letter or '_', followed by letters, digits, '_', '.' or '-'"

    def open_tag(self, label: str) -> str:
        return f"<{label}>"

    def close_tag(self, label: str) -> str:
        return f"</{label}>"
