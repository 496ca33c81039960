"""The fine tokenizer."""

import sys
import unicodedata

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokenizer import Tokenizer

from spacy_genner.corpora.tokenizer import _PLANES, make_fine_tokenizer

NLP = spacy.blank("en")
FINE = make_fine_tokenizer()(NLP)


def words(text: str) -> list[str]:
    return [token.text for token in FINE(text)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("(IL-2)-induced", "( IL - 2 ) - induced"),
        ("NF-kappa B.", "NF - kappa B ."),
        ("protein(s)", "protein ( s )"),
        ("AP1/2b", "AP 1 / 2 b"),
        ("a_b e.g.", "a _ b e . g ."),
        ("don't", "do n't"),
        ("café नमस्ते", "café नमस्ते"),
        ("induced", "induced"),
    ],
)
def test_words_are_split_at_every_change(text, expected):
    assert words(text) == expected.split()


def test_other_planes_of_unicode_have_no_marks():
    kinds = {
        unicodedata.category(chr(code))
        for code in range(sys.maxunicode + 1)
        if code >> 16 not in _PLANES
    }
    assert kinds == {"Cn", "Co"}


def test_it_is_saved_like_any_tokenizer(tmp_path):
    assert type(FINE) is Tokenizer
    nlp = spacy.blank("en")
    nlp.tokenizer = make_fine_tokenizer()(nlp)
    nlp.to_disk(tmp_path)
    text = "Some (IL-2)-induced U.S. don't 12kg café"
    assert [t.text for t in Tokenizer(nlp.vocab).from_bytes(FINE.to_bytes())(text)] == (
        words(text)
    )


@pytest.mark.parametrize("lang", ["de", "fr", "fi", "hu", "xx"])
def test_other_languages(lang):
    nlp = spacy.blank(lang)
    tokenizer = make_fine_tokenizer()(nlp)
    assert [t.text for t in tokenizer("p65/p50-Bindung.")] == (
        "p 65 / p 50 - Bindung .".split()
    )


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_no_text_is_lost(text):
    assert FINE(text).text == text
