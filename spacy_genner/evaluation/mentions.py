"""Which mentions the training data holds: recognised, or known by heart?"""

from collections.abc import Iterable
from pathlib import Path

import spacy

from ..corpora.docbin import load_docs
from ..errors import Errors
from .scorer import gold_spans

SEEN, OTHER_LABEL, UNSEEN = MENTIONS = ("seen", "other_label", "unseen")


class Mentions:
    """The texts that are annotated in a corpus, and their labels.

    Case counts: `Apple` and `apple` are two mentions. White space does not: a mention
    that is broken over two lines is the one that is not.

    mentions (Iterable[Tuple[str, str]]): Texts with their labels.
    """

    def __init__(self, mentions: Iterable[tuple[str, str]]):
        self._labels: dict[str, set[str]] = {}
        self.count = 0
        for text, label in mentions:
            self._labels.setdefault(_spaced(text), set()).add(label)
            self.count += 1

    def kind(self, text: str, label: str) -> str:
        """What the corpus says of a mention.

        text (str): Its text.
        label (str): Its label.
        RETURNS (str): "seen" where the text is annotated with the label, "other_label"
            where it is annotated with others only, "unseen" where it never is.
        """
        labels = self._labels.get(_spaced(text))
        if labels is None:
            return UNSEEN
        return SEEN if label in labels else OTHER_LABEL


def read_mentions(path: Path, key: str) -> Mentions:
    """Collect the mentions of training data, those off the token grid among them.

    path (Path): A `.spacy` file.
    key (str): The group of `doc.spans`.
    RETURNS (Mentions): Its mentions.
    RAISES (ValueError): It is no DocBin, or no document of it has the group.
    """
    pairs: list[tuple[str, str]] = []
    keys: set[str] = set()
    for doc in load_docs(path, spacy.blank("xx").vocab):
        keys.update(doc.spans)
        if key in doc.spans:
            text = doc.text
            pairs += [(text[s.start : s.end], s.label) for s in gold_spans(doc, key)]
    if key not in keys:
        raise ValueError(Errors.G613.format(path=path, key=key, found=sorted(keys)))
    return Mentions(pairs)


def _spaced(text: str) -> str:
    return " ".join(text.split())
