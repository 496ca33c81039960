"""How long a right answer can be."""

from ...formats import CharSpan, get_format
from ..exchange import Question

# What a model may say around its answer.
_AROUND = 256
# Two offsets of an entry, beside the digits that the sample has.
_NUMBERS = 2


def most_tokens(question: Question) -> int:
    """A limit that no right answer reaches, so that one that does not end does.

    It is the bytes of an answer with a mark, or an entry, for each word: no token is
    shorter than a byte, and where spans are nested as well, words make up for it.

    question (Question): The question.
    RETURNS (int): Tokens.
    """
    layout, words = question.layout, question.subject.words
    label = max(layout.labels, key=_size, default="x")
    spans = [CharSpan(0, 1, label), CharSpan(2, 3, label)]
    render = get_format(layout.format).render
    one, two = (_size(render("x x", some, [label])) for some in (spans[:1], spans))
    entry = two - one + _NUMBERS * len(str(len(question.subject.text)))
    text = sum(_size(word) + 1 for word in words)
    labels = sum(_size(name) + len('"": [], ') for name in layout.labels)
    return text + entry * len(words) + labels + _AROUND


def _size(text: str) -> int:
    return len(text.encode("utf8", "replace"))
