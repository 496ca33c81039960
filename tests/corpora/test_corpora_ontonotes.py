"""The CoNLL-2012 reader: entity columns, treebank words and documents."""

from pathlib import Path

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.forms.ontonotes import word_text

BEGIN = "#begin document (nw/own/00/own_0001); part 000"
END = "#end document"


def line(word: str, entities: str = "*", arguments: int = 1, name: str = "own") -> str:
    """A line with the columns: name, part, number, word, tag, tree, predicate, frame,
    sense, speaker, entities, arguments of predicates, coreference."""
    return "   ".join(
        [name, "0", "0", word, "NN", "*", "-", "-", "-", "-", entities]
        + ["(ARG0*)"] * arguments
        + ["(3)"]
    )


def document(*sentences: list[str], begin: str = BEGIN) -> str:
    return "\n".join([begin, *("\n".join([*rows, ""]) for rows in sentences), END, ""])


def rows(text: str) -> list[str]:
    """Lines for words with markup: `University|(ORG*`."""
    words = [word.partition("|") for word in text.split()]
    return [line(word, marks or "*") for word, _, marks in words]


def write(folder: Path, content: str, name: str = "own_0001.gold_conll") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode("utf-8"))
    return folder / name


def read(path: Path, **options):
    return list(get_converter("conll-2012")(path, ConvertOptions(**options)))


def texts(doc):
    return [(doc.text[s.start : s.end], s.label) for s in doc.spans]


@pytest.mark.parametrize("before, line_end", [("", "\n"), ("\ufeff", "\r\n")])
def test_words_and_entities(tmp_path, before, line_end):
    content = document(
        rows("🧬 Mara|(PERSON) met Ulf|(PERSON* Berg|*) ."), rows("Hm !")
    )
    docs = read(write(tmp_path, before + content.replace("\n", line_end)))
    assert [doc.text for doc in docs] == ["🧬 Mara met Ulf Berg .", "Hm !"]
    assert docs[0].spans == [(2, 6, "PERSON"), (11, 19, "PERSON")]
    assert {doc.doc_id for doc in docs} == {"nw/own/00/own_0001"}


@pytest.mark.parametrize(
    "text, spans",
    [
        ("a|(GPE*)", [("a", "GPE")]),
        ("a|(ORG* of b|(GPE))", [("a of b", "ORG"), ("b", "GPE")]),
        ("a|(ORG(GPE* b|*) c|*)", [("a b c", "ORG"), ("a b", "GPE")]),
        ("a|(ORG(GPE) b|*)", [("a b", "ORG"), ("a", "GPE")]),
        ("a|(ORG(GPE)* b|*)", [("a b", "ORG"), ("a", "GPE")]),
        ("a|(ORG* b|*) c|(ORG* d|*)", [("a b", "ORG"), ("c d", "ORG")]),
        ("a|(WORK_OF_ART(ORG*))", [("a", "ORG"), ("a", "WORK_OF_ART")]),
    ],
)
def test_entities_nest(tmp_path, text, spans):
    [doc] = read(write(tmp_path, document(rows(text))))
    assert texts(doc) == spans


def test_the_entity_column_is_distinct_from_later_columns(tmp_path):
    sentence = [line("Oslo", "(GPE)", arguments=4), line("sings", "*", arguments=0)]
    [doc] = read(write(tmp_path, document(sentence)))
    assert (doc.text, texts(doc)) == ("Oslo sings", [("Oslo", "GPE")])


@pytest.mark.parametrize(
    "word, text",
    [
        ("-LRB-", "("),
        ("-RCB-", "}"),
        ("/.", "."),
        ("/?", "?"),
        ("/-", "-"),
        ("``", '"'),
        ("1\\/2", "1/2"),
        ("\\*", "*"),
        ("and/or", "and/or"),
        ("/", "/"),
        ("...", "..."),
        ("-", "-"),
    ],
)
def test_treebank_words_become_text(word, text):
    assert word_text(word) == text


def test_offsets_refer_to_the_text(tmp_path):
    [doc] = read(
        write(tmp_path, document(rows("-LRB- Oslo|(GPE) -RRB- now|(DATE) /.")))
    )
    assert doc.text == "( Oslo ) now ."
    assert texts(doc) == [("Oslo", "GPE"), ("now", "DATE")]
    [doc] = read(tmp_path / "own_0001.gold_conll", detokenize=True)
    assert doc.text == "(Oslo) now."
    assert texts(doc) == [("Oslo", "GPE"), ("now", "DATE")]


def test_other_white_space_belongs_to_a_word(tmp_path):
    [doc] = read(write(tmp_path, document([line("1\u00a0000", "(CARDINAL)")])))
    assert texts(doc) == [("1\u00a0000", "CARDINAL")]


def test_parts_are_documents_with_one_id(tmp_path):
    part = BEGIN.replace("part 000", "part 001")
    content = document(rows("A"), rows("Oslo|(GPE)")) + document(rows("C"), begin=part)
    path = write(tmp_path, content)
    assert [doc.text for doc in read(path)] == ["A", "Oslo", "C"]
    first, second = read(path, join_sentences=True)
    assert (first.text, first.sentence_starts) == ("A Oslo", [0, 2])
    assert texts(first) == [("Oslo", "GPE")]
    assert (second.text, second.doc_id) == ("C", first.doc_id)


def test_a_folder_is_read_in_sorted_order(tmp_path):
    write(tmp_path / "nw" / "b", document(rows("Two")), "b.v4_gold_conll")
    write(tmp_path / "nw" / "a", document(rows("One")), "a.v4_gold_conll")
    write(tmp_path / "nw" / "a", "no such file", "a.v4_gold_parse")
    assert [doc.text for doc in read(tmp_path)] == ["One", "Two"]
    write(tmp_path / "nw" / "a", document(rows("Auto")), "a.v4_auto_conll")
    with pytest.warns(UserWarning, match=r"\[W513\].*: 1 files with automatic"):
        assert [doc.text for doc in read(tmp_path)] == ["One", "Two"]
    # The file is read if its path is given.
    path = tmp_path / "nw" / "a" / "a.v4_auto_conll"
    assert [doc.text for doc in read(path)] == ["Auto"]


@pytest.mark.parametrize(
    "content, number, reason",
    [
        (document(["Oslo (GPE)"]), 2, "there are 2 columns"),
        (document(rows("a b|-")), 3, "malformed named entities: '-'"),
        (
            document(rows("a|(ORG")).replace("(ORG", "((ORG"),
            2,
            "malformed named entities",
        ),
        (document(rows("a b|*)")), 3, "ends without a start"),
        (document(rows("a b|(ORG* c"), rows("d|*)")), 3, "the ORG that starts here"),
        (document(rows("a [WORD]")), 3, "skeleton2conll.sh"),
        (line("a"), 1, "the line is outside a document"),
        (document(rows("a")) + line("b"), 5, "the line is outside a document"),
        (f"{END}\n", 1, "unexpected"),
        (f"\n{BEGIN}\n{BEGIN}\n", 3, "unexpected"),
        (document(rows("a")).replace(END, ""), 1, f"has no '{END}'"),
        ("\n#begin document own\n", 2, "outside a document"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, content, number, reason):
    message = rf"\[G539\].*own_0001.gold_conll, line {number}: "
    with pytest.raises(ValueError, match=message) as error:
        read(write(tmp_path, content))
    assert reason in str(error.value)


def test_an_empty_file_contains_no_document(tmp_path):
    assert read(write(tmp_path, "")) == []
    assert read(write(tmp_path, f"{BEGIN}\n\n{END}\n")) == []
