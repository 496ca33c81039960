"""The bracketed reader: strict markup, joined and separate sentences."""

from pathlib import Path

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.forms.bracketed import parse_bracketed
from spacy_genner.formats import CharSpan

CORPUS = """\
[Mara Quist | PERSON] moved to [Oslo | GPE].
The [University of [Oslo | GPE] | ORG] is [[Oslo | GPE] | ORG]'s.

Nothing | here.
"""


def read(path: Path, **options):
    return list(get_converter("bracketed")(path, ConvertOptions(**options)))


def test_brackets_become_spans():
    text, spans = parse_bracketed("The [University of [Oslo | GPE] | ORG].")
    assert text == "The University of Oslo."
    assert {(text[s.start : s.end], s.label) for s in spans} == {
        ("Oslo", "GPE"),
        ("University of Oslo", "ORG"),
    }


def test_two_labels_of_one_range_are_read():
    assert parse_bracketed("[[x | A] | B]") == (
        "x",
        [CharSpan(0, 1, "A"), CharSpan(0, 1, "B")],
    )


def test_a_bar_in_the_text_is_kept():
    assert parse_bracketed("a | b [c | d | E] f")[0] == "a | b c | d f"


@pytest.mark.parametrize(
    "line, reason",
    [
        ("an [Oslo | GPE", "without a ']'"),
        ("an Oslo | GPE]", "closes no span"),
        ("an [Oslo]", "no ' | LABEL'"),
        ("an [Oslo | ]", "no ' | LABEL'"),
        ("an [ Oslo | GPE]", "white space at its edge"),
        ("an [ | GPE]", "empty"),
    ],
)
def test_malformed_markup_names_file_and_line(tmp_path, line, reason):
    path = tmp_path / "corpus.txt"
    path.write_text(f"fine.\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"\[G511\].*corpus.txt, line 2: ") as error:
        read(path)
    assert reason in str(error.value)


def test_sentences_are_joined_with_exact_offsets(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS, encoding="utf-8")
    first, second = read(path)
    assert first.text == "Mara Quist moved to Oslo.\nThe University of Oslo is Oslo's."
    assert first.sentence_starts == [0, 26]
    assert [(first.text[s.start : s.end], s.label) for s in sorted(first.spans)] == [
        ("Mara Quist", "PERSON"),
        ("Oslo", "GPE"),
        ("University of Oslo", "ORG"),
        ("Oslo", "GPE"),
        ("Oslo", "GPE"),
        ("Oslo", "ORG"),
    ]
    assert second.text == "Nothing | here."
    assert (first.doc_id, second.doc_id) == ("1", "2")


def test_sentences_can_stay_separate(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS, encoding="utf-8")
    found = read(path, join_sentences=False)
    assert [doc.doc_id for doc in found] == ["1", "1", "2"]
    assert found[1].text == "The University of Oslo is Oslo's."


def test_invalid_utf8_names_the_line(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"fine\n" + "Åre\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"\[G510\].*line 2"):
        read(path)


def test_columns_with_tags_are_no_text_without_markup(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("Oslo B-GPE\n. O\n\nHm O\n")
    with pytest.raises(ValueError, match=r"\[G566\].*--from conll"):
        read(path)
    path.write_text("Plan O\n\nNothing else.\n")
    assert [doc.text for doc in read(path)] == ["Plan O", "Nothing else."]
