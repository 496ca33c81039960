"""Equivalent characters in one form."""

from spacy_genner.formats.folding import fold
from spacy_genner.formats.occurrences import loose_occurrences


def test_folded_offsets_cover_whole_characters():
    text = "a\u0301\u00adb\u2026\ufb01"
    folded = fold(text)
    assert folded.text == "\u00e1b...fi"
    assert list(folded.starts) == [0, 3, 4, 4, 4, 5, 5]
    assert list(folded.ends) == [2, 4, 5, 5, 5, 6, 6]
    # Half a character is not found.
    assert loose_occurrences(text, "f") == []
    assert loose_occurrences(text, "BFI") == []
    assert loose_occurrences(text, "\u00c1 B") == [(0, 4)]
