"""The BRAT writer: pairs of files, safe names and replaceable folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writer_cases import NESTED, OFF_GRID, PLAIN, SPANS, TEXT, make_docs, read, write

from spacy_genner.corpora.documents import Annotated
from spacy_genner.corpora.forms.brat import SafeNames
from spacy_genner.formats import CharSpan


def files(folder) -> dict[str, str]:
    found = sorted(path for path in folder.iterdir())
    return {path.name: path.read_bytes().decode() for path in found}


def test_each_document_has_a_pair_of_files(tmp_path):
    counts = write(make_docs(NESTED, PLAIN), tmp_path / "out" / "new", "brat")
    assert files(tmp_path / "out" / "new") == {
        "letters_1.ann": "T1\tPERSON 0 10\tMara Quist\n"
        "T2\tORG 20 38\tUniversity of Oslo\n"
        "T3\tGPE 34 38\tOslo\n"
        "T4\tLOC 34 38\tOslo\n"
        "T5\tGPE 57 63\tBergen\n",
        "letters_1.txt": TEXT,
        "plain.ann": "",
        "plain.txt": "Nothing here.",
    }
    assert counts.left_out == counts.changed == {}


def test_written_files_are_read_back(tmp_path):
    write(make_docs(NESTED, OFF_GRID, PLAIN), tmp_path / "o", "brat")
    first, second, third = read(tmp_path / "o", "brat")
    assert (first.text, set(first.spans)) == (TEXT, set(SPANS))
    assert second.spans == OFF_GRID.spans
    assert (third.text, third.spans) == (PLAIN.text, [])


def test_a_line_break_splits_a_span(tmp_path):
    text = "at New\r\n  York\ttown, and\n"
    spans = [CharSpan(3, 14, "GPE"), CharSpan(0, len(text), "ALL")]
    write(make_docs(Annotated(text, spans, "d", None)), tmp_path / "o", "brat")
    notes = (tmp_path / "o" / "d.ann").read_bytes().decode()
    assert "T2\tGPE 3 6;10 14\tNew York\n" in notes
    assert (tmp_path / "o" / "d.txt").read_bytes().decode() == text
    [found] = read(tmp_path / "o", "brat")
    assert (found.text, sorted(found.spans)) == (text, sorted(spans))


def test_a_folder_of_pairs_is_replaced(tmp_path):
    write(make_docs(NESTED, PLAIN), tmp_path / "o", "brat")
    write(make_docs(PLAIN), tmp_path / "o", "brat")
    assert list(files(tmp_path / "o")) == ["plain.ann", "plain.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.mark.parametrize(
    "others", [["notes.md"], ["a.txt"], ["a.ann"], ["a.txt", "a.ann", "a.a1"]]
)
def test_a_folder_with_other_files_is_refused(tmp_path, others):
    (tmp_path / "o").mkdir()
    for name in others:
        (tmp_path / "o" / name).write_text(name)
    with pytest.raises(ValueError, match=r"\[G554\].*not overwritten"):
        write(make_docs(PLAIN), tmp_path / "o", "brat")
    assert sorted(files(tmp_path / "o")) == sorted(others)


def test_other_obstacles_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"\[G556\]"):
        write(make_docs(PLAIN), tmp_path / "file", "brat")
    (tmp_path / ".o.genner-backup").mkdir()
    with pytest.raises(ValueError, match=r"\[G555\].*\.o\.genner-backup"):
        write(make_docs(PLAIN), tmp_path / "o", "brat")
    (tmp_path / "d" / "sub").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"\[G554\].*sub"):
        write(make_docs(PLAIN), tmp_path / "d", "brat")


def test_a_label_with_white_space_is_refused(tmp_path):
    document = Annotated("one two", [CharSpan(0, 3, "cell line")], "d", None)
    with pytest.raises(ValueError, match=r"\[G551\].*'brat'"):
        write(make_docs(PLAIN, document), tmp_path / "o", "brat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "doc_id, name",
    [
        ("MEDLINE:123", "MEDLINE_123"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a b\tc\n", "a_b_c_"),
        (".hidden", "hidden"),
        ("..", "document"),
        ("", "document"),
        ("Åse-ø_1.b", "Åse-ø_1.b"),
        ("con", "_con"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_safe(doc_id, name):
    assert SafeNames().make(doc_id) == name


def test_names_are_unique():
    names = SafeNames()
    made = [names.make(doc_id) for doc_id in ("a", "a-2", "A", "a", "a:", "a/", "a-2")]
    assert made == ["a", "a-2", "A-3", "a-4", "a_", "a_-2", "a-2-2"]


@given(st.lists(st.text(max_size=6), max_size=12))
def test_any_ids_become_file_names(doc_ids):
    names = SafeNames()
    made = [names.make(doc_id) for doc_id in doc_ids]
    assert len({name.casefold() for name in made}) == len(made)
    for name in made:
        assert name and not name.startswith(".") and len(name.encode()) < 250
        assert not set(name) & set('/\\:*?"<>|\0\n')
