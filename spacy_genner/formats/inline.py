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
from .base import (
    CharSpan,
    Format,
    Issue,
    LabelMatcher,
    Parsed,
    first_crossing,
    sort_spans,
)
from .repair import Tag, TaggedSpan, repair

_MAX_SHOWN = 80


class InlineFormat(Format):
    """Base class of the formats that mark entities inside a copy of the text.

    open_names_label (bool): Whether the opening tag contains the label.
    legal_label (re.Pattern[str]): Matches the legal labels.
    open_pattern (re.Pattern[str]): Matches an opening tag. Group 1, if the pattern has
        one, is the label.
    close_pattern (re.Pattern[str]): Matches a closing tag. Group 1 is the label.
    loose_open_pattern (re.Pattern[str]): Matches also opening tags with other spacing.
    loose_close_pattern (re.Pattern[str]): Matches also closing tags with other spacing,
        or without a label.
    """

    allows_crossing = False
    open_names_label: bool
    legal_label: re.Pattern[str]
    open_pattern: re.Pattern[str]
    close_pattern: re.Pattern[str]
    loose_open_pattern: re.Pattern[str]
    loose_close_pattern: re.Pattern[str]

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
        pair = first_crossing(spans)
        if pair is not None:
            raise ValueError(
                Errors.G004.format(first=tuple(pair[0]), second=tuple(pair[1]))
            )
        opening: dict[int, list[str]] = {}
        closing: dict[int, list[str]] = {}
        # Outer spans come first. Of two labels on one range, the later is the outer.
        rank = {span: index for index, span in enumerate(spans)}
        nested = sorted(spans, key=lambda s: (s.start, -s.end, -rank[s]))
        for span in nested:
            opening.setdefault(span.start, []).append(self.open_tag(span.label))
        for span in reversed(nested):
            closing.setdefault(span.end, []).append(self.close_tag(span.label))
        parts, last = [], 0
        for offset in sorted({*opening, *closing}):
            parts.append(text[last:offset])
            parts += [*closing.get(offset, ()), *opening.get(offset, ())]
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
        matcher = LabelMatcher(labels)
        tagged = self._parse_exact(output, text)
        if tagged is None:
            tagged, issues = repair(output, text, self._find_tags(output, matcher))
        # A dict rather than a list, for constant-time membership tests.
        spans: dict[CharSpan, None] = {}
        for untrimmed, tag in tagged:
            span = _trimmed(text, untrimmed)
            label = matcher.match(span.label)
            if span.start == span.end:
                message = f"the {span.label} span contains only white space"
                issues.append(Issue("not_in_text", message, tag.start, tag.end))
                continue
            if label is None:
                message = f"{span.label!r} is not among the labels"
                issues.append(Issue("unknown_label", message, tag.start, tag.end))
                continue
            span = span._replace(label=label)
            found, expected = output[tag.start : tag.end], self.close_tag(label)
            if found != expected:
                message = f"found {found!r}, expected {expected!r}"
                issues.append(Issue("copy_differs", message, tag.start, tag.end))
            if span in spans:
                shown = text[span.start : min(span.end, span.start + _MAX_SHOWN)]
                message = f"the {span.label} span {shown!r} is repeated"
                issues.append(Issue("duplicate", message, tag.start, tag.end))
            else:
                spans[span] = None
        if not issues and not self._is_rendered(output, text, [*spans], labels):
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

    def _find_tags(self, output: str, matcher: LabelMatcher) -> list[Tag]:
        """Find everything that looks like a tag, including copies from the text. Labels
        that match a known label are replaced by it, so that tags can be paired."""
        tags: list[Tag] = []
        for match in self.loose_open_pattern.finditer(output):
            tags.append(Tag(*match.span(), True, _known(_label(match), matcher)))
        last = 0
        for match in self.loose_close_pattern.finditer(output):
            start, end = match.span()
            label = (match.group(1) or "").strip() or None
            if label and not self.open_names_label:
                # The white space before the separator belongs to the tag.
                start = last + len(output[last:start].rstrip())
            tags.append(Tag(start, end, False, _known(label, matcher)))
            last = end
        return sorted(tags, key=lambda tag: (tag.start, tag.end))

    def _is_rendered(
        self,
        output: str,
        text: str,
        spans: list[CharSpan],
        labels: Sequence[str] | None,
    ) -> bool:
        """Whether the output is what `render` gives for the spans."""
        if self.unsayable(text, spans) or first_crossing(spans) is not None:
            return False
        return self.render(text, spans, labels) == output


def _label(opened: re.Match[str]) -> str | None:
    return opened.group(1) if opened.re.groups else None


def _known(label: str | None, matcher: LabelMatcher) -> str | None:
    return label and (matcher.match(label) or label)


def _trimmed(text: str, span: CharSpan) -> CharSpan:
    """Remove the white space at both ends of a span."""
    start, end = span.start, span.end
    if start < end and not (text[start].isspace() or text[end - 1].isspace()):
        return span
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    return span._replace(start=start, end=max(start, start + len(inside.strip())))


_BRACKETED_REST = r"[^\[\]|\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*"
_LOOSE_REST = _BRACKETED_REST.replace(r"|", r"|\uff3b\uff3d\uff5c", 1)
_BRACKETED_LABEL = rf"[^\[\]|\s](?:{_BRACKETED_REST}[^\[\]|\s])?"


class InlineBracketed(InlineFormat):
    """Brackets around each span, with the label before the closing bracket:
    `[Lisbon | GPE]`."""

    name = "inline_bracketed"
    open_names_label = False
    legal_label = re.compile(_BRACKETED_LABEL)
    open_pattern = re.compile(r"\[")
    close_pattern = re.compile(rf" \| ({_BRACKETED_LABEL})\]")
    # Also the full-width forms of the markup.
    loose_open_pattern = re.compile(r"[\[\uff3b]")
    loose_close_pattern = re.compile(rf"(?:[|\uff5c]({_LOOSE_REST}))?[\]\uff3d]")
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
    # Also with attributes and in full-width forms.
    loose_open_pattern = re.compile(
        rf"[<\uff1c]\s*({_XML_LABEL})(?:\s[^<>\uff1c\uff1e]*)?[>\uff1e]"
    )
    loose_close_pattern = re.compile(
        rf"[<\uff1c]\s*[/\uff0f]\s*({_XML_LABEL})?\s*[>\uff1e]"
    )
    label_rule = "a letter or '_', followed by letters, digits, '_', '.' or '-'"

    def open_tag(self, label: str) -> str:
        return f"<{label}>"

    def close_tag(self, label: str) -> str:
        return f"</{label}>"
