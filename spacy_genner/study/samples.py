"""Random samples of corpora, for a study of a size that a small machine can run."""

import random
from pathlib import Path

import spacy
from spacy.tokens import DocBin

from ..corpora.docbin import load_docbin
from ..errors import Errors
from ..io import write_bytes


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
    RAISES (ValueError): The source is not a DocBin, is empty, or would be overwritten.
    """
    if output.exists() and output.samefile(source):
        raise ValueError(
            Errors.G770.format(path=source, first="CORPUS", second="OUTPUT")
        )
    docbin = load_docbin(source)
    docs = list(docbin.get_docs(spacy.blank("xx").vocab))
    if not docs:
        raise ValueError(Errors.G602.format())
    chosen = docs
    if 0 < limit < len(docs):
        indices = random.Random(seed).sample(range(len(docs)), limit)
        chosen = [docs[index] for index in sorted(indices)]
    # The default attributes lack some, such as sentence boundaries.
    sample = DocBin(attrs=docbin.attrs, store_user_data=True, docs=chosen)
    write_bytes(output, sample.to_bytes())
    return len(chosen), len(docs)
