"""Sources and markup with tokenizers of the common kinds."""

import pytest
from grammar_cases import BRACKETED, XML

from spacy_genner.grammar import InlineGrammar, make_markup, make_source
from spacy_genner.models.tokenization import TokenAlignedEncoder

KINDS = ["bytelevel", "metaspace", "metaspace_prefix"]
LABELS = ["cell_line", "cell_type", "cell", "DNA"]
TEXTS = {
    "plain": ["Lisbon", "hosts", "it", "."],
    "white space": ["a", "\t", "b", "\n\n", "c", "\u00a0", "d", "\u3000", "e"],
    "emoji": ["👩\u200d🚀", "🇵🇹", "x"],
    "combining": ["e\u0301", "a\u0308o", "\u0301"],
    "right to left": ["שלום", "עולם", "مرحبا"],
    "CJK": ["東京", "都", "北京", "大学"],
    "specials": ["<eos>", "<bos>", "<unk>", "<pad>", "</s>"],
    "bytes": ["<0x0A>", "▁", "Ġ", "\x00", "\x7f"],
    "one": ["x"],
}


@pytest.fixture(params=KINDS)
def encode(request, tiny_tokenizers):
    return TokenAlignedEncoder(tiny_tokenizers[request.param])


@pytest.mark.parametrize("name", TEXTS)
def test_source_is_an_exact_copy(encode, name):
    words = TEXTS[name]
    source = make_source(words, [True] * len(words), encode)
    assert source.text == " ".join(words) + " "
    tokenizer = encode.tokenizer
    specials = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert specials.isdisjoint(source.flat_ids)
    for word, token in enumerate(source.tokens):
        start, end = source.starts[word], source.ends[word]
        assert source.text[start:end] == words[token]
    grammar = InlineGrammar(make_markup(BRACKETED, LABELS, encode), source, 3)
    assert grammar.walk(source.flat_ids)[-1].finished


@pytest.mark.parametrize("fmt", [BRACKETED, XML], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("name", TEXTS)
def test_every_span_round_trips(encode, fmt, name):
    words = TEXTS[name]
    source = make_source(words, [True] * len(words), encode)
    grammar = InlineGrammar(make_markup(fmt, LABELS, encode), source, 3)
    for start in range(len(source)):
        for end in range(start + 1, len(source) + 1):
            if source.blank[start] or source.blank[end - 1]:
                continue
            for label in range(len(LABELS)):
                spans = [(start, end, label)]
                state = grammar.walk(grammar.target(spans))[-1]
                assert state.finished
                assert [span[:3] for span in state.spans] == spans


def test_source_is_decoded_to_its_text(encode):
    """Words encoded separately decode to the text, with any prefix of the tokenizer."""
    words = ["Lisbon", ",", "the", "University", "of", "Lisbon", "."]
    spaces = [False, True, True, True, True, False, False]
    source = make_source(words, spaces, encode)
    decoded = encode.tokenizer.decode(source.flat_ids)
    assert decoded.strip() == source.text


def test_labels_share_their_first_tokens(encode):
    markup = make_markup(BRACKETED, LABELS, encode)
    first = {ids[0] for ids in markup.close_ids}
    assert len(first) == 1
    assert set(markup.closing.children) == first
    assert markup.closing.below == {0, 1, 2, 3}


def test_tags_with_the_same_ids_raise():
    def lossy(text):
        return [0 if character.isalpha() else ord(character) for character in text]

    with pytest.raises(ValueError, match="G101"):
        make_markup(BRACKETED, ["A", "B"], lossy)


def test_tokens_without_ids_are_part_of_no_word():
    def dropping(text):
        return [ord(character) for character in text if character != "\u200b"]

    source = make_source(["a", "\u200b", "b"], [False, False, False], dropping)
    assert source.text == "a\u200bb"
    assert source.tokens == (0, 2)
    assert source.word_range(0, 3) == (0, 2)
    assert source.word_range(0, 1) == (0, 1)
    assert source.word_range(0, 2) is None
