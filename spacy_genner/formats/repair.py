"""Repair of inline outputs that do not copy the text exactly.

The output and the text are aligned word by word, and character by character in scripts
without spaces. The alignment separates tags from copied characters that look like tags,
maps the inside of each pair of tags to a span of the text, and reports every difference
as an issue. Equivalent characters, for example typographic and plain quotes, are
aligned with each other and reported.

The time is about proportional to the length of the output and the text, for any output.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .base import CharSpan, Issue
from .folding import fold
from .matching import Block, matching_blocks
from .words import Word, is_spaced_letter, is_unspaced, split_words

# After a plain copy of the text, the rest of the output counts as a second copy if it
# has at least this share of the text's words.
_MIN_COPIED = 0.5
# A span of other words than the text's is kept if it shares this part of the characters
# with them, as "kappaB" does with "kappa B".
_MIN_SHARED = 0.6
_MAX_COMPARED = 200
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


class Change(NamedTuple):
    """Words of an output that differ from the words of the text at their place.

    a1 (int): The index of the first word of the output.
    a2 (int): The index after the last one.
    b1 (int): The index of the first word of the text.
    b2 (int): The index after the last one.
    """

    a1: int
    a2: int
    b1: int
    b2: int


class Alignment:
    """The words of an output, aligned with the words of the text.

    written (list[Word]): The words of the output.
    source (list[Word]): The words of the text.
    """

    def __init__(self, written: list[Word], source: list[Word]):
        self.written = written
        self.source = source
        self.blocks = _blocks(written, source)
        self.changes: list[Change] = []
        size = len(written)
        # For each word of the output, the word of the text that it represents, or -1.
        indices = [-1] * size
        a = b = 0
        for block in [*self.blocks, Block(size, len(source), 0)]:
            if a < block.a or b < block.b:
                self.changes.append(Change(a, block.a, b, block.b))
            for shift in range(block.size):
                indices[block.a + shift] = block.b + shift
            a, b = block.a + block.size, block.b + block.size
        self._changed_at: dict[int, Change] = {}
        for change in self.changes:
            a1, a2, b1, b2 = change
            if a2 - a1 == b2 - b1 and not self._is_unspaced(change):
                # Each word is written differently.
                indices[a1:a2] = range(b1, b2)
            elif a1 < a2 and b1 < b2:
                self._changed_at.update({a1: change, a2 - 1: change})
        self._indices = indices
        self._next = self._nearest(range(size - 1, -1, -1))
        self._previous = self._nearest(range(size))
        self._starts = [word.start for word in written]
        self._ends = [word.end for word in written]
        self._similar: dict[Change, bool] = {}

    def _nearest(self, order: Sequence[int]) -> list[int]:
        """For each word, the aligned word that comes last in an order up to it."""
        nearest, last = [-1] * len(order), -1
        for index in order:
            last = index if self._indices[index] >= 0 else last
            nearest[index] = last
        return nearest

    def find(self, start: int, end: int) -> tuple[int, int] | None:
        """Find the part of the text that a part of the output represents.

        Words at the edges that differ from the text belong to it if they replace no
        more words than they are, or are similar to those. Otherwise they are left out,
        so that no span is wider than the part of the output.

        start (int): The offset in the output at which the part starts (characters).
        end (int): The offset at which it ends, exclusive.
        RETURNS (tuple[int, int] | None): The offsets in the text, or None.
        """
        low, high = bisect_left(self._starts, start), bisect_right(self._ends, end)
        if low >= high:
            return None
        first, last = self._next[low], self._previous[high - 1]
        if not low <= first < high:
            change = self._changed_at.get(low)
            if change is None or change.a1 != low or change.a2 != high:
                return None
            if not self._is_similar(change):
                return None
            begin, finish = change.b1, change.b2 - 1
        else:
            begin, finish = self._indices[first], self._indices[last]
            change = self._changed_at.get(first - 1)
            if change and change.a1 >= low and self._belongs(change):
                begin = change.b1
            change = self._changed_at.get(last + 1)
            if change and change.a2 <= high and self._belongs(change):
                finish = change.b2 - 1
        return self.source[begin].start, self.source[finish].end

    def _belongs(self, change: Change) -> bool:
        """Whether a change at the edge of a span represents the text in its place."""
        a1, a2, b1, b2 = change
        if self._is_unspaced(change):
            return a2 - a1 == b2 - b1 or self._is_similar(change)
        if a1 == 0 or a2 == len(self.written):
            return False
        return b2 - b1 <= a2 - a1 or self._is_similar(change)

    def _is_similar(self, change: Change) -> bool:
        if change not in self._similar:
            parts = [
                "".join(word.text for word in self.written[change.a1 : change.a2]),
                "".join(word.text for word in self.source[change.b1 : change.b2]),
            ]
            size = sum(map(len, parts))
            similar = size <= 2 * _MAX_COMPARED
            if similar:
                blocks = matching_blocks(*parts)
                similar = 2 * sum(block.size for block in blocks) >= _MIN_SHARED * size
            self._similar[change] = similar
        return self._similar[change]

    def _is_unspaced(self, change: Change) -> bool:
        words = self.written[change.a1 : change.a2] + self.source[change.b1 : change.b2]
        return any(is_unspaced(word.text) for word in words)


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
    tags (Sequence[Tag]): The candidates for tags in the output, in order. A closing tag
        without a label is one only if it closes an opening tag.
    RETURNS (tuple[list[TaggedSpan], list[Issue]]): The spans and the issues.
    """
    spans: list[TaggedSpan] = []
    issues: list[Issue] = []
    source = split_words(text)
    written = split_words(output)
    tags = _uncopied(written, source, tags)
    pairs, unused = _pair(output, tags, issues)
    tags = [tag for tag in tags if tag not in unused]
    inside_tags = {offset for tag in tags for offset in range(tag.start, tag.end)}
    written = [word for word in written if word.start not in inside_tags]
    written, source = _split_at_tags(written, source, tags, output, text)
    echo = _echo_end(output, text, pairs)
    copy = [word for word in written if word.start >= echo]
    if echo and len(copy) >= _MIN_COPIED * len(source):
        message = "an untagged copy of the text precedes the tagged copy"
        issues.append(Issue("extra_text", message, 0, echo))
        written = copy
    alignment = Alignment(written, source)
    issues += _differences(alignment, output, text)
    for opening, closing in pairs:
        if closing.label is None:
            continue
        found = alignment.find(opening.end, closing.start)
        if found is not None:
            spans.append((CharSpan(*found, closing.label), closing))
        else:
            shown = output[opening.end : closing.start][:_MAX_SHOWN]
            message = f"{shown!r} ({closing.label}) is not in the text"
            issues.append(Issue("not_in_text", message, opening.start, closing.end))
    return spans, issues


def _split_at_tags(
    written: list[Word], source: list[Word], tags: Sequence[Tag], output: str, text: str
) -> tuple[list[Word], list[Word]]:
    """Split the words that have a tag inside. Where a particle or an ending follows a
    span (`[서울 | GPE]에서`), the source has one word for the two of the output.

    RETURNS (tuple[list[Word], list[Word]]): The words of the output and of the source.
        Equal words are split at the same characters.
    """
    continued = {tag.start: tag.end for tag in tags}
    compounds: list[list[Word]] = []
    end = -1
    for word in written:
        place = end
        while place in continued:
            place = continued[place]
        joined = place > end >= 0 and place == word.start
        if joined and _is_letter(word) and _is_letter(compounds[-1][-1]):
            compounds[-1].append(word)
        else:
            compounds.append([word])
        end = word.end
    # The lengths at which words are split.
    splits: dict[str, set[int]] = defaultdict(set)
    for compound in compounds:
        if len(compound) > 1:
            whole = "".join(word.text for word in compound)
            size = 0
            for word in compound[:-1]:
                size += len(word.text)
                splits[whole].add(size)
    if not splits:
        return written, source
    source = [part for word in source for part in _parts([word], splits, text)]
    written = [part for parts in compounds for part in _parts(parts, splits, output)]
    return written, source


def _is_letter(word: Word) -> bool:
    return is_spaced_letter(word.text[0])


def _parts(compound: list[Word], splits: dict[str, set[int]], text: str) -> list[Word]:
    """Split the words of a compound at the lengths of its folded text."""
    whole = "".join(word.text for word in compound)
    if whole not in splits:
        return compound
    parts: list[Word] = []
    size = 0
    for word in compound:
        end = size + len(word.text)
        cuts = [cut - size for cut in sorted(splits[whole]) if size < cut < end]
        parts += _cut(word, cuts, text) if cuts else [word]
        size = end
    return parts


def _cut(word: Word, cuts: Sequence[int], text: str) -> list[Word]:
    folded = fold(text[word.start : word.end])
    starts, ends = folded.starts, folded.ends
    # A character that is folded to several ones is not split.
    if folded.text != word.text or any(starts[c] == starts[c - 1] for c in cuts):
        return [word]
    return [
        Word(word.start + starts[low], word.start + ends[high - 1], word.text[low:high])
        for low, high in pairwise([0, *cuts, len(word.text)])
    ]


def _blocks(written: Sequence[Word], source: Sequence[Word]) -> list[Block]:
    return matching_blocks(
        [word.text for word in written], [word.text for word in source]
    )


def _uncopied(
    written: list[Word], source: list[Word], tags: Sequence[Tag]
) -> list[Tag]:
    """Remove the candidates that are copied from the source."""
    copied: set[int] = set()
    for block in _blocks(written, source):
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
) -> tuple[list[tuple[Tag, Tag]], set[Tag]]:
    """Pair opening and closing tags. A label in the opening tag has to match.

    RETURNS (tuple[list[tuple[Tag, Tag]], set[Tag]]): The pairs, and the closing tags
        without a label that close nothing.
    """
    # The indices of the open tags: all of them, and those of each label. The closed
    # ones are removed from the end of `stack` only when they get there.
    stack: list[int] = []
    by_label: dict[str | None, list[int]] = defaultdict(list)
    closed: set[int] = set()
    pairs: list[tuple[Tag, Tag]] = []
    unused: set[Tag] = set()
    for number, tag in enumerate(tags):
        if tag.opens:
            stack.append(number)
            by_label[tag.label].append(number)
            continue
        while stack and stack[-1] in closed:
            stack.pop()
        fitting = max(
            (by_label[label] for label in {None, tag.label} if by_label[label]),
            key=lambda numbers: numbers[-1],
            default=None,
        )
        shown = output[tag.start : tag.end]
        if fitting is None:
            if tag.label is None:
                unused.add(tag)
                continue
            message = f"{shown!r} has no opening tag"
            issues.append(Issue("unbalanced", message, tag.start, tag.end))
            continue
        index = fitting.pop()
        closed.add(index)
        if index != stack[-1]:
            message = f"{shown!r} closes a span before the span inside it is closed"
            issues.append(Issue("crossing", message, tag.start, tag.end))
        if tag.label is None:
            message = f"{shown!r} closes a span without a label"
            issues.append(Issue("unbalanced", message, tag.start, tag.end))
        pairs.append((tags[index], tag))
    for index in stack:
        if index not in closed:
            tag = tags[index]
            message = f"{output[tag.start : tag.end]!r} has no closing tag"
            issues.append(Issue("unbalanced", message, tag.start, tag.end))
    return pairs, unused


def _echo_end(output: str, text: str, pairs: Sequence[tuple[Tag, Tag]]) -> int:
    """The end of a plain copy of the text before all tags, or 0 without one."""
    first = min((opening.start for opening, _ in pairs), default=0)
    plain = text.strip()
    if not plain:
        return 0
    # The last copy. In contrast to `str.find`, `str.rfind` may take quadratic time.
    position = output[:first][::-1].find(plain[::-1])
    return 0 if position < 0 else first - position


def _differences(alignment: Alignment, output: str, text: str) -> list[Issue]:
    """Report every difference between the words of an output and the source."""
    written, source = alignment.written, alignment.source
    size = len(output)
    issues = []
    for a1, a2, b1, b2 in _with_rewritten(alignment, output, text):
        start = written[a1].start if a1 < len(written) else size
        end = written[a2 - 1].end if a2 > a1 else start
        found = _shown(output, written[a1:a2])
        expected = _shown(text, source[b1:b2])
        at_end = a2 == len(written)
        is_cut = at_end and b2 > b1 and a2 - a1 <= 1
        if is_cut and not (
            a2 > a1 and b2 - b1 == 1 and _equal(written[a1], source[b1])
        ):
            message = f"the output ends before {expected!r}"
            issues.append(Issue("truncated", message, start, size))
        elif b1 == b2 and (a1 == 0 or at_end):
            message = f"{found!r} is not part of the text"
            issues.append(Issue("extra_text", message, start, end))
        else:
            message = f"found {found!r}, expected {expected!r}"
            issues.append(Issue("copy_differs", message, start, end))
    return issues


def _equal(one: Word, other: Word) -> bool:
    return one.text == other.text


def _with_rewritten(alignment: Alignment, output: str, text: str) -> list[Change]:
    """The changes, and the runs of words that are equivalent to the text's only."""
    written, source = alignment.written, alignment.source
    changes = list(alignment.changes)
    for block in alignment.blocks:
        start = None
        for shift in range(block.size + 1):
            a, b = block.a + shift, block.b + shift
            differs = shift < block.size and (
                output[written[a].start : written[a].end]
                != text[source[b].start : source[b].end]
            )
            if differs and start is None:
                start = shift
            elif not differs and start is not None:
                change = Change(block.a + start, a, block.b + start, b)
                changes.append(change)
                start = None
    return sorted(changes)


def _shown(text: str, words: Sequence[Word]) -> str:
    shown = " ".join(text[word.start : word.end] for word in words[:_MAX_SHOWN])
    return shown[:_MAX_SHOWN]
