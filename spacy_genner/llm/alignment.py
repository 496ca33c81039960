"""Align a model's free answer to the document it is about."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from spacy.tokens import Doc, Span

from ..errors import Errors
from ..formats import CharSpan, Format, InlineFormat, Issue, Parsed
from ..formats.json_reader import read_values
from ..pipeline.results import OK, REPAIRED, Prediction, TokenSpan, failed_prediction
from .messages import Completion

TAG = "think"
_OPEN, _CLOSE = f"<{TAG}>", f"</{TAG}>"


def thought_before(written: str, text: str = "", labels: Sequence[str] = ()) -> int:
    """Find where an answer begins behind what the model thought first, as those do
    that write `<think>...</think>`.

    written (str): What the model wrote.
    text (str): The text that it was asked about. What that has itself is no thought.
    labels (Sequence[str]): Labels. What may be a mark in XML is no thought.
    RETURNS (int): How many characters the thought has, with the white space after it;
        all where it does not end, 0 where there is none.
    """
    if TAG in labels or _CLOSE in text or _OPEN in text:
        return 0
    end = written.find(_CLOSE)
    if end < 0:
        return len(written) if written.lstrip().startswith(_OPEN) else 0
    # Where the prompt opens the thought, the answer has its end alone.
    return len(written) - len(written[end + len(_CLOSE) :].lstrip())


# A copy that has less of the text's characters is none.
LEAST_COPIED = 0.5
# A span that an answer marks is there for certain as far as the answer goes.
SCORE = 1.0
_SHOWN = 80
_WITHIN_ANSWER = {"within": "answer"}
# Scripts that put no spaces between words: Thai to Khmer, Japanese, Chinese.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
)
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
# Beyond this many pieces difflib leaves out very frequent ones.
_LONG = 3000


def aligned(
    doc: Doc | Span, answer: str, fmt: Format, labels: Sequence[str]
) -> Prediction:
    """Turn an answer into spans of tokens.

    A span that no token boundary fits is left out and reported as `off_tokens`. The
    answer failed where it is no attempt at the task: it is empty, holds no JSON, or is
    a copy of less than half of the text. What a model thought before it answered is no
    part of the answer, and reported as `extra_text`. Scores are those of an `Completion`
    that has them; to any other span the answer says yes, and no more, so it gets 1.0.

    doc (Union[Doc, Span]): The text that was asked about.
    answer (str): What the model wrote; an `Completion` or any other string.
    fmt (Format): The format that was asked for.
    labels (Sequence[str]): The labels, in their order.
    RETURNS (Prediction): Spans counted from the first token; the status "ok", "repaired"
        or "failed"; issues with `code`, `message`, `start`, `end` and `within`: whether
        the two are characters of the "answer" or of the "text".
    """
    tokens = list(doc)
    text = doc[:].text if tokens else ""
    error = getattr(answer, "error", None)
    if error is not None:
        return failed_prediction(doc, error)
    begin = thought_before(answer, text, labels)
    written = answer[begin:]
    parsed = fmt.parse(written, text, labels)
    reason = _no_attempt(text, written, fmt, parsed)
    if begin and not written:
        reason = "the model thought, and did not answer"
    if reason is not None:
        shown = str(answer).strip()[:_SHOWN]
        begins = f": it begins with {shown!r}" if shown else ""
        return failed_prediction(
            doc, ValueError(Errors.G739.format(reason=reason + begins))
        )
    issues = [_thought(begin)] if begin else []
    for issue in parsed.issues:
        start, end = issue.start + begin, issue.end + begin
        issues.append({**issue._asdict(), "start": start, "end": end} | _WITHIN_ANSWER)
    said = _scored(answer, parsed)
    first = tokens[0].idx if tokens else 0
    starts = [token.idx - first for token in tokens]
    ends = [start + len(t.text) for start, t in zip(starts, tokens, strict=True)]
    spans = []
    for span, score in said:
        start, end = bisect_left(starts, span.start), bisect_left(ends, span.end)
        if _at(starts, start) == span.start and _at(ends, end) == span.end:
            spans.append(TokenSpan(start, end + 1, span.label, score))
        else:
            issues.append(_off_tokens(text, span))
    has_scores = isinstance(answer, Completion) and answer.scored is not None
    status = REPAIRED if issues else OK
    return Prediction(spans, status, issues, has_scores=has_scores)


def _scored(answer: str, parsed: Parsed) -> list[tuple[CharSpan, float]]:
    scored = answer.scored if isinstance(answer, Completion) else None
    if scored is not None:
        # Where a format leaves a place open, the decoder knows it.
        return [(CharSpan(*span), score) for span, score in scored]
    return [(span, SCORE) for span in parsed.spans]


def _at(places: list[int], index: int) -> int | None:
    return places[index] if index < len(places) else None


def _thought(end: int) -> dict[str, Any]:
    message = "the model wrote what it thought before the answer"
    issue = Issue("extra_text", message, 0, end)
    return issue._asdict() | _WITHIN_ANSWER


def _off_tokens(text: str, span: CharSpan) -> dict[str, Any]:
    found = text[span.start : span.end]
    return {
        "code": "off_tokens",
        "message": f"{found!r} ({span.label}) begins or ends inside a token",
        "start": span.start,
        "end": span.end,
        "within": "text",
    }


def _no_attempt(text: str, answer: str, fmt: Format, parsed: Parsed) -> str | None:
    """Why an answer is no attempt at the task; None where it is one."""
    if not answer.strip():
        lettered = any(char.isalpha() for char in text)
        return "the answer is empty" if lettered else None
    if not parsed.issues:
        return None
    if not isinstance(fmt, InlineFormat):
        values, _ = read_values(answer)
        if any(v.kind == "object" or not v.items or _said(v) for v in values):
            return None
        return "the answer holds no JSON that says anything"
    share = copied_share(text, answer)
    if share >= LEAST_COPIED:
        return None
    return f"the answer copies {share:.0%} of the text"


def _said(value: Any) -> bool:
    return any(found.kind in ("string", "object") for found in value.walk())


def copied_share(text: str, answer: str) -> float:
    """How much of a text an answer copies, in its order.

    text (str): The text.
    answer (str): The answer.
    RETURNS (float): The share of the text's characters, white space left out, in words
        and signs that the answer has too, but for case. 1.0 for an empty text.
    """
    wanted, written = (_PIECE.findall(each.casefold()) for each in (text, answer))
    size = sum(map(len, wanted))
    if not size:
        return 1.0
    long = len(wanted) + len(written) > _LONG
    matcher = SequenceMatcher(None, written, wanted, autojunk=long)
    blocks = matcher.get_matching_blocks()
    copied = sum(sum(map(len, wanted[b : b + n])) for _, b, n in blocks)
    return copied / size
