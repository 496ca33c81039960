"""Detokenization: the removed spaces, and the offsets of spans afterwards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.tokenizer import detokenize, removable_spaces
from spacy_genner.formats import CharSpan


def together(text: str, starts=()) -> str:
    gone = set(removable_spaces(text, starts))
    return "".join(char for place, char in enumerate(text) if place not in gone)


@pytest.mark.parametrize(
    "tokens, text",
    [
        ("The University of Oslo .", "The University of Oslo."),
        ("In May , 5 % left ; why ?", "In May, 5% left; why?"),
        ("( PHA ) and [ IL-2 ]", "(PHA) and [IL-2]"),
        ("It cost $ 5 ... or so", "It cost $5... or so"),
        ('He said " no " and left .', 'He said "no" and left.'),
        ('An odd " quote', 'An odd " quote'),
        ("`` Yes , '' she said", "``Yes,'' she said"),
        ("Mara 's car does n't start", "Mara's car doesn't start"),
        ("We ' re here , he didn ' t come", "We're here, he didn't come"),
        ("the boys ' school", "the boys' school"),
        ("' the boys ' said", "' the boys ' said"),
        ("‘ so ’ they say", "‘so’ they say"),
        ("a - b / c", "a - b / c"),
        ("two  spaces , and\na line .", "two  spaces, and\na line."),
        ("", ""),
        ("one", "one"),
    ],
)
def test_spaces_that_only_separate_tokens_are_removed(tokens, text):
    assert together(tokens) == text


def test_the_space_between_sentences_is_kept():
    text = '" No . " " Yes .'
    assert together(text) == '"No." " Yes.'
    assert together(text, [0, 9]) == '"No." " Yes.'
    assert together("( a ) ( b )") == "(a) (b)"
    # A sentence that begins with a full stop keeps its space.
    assert together("one . two", [0, 4]) == "one . two"


def test_spans_and_sentence_starts_keep_their_characters():
    text = "The ( University of Oslo ) . She left ."
    spans = [CharSpan(6, 24, "ORG"), CharSpan(20, 24, "GPE"), CharSpan(4, 26, "X")]
    [found] = detokenize([Annotated(text, spans, "d", [0, 29])])
    assert found.text == "The (University of Oslo). She left."
    assert [found.text[s.start : s.end] for s in found.spans] == [
        "University of Oslo",
        "Oslo",
        "(University of Oslo)",
    ]
    assert found.sentence_starts == [0, 26]
    assert found.text[26:] == "She left."


@settings(max_examples=200)
@given(st.text(alphabet="ab'\"s .,([)]\n", max_size=30), st.data())
def test_only_single_spaces_are_removed(text, data):
    words = [(m, m + 1) for m, char in enumerate(text) if not char.isspace()]
    spans = [CharSpan(start, end, "A") for start, end in words]
    [found] = detokenize([Annotated(text, spans, "d", None)])
    assert [found.text[s.start : s.end] for s in found.spans] == [
        text[start:end] for start, end in words
    ]
    assert "".join(found.text.split()) == "".join(text.split())
    assert found.text.count("\n") == text.count("\n")


@pytest.mark.parametrize("corpus_format", ["conll", "conll-nested"])
def test_files_of_tokens_are_detokenized(tmp_path, corpus_format):
    (tmp_path / "c").write_text(
        "In\tO\nOslo\tB-GPE\n.\tO\n\nBo\tB-PER\n's\tO\ncar\tO\n"
    )
    read = get_converter(corpus_format)
    first, second = read(tmp_path / "c", ConvertOptions(detokenize=True))
    assert (first.text, first.spans) == ("In Oslo.", [CharSpan(3, 7, "GPE")])
    assert second.text == "Bo's car"
    options = ConvertOptions(detokenize=True, join_sentences=True)
    [joined] = read(tmp_path / "c", options)
    assert (joined.text, joined.sentence_starts) == ("In Oslo. Bo's car", [0, 9])
