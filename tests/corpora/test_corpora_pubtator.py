"""The PubTator reader: documents, mentions and relations."""

from pathlib import Path

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter

TITLE = "🧬 Gout in cats"
ABSTRACT = "No cat had gout or mumps."
DOCUMENT = (
    f"1|t|{TITLE}\n1|a|{ABSTRACT}\n"
    "1\t2\t6\tGout\tDisease\tD006073\n"
    "1\t26\t30\tgout\tDisease\tD006073\n"
)


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "corpus.pubtator"
    path.write_bytes(content.encode("utf-8"))
    return path


def read(tmp_path: Path, content: str, **options):
    path = write(tmp_path, content)
    return list(get_converter("pubtator")(path, ConvertOptions(**options)))


@pytest.mark.parametrize("before, line_end", [("", "\n"), ("\ufeff", "\r\n")])
def test_title_and_abstract_are_one_text(tmp_path, before, line_end):
    content = before + DOCUMENT.replace("\n", line_end)
    [doc] = read(tmp_path, content)
    assert doc.text == f"{TITLE}\n{ABSTRACT}"
    assert (doc.doc_id, doc.sentence_starts) == ("1", None)
    assert doc.spans == [(2, 6, "Disease"), (26, 30, "Disease")]
    assert [doc.text[s.start : s.end] for s in doc.spans] == ["Gout", "gout"]


def test_empty_lines_separate_documents(tmp_path):
    content = f"\n\n{DOCUMENT}\n \n2|t|Only a title \n\n3|t|T\n3|a|\n"
    docs = read(tmp_path, content)
    assert [doc.doc_id for doc in docs] == ["1", "2", "3"]
    assert [doc.text for doc in docs[1:]] == ["Only a title ", "T\n"]
    chosen = read(tmp_path, content, documents=frozenset({"2"}))
    assert [doc.doc_id for doc in chosen] == ["2"]


def test_a_composite_mention_is_a_span(tmp_path):
    line = "1\t26\t39\tgout or mumps\tCompositeMention\tD1|D2\tgout|mumps\n"
    [doc] = read(tmp_path, DOCUMENT + line)
    assert doc.spans[-1] == (26, 39, "CompositeMention")


def test_lines_without_offsets_are_counted(tmp_path):
    more = "1\tCID\tD1\tD2\n1\tCID\tD1\tD3\n1\t-1\t-1\tgout\tDisease\tD1\n"
    message = r"\[W517\].*3 lines.*CID \(2\), mentions without a place \(1\)"
    with pytest.warns(UserWarning, match=message):
        [doc] = read(tmp_path, DOCUMENT + more)
    assert len(doc.spans) == 2


def test_a_relation_of_numbers_is_not_a_mention(tmp_path):
    more = "1\tAssociation\t6\t3172\tNovel\n1\tAssociation\t3172\tD1\tNo\n"
    with pytest.warns(UserWarning, match=r"\[W517\].*2 lines.*Association \(2\)"):
        [doc] = read(tmp_path, DOCUMENT + more)
    assert len(doc.spans) == 2


def test_a_repeated_document_is_kept_and_counted(tmp_path):
    with pytest.warns(UserWarning, match=r"\[W518\].*1 documents.*first: 1"):
        assert len(read(tmp_path, f"{DOCUMENT}\n{DOCUMENT}")) == 2


@pytest.mark.parametrize(
    "line, reason",
    [
        ("1\t2\t6\tGout", "expected start, end, text and type"),
        ("1\t2\t6\tGout\t \tD1", "expected start, end, text and type"),
        ("1\t2\tx\tGout\tDisease", "expected start, end, text and type"),
        ("1\t6\t6\t\tDisease", "6 to 6 is outside the text of 40 characters"),
        ("1\t38\t41\tps.\tDisease", "outside the text"),
        ("2\t2\t6\tGout\tDisease", "expected an annotation of '1', found"),
        ("cut off", "expected an annotation of '1', found"),
        ("1\t1O\t4\tGout\tDisease\tD1", "expected start, end, text and type"),
        ("1\tO2\t6\tGout\tDisease\tD1", "expected start, end, text and type"),
        ("1\t\t6\tGout\tDisease\tD1", "expected start, end, text and type"),
        (f"1\t{'9' * 5000}\t6\tGout\tDisease", "expected start, end, text and type"),
        (f"1\t2\t{'9' * 5000}\tGout\tDisease", "expected start, end, text and type"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, reason):
    with pytest.raises(
        ValueError, match=r"\[G547\].*corpus.pubtator, line 5: "
    ) as error:
        read(tmp_path, DOCUMENT + line)
    assert reason in str(error.value)


@pytest.mark.parametrize("line", ["2|a|No title", "1\t2\t6\tGout\tDisease"])
def test_a_document_starts_with_its_title(tmp_path, line):
    with pytest.raises(ValueError, match=r"\[G547\].*line 6: a document starts with"):
        read(tmp_path, f"{DOCUMENT}\n{line}\n")
    with pytest.raises(
        ValueError, match=r"\[G547\].*line 2: the abstract has the ID '2'"
    ):
        read(tmp_path, "1|t|T\n2|a|A\n")


def test_offsets_that_do_not_fit_are_an_error(tmp_path):
    # These offsets count the emoji as two characters.
    wrong = DOCUMENT.replace("\t2\t6\t", "\t3\t7\t")
    message = (
        r"\[G542\].*line 3: .*has 'Gout' from 3 to 7, but 'out ' is at this position"
    )
    with pytest.raises(ValueError, match=message):
        read(tmp_path, wrong)


def test_a_surface_text_may_have_a_space_for_a_sign(tmp_path):
    content = '1|t|A "B" c\n1|a|D\n1\t2\t5\t B \tDisease\n1\t6\t9\tc D\tDisease\n'
    [doc] = read(tmp_path, content)
    assert [doc.text[s.start : s.end] for s in doc.spans] == ['"B"', "c\nD"]


def test_an_empty_file_contains_no_document(tmp_path):
    assert read(tmp_path, "") == []


@pytest.mark.parametrize(
    "part, file, documents, spans",
    [
        ("devel", "NCBIdevelopset_corpus.txt", 100, 787),
        ("test", "NCBItestset_corpus.txt", 100, 960),
    ],
)
def test_the_ncbi_corpus(data_dir, part, file, documents, spans):
    path = data_dir("ncbi_disease_pubtator", "original-data", part, file)
    docs = list(get_converter("pubtator")(path, ConvertOptions()))
    assert len(docs) == documents
    assert sum(len(set(doc.spans)) for doc in docs) == spans
    labels = {span.label for doc in docs for span in doc.spans}
    assert labels == {"CompositeMention", "DiseaseClass", "Modifier", "SpecificDisease"}


def test_the_ncbi_training_set(data_dir):
    folder = data_dir("ncbi_disease_pubtator", "original-data", "train")
    path = folder / "NCBItrainset_corpus.txt"
    # One document occurs twice, word for word.
    with pytest.warns(UserWarning, match=r"\[W518\].*1 documents.*8528200"):
        docs = list(get_converter("pubtator")(path, ConvertOptions()))
    assert (len(docs), len({doc.doc_id for doc in docs})) == (593, 592)
    assert sum(len(set(doc.spans)) for doc in docs) == 5145
    names = {doc.doc_id: doc for doc in docs}
    assert sum(len(set(doc.spans)) for doc in names.values()) == 5134
