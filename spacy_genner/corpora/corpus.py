"""Corpus readers for training: `spacy-genner.Corpus.v1` and `OuterEntsCorpus.v1`."""

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Optional

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus, Example
from spacy.util import filter_spans
from spacy.vocab import Vocab

from ..errors import Errors, Warnings, warn
from .docbin import check_annotated, load_docbin, load_docs
from .label_sets import copy_label_set

# The attributes of a DocBin that contain a value for each document.
_COLUMNS = ("tokens", "spaces", "cats", "span_groups", "user_data", "flags")


def make_corpus(
    path: Optional[str],  # noqa: UP045
    limit: int = 0,
    seed: int = 0,
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.Corpus.v1`. Reads `.spacy` files.

    The tokenizer of the pipeline creates the predicted Doc of each example, so that
    training and prediction see the same tokens.

    path (str | None): A `.spacy` file, or a folder of such files.
    limit (int): The maximum number of documents, or 0 for all. The seed determines the
        sample, which is the same in each epoch and keeps the order of the files.
    seed (int): The seed of the sample.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): The path is missing, or the limit is negative.
    """
    return SampledCorpus(path, limit=limit, seed=seed)


def make_outer_ents_corpus(
    path: Optional[str],  # noqa: UP045
    limit: int = 0,
    seed: int = 0,
    spans_key: str = "sc",
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.OuterEntsCorpus.v1`. Reads `.spacy` files for
    components that learn from `doc.ents`, such as `ner`.

    path (str | None): A `.spacy` file, or a folder of such files.
    limit (int): The maximum number of documents, or 0 for all. The sample is the same
        as that of `spacy-genner.Corpus.v1` with equal limit and seed.
    seed (int): The seed of the sample.
    spans_key (str): The group whose outermost spans become entities.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): The path is missing, or the limit is negative.
    """
    return OuterEntsCorpus(path, limit=limit, seed=seed, spans_key=spans_key)


class SampledCorpus(Corpus):
    """A variant of spaCy's corpus that limits by a random sample, rather than by taking
    the first documents.

    path (str | Path | None): A `.spacy` file, or a folder of such files.
    limit (int): The maximum number of documents, or 0 for all.
    seed (int): The seed of the sample.
    RAISES (ValueError): The path is missing, or the limit is negative.
    """

    def __init__(self, path: str | Path | None, *, limit: int = 0, seed: int = 0):
        if path is None:
            raise ValueError(Errors.G505)
        if limit < 0:
            raise ValueError(Errors.G506.format(found=limit))
        super().__init__(path)
        self.sample = limit
        self.seed = seed

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the examples. The predicted Doc has the label set of the reference.

        nlp (Language): The pipeline, whose tokenizer creates the predicted Docs.
        YIELDS (Example): The examples.
        """
        for example in super().__call__(nlp):
            copy_label_set(example.reference, example.predicted)
            yield example

    def read_docbin(self, vocab: Vocab, locs: Iterable[str | Path]) -> Iterator[Doc]:
        """Read the documents of the sample, with their user data.

        vocab (Vocab): The vocabulary of the documents.
        locs (Iterable[str | Path]): The files.
        YIELDS (Doc): The documents.
        RAISES (ValueError): A file is not a DocBin.
        """
        docbins: Iterable[DocBin] = (load_docbin(Path(loc)) for loc in locs)
        if self.sample:
            docbins = self._sampled(list(docbins))
        for docbin in docbins:
            yield from (doc for doc in docbin.get_docs(vocab) if len(doc))

    def _sampled(self, docbins: list[DocBin]) -> list[DocBin]:
        """Reduce DocBins to the sample. Creating the Docs of all other documents would
        dominate the reading time."""
        total = sum(map(len, docbins))
        size = min(self.sample, total)
        chosen = set(random.Random(self.seed).sample(range(total), size))
        before = 0
        for docbin in docbins:
            length = len(docbin)
            kept = [index for index in range(length) if before + index in chosen]
            before += length
            for name in _COLUMNS:
                values = getattr(docbin, name)
                # A DocBin may lack user data.
                setattr(docbin, name, [values[i] for i in kept if i < len(values)])
        return docbins


class OuterEntsCorpus(SampledCorpus):
    """A sampled corpus that sets the outermost spans of a group as entities.

    Of overlapping spans it keeps the longest, and of equally long ones the first. A Doc
    without the group keeps its own entities. If no Doc has the group and some have
    other groups, a warning names those; if there are no entities either, that is an
    error.

    path (str | Path | None): A `.spacy` file, or a folder of such files.
    limit (int): The maximum number of documents, or 0 for all.
    seed (int): The seed of the sample.
    spans_key (str): The group.
    RAISES (ValueError): The path is missing, or the limit is negative.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        limit: int = 0,
        seed: int = 0,
        spans_key: str = "sc",
    ):
        super().__init__(path, limit=limit, seed=seed)
        self.spans_key = spans_key

    def read_docbin(self, vocab: Vocab, locs: Iterable[str | Path]) -> Iterator[Doc]:
        """Read the documents of the sample and set their entities.

        vocab (Vocab): The vocabulary of the documents.
        locs (Iterable[str | Path]): The files.
        YIELDS (Doc): The documents.
        RAISES (ValueError): A file is not a DocBin, or the files contain other groups
            but neither the group nor entities.
        """
        key, paths = self.spans_key, list(locs)
        check_annotated(
            (doc for path in paths for doc in load_docs(Path(path), vocab)), key
        )
        found: set[str] = set()
        for doc in super().read_docbin(vocab, paths):
            found.update(doc.spans)
            if key in doc.spans:
                doc.set_ents(filter_spans(doc.spans[key]))
            yield doc
        if found and key not in found:
            warn(Warnings.W519.format(key=key, found=sorted(found)))
