"""The CoNLL readers: tagging schemes, columns and documents."""

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.forms.conll import spans_of_tags


@pytest.mark.parametrize(
    "scheme, tags",
    [
        ("IOB2", "B-A I-A B-A O B-B"),
        ("IOB1", "I-A I-A B-A O I-B"),
        ("BILUO", "B-A L-A U-A O U-B"),
        ("BIOES", "B-A E-A S-A O S-B"),
    ],
)
def test_every_scheme_gives_the_same_spans(scheme, tags):
    expected = [(0, 1, "A"), (2, 2, "A"), (4, 4, "B")]
    assert spans_of_tags(tags.split()) == expected


def test_inside_tags_are_separated_by_label():
    assert spans_of_tags("I-A I-A I-B O I-B".split()) == [
        (0, 1, "A"),
        (2, 2, "B"),
        (4, 4, "B"),
    ]


def test_documents_and_sentences(tmp_path):
    path = tmp_path / "c.conll"
    path.write_text(
        "-DOCSTART- -X- O\n\nOslo NNP B-GPE\n. . O\n\nHm UH O\n\n-DOCSTART- -X- O\n\n"
        "New NNP B-GPE\nYork NNP I-GPE\n",
        encoding="utf-8",
    )
    read = get_converter("conll")
    split = list(read(path, ConvertOptions()))
    assert [(doc.text, doc.doc_id) for doc in split] == [
        ("Oslo .", "1"),
        ("Hm", "1"),
        ("New York", "2"),
    ]
    first, second = read(path, ConvertOptions(join_sentences=True))
    assert (first.text, first.sentence_starts) == ("Oslo . Hm", [0, 7])
    assert second.spans == [(0, 8, "GPE")]


def test_levels_are_read_from_columns(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text(
        "University\tB-ORG\tO\t\nof\tI-ORG\tO\t\nOslo\tI-ORG\tB-GPE\t\n",
        encoding="utf-8",
    )
    [doc] = get_converter("conll-nested")(path, ConvertOptions())
    assert doc.spans == [(0, 18, "ORG"), (14, 18, "GPE")]
    # The last column is the last one with tags, not the empty one after the last tab.
    [doc] = get_converter("conll")(path, ConvertOptions())
    assert doc.spans == [(14, 18, "GPE")]


@pytest.mark.parametrize("line", ["Oslo", "Oslo\tX-GPE", "Oslo\tB-", "Oslo GPE"])
def test_a_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "c.conll"
    path.write_text(f"In O\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"\[G514\].*line 2"):
        list(get_converter("conll")(path, ConvertOptions()))
