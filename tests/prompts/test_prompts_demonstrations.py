"""Demonstrations: which are shown, and in how much room."""

import sys

import numpy
import pytest

from spacy_genner.formats import get_format
from spacy_genner.models.tokenization import TokenAlignedEncoder
from spacy_genner.prompts import Demonstration, PromptLayout, TaskEncoder
from spacy_genner.prompts.examples import (
    FirstDemonstrations,
    NearestDemonstrations,
    RandomDemonstrations,
)

TEXTS = [
    "The bank raised its rates.",
    "Porto won the cup in Lisbon.",
    "The patient was given insulin.",
    "The central bank cut rates again.",
    "Insulin lowers blood sugar.",
]
POOL = [Demonstration(text, f"<{text}>") for text in TEXTS]


def test_first():
    assert FirstDemonstrations().shared(POOL) == POOL
    assert FirstDemonstrations(2).shared(POOL) == POOL[:2]
    assert FirstDemonstrations(9).shared([]) == []
    assert FirstDemonstrations().neighbours(POOL) is None


def test_random_is_the_same_for_one_seed():
    drawn = RandomDemonstrations(3, seed=1).shared(POOL)
    assert drawn == RandomDemonstrations(3, seed=1).shared(POOL)
    assert len(set(drawn)) == 3 and set(drawn) <= set(POOL)
    others = [RandomDemonstrations(3, seed=seed).shared(POOL) for seed in range(9)]
    assert any(other != drawn for other in others)
    assert sorted(RandomDemonstrations(9).shared(POOL)) == sorted(POOL)


@pytest.mark.parametrize(
    "make", [FirstDemonstrations, RandomDemonstrations, NearestDemonstrations]
)
def test_count_is_checked(make):
    with pytest.raises(ValueError, match="G106.*demonstrations.count"):
        make(0)


def test_nearest_by_words():
    near = NearestDemonstrations(2).neighbours(POOL)
    assert NearestDemonstrations(2).shared(POOL) == ()
    found = [shown.text for shown in near.of("Will the bank change its rates?")]
    assert found == [TEXTS[0], TEXTS[3]]
    found = [shown.text for shown in near.of("insulin for the patient")]
    assert found == [TEXTS[2], TEXTS[4]]
    # Words that are in no text: the first of the file.
    assert [shown.text for shown in near.of("xyzzy")] == TEXTS[:2]
    assert NearestDemonstrations(2).neighbours([]) is None


def test_a_text_is_not_shown_to_itself():
    near = NearestDemonstrations(5).neighbours(POOL)
    assert {shown.text for shown in near.of(TEXTS[0])} == set(TEXTS[1:])


def test_nearest_by_vectors_of_ones_own():
    def lengths(texts):
        return numpy.asarray([[len(text), 1.0] for text in texts])

    def marks(texts):
        return [[text.count("bank"), text.count("nsulin")] for text in texts]

    near = NearestDemonstrations(1, embed=marks).neighbours(POOL)
    assert near.of("an insulin pump")[0].text == TEXTS[2]
    assert near.of("a bank")[0].text == TEXTS[0]
    assert NearestDemonstrations(1, embed=lengths).neighbours(POOL).of("x")


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(ValueError, match="G111"):
        NearestDemonstrations(1).neighbours(POOL).of("x")


def encoder(tokenizer, near, limit):
    encode = TokenAlignedEncoder(tokenizer)
    layout = PromptLayout(("ORG",), neighbours=near)
    fmt = get_format("inline_bracketed")
    return TaskEncoder(fmt, layout, encode, encode.begin_ids, 3, (), limit)


def test_as_many_as_there_is_room_for(tiny_tokenizers):
    tokenizer = tiny_tokenizers["bytelevel"]
    near = NearestDemonstrations(5).neighbours(POOL)
    text = "The bank met in Lisbon."
    free = encoder(tokenizer, near, None)
    source = free.source(text.split(), [True] * 5)
    best = [shown.text for shown in near.of(text)]
    whole = tokenizer.decode(free.prompt(source))
    assert all(shown in whole for shown in best)
    room = len(source.flat_ids) * 4
    needed = len(free.prefix_ids) + room
    seen = []
    for limit in range(needed, needed + 2 * len(free.prompt(source)), 7):
        tight = encoder(tokenizer, near, limit)
        prompt = tight.prompt(source)
        shown = [text for text in best if text in tokenizer.decode(prompt)]
        # The nearest are the last to go.
        assert shown == best[: len(shown)]
        assert len(tight.prefix_ids) + len(prompt) + 2 * len(source.flat_ids) <= max(
            limit, needed + len(tight.prompt(source)) if not shown else limit
        )
        seen.append(len(shown))
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 5
    assert tight.prompt_length(len(source.flat_ids)) < len(tight.prompt(source))
