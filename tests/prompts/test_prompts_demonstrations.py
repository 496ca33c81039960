"""Demonstrations: their selection, and the number that fits the context length."""

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


def test_first_demonstrations():
    assert FirstDemonstrations().shared(POOL) == POOL
    assert FirstDemonstrations(2).shared(POOL) == POOL[:2]
    assert FirstDemonstrations(9).shared([]) == []
    assert FirstDemonstrations().neighbours(POOL) is None


def test_random_demonstrations_depend_on_the_seed():
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


def test_nearest_demonstrations_by_words():
    nearest = NearestDemonstrations(2).neighbours(POOL)
    assert NearestDemonstrations(2).shared(POOL) == ()
    found = [shown.text for shown in nearest.of("Will the bank change its rates?")]
    assert found == [TEXTS[0], TEXTS[3]]
    found = [shown.text for shown in nearest.of("insulin for the patient")]
    assert found == [TEXTS[2], TEXTS[4]]
    # If no text has any of the words, the first ones are selected.
    assert [shown.text for shown in nearest.of("xyzzy")] == TEXTS[:2]
    assert NearestDemonstrations(2).neighbours([]) is None


def test_a_text_is_not_its_own_demonstration():
    nearest = NearestDemonstrations(5).neighbours(POOL)
    assert {shown.text for shown in nearest.of(TEXTS[0])} == set(TEXTS[1:])


def test_nearest_demonstrations_by_custom_vectors():
    def lengths(texts):
        return numpy.asarray([[len(text), 1.0] for text in texts])

    def word_counts(texts):
        return [[text.count("bank"), text.count("nsulin")] for text in texts]

    nearest = NearestDemonstrations(1, embed=word_counts).neighbours(POOL)
    assert nearest.of("an insulin pump")[0].text == TEXTS[2]
    assert nearest.of("a bank")[0].text == TEXTS[0]
    assert NearestDemonstrations(1, embed=lengths).neighbours(POOL).of("x")


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(ValueError, match="G111"):
        NearestDemonstrations(1).neighbours(POOL).of("x")


def make_encoder(tokenizer, nearest, limit):
    encode = TokenAlignedEncoder(tokenizer)
    layout = PromptLayout(("ORG",), neighbours=nearest)
    fmt = get_format("inline_bracketed")
    return TaskEncoder(fmt, layout, encode, encode.begin_ids, 3, (), limit)


def test_as_many_demonstrations_as_fit(tiny_tokenizers):
    tokenizer = tiny_tokenizers["bytelevel"]
    nearest = NearestDemonstrations(5).neighbours(POOL)
    text = "The bank met in Lisbon."
    unlimited = make_encoder(tokenizer, nearest, None)
    source = unlimited.source(text.split(), [True] * 5)
    ranked = [shown.text for shown in nearest.of(text)]
    whole = tokenizer.decode(unlimited.prompt(source))
    assert all(shown in whole for shown in ranked)
    room = len(source.flat_ids) * 4
    needed = len(unlimited.prefix_ids) + room
    counts = []
    for limit in range(needed, needed + 2 * len(unlimited.prompt(source)), 7):
        limited = make_encoder(tokenizer, nearest, limit)
        prompt = limited.prompt(source)
        shown = [text for text in ranked if text in tokenizer.decode(prompt)]
        # The nearest demonstrations are dropped last.
        assert shown == ranked[: len(shown)]
        assert len(limited.prefix_ids) + len(prompt) + 2 * len(source.flat_ids) <= max(
            limit, needed + len(limited.prompt(source)) if not shown else limit
        )
        counts.append(len(shown))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 5
    assert limited.prompt_length(len(source.flat_ids)) < len(limited.prompt(source))
