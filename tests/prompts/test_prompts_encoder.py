"""Encoding of prompts and reference outputs."""

import pytest

from spacy_genner.formats import get_format
from spacy_genner.models.tokenization import TokenAlignedEncoder
from spacy_genner.prompts import PromptLayout, TaskEncoder

LABELS = ("ORG", "GPE")


@pytest.fixture
def encoder(tiny_tokenizers):
    encode = TokenAlignedEncoder(tiny_tokenizers["bytelevel"])
    layout = PromptLayout(LABELS, {"ORG": "an organisation"}, readings=2)
    fmt = get_format("inline_bracketed")
    return TaskEncoder(fmt, layout, encode, encode.begin_ids, 3)


def make_source(encoder, text):
    return encoder.source(text.split(), [True] * len(text.split()))


def test_the_prefix_contains_labels_definitions_and_demonstrations():
    layout = PromptLayout(
        LABELS, {"ORG": "an organisation"}, demonstrations=(("x", "[x | ORG]"),)
    )
    assert "- ORG: an organisation\n- GPE" in layout.prefix
    assert "\nText:\nx\nMarked:\n[x | ORG]\n\nText:\n" in layout.prefix
    assert layout.prefix.endswith("\nText:\n")
    assert "Labels: ORG, GPE" in PromptLayout(LABELS).prefix


@pytest.mark.parametrize("readings", [1, 2])
def test_the_prompt_repeats_the_text(tiny_tokenizers, readings):
    encode = TokenAlignedEncoder(tiny_tokenizers["bytelevel"])
    layout = PromptLayout(LABELS, readings=readings)
    fmt = get_format("inline_bracketed")
    encoder = TaskEncoder(fmt, layout, encode, encode.begin_ids, 3)
    source = make_source(encoder, "Lisbon hosts it")
    prompt = encoder.prompt(source)
    text = encode.tokenizer.decode(prompt)
    assert text.count("Lisbon hosts it") == readings
    assert len(prompt) == encoder.prompt_length(len(source.flat_ids))
    assert encoder.prefix_ids[0] == encode.tokenizer.bos_token_id


@pytest.mark.parametrize("readings", [0, 3])
def test_readings_are_one_or_two(readings):
    with pytest.raises(ValueError, match="G104"):
        PromptLayout(LABELS, readings=readings)


def test_the_target_contains_spans_and_choices(encoder):
    source = make_source(encoder, "the University of Lisbon .")
    grammar = encoder.grammar(source)
    target, lost = encoder.target(grammar, [(1, 4, 0), (3, 4, 1)])
    assert lost == []
    text = encoder.encode.tokenizer.decode(list(target.ids))
    assert text == "the[ University of[ Lisbon | GPE] | ORG] ."
    states = grammar.walk(list(target.ids))
    for choice in target.choices:
        assert list(choice.legal) == states[choice.place].choices
        assert choice.legal[choice.right] == target.ids[choice.place]
    decided = {choice.place for choice in target.choices}
    assert all(
        len(state.choices) == 1
        for place, state in enumerate(states[:-1])
        if place not in decided
    )


def test_the_target_skips_spans_that_are_not_representable(encoder):
    source = make_source(encoder, "see [ 3 ] there")
    grammar = encoder.grammar(source)
    target, lost = encoder.target(grammar, [(1, 4, 0), (4, 5, 1)])
    assert lost == [(1, 4, 0)]
    assert [span[:3] for span in grammar.walk(list(target.ids))[-1].spans] == [
        (4, 5, 1)
    ]


def test_the_target_skips_spans_beyond_the_maximum_depth(encoder):
    source = make_source(encoder, "a b c d")
    grammar = encoder.grammar(source)
    nested = [(0, 4, 0), (0, 3, 0), (0, 2, 0), (0, 1, 0)]
    target, lost = encoder.target(grammar, nested)
    assert lost == [(0, 1, 0)]
    assert len(grammar.walk(list(target.ids))[-1].spans) == 3
