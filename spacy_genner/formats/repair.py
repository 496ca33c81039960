"""Repair of inline outputs that do not copy the text exactly.

The output and the text are aligned word by word. The alignment separates tags from
copied characters that look like tags, maps the inside of each pair of tags to a span of
the text, and reports every difference as an issue.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from .base import CharSpan, Issue

_WORD = re.compile(r"\w+|[^\w\s]")
# In longer sequences, difflib ignores very frequent words (its `autojunk` heuristic).
# This bounds the run time.
_LONG = 1500
# After a plain copy of the text, the rest of the output counts as a second copy if it
# has at least this share of the text's words.
_MIN_COPIED = 0.5
_MAX_SHOWN = 80


class Tag(NamedTuple):
    """A part of an output that looks like a tag.

    start (int): The offset in the output at which it starts (characters).
    end (int): The offset at which it ends, exclusive.
    opens (bool): Whether it is an opening tag.
    label (str | None): The label in the tag, if any.
    """

    start: int
    end: int
    opens: bool
    label: str | None


# A span of the text, and its closing tag in the output.
TaggedSpan = tuple[CharSpan, Tag]


class Word(NamedTuple):
    """A word or a punctuation character of a string.

    start (int): The offset of its first character.
    end (int): The offset after its last character.
    text (str): Its characters.
    """

    start: int
    end: int
    text: str


def repair(
    output: str, text: str, tags: Sequence[Tag]
) -> tuple[list[TaggedSpan], list[Issue]]:
    """Recover the spans of an output that is not an exact copy with tags.

    A candidate that is aligned with the text is a copy; any other candidate is a tag.
    The words outside the tags are then aligned again, and each pair of tags marks the
    part of the text that its inside is aligned with. If the output repeats the plain
    text before its tagged copy, only the tagged copy is used.

    output (str): The output.
    text (str): The source text.
    tags (Sequence[Tag]): The candidates for tags in the output, in order.
    RETURNS (tuple[list[TaggedSpan], list[Issue]]): The spans and the issues.
    """
    spans: list[TaggedSpan] = []
    issues: list[Issue] = []
    source = _words(text)
    written = _words(output)
    tags = _uncopied(written, source, tags)
    pairs = _pair(output, tags, issues)
    inside_tags = {offset for tag in tags for offset in range(tag.start, tag.end)}
    written = [word for word in written if word.start not in inside_tags]
    echo = _echo_end(output, text, pairs)
    copy = [word for word in written if word.start >= echo]
    if echo and len(copy) >= _MIN_COPIED * len(source):
        message = "an untagged copy of the text precedes the tagged copy"
        issues.append(Issue("extra_text", message, 0, echo))
        written = copy
    aligned = _align(written, source)
    issues += _differences(written, source, len(output))
    for opening, closing in pairs:
        found = [
            source[index]
            for word, indices in zip(written, aligned, strict=True)
            if opening.end <= word.start and word.end <= closing.start
            for index in indices
        ]
        if found:
            span = CharSpan(found[0].start, found[-1].end, closing.label or "")
            spans.append((span, closing))
        else:
            shown = output[opening.end : closing.start]
            message = f"{shown!r} ({closing.label}) is not in the text"
            issues.append(Issue("not_in_text", message, opening.start, closing.end))
    return spans, issues


def _words(text: str) -> list[Word]:
    return [Word(*match.span(), match.group()) for match in _WORD.finditer(text)]


def _matcher(written: list[Word], source: list[Word]) -> SequenceMatcher[str]:
    is_long = len(written) + len(source) > 2 * _LONG
    first = [word.text for word in written]
    second = [word.text for word in source]
    return SequenceMatcher(None, first, second, autojunk=is_long)


def _uncopied(
    written: list[Word], source: list[Word], tags: Sequence[Tag]
) -> list[Tag]:
    """Remove the candidates that are copied from the source."""
    copied: set[int] = set()
    for block in _matcher(written, source).get_matching_blocks():
        copied.update(range(block.a, block.a + block.size))
    starts = [word.start for word in written]
    kept = []
    for tag in tags:
        inside = range(bisect_left(starts, tag.start), bisect_left(starts, tag.end))
        # One word of a tag may be aligned by chance, but not all of them.
        if not copied.issuperset(inside):
            kept.append(tag)
    return kept


def _pair(
    output: str, tags: Sequence[Tag], issues: list[Issue]
) -> list[tuple[Tag, Tag]]:
    """Pair opening and closing tags. A label in the opening tag has to match."""
    stack: list[Tag] = []
    pairs: list[tuple[Tag, Tag]] = []
    for tag in tags:
        if tag.opens:
            stack.append(tag)
            continue
        index = len(stack) - 1
        while index >= 0 and stack[index].label not in (None, tag.label):
            index -= 1
        shown = output[tag.start : tag.end]
        if index < 0:
            message = f"{shown!r} has no opening tag"
            issues.append(Issue("unbalanced", message, tag.start, tag.end))
            continue
        if index < len(stack) - 1:
            message = f"{shown!r} closes a span before the span inside it is closed"
            issues.append(Issue("crossing", message, tag.start, tag.end))
        pairs.append((stack.pop(index), tag))
    for tag in stack:
        message = f"{output[tag.start : tag.end]!r} has no closing tag"
        issues.append(Issue("unbalanced", message, tag.start, tag.end))
    return pairs


def _echo_end(output: str, text: str, pairs: Sequence[tuple[Tag, Tag]]) -> int:
    """The end of a plain copy of the text before all tags, or 0 without one."""
    first = min((opening.start for opening, _ in pairs), default=0)
    plain = text.strip()
    start = output.rfind(plain, 0, first) if plain else -1
    return 0 if start < 0 else start + len(plain)


def _align(written: list[Word], source: list[Word]) -> list[range]:
    """For each word of the output, the indices of the source words it represents."""
    aligned = [range(0)] * len(written)
    for operation, a1, a2, b1, b2 in _matcher(written, source).get_opcodes():
        if operation == "equal" or (operation == "replace" and a2 - a1 == b2 - b1):
            for shift in range(a2 - a1):
                aligned[a1 + shift] = range(b1 + shift, b1 + shift + 1)
        elif operation == "replace" and 0 < a1 and a2 < len(written):
            # Words that differ, between words that were copied.
            aligned[a1] = aligned[a2 - 1] = range(b1, b2)
    return aligned


def _differences(written: list[Word], source: list[Word], size: int) -> list[Issue]:
    """Report every difference between the words of an output and the source."""
    issues = []
    for operation, a1, a2, b1, b2 in _matcher(written, source).get_opcodes():
        if operation == "equal":
            continue
        start = written[a1].start if a1 < len(written) else size
        end = written[a2 - 1].end if a2 > a1 else start
        found = " ".join(word.text for word in written[a1:a2])[:_MAX_SHOWN]
        expected = " ".join(word.text for word in source[b1:b2])[:_MAX_SHOWN]
        at_end = a2 == len(written)
        if at_end and b2 > b1 and a2 - a1 <= 1:
            message = f"the output ends before {expected!r}"
            issues.append(Issue("truncated", message, start, size))
        elif operation == "delete" and (a1 == 0 or at_end):
            message = f"{found!r} is not part of the text"
            issues.append(Issue("extra_text", message, start, end))
        else:
            message = f"found {found!r}, expected {expected!r}"
            issues.append(Issue("copy_differs", message, start, end))
    return issues
