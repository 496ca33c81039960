"""Real corpora in columns have the sizes that their authors publish."""

from pathlib import Path

import pytest

from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import get_converter


def read(corpus_format: str, files: list[Path]) -> list[Annotated]:
    reader = get_converter(corpus_format)
    return [doc for file in files for doc in reader(file, ConvertOptions())]


def count(docs: list[Annotated]) -> tuple[int, int, int]:
    """The numbers of sentences, spans and labels."""
    labels = {span.label for doc in docs for span in doc.spans}
    return len(docs), sum(len(set(doc.spans)) for doc in docs), len(labels)


def test_wikigold(data_dir):
    docs = read("conll", [data_dir("wikigold", "wikigold.conll.txt")])
    assert count(docs) == (1696, 3558, 4)
    assert len({doc.doc_id for doc in docs}) == 145


@pytest.mark.parametrize(
    "part, sentences, spans",
    [("train", 700, 4100), ("dev", 2121, 12378), ("test", 2506, 14709)],
)
def test_crossner(data_dir, part, sentences, spans):
    files = sorted(data_dir("crossner").glob(f"*/{part}.txt"))
    assert len(files) == 5
    assert count(read("conll", files))[:2] == (sentences, spans)


def test_finer_wikipedia(data_dir):
    docs = read("conll-nested", [data_dir("finer_wikipedia", "wikipedia.test.csv")])
    assert count(docs) == (3526, 6339, 6)


@pytest.mark.parametrize(
    "part, sentences, spans, twice",
    [("train", 4383, 4040, 3), ("dev", 564, 504, 0), ("test", 565, 566, 1)],
)
def test_danplus(data_dir, part, sentences, spans, twice):
    docs = read("conll-nested", [data_dir("danplus", f"da_news_{part}.tsv")])
    assert count(docs)[:2] == (sentences, spans)
    # Some spans occur on both levels.
    assert sum(len(doc.spans) for doc in docs) == spans + twice


def test_litbank(data_dir):
    files = sorted(data_dir("litbank", "entities", "tsv").glob("*.tsv"))
    assert count(read("conll-nested", files)) == (8562, 13912, 6)
