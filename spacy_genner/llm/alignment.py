"""Align the completion of a model to the tokens of its document.

A model that writes freely may change the text, add prose or reasoning, or stop early.
The tolerant parser of the output format finds the spans, and this module places them on
the tokens and decides whether the completion is an attempt at the task at all.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc, Span

from ..errors import Errors
from ..formats import CharSpan, Format, InlineFormat, Issue, Parsed
from ..formats.json_reader import read_values
from ..formats.matching import matching_blocks
from ..formats.words import split_words
from ..pipeline.results import OK, REPAIRED, Prediction, TokenSpan, failed_prediction
from .messages import Completion

TAG = "think"
_OPEN, _CLOSE = f"<{TAG}>", f"</{TAG}>"


def thought_before(written: str, text: str = "", labels: Sequence[str] = ()) -> int:
    """Find the reasoning before an answer, written as `<think>...</think>`.

    written (str): The output of the model.
    text (str): The text of the prompt. If it contains the tags, there is no reasoning.
    labels (Sequence[str]): The labels. If the tag is one of them, there is no
        reasoning.
    RETURNS (int): The number of characters of the reasoning with the white space after
        it. The whole output if the reasoning does not end, and 0 if there is none.
    """
    if TAG in labels or _CLOSE in text or _OPEN in text:
        return 0
    end = written.find(_CLOSE)
    if end < 0:
        return len(written) if written.lstrip().startswith(_OPEN) else 0
    # If the prompt contains the opening tag, the output has only the closing one.
    return len(written) - len(written[end + len(_CLOSE) :].lstrip())


# The minimum share of the text's characters in a copy.
LEAST_COPIED = 0.5
# The score of a span without a probability.
SCORE = 1.0
_SHOWN = 80
_WITHIN_ANSWER = {"within": "answer"}


def aligned(
    doc: Doc | Span, answer: str, fmt: Format, labels: Sequence[str]
) -> Prediction:
    """Align a completion to the tokens of its text.

    A span that fits no token boundaries is dropped and reported as `off_tokens`. The
    completion has failed if it is no attempt at the task: if it is empty, holds no
    JSON, or copies less than half of the text. Reasoning before the answer is not part
    of it, and reported as `extra_text`. The scores of a `Completion` are used if it has
    any. Otherwise all scores are 1.0.

    doc (Doc | Span): The text of the prompt.
    answer (str): The output of the model, a `Completion` or another string.
    fmt (Format): The format of the prompt.
    labels (Sequence[str]): The labels, in order.
    RETURNS (Prediction): The spans, counted from the first token. The status is "ok",
        "repaired" or "failed". Issues have `code`, `message`, `start`, `end` and
        `within`: whether the offsets are characters of the "answer" or of the "text".
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
    issues = [_reasoning_issue(begin)] if begin else []
    for issue in parsed.issues:
        start, end = issue.start + begin, issue.end + begin
        issues.append({**issue._asdict(), "start": start, "end": end} | _WITHIN_ANSWER)
    scored = _scored_spans(answer, parsed)
    first = tokens[0].idx if tokens else 0
    starts = [token.idx - first for token in tokens]
    ends = [start + len(t.text) for start, t in zip(starts, tokens, strict=True)]
    spans = []
    for span, score in scored:
        start, end = bisect_left(starts, span.start), bisect_left(ends, span.end)
        if _at(starts, start) == span.start and _at(ends, end) == span.end:
            spans.append(TokenSpan(start, end + 1, span.label, score))
        else:
            issues.append(_off_tokens(text, span))
    has_scores = isinstance(answer, Completion) and answer.scored is not None
    status = REPAIRED if issues else OK
    return Prediction(spans, status, issues, has_scores=has_scores)


def _scored_spans(answer: str, parsed: Parsed) -> list[tuple[CharSpan, float]]:
    scored = answer.scored if isinstance(answer, Completion) else None
    if scored is not None:
        # The decoder knows the positions that a format leaves open.
        return [(CharSpan(*span), score) for span, score in scored]
    return [(span, SCORE) for span in parsed.spans]


def _at(places: list[int], index: int) -> int | None:
    return places[index] if index < len(places) else None


def _reasoning_issue(end: int) -> dict[str, Any]:
    message = "the model wrote what it thought before the answer"
    issue = Issue("extra_text", message, 0, end)
    return issue._asdict() | _WITHIN_ANSWER


def _off_tokens(text: str, span: CharSpan) -> dict[str, Any]:
    found = text[span.start : min(span.end, span.start + _SHOWN)]
    return {
        "code": "off_tokens",
        "message": f"{found!r} ({span.label}) begins or ends inside a token",
        "start": span.start,
        "end": span.end,
        "within": "text",
    }


def _no_attempt(text: str, answer: str, fmt: Format, parsed: Parsed) -> str | None:
    """The reason why an answer is no attempt at the task. None if it is one."""
    if not answer.strip():
        lettered = any(char.isalpha() for char in text)
        return "the answer is empty" if lettered else None
    if not parsed.issues:
        return None
    if not isinstance(fmt, InlineFormat):
        values, _ = read_values(answer)
        if any(v.kind == "object" or not v.items or _has_content(v) for v in values):
            return None
        return "the answer holds no JSON that says anything"
    share = copied_share(text, answer)
    if share >= LEAST_COPIED:
        return None
    return f"the answer copies {share:.0%} of the text"


def _has_content(value: Any) -> bool:
    return any(found.kind in ("string", "object") for found in value.walk())


def copied_share(text: str, answer: str) -> float:
    """The share of a text that an answer copies, in order.

    text (str): The text.
    answer (str): The answer.
    RETURNS (float): The share of the text's characters, without white space, in words
        and punctuation that the answer also has, ignoring case and the differences
        between equivalent characters. 1.0 for an empty text.
    """
    wanted, written = (
        [word.text for word in split_words(each.casefold())] for each in (text, answer)
    )
    size = sum(map(len, wanted))
    if not size:
        return 1.0
    blocks = matching_blocks(written, wanted)
    copied = sum(sum(map(len, wanted[b : b + n])) for _, b, n in blocks)
    return copied / size
