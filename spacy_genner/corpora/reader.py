"""The corpus reader of training configs."""

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Optional

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example
from spacy.vocab import Vocab

from ..errors import Errors
from .docbin import load_docbin, load_docs


def make_corpus(
    path: Optional[str],  # noqa: UP045
    limit: int = 0,
    seed: int = 0,
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.Corpus.v1`: reads `.spacy` files.

    The predicted side of an example is made by the pipeline's own tokenizer, so that
    training meets the tokens that prediction will meet.

    path (Optional[str]): A `.spacy` file, or a folder with some.
    limit (int): How many documents to take; 0 for all. They are a sample that the
        seed fixes, the same at each reading, in the files' order.
    seed (int): The seed.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): There is no path, or the limit is below 0.
    """
    if path is None:
        raise ValueError(Errors.G505)
    if limit < 0:
        raise ValueError(Errors.G506.format(found=limit))
    return SampledCorpus(path, limit=limit, seed=seed)


class SampledCorpus(Corpus):
    """spaCy's corpus, whose limit takes a fixed sample in place of the first ones.

    path (Union[str, Path]): A `.spacy` file, or a folder with some.
    limit (int): How many documents to take; 0 for all.
    seed (int): Fixes the sample.
    """

    def __init__(self, path: str | Path, *, limit: int = 0, seed: int = 0):
        super().__init__(path)
        self.sample = limit
        self.seed = seed

    def read_docbin(self, vocab: Vocab, locs: Iterable[str | Path]) -> Iterator[Doc]:
        """Read the sample's documents, with their user data.

        vocab (Vocab): Their vocabulary.
        locs (Iterable[Union[str, Path]]): The files.
        YIELDS (Doc): The documents.
        RAISES (ValueError): A file is no DocBin.
        """
        paths = [Path(loc) for loc in locs]
        chosen: set[int] | None = None
        if self.sample:
            total = sum(len(load_docbin(path)) for path in paths)
            size = min(self.sample, total)
            chosen = set(random.Random(self.seed).sample(range(total), size))
        index = 0
        for path in paths:
            for doc in load_docs(path, vocab):
                if len(doc) and (chosen is None or index in chosen):
                    yield doc
                index += 1
