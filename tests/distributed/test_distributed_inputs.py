"""Cutting a corpus into parts, and reading the parts."""

import json

import pytest
import spacy
from distributed_cases import NEEDS_ARROW, write_docs, write_jsonl

from spacy_genner.distributed.inputs import PartReader, cut_corpus

SUFFIXES = [
    ".txt",
    ".jsonl",
    ".spacy",
    pytest.param(".parquet", marks=NEEDS_ARROW),
]
# A line separator that is no end of a line in a file, and characters of several bytes.
TEXTS = ["Åse came.", "a\u2028b", "", "日本", "e", "f", "g"]
NLP = spacy.blank("en")


def write(path, texts):
    if path.suffix == ".txt":
        data = "\ufeff" + "".join(text + "\r\n" for text in texts)
        path.write_bytes(data.encode())
    elif path.suffix == ".jsonl":
        write_jsonl(path, texts)
    elif path.suffix == ".spacy":
        write_docs(path, texts)
    else:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table({"text": texts, "n": list(range(len(texts)))})
        parquet.write_table(table, path, row_group_size=2)
    return path


def read_all(corpus):
    reader = PartReader(NLP.vocab)
    return [text for part in corpus.parts for text in reader.read(part)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part_size", [1, 3, 7, 100])
def test_parts_are_the_corpus_in_order(tmp_path, suffix, part_size):
    corpus = cut_corpus(write(tmp_path / f"in{suffix}", TEXTS), part_size, False)
    assert corpus.documents == len(TEXTS)
    sizes = [part.documents for part in corpus.parts]
    assert max(sizes) <= part_size and len(sizes) == -(-len(TEXTS) // part_size)
    found = read_all(corpus)
    assert [text.text for text in found] == TEXTS
    assert [text.number for text in found] == list(range(1, len(TEXTS) + 1))
    if suffix == ".jsonl":
        assert [text.fields["id"] for text in found] == [f"d{i}" for i in range(7)]
    elif suffix == ".parquet":
        assert [text.fields["n"] for text in found] == list(range(7))
    elif suffix == ".spacy":
        ids = [text.doc.user_data["doc_id"] for text in found]
        assert ids == [f"d{i}" for i in range(7)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_is_read_in_the_order_of_its_names(tmp_path, suffix):
    for name, texts in (("b", TEXTS[3:]), ("a", TEXTS[:3])):
        write(tmp_path / f"{name}{suffix}", texts)
    # Files that accompany a data set.
    (tmp_path / "_manifest.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    corpus = cut_corpus(tmp_path, 2, False)
    assert [text.text for text in read_all(corpus)] == TEXTS
    # No part contains documents of two files.
    assert [part.documents for part in corpus.parts] == [2, 1, 2, 2]
    assert [part.first for part in corpus.parts] == [1, 3, 4, 6]


def test_an_empty_corpus_has_no_part(tmp_path):
    assert cut_corpus(write(tmp_path / "in.jsonl", []), 2, False).parts == []


def test_the_checksum_depends_on_content_and_parts_alone(tmp_path):
    one = cut_corpus(write(tmp_path / "a.jsonl", TEXTS), 2, False).checksum
    assert cut_corpus(write(tmp_path / "b.jsonl", TEXTS), 2, False).checksum == one
    assert cut_corpus(tmp_path / "a.jsonl", 3, False).checksum != one
    write(tmp_path / "a.jsonl", [*TEXTS[:-1], "h"])
    assert cut_corpus(tmp_path / "a.jsonl", 2, False).checksum != one


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_changes_during_the_run_is_found(tmp_path, suffix):
    path = write(tmp_path / f"in{suffix}", TEXTS)
    corpus = cut_corpus(path, 3, False)
    write(path, ["Bo came.", *TEXTS[1:]])
    with pytest.raises(ValueError, match=r"\[G831\].*in\."):
        PartReader(NLP.vocab).read(corpus.parts[0])


def test_malformed_lines_are_found_before_the_work(tmp_path):
    path = tmp_path / "in.jsonl"
    for line, code in (("{", "G512"), ('{"x": 1}', "G516"), ('{"text": 1}', "G516")):
        path.write_text('{"text": "a"}\n\n' + line + "\n", encoding="utf8")
        with pytest.raises(ValueError, match=rf"\[{code}\].*line 3"):
            cut_corpus(path, 2, False)
    path.write_bytes(b'{"text": "a"}\n\xff\n')
    with pytest.raises(ValueError, match=r"\[G510\].*line 2"):
        cut_corpus(path, 2, False)


@NEEDS_ARROW
def test_unsuitable_parquet_files_are_found_before_the_work(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "in.parquet"
    path.write_bytes(b"no file of this kind")
    with pytest.raises(ValueError, match="G826"):
        cut_corpus(path, 2, False)
    parquet.write_table(pyarrow.table({"body": ["a"]}), path)
    with pytest.raises(ValueError, match=r"\[G828\].*body: string"):
        cut_corpus(path, 2, False)
    parquet.write_table(pyarrow.table({"text": ["a", "b", None]}), path)
    with pytest.raises(ValueError, match=r"\[G827\].*row 3"):
        cut_corpus(path, 2, False)
    parquet.write_table(pyarrow.table({"text": ["a"], "data": [b"\xff"]}), path)
    with pytest.raises(ValueError, match=r"\[G830\].*'data'.*binary"):
        cut_corpus(path, 2, False)
    assert cut_corpus(path, 2, True).documents == 1
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"\[G829\].*other"):
        cut_corpus(tmp_path, 2, True)


def test_folders_without_a_corpus_are_refused(tmp_path):
    with pytest.raises(ValueError, match="G822"):
        cut_corpus(tmp_path, 2, False)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.jsonl").write_text('{"text": "b"}')
    with pytest.raises(ValueError, match=r"\[G525\].*b.jsonl.*as a.txt"):
        cut_corpus(tmp_path, 2, False)
    (tmp_path / "b.jsonl").rename(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"\[G525\].*b.csv"):
        cut_corpus(tmp_path, 2, False)
    with pytest.raises(FileNotFoundError):
        cut_corpus(tmp_path / "missing.jsonl", 2, False)


def test_the_type_of_a_field_is_that_of_all_its_values(tmp_path):
    rows = [
        {"text": "a", "i": 1, "f": 1, "s": "x", "b": True, "m": 1, "big": 2**53 + 1},
        {"text": "b", "i": None, "f": 0.5, "b": False, "m": "x", "big": 0.5, "n": None},
        {"text": "c", "i": 2**60, "l": [1], "huge": 2**70, "status": "input"},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    assert cut_corpus(path, 2, True).fields == {
        "i": "int64",
        "f": "float64",
        "s": "string",
        "b": "bool",
        "m": "json",
        # An integer that no float represents.
        "big": "json",
        "n": "json",
        "l": "json",
        "huge": "json",
    }
