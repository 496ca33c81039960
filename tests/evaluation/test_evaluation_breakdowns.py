"""Breakdowns compared with counts by hand and by brute force."""

import pytest
import spacy
from evaluation_cases import DOCUMENTS, SPANS
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span

from spacy_genner.evaluation.breakdowns import (
    Mentions,
    break_down,
    breakdown_by_length,
    breakdown_by_mention,
    confusion,
    read_mentions,
)
from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import Annotation
from spacy_genner.evaluation.scores import nesting, place_spans, score_documents
from spacy_genner.formats import CharSpan

WHOLE = CharSpan(0, 20, "ORG")
MIDDLE = CharSpan(5, 20, "ORG")
INNER = CharSpan(10, 20, "GPE")
TWIN = CharSpan(10, 20, "LOC")
ALONE = CharSpan(30, 35, "GPE")


def part(placed, name, **others):
    return break_down(placed, others)[name]


def counts(rows):
    found = {
        name: (row["gold"], row["predicted"], row["correct"])
        for name, row in rows.items()
    }
    return {name: row for name, row in found.items() if any(row)}


def test_structure_and_depth_by_hand():
    gold = [[WHOLE, MIDDLE, INNER, TWIN, ALONE]]
    # Correct: WHOLE and TWIN. Wrong: inside ALONE, around ALONE, and a separate span.
    inside, around = CharSpan(30, 33, "GPE"), CharSpan(28, 40, "GPE")
    lone = CharSpan(50, 55, "GPE")
    placed = place_spans(gold, [[WHOLE, TWIN, inside, around, lone]])
    assert counts(part(placed, "by_structure")) == {
        # MIDDLE, INNER, TWIN; TWIN and inside.
        "nested": (3, 2, 1),
        "containing": (1, 2, 1),
        "alone": (1, 1, 0),
    }
    assert counts(part(placed, "by_depth")) == {
        "0": (2, 3, 1),
        "1": (1, 0, 0),
        # Inside both ALONE and around.
        "2": (0, 1, 0),
        # In WHOLE and MIDDLE, and the other label has its range.
        "3": (2, 1, 1),
    }
    row = part(placed, "by_structure")["nested"]
    assert (row["p"], row["r"], row["f"]) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert list(part(place_spans([], []), "by_depth")) == ["0"]


def test_lengths_by_hand():
    sizes = [1, 2, 3, 4, 5, 6, 40]
    spans = [CharSpan(10 * i, 10 * i + 5, "A") for i in range(len(sizes))]
    lengths = [{(s.start, s.end): n for s, n in zip(spans, sizes, strict=True)}]
    placed = place_spans([spans], [spans[:3]])
    found = part(placed, "by_length", by_length=breakdown_by_length(lengths))
    assert counts(found) == {
        "1": (1, 1, 1),
        "2": (1, 1, 1),
        "3": (1, 1, 1),
        "4-5": (2, 0, 0),
        "6+": (2, 0, 0),
    }
    with pytest.raises(ValueError, match=r"G614.*\(0, 5\) of document 0"):
        break_down(placed, {"by_length": breakdown_by_length([{}])})


def test_mentions_by_hand():
    texts = ["Lisbon\nCity, lisbon, Porto and Faro"]
    spans = [
        CharSpan(0, 11, "GPE"),
        CharSpan(13, 19, "GPE"),
        CharSpan(21, 26, "GPE"),
        CharSpan(31, 35, "GPE"),
    ]
    assert [texts[0][s.start : s.end] for s in spans][1:] == ["lisbon", "Porto", "Faro"]
    mentions = Mentions(
        [("Lisbon City", "GPE"), ("Lisbon", "GPE"), ("Porto", "ORG"), ("Faro", "GPE")]
    )
    placed = place_spans([spans], [[*spans[:3], spans[3]._replace(label="ORG")]])
    found = break_down(placed, {"by_mention": breakdown_by_mention(texts, mentions)})
    assert counts(found["by_mention"]) == {
        # One over a line break; and Faro, which is missed.
        "seen": (2, 1, 1),
        # Porto, and Faro as an ORG.
        "other_label": (1, 2, 1),
        # Case is significant.
        "unseen": (1, 1, 1),
    }


def test_mentions_are_read_from_a_file(tmp_path):
    nlp = spacy.blank("en")
    doc = nlp.make_doc("Maria in Lisbon")
    doc.spans["sc"] = [Span(doc, 2, 3, label="GPE")]
    doc.user_data["genner_unaligned"] = [[0, 3, "PER"]]
    docbin = DocBin(store_user_data=True, docs=[doc, nlp.make_doc("none here")])
    path = tmp_path / "train.spacy"
    docbin.to_disk(path)
    mentions = read_mentions(path, "sc")
    assert mentions.count == 2
    assert mentions.kind("Lisbon", "GPE") == mentions.kind("Mar", "PER") == "seen"
    assert mentions.kind("Mar", "GPE") == "other_label"
    assert mentions.kind("Maria", "PER") == "unseen"
    with pytest.raises(ValueError, match=r"G613.*train\.spacy.*'other'.*\['sc'\]"):
        read_mentions(path, "other")


@settings(max_examples=300, deadline=None)
@given(SPANS)
def test_nesting_equals_a_brute_force_count(spans):
    ordered = sorted(set(spans))
    depths, contains = nesting(ordered)
    for span, depth, is_outer in zip(ordered, depths, contains, strict=True):
        others = [other for other in ordered if other != span]
        around = [o for o in others if o.start <= span.start and span.end <= o.end]
        inside = [o for o in others if span.start <= o.start and o.end <= span.end]
        assert depth == len(around)
        assert is_outer == any(o[:2] != span[:2] for o in inside)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_breakdowns_add_up_and_do_not_depend_on_the_order(documents, random):
    mentions = Mentions([("a", "X"), ("ab", "Y"), ("bc", "Z")])

    def evaluated(documents):
        gold, predicted = zip(*documents, strict=True) if documents else ((), ())
        lengths = [
            {(s.start, s.end): s.end - s.start for s in [*a, *b]} for a, b in documents
        ]
        others = {
            "by_length": breakdown_by_length(lengths),
            "by_mention": breakdown_by_mention(["abc" * 7] * len(documents), mentions),
        }
        placed = place_spans(gold, predicted)
        return score_documents(gold, predicted), break_down(placed, others)

    scores, rows = evaluated(documents)
    totals = tuple(scores[key] for key in ("gold", "predicted", "correct"))
    for name in ("by_structure", "by_depth", "by_length", "by_mention"):
        columns = zip(*(counts(rows[name]).values()), strict=True)
        assert (tuple(map(sum, columns)) or (0, 0, 0)) == totals, name
    # The nested and flat scores are those of the corresponding classes.
    for key in "prf":
        assert rows["by_structure"]["nested"][key] == scores[f"nested_{key}"]
        assert rows["by_depth"]["0"][key] == scores[f"flat_{key}"]
    shuffled = [
        (random.sample(a, len(a)), random.sample(b, len(b))) for a, b in documents
    ]
    random.shuffle(shuffled)
    assert evaluated(shuffled) == (scores, rows)


def test_the_time_is_not_quadratic_in_the_spans_of_a_long_document(
    processor_seconds,
):
    count = 20_000
    gold = [CharSpan(10 * i, 10 * i + 5, "A") for i in range(count)]
    gold += [CharSpan(10 * i, 10 * i + 9, "B") for i in range(0, count, 2)]
    predicted = gold[::3] + [
        CharSpan(10 * i + 2, 10 * i + 9, "A") for i in range(count)
    ]
    # A span that is closed only at the end of the text.
    predicted.append(CharSpan(0, 10 * count, "A"))
    lengths = {(s.start, s.end): 1 for s in [*gold, *predicted]}
    scores = [0.5] * len(predicted)
    text = "some text " * count
    row = Annotation(text, gold, predicted, scores, "ok", lengths=lengths)
    results = []

    def measured():
        results.append(evaluate([row], mentions=Mentions([("some", "A")])))

    # 30,000 by 30,000 comparisons would take minutes.
    assert processor_seconds(measured) < 20
    assert results[0]["gold"] == 30_000


def test_confusion_by_hand():
    gold = [[WHOLE, INNER, ALONE], [MIDDLE]]
    moved, other = CharSpan(0, 22, "ORG"), CharSpan(30, 35, "LOC")
    crossing = CharSpan(3, 18, "LOC")
    found = confusion(
        gold, [[moved, INNER, other, CharSpan(50, 55, "LOC")], [crossing]]
    )
    assert found == {
        "labels": ["GPE", "LOC", "ORG"],
        # INNER is correct, ALONE has another label, MIDDLE another label and range.
        "matrix": [[1, 1, 0], [0, 0, 0], [0, 1, 0]],
        "boundary": [0, 0, 1],
        "missed": [0, 0, 0],
        "invented": [0, 1, 0],
    }


@given(DOCUMENTS)
def test_confusion_adds_up(documents):
    gold = [pair[0] for pair in documents]
    predicted = [pair[1] for pair in documents]
    found, scores = confusion(gold, predicted), score_documents(gold, predicted)
    for index, label in enumerate(found["labels"]):
        row = found["matrix"][index]
        column = [each[index] for each in found["matrix"]]
        extra = found["boundary"][index]
        counts = scores["per_type"][label]
        assert sum(row) + extra + found["missed"][index] == counts["gold"]
        assert sum(column) + extra + found["invented"][index] == counts["predicted"]
    diagonal = sum(row[index] for index, row in enumerate(found["matrix"]))
    assert diagonal == scores["correct"]
