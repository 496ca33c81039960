"""Edits of the spans of a document: pure functions, without a page or a model.

The spans of a document are a tuple that is never changed. Each edit returns a new
tuple, so that undoing an edit means to take the former tuple.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import Errors
from ..formats import Format

# What happened to a span. A suggestion is a span that nobody has decided about.
SUGGESTED = "suggested"
ACCEPTED = "accepted"
CHANGED = "changed"
ADDED = "added"
REJECTED = "rejected"
STATES = (SUGGESTED, ACCEPTED, CHANGED, ADDED, REJECTED)
START, END = "start", "end"


class ReviewSpan(NamedTuple):
    """A span of a document under correction.

    start (int): The first character.
    end (int): The character after the last one.
    label (str): The label.
    score (float | None): The probability that the model gave the span. None for a span
        that is not the model's.
    state (str): What happened to the span: one of `STATES`.
    """

    start: int
    end: int
    label: str
    score: float | None = None
    state: str = SUGGESTED

    @property
    def key(self) -> str:
        """RETURNS (str): Identifies the span in its document."""
        return f"{self.start}-{self.end}-{self.label}"

    @property
    def is_active(self) -> bool:
        """RETURNS (bool): Whether the span is a part of the annotation."""
        return self.state != REJECTED


Spans = tuple[ReviewSpan, ...]


def sorted_spans(spans: Iterable[ReviewSpan]) -> Spans:
    """RETURNS (Spans): The spans by start, then longer ones first, then by label."""
    return tuple(sorted(spans, key=lambda s: (s.start, -s.end, s.label)))


class TokenGrid:
    """The places where spans may start and end: the tokens that are not white space.

    text (str): The text.
    tokens (Iterable[tuple[int, int]]): The start and end of each token, in characters.
    """

    def __init__(self, text: str, tokens: Iterable[tuple[int, int]]):
        self.text = text
        kept = [(s, e) for s, e in tokens if text[s:e].strip()]
        self.starts = [start for start, _ in kept]
        self.ends = [end for _, end in kept]

    def __len__(self) -> int:
        return len(self.starts)

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """Get the tokens that overlap a range of characters.

        start (int): The first character.
        end (int): The character after the last one.
        RETURNS (tuple[int, int]): The numbers of the first token and of the one after
            the last. They are equal if no token overlaps the range.
        """
        first = bisect_right(self.ends, start)
        return first, max(first, bisect_left(self.starts, end))

    def range(self, first: int, last: int) -> tuple[int, int]:
        """Get the characters of consecutive tokens.

        first (int): The number of the first token.
        last (int): The number of the last token, inclusive.
        RETURNS (tuple[int, int]): The first character, and the one after the last.
        RAISES (ValueError): There are no such tokens.
        """
        if not 0 <= first <= last < len(self):
            raise ValueError(Errors.G888.format(what=f"tokens {first} to {last}"))
        return self.starts[first], self.ends[last]

    def moved(self, span: ReviewSpan, side: str, step: int) -> tuple[int, int]:
        """Move a boundary of a span to the next token.

        span (ReviewSpan): The span.
        side (str): "start" or "end".
        step (int): 1 to the right, -1 to the left.
        RETURNS (tuple[int, int]): The new start and end, in characters.
        RAISES (ValueError): There is no token, or the span would be empty.
        """
        edges = self.starts if side == START else self.ends
        old = span.start if side == START else span.end
        at = bisect_right(edges, old) if step > 0 else bisect_left(edges, old) - 1
        new = edges[at] if 0 <= at < len(edges) else old
        start, end = (new, span.end) if side == START else (span.start, new)
        if new == old or start >= end:
            what = f"the {side} of {span.label!r}, one token further"
            raise ValueError(Errors.G888.format(what=what))
        return start, end


class Editor:
    """Edits the spans of documents.

    format (Format): The output format of the model to train, which limits labels and
        spans.
    """

    def __init__(self, format: Format):
        self.format = format

    def add(self, text: str, spans: Spans, start: int, end: int, label: str) -> Spans:
        """Add a span.

        text (str): The text of the document.
        spans (Spans): The spans.
        start (int): The first character.
        end (int): The character after the last one.
        label (str): The label.
        RETURNS (Spans): The new spans.
        RAISES (ValueError): The format can't represent the label or the span, or the
            span is there already.
        """
        self.format.check_label(label)
        new = ReviewSpan(start, end, label, None, ADDED)
        # A rejected suggestion that is marked by hand is accepted.
        for old in spans:
            if old.key == new.key and not old.is_active:
                return self.set_state(text, spans, old.key, ACCEPTED)
        return self._with(text, spans, new)

    def relabel(self, text: str, spans: Spans, key: str, label: str) -> Spans:
        """Give a span another label.

        text (str): The text of the document.
        spans (Spans): The spans.
        key (str): The key of the span.
        label (str): The new label.
        RETURNS (Spans): The new spans.
        RAISES (ValueError): There is no such span, or the format can't represent the
            label.
        """
        self.format.check_label(label)
        old = find(spans, key)
        if old.label == label:
            return self.set_state(text, spans, key, _confirmed(old))
        return self._replaced(text, spans, old, old.start, old.end, label)

    def resize(self, text: str, spans: Spans, key: str, start: int, end: int) -> Spans:
        """Give a span other boundaries.

        text (str): The text of the document.
        spans (Spans): The spans.
        key (str): The key of the span.
        start (int): The first character.
        end (int): The character after the last one.
        RETURNS (Spans): The new spans.
        RAISES (ValueError): There is no such span, or the format can't represent it.
        """
        old = find(spans, key)
        return self._replaced(text, spans, old, start, end, old.label)

    def set_state(self, text: str, spans: Spans, key: str, state: str) -> Spans:
        """Accept or reject a span.

        text (str): The text of the document.
        spans (Spans): The spans.
        key (str): The key of the span.
        state (str): The new state.
        RETURNS (Spans): The new spans.
        RAISES (ValueError): There is no such span, or it crosses a span of the
            annotation and was rejected before.
        """
        old = find(spans, key)
        others = tuple(span for span in spans if span.key != key)
        new = old._replace(state=state)
        if new.is_active and not old.is_active:
            return self._with(text, others, new)
        return sorted_spans((*others, new))

    def delete(self, spans: Spans, key: str) -> Spans:
        """Remove a span without a trace.

        spans (Spans): The spans.
        key (str): The key of the span.
        RETURNS (Spans): The other spans.
        RAISES (ValueError): There is no such span.
        """
        find(spans, key)
        return tuple(span for span in spans if span.key != key)

    def merge_suggestions(self, spans: Spans, suggested: Sequence[ReviewSpan]) -> Spans:
        """Replace the open suggestions of a document. Spans that somebody has decided
        about stay, and new suggestions that are equal to one of them or cross one are
        left out.

        spans (Spans): The spans.
        suggested (Sequence[ReviewSpan]): The new suggestions.
        RETURNS (Spans): The new spans.
        """
        kept = [span for span in spans if span.state != SUGGESTED]
        keys = {span.key for span in kept}
        for new in sorted(suggested, key=lambda s: -(s.score or 0.0)):
            if new.key not in keys and not self._crossed(kept, new):
                kept.append(new)
                keys.add(new.key)
        return sorted_spans(kept)

    def _replaced(
        self,
        text: str,
        spans: Spans,
        old: ReviewSpan,
        start: int,
        end: int,
        label: str,
    ) -> Spans:
        # The score was that of another span.
        state = ADDED if old.state == ADDED else CHANGED
        others = tuple(span for span in spans if span.key != old.key)
        return self._with(text, others, ReviewSpan(start, end, label, None, state))

    def _with(self, text: str, spans: Spans, new: ReviewSpan) -> Spans:
        """Insert a span, unless it is there already or crosses another span."""
        for other in spans:
            if other.key != new.key:
                continue
            if other.is_active:
                found = text[new.start : new.end][:60]
                raise ValueError(Errors.G887.format(found=found, label=new.label))
            spans = tuple(span for span in spans if span is not other)
        crossed = self._crossed(spans, new)
        if crossed is not None:
            raise ValueError(
                Errors.G886.format(
                    found=text[new.start : new.end][:60],
                    label=new.label,
                    other=text[crossed.start : crossed.end][:60],
                    other_label=crossed.label,
                    format=self.format.name,
                )
            )
        return sorted_spans((*spans, new))

    def _crossed(
        self, spans: Iterable[ReviewSpan], new: ReviewSpan
    ) -> ReviewSpan | None:
        if self.format.allows_crossing:
            return None
        for other in spans:
            if other.is_active and (
                other.start < new.start < other.end < new.end
                or new.start < other.start < new.end < other.end
            ):
                return other
        return None


def find(spans: Spans, key: str) -> ReviewSpan:
    """Find a span by its key.

    spans (Spans): The spans.
    key (str): The key.
    RETURNS (ReviewSpan): The span.
    RAISES (ValueError): There is no such span.
    """
    for span in spans:
        if span.key == key:
            return span
    raise ValueError(Errors.G895.format(found=key))


def accept_all(spans: Spans) -> Spans:
    """RETURNS (Spans): The spans, with every open suggestion accepted."""
    return tuple(span._replace(state=_confirmed(span)) for span in spans)


def _confirmed(span: ReviewSpan) -> str:
    return ACCEPTED if span.state == SUGGESTED else span.state
