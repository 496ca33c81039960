"""Per-item fallback and crossing spans of neighbouring windows."""

import random

import pytest

from spacy_genner.pipeline.results import (
    Prediction,
    TokenSpan,
    map_with_fallback,
    resolve_crossing,
)


def failed(item, error):
    return f"{item}: {error}"


def test_items_are_processed_together():
    calls = []
    assert map_with_fallback(
        lambda items: calls.append(items) or items, "abc", failed
    ) == [*"abc"]
    assert calls == ["abc"]
    assert map_with_fallback(lambda items: 1 / 0, [], failed) == []


def test_items_are_processed_one_by_one_after_a_failure():
    calls = []

    def work(items):
        calls.append(list(items))
        return [6 // item for item in items]

    found = map_with_fallback(work, [1, 0, 3], failed)
    assert found == [6, "0: integer division or modulo by zero", 2]
    assert calls == [[1, 0, 3], [1], [0], [3]]


def test_a_keyboard_interrupt_is_raised():
    def work(items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_with_fallback(work, [1, 2], failed)


def cross(one, other):
    first, second = sorted((one, other), key=lambda span: (span.start, -span.end))
    return first.start < second.start < first.end < second.end


def test_crossing_spans_of_lower_scores_are_dropped():
    choose = random.Random(0)
    for _ in range(300):
        spans = []
        for _ in range(choose.randint(0, 12)):
            start, size = choose.randint(0, 12), choose.randint(1, 6)
            score = choose.choice([0.25, 0.5, 0.75])
            spans.append(TokenSpan(start, start + size, choose.choice("AB"), score))
        kept = []
        for span in sorted(spans, key=lambda span: -span.score):
            if not any(cross(span, other) for other in kept):
                kept.append(span)
        prediction = Prediction(list(spans))
        resolve_crossing(prediction)
        assert prediction.spans == [span for span in spans if span in kept]
        assert len(prediction.issues) == len(spans) - len(kept)
        assert prediction.status == ("repaired" if prediction.issues else "ok")


def test_the_issue_names_both_crossing_spans():
    spans = [TokenSpan(0, 3, "A", 0.5), TokenSpan(2, 5, "B", 0.9)]
    prediction = Prediction(spans)
    resolve_crossing(prediction)
    assert prediction.spans == spans[1:]
    [issue] = prediction.issues
    assert (issue["code"], issue["start"], issue["end"]) == ("crossing", 0, 3)
    assert "A over tokens 0 to 3 crosses B over 2 to 5" in issue["message"]


def test_many_crossing_spans_are_resolved_quickly(processor_seconds):
    choose = random.Random(0)
    spans = []
    for start in range(20_000):
        end = start + choose.randint(1, 2000)
        spans.append(TokenSpan(start, end, "A", choose.random()))
    prediction = Prediction(spans)
    assert processor_seconds(resolve_crossing, prediction) < 10
    assert prediction.spans and prediction.issues
