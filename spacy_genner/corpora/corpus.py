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

# What a DocBin holds a value of for each document.
_COLUMNS = ("tokens", "spaces", "cats", "span_groups", "user_data", "flags")


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
    return SampledCorpus(path, limit=limit, seed=seed)


def make_outer_ents_corpus(
    path: Optional[str],  # noqa: UP045
    limit: int = 0,
    seed: int = 0,
    spans_key: str = "sc",
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.OuterEntsCorpus.v1`: reads `.spacy` files for
    components that learn from `doc.ents`, as `ner` does.

    path (Optional[str]): A `.spacy` file, or a folder with some.
    limit (int): How many documents to take; 0 for all. The sample is that of
        `spacy-genner.Corpus.v1` with the same limit and seed.
    seed (int): The seed.
    spans_key (str): The group whose outermost spans become entities.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): There is no path, or the limit is below 0.
    """
    return OuterEntsCorpus(path, limit=limit, seed=seed, spans_key=spans_key)


class SampledCorpus(Corpus):
    """spaCy's corpus, whose limit takes a fixed sample in place of the first ones.

    path (Optional[Union[str, Path]]): A `.spacy` file, or a folder with some.
    limit (int): How many documents to take; 0 for all.
    seed (int): Fixes the sample.
    RAISES (ValueError): There is no path, or the limit is below 0.
    """

    def __init__(self, path: str | Path | None, *, limit: int = 0, seed: int = 0):
        if path is None:
            raise ValueError(Errors.G505)
        if limit < 0:
            raise ValueError(Errors.G506.format(found=limit))
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
        docbins: Iterable[DocBin] = (load_docbin(Path(loc)) for loc in locs)
        if self.sample:
            docbins = self._sampled(list(docbins))
        for docbin in docbins:
            yield from (doc for doc in docbin.get_docs(vocab) if len(doc))

    def _sampled(self, docbins: list[DocBin]) -> list[DocBin]:
        """Leave only the sample in DocBins: making Docs of all the others would take
        longer than all else about reading them."""
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
                # User data need not be stored.
                setattr(docbin, name, [values[i] for i in kept if i < len(values)])
        return docbins


class OuterEntsCorpus(SampledCorpus):
    """The same, with the outermost spans of a group as entities.

    Of spans that overlap the longest is taken, of equals the first. A Doc without the
    group keeps the entities that it has. Where all do so, and there are other groups, a
    warning names them; without entities that is an error.

    path (Optional[Union[str, Path]]): A `.spacy` file, or a folder with some.
    limit (int): How many documents to take; 0 for all.
    seed (int): Fixes the sample.
    spans_key (str): The group.
    RAISES (ValueError): There is no path, or the limit is below 0.
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
        """Read the sample's documents, and set their entities.

        vocab (Vocab): Their vocabulary.
        locs (Iterable[Union[str, Path]]): The files.
        YIELDS (Doc): The documents.
        RAISES (ValueError): A file is no DocBin, or the files have neither the group
            nor entities, and other groups.
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
