"""What tells one corpus from another, wherever its file is."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Optional

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..corpora.docbin import unaligned_spans

# Of a corpus that is streamed, and may be without end, only the beginning is read.
STREAMED = 1000


def corpus_digest(
    corpus: Callable[[Language], Iterable[Example]],
    nlp: Language,
    limit: Optional[int] = None,  # noqa: UP045
) -> str:
    """Digest what a corpus gives: texts, tokens and annotations, in order.

    The random states are as before afterwards; a corpus that augments or shuffles
    gives the same digest each time.

    corpus (Callable[[Language], Iterable[Example]]): The corpus.
    nlp (Language): The pipeline, whose tokenizer cuts the texts.
    limit (Optional[int]): How many examples to read; None for all.
    RETURNS (str): The SHA-256, as hexadecimal digits.
    """
    python, legacy = random.getstate(), numpy.random.get_state()
    try:
        random.seed(0)
        numpy.random.seed(0)
        digest = hashlib.sha256()
        for example in islice(corpus(nlp), limit):
            facts = [[token.idx for token in example.predicted]]
            facts += _annotations(example.reference)
            digest.update(json.dumps(facts).encode("utf8"))
        return digest.hexdigest()
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)


def _annotations(doc: Doc) -> list:
    groups = {
        key: [(span.start, span.end, span.label_) for span in doc.spans[key]]
        for key in sorted(doc.spans)
    }
    ents = [(span.start, span.end, span.label_) for span in doc.ents]
    tokens = [(token.text, token.whitespace_, token.is_sent_start) for token in doc]
    lost = [list(span) for span in unaligned_spans(doc)]
    return [tokens, groups, ents, doc.cats, lost]
