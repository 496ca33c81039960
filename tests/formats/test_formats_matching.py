"""The runs of equal items of two sequences, compared with difflib."""

import random
from difflib import SequenceMatcher

from spacy_genner.formats.matching import matching_blocks


def difflib_blocks(first, second):
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return [tuple(block) for block in matcher.get_matching_blocks()[:-1]]


def test_blocks_are_those_of_difflib():
    choose = random.Random(0)
    for _ in range(2000):
        first = choose.choices("abcde", k=choose.randint(0, 12))
        second = [*first] if choose.random() < 0.5 else []
        for _ in range(choose.randint(0, 8)):
            second.insert(choose.randint(0, len(second)), choose.choice("abcde"))
        found = [tuple(block) for block in matching_blocks(first, second)]
        assert found == difflib_blocks(first, second)


def test_blocks_of_long_sequences_are_in_order_and_equal():
    choose = random.Random(0)
    for alphabet in ("a", "ab", "abcdef"):
        for _ in range(10):
            first = choose.choices(alphabet, k=choose.randint(200, 600))
            second = [item for item in first if choose.random() < 0.95]
            last_a = last_b = matched = 0
            for a, b, size in matching_blocks(first, second):
                assert a >= last_a and b >= last_b and size > 0
                assert first[a : a + size] == second[b : b + size]
                last_a, last_b, matched = a + size, b + size, matched + size
            assert matched > 0.6 * len(second)


def test_rare_words_anchor_long_texts():
    words = [f"w{i // 2}" if i % 2 else "the" for i in range(4000)]
    written = [*words]
    written[1000:1002] = ["a", "new", "one"]
    matched = sum(block.size for block in matching_blocks(written, words))
    assert matched == len(words) - 2
