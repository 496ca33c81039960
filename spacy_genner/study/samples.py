"""Random samples of corpora, for a study of a size that a small machine can run."""

import random
from pathlib import Path

import spacy

from ..corpora.docbin import load_docs, write_docbin
from ..corpora.documents import ConversionCounts, WriteOptions


def write_sample(
    source: Path, output: Path, limit: int = 0, seed: int = 0
) -> tuple[int, int]:
    """Write a random sample of a corpus. The documents keep their order and everything
    that is stored with them.

    source (Path): The corpus (.spacy).
    output (Path): The file to write (.spacy).
    limit (int): The number of documents; 0, or more than there are, for all.
    seed (int): The random seed.
    RETURNS (tuple[int, int]): The number of documents in the sample and in the corpus.
    RAISES (ValueError): The source is not a DocBin.
    """
    docs = list(load_docs(source, spacy.blank("xx").vocab))
    chosen = docs
    if 0 < limit < len(docs):
        indices = random.Random(seed).sample(range(len(docs)), limit)
        chosen = [docs[index] for index in sorted(indices)]
    write_docbin(chosen, output, WriteOptions(), ConversionCounts())
    return len(chosen), len(docs)
