"""Other labels and other texts for the same annotation."""

import random

import pytest
from study_cases import DEFINITIONS, HELD_OUT, TEST, TRAIN, read, spans

from spacy_genner.corpora.documents import Annotated
from spacy_genner.evaluation.breakdowns import Mentions
from spacy_genner.formats import CharSpan
from spacy_genner.study.label_changes import (
    as_codes,
    as_letters,
    assign,
    exchanged,
    letter,
    make_palette,
    rename,
    reordered,
    shuffled,
)
from spacy_genner.study.text_changes import (
    held_out_mentions,
    mask_contexts,
    outer_mentions,
    random_mentions,
    random_string,
    swap_mentions,
)

SEEN = Mentions(pair for text in read(TRAIN) for pair in spans(text))


def test_letters():
    assert [letter(i) for i in (0, 25, 26, 51, 52, 702)] == [
        *("A", "Z", "AA", "AZ", "BA", "AAA")
    ]
    names, labels = as_letters(DEFINITIONS)
    assert names == {"ORG": "A", "GPE": "B", "PER": "C"}
    assert labels == {"A": "a firm", "B": "a city", "C": "a person"}
    (first, *_) = rename(read(TRAIN), names)
    assert spans(first) == [("Lisbon", "B"), ("University of Lisbon", "A")] + [
        ("Lisbon", "B")
    ]


def test_exchanged_names_keep_the_definitions():
    names, labels = exchanged(DEFINITIONS)
    assert all(names[label] != label for label in DEFINITIONS)
    assert {labels[names[label]]: d for label, d in DEFINITIONS.items()} == {
        d: d for d in DEFINITIONS.values()
    }
    assert set(labels) == set(DEFINITIONS)
    with pytest.raises(ValueError, match="G942"):
        exchanged({"ORG": "a firm"})


def test_label_sets_of_training_leave_out_those_of_evaluation():
    palette = make_palette(DEFINITIONS, 40, seed=0)
    assert (
        palette
        == make_palette(DEFINITIONS, 40, seed=0)
        != make_palette(DEFINITIONS, 40, seed=1)
    )
    kept_out = [exchanged(DEFINITIONS).names, as_letters(DEFINITIONS).names]
    arrangements = set()
    for names, labels in palette:
        assert names not in kept_out
        # Each name stands for the same definition in both parts.
        assert {labels[names[k]] for k in DEFINITIONS} == set(DEFINITIONS.values())
        assert all(labels[names[k]] == d for k, d in DEFINITIONS.items())
        arrangements.add(tuple(names.items()))
    assert len(arrangements) > 20
    # Two labels have one other arrangement, which then has to serve for both.
    two = {"ORG": "a", "GPE": "b"}
    assert set(shuffled(two, random.Random(0)).labels) == set(two)
    assert len(set(as_codes(DEFINITIONS, random.Random(0)).labels)) == 3


def test_each_label_set_has_about_as_many_texts():
    texts = list(read(TRAIN))
    palette = make_palette(DEFINITIONS, 3, seed=0)
    assigned = list(assign(texts, palette, seed=0))
    counts = [
        sum(labels == renaming.labels for _, labels in assigned) for renaming in palette
    ]
    assert counts == [2, 2, 2]
    for (text, labels), before in zip(assigned, texts, strict=True):
        assert text.text == before.text
        assert {span.label for span in text.spans} <= set(labels)


def test_a_label_of_another_corpus_is_refused():
    with pytest.raises(ValueError, match="'GPE'.*lacks"):
        list(rename(read(TRAIN), {"ORG": "A"}))


def test_order():
    assert list(reordered(DEFINITIONS)) == ["PER", "GPE", "ORG"]
    assert reordered(DEFINITIONS) == DEFINITIONS


def test_outer_mentions_carry_what_is_inside():
    (text, *_) = read(TRAIN)
    (_, first), (place, second) = outer_mentions(text)
    assert first == ("Lisbon", "GPE", ())
    assert place == CharSpan(17, 37, "ORG")
    assert second == ("University of Lisbon", "ORG", (CharSpan(14, 20, "GPE"),))
    crossing = Annotated("a b c", [CharSpan(0, 3, "X"), CharSpan(2, 5, "Y")], "1", None)
    assert list(outer_mentions(crossing)) == [(CharSpan(0, 5, "X"), None)]


def test_swapped_mentions_are_unseen_and_bring_their_spans():
    texts = list(read(TEST))
    pool = held_out_mentions(read([*HELD_OUT, *TEST]), SEEN)
    # Braga and Porto were seen in training.
    assert [each.text for each in pool["GPE"]] == ["Tavira"]
    assert [each.text for each in pool["PER"]] == ["Ana Lima"]
    assert [each.text for each in pool["ORG"]] == [
        *("Bank of Faro", "University of Evora")
    ]
    changed = swap_mentions(texts, pool, seed=0)
    assert (changed.replaced, changed.kept) == (4, 0)
    first, second, third = changed.texts
    assert first.text == "Ana Lima likes Tavira, and Tavira too."
    assert spans(first) == [("Ana Lima", "PER"), ("Tavira", "GPE"), ("Tavira", "GPE")]
    # A mention never replaces itself.
    assert second.text == "The Bank of Faro has 24 halls."
    assert spans(second) == [("Bank of Faro", "ORG"), ("Faro", "GPE")]
    assert third == texts[2]
    # Without another mention, a mention stays, with its spans.
    nothing = swap_mentions(texts, {}, seed=0)
    assert (nothing.replaced, nothing.kept) == (0, 4)
    assert [each.text for each in nothing.texts] == [each.text for each in texts]
    assert [spans(each) for each in nothing.texts] == [spans(each) for each in texts]


def test_random_mentions_have_the_same_shape_and_places():
    texts = list(read(TEST))
    changed = random_mentions(texts, seed=0)
    assert changed == random_mentions(texts, seed=0) != random_mentions(texts, seed=1)
    for before, after in zip(texts, changed.texts, strict=True):
        assert set(after.spans) == set(before.spans)
        assert len(after.text) == len(before.text)
        outside = [0] * len(before.text)
        for span in before.spans:
            outside[span.start : span.end] = [1] * (span.end - span.start)
        for old, new, inside in zip(before.text, after.text, outside, strict=True):
            assert inside or old == new
    assert changed.texts[0].text[:5] != "Maria"
    made = random_string("NF-kappa B2 é", random.Random(0))
    assert [c.isupper() for c in made] == [c.isupper() for c in "NF-kappa B2 é"]
    assert made[2] == "-" and made[8] == " " and made[10].isdigit()


def test_masked_contexts_keep_mentions():
    first, second, third = mask_contexts(list(read(TEST)))
    assert first.text == "Maria _ Lisbon, _ Braga _."
    assert second.text == "_ University of Evora _ _ _."
    assert third.text == "_ _."
    before = [spans(each) for each in read(TEST)]
    assert [spans(each) for each in (first, second, third)] == before


def test_sentence_starts_move_with_the_text():
    text = "Ana met Bo. Cleo left. Bo stayed."
    places = [CharSpan(0, 3, "PER"), CharSpan(8, 10, "PER"), CharSpan(23, 25, "PER")]
    annotated = Annotated(text, places, "1", [0, 12, 23])
    (masked,) = mask_contexts([annotated])
    assert masked.text == "Ana _ Bo. _ _. Bo _."
    assert masked.sentence_starts == [0, 10, 15]
    pool = held_out_mentions(read(["[Ana Lima | PER]"]), SEEN)
    (swapped,) = swap_mentions([annotated], pool, seed=0).texts
    assert swapped.text == "Ana Lima met Ana Lima. Cleo left. Ana Lima stayed."
    assert swapped.sentence_starts == [0, 23, 34]
    # A start inside a mention moves to its end.
    inside = annotated._replace(sentence_starts=[0, 9])
    (swapped,) = swap_mentions([inside], pool, seed=0).texts
    assert swapped.sentence_starts == [0, 21]
