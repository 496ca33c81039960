"""Conversion options and the choice of documents."""

import json

import pytest

from spacy_genner.corpora.convert import convert_file
from spacy_genner.corpora.documents import (
    ConvertOptions,
    read_chosen,
    read_document_list,
)
from spacy_genner.corpora.forms.jsonl import read_jsonl


def test_a_document_list_has_one_id_a_line(tmp_path):
    path = tmp_path / "dev.txt"
    path.write_bytes("\ufeffa b\r\n\r\n  MEDLINE:1 \r\na b\n".encode())
    assert read_document_list(path) == {"a b", "MEDLINE:1"}


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_document_list_is_an_error(tmp_path, content):
    path = tmp_path / "dev.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"\[G531\].*dev.txt"):
        read_document_list(path)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "c.jsonl"
    records = [
        {"doc_id": name, "text": f"Text {number}.", "spans": []}
        for number, name in enumerate(["M:1", "M:2", "M:2", "x"])
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def chosen(corpus, *names):
    options = ConvertOptions(documents=frozenset(names))
    return [doc.text for doc in read_chosen(read_jsonl, corpus, options)]


def test_documents_are_chosen_by_id(corpus):
    assert len(list(read_chosen(read_jsonl, corpus, ConvertOptions()))) == 4
    assert chosen(corpus, "M:2") == ["Text 1.", "Text 2."]
    # The part after the colon is accepted, too.
    assert chosen(corpus, "2", "x") == ["Text 1.", "Text 2.", "Text 3."]


def test_missing_ids_are_counted(corpus):
    with pytest.warns(UserWarning, match=r"\[W510\] 2 of the 3.*The first: 8, 9"):
        assert chosen(corpus, "9", "x", "8") == ["Text 3."]


def test_an_error_lists_ids_of_the_corpus(corpus):
    with pytest.raises(ValueError, match=r"\[G532\] None of the 1.*'M:1', 'M:2', 'x'"):
        chosen(corpus, "M1")


def test_a_conversion_reads_the_chosen_documents(corpus, tmp_path):
    options = ConvertOptions(documents=frozenset({"M:2"}))
    counts = convert_file(corpus, tmp_path / "c.spacy", "jsonl", options=options)
    assert counts.documents == 2


@pytest.mark.parametrize("setting", [{"extent": "tail"}, {"discontinuous": "drop"}])
def test_an_invalid_option_is_named(setting):
    [(name, value)] = setting.items()
    with pytest.raises(ValueError, match=rf"\[G530\] '{name}' is '{value}'"):
        ConvertOptions(**setting)


@pytest.mark.parametrize("corpus_format", ["ace2005", "brat", "pubtator"])
def test_formats_without_sentences_refuse_splitting(tmp_path, corpus_format):
    options = ConvertOptions(join_sentences=False)
    with pytest.raises(ValueError, match=rf"\[G533\].*'{corpus_format}'"):
        convert_file(tmp_path, tmp_path / "c.spacy", corpus_format, options=options)


@pytest.mark.parametrize("corpus_format", ["ace2005", "brat", "conll-2012"])
def test_a_folder_without_its_files_is_named(tmp_path, corpus_format):
    (tmp_path / "notes.md").write_text("x", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"\[G534\] The folder .* contains no .* files"
    ):
        convert_file(tmp_path, tmp_path / "c.spacy", corpus_format)


@pytest.mark.parametrize(
    "corpus_format", ["ace2005", "brat", "conll-2012", "genia-xml", "pubtator"]
)
def test_a_missing_path_is_named(tmp_path, corpus_format):
    path = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as error:
        convert_file(path, tmp_path / "c.spacy", corpus_format)
    assert error.value.filename == str(path)
