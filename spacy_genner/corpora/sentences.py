"""Sentence boundaries: the factory `genner_sentences`.

The component sets the starts of sentences by character offsets, so that it works behind
any tokenizer. A splitter proposes them: by default sentencex, a library with rules for
many languages. Proposals inside numbers and names, and after initials and
abbreviations, are rejected.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Optional

import numpy
from spacy.attrs import SENT_START
from spacy.language import Language
from spacy.pipeline.pipe import Pipe
from spacy.tokens import Doc
from spacy.util import get_lang_class

from ..errors import Errors, Warnings, warn

# A text and the code of its language to the offsets where sentences start.
Splitter = Callable[[str, str], Sequence[int]]

DEFAULTS: dict[str, Any] = {
    "splitter": {"@misc": "spacy-genner.SentencexSplitter.v1", "lang": None},
    "lines": False,
    "overwrite": False,
    "scorer": {"@scorers": "spacy.senter_scorer.v1"},
}

# The library is given so many characters at once, as it needs quadratic time for some
# texts. A piece without a boundary and the next one share so many characters.
PIECE = 8192
SHARED = 512
# The number of characters before a boundary that are searched for its last word.
LONGEST_WORD = 40
# Longer words are no abbreviations before a number or a lower case letter: `max. 5` and
# `Figs. 3`, which is capitalized.
LONGEST_ABBREVIATION = 4
LONGEST_CAPITALIZED = 6
# The number of characters of the longest item marker, such as `(12)`, with white space.
LONGEST_MARKER = 8

# The ends of sentences in scripts with upper and lower case.
_MARKS = ".!?…"
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BLANK_LINE = re.compile("(?:\r\n|[\n\r\x85\u2028\u2029])\\s*[\n\r\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# White space other than that of ASCII.
_OTHER_SPACE = re.compile("[^\\S \t\n\r]")
_NOT_SPACE = re.compile(r"\S")
_WORD = re.compile(r"\w+")
_LAST_WORD = re.compile(r"\S*\Z")
_OPENING = re.compile(r"[^\w\s]*")
_PARTS = re.compile(r"[^\w.]+")
# The number or letter of an item in a list: `2.`, `(a)`.
_MARKER = re.compile(r"[\W_]*(?:\d+|[^\W\d_])?[\W_]*")
_ITEM = re.compile(r"\d{1,3}\.\s")
# Letters with periods between them: `U.S.`, `p.m.`, `B.C.`.
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


class SentencexSplitter:
    """Registered as `spacy-genner.SentencexSplitter.v1`. Splits texts with the rules
    of sentencex.

    The time is linear in the length of the text.

    lang (str | None): The code of the language whose rules are used. None for the
        language of the pipeline. For languages without rules of their own, the library
        uses those of a related language, or else general ones.
    """

    def __init__(self, lang: Optional[str] = None):  # noqa: UP045
        self.lang = lang

    def __call__(self, text: str, lang: str) -> list[int]:
        """Find the starts of sentences.

        text (str): The text.
        lang (str): The code of the language of the pipeline.
        RETURNS (list[int]): The offsets, in characters, in order.
        """
        # The library cannot encode lone surrogates, and fails for white space of
        # several bytes before a period. The replacements keep all offsets.
        text = _OTHER_SPACE.sub(" ", _SURROGATE.sub("\ufffd", text))
        starts: list[int] = []
        at = 0
        while at < len(text):
            piece = text[at : at + PIECE]
            found = [at + start for start in _boundaries(piece, self.lang or lang)]
            starts += found
            end = at + len(piece)
            if end >= len(text):
                break
            # The sentence that the end of the piece cuts is read again as a whole,
            # unless it is most of the piece.
            is_long = not found or found[-1] < at + len(piece) // 2
            at = end - SHARED if is_long else found[-1]
        return sorted(set(starts))


def _boundaries(text: str, lang: str) -> list[int]:
    """The starts of all sentences of a text but the first."""
    # The factory is imported with every pipeline, and the library only if it is used.
    from sentencex import get_sentence_boundaries

    return [found["start_index"] for found in get_sentence_boundaries(lang, text)][1:]


class SentenceSplitter(Pipe):
    """Sets sentence boundaries. Registered as the factory `genner_sentences`.

    The tokens and the text stay unchanged. A boundary inside a token moves to the
    nearest edge of the token. White space belongs to the sentence before it.

    vocab (Vocab): The vocabulary of the pipeline.
    name (str): The name of the component.
    splitter (Callable[[str, str], Sequence[int]]): Gets a text and the code of its
        language, and returns the offsets where sentences start.
    lang (str): The code of the language.
    lines (bool): Whether each line starts a sentence.
    overwrite (bool): Whether to replace sentence boundaries that are set. Otherwise
        only tokens without annotation are annotated.
    scorer (Callable | None): The scoring method.
    """

    def __init__(
        self,
        vocab: Any,
        name: str = "genner_sentences",
        *,
        splitter: Splitter | None = None,
        lang: str = "en",
        lines: bool = False,
        overwrite: bool = False,
        scorer: Callable | None = None,
    ):
        self.vocab = vocab
        self.name = name
        self.splitter = splitter or SentencexSplitter()
        self.lang = lang
        self.lines = lines
        self.overwrite = overwrite
        self.scorer = scorer

    def __call__(self, doc: Doc) -> Doc:
        """Set the sentence boundaries of a document.

        doc (Doc): The document.
        RETURNS (Doc): The same document.
        RAISES (ValueError): The splitter returns an invalid offset, and the error
            handler raises the error.
        """
        try:
            self._set_starts(doc)
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def sentence_starts(self, text: str) -> list[int]:
        """Find the starts of sentences in a text.

        text (str): The text.
        RETURNS (list[int]): The offsets of their first characters that are not white
            space, in order. The first sentence is included.
        RAISES (ValueError): The splitter returns an invalid offset.
        """
        starts: dict[int, None] = {}
        for begin, end in self._sections(text):
            section = text[begin:end]
            first = _NOT_SPACE.search(section)
            if first is None:
                continue
            previous = first.start()
            starts[begin + previous] = None
            for offset in sorted(set(self.splitter(section, self.lang))):
                self._check_offset(offset, section)
                place = _NOT_SPACE.search(section, offset)
                if place is None:
                    break
                start = place.start()
                if start <= previous or is_inside(section, start, self.lang):
                    continue
                if start - previous <= LONGEST_MARKER and _MARKER.fullmatch(
                    section, previous, start
                ):
                    continue
                starts[begin + start] = None
                previous = start
        return list(starts)

    def _sections(self, text: str) -> Iterator[tuple[int, int]]:
        """The parts of the text that the splitter gets: its lines, or all of it."""
        begin = 0
        if self.lines:
            for line_break in _LINE_BREAK.finditer(text):
                yield begin, line_break.start()
                begin = line_break.end()
        yield begin, len(text)

    def _check_offset(self, offset: Any, text: str) -> None:
        if isinstance(offset, bool) or not isinstance(offset, (int, numpy.integer)):
            found = f"{offset!r} of the type {type(offset).__name__}"
        elif not 0 <= offset <= len(text):
            found = str(offset)
        else:
            return
        raise ValueError(
            Errors.G568.format(name=self.name, found=found, size=len(text))
        )

    def _set_starts(self, doc: Doc) -> None:
        if not len(doc):
            return
        values = numpy.full(len(doc), -1, dtype="int32")
        # spaCy's first sentence starts at the first token, even if it is white space.
        values[0] = 1
        values[token_starts(doc, self.sentence_starts(doc.text)[1:])] = 1
        if not self.overwrite:
            present = doc.to_array([SENT_START]).astype("int32").reshape(-1)
            # spaCy sets the first token of each new document.
            present[0] = 0
            values = numpy.where(present == 0, values, present)
        # Unlike `token.is_sent_start`, this is possible for parsed documents, too.
        column: Any = values.astype("uint64").reshape(-1, 1)
        doc.from_array([SENT_START], column)


def token_starts(doc: Doc, starts: Sequence[int]) -> list[int]:
    """Find the tokens that start sentences.

    doc (Doc): The document.
    starts (Sequence[int]): The offsets of characters, in order.
    RETURNS (list[int]): The tokens at these offsets. For an offset inside a token it is
        the nearer one of that token and the next; the next if both are equally near.
        White space does not start a sentence: the token after it does.
    """
    edges = [token.idx for token in doc]
    ends = [token.idx + len(token) for token in doc]
    found = []
    indices = numpy.searchsorted(edges, starts, side="right") - 1
    for start, index in zip(starts, indices.tolist(), strict=True):
        # Empty tokens have the offset of the next token.
        if start > edges[index] and ends[index] - start <= start - edges[index]:
            index += 1
        while index < len(doc) and (doc[index].is_space or not doc[index].text):
            index += 1
        if index < len(doc):
            found.append(index)
    return found


# Boundaries that no splitter should set


def is_inside(text: str, start: int, lang: str) -> bool:
    """Whether the offset is not the start of a sentence, because the period before it
    belongs to a number, a name, an initial or an abbreviation.

    A text without cut is one long input, while a cut inside of a name loses the name.
    So the answer is yes in case of doubt.

    text (str): The text.
    start (int): The offset of the first character of a proposed sentence.
    lang (str): The code of the language.
    RETURNS (bool): Whether to reject the proposal.
    """
    # Without a limit, texts of one long word would take quadratic time.
    before = text[max(0, start - LONGEST_WORD) : start]
    # Closing quotes and brackets belong to the sentence.
    closed = before.rstrip()
    while closed and not closed[-1].isalnum() and closed[-1] not in _MARKS:
        closed = closed[:-1]
    word = closed.rstrip(_MARKS)
    marks = closed[len(word) :]
    if not marks or _BLANK_LINE.search(before):
        return False
    word = _LAST_WORD.search(word)[0]  # type: ignore[index]
    begin = text[start : start + LONGEST_WORD]
    if not before[-1].isspace():
        # `example.com`, `4.7`, `J.-C.`; but scripts without case may have no spaces.
        first = begin[0]
        return first.isdigit() or _is_cased(first) or first in "-‑_/@"
    if marks != ".":
        return False
    first = begin[len(_OPENING.match(begin)[0]) :][:1]  # type: ignore[index]
    word = word[len(_OPENING.match(word)[0]) :]  # type: ignore[index]
    abbreviations, stop_words = _language_data(lang)
    is_abbreviation = (
        _is_initial(word)
        or _DOTTED.fullmatch(word) is not None
        or f"{word}." in abbreviations
    )
    if first.isdigit() or first.islower():
        # `Figs. 3`, `anti-E. chaffeensis`
        part = _PARTS.split(word)[-1]
        longest = LONGEST_CAPITALIZED if part.istitle() else LONGEST_ABBREVIATION
        if _ITEM.match(begin) and part.islower():
            longest = 0
        is_short = part.isalpha() and len(part) <= longest
        return is_abbreviation or is_short or _DOTTED.fullmatch(part) is not None
    # A sentence after an abbreviation usually starts with a function word.
    following = _WORD.search(begin)
    return is_abbreviation and not (
        following and following.group().lower() in stop_words
    )


def _is_cased(char: str) -> bool:
    return char.isupper() or char.islower() or char.istitle()


def _is_initial(word: str) -> bool:
    letters = unicodedata.normalize("NFC", word)
    return len(letters) == 1 and letters.isupper()


@cache
def _language_data(lang: str) -> tuple[frozenset[str], frozenset[str]]:
    """spaCy's abbreviations and stop words of a language."""
    try:
        defaults = get_lang_class(lang).Defaults
    except ImportError:
        defaults = Language.Defaults
    exceptions = defaults.tokenizer_exceptions or {}
    abbreviations = (
        word for word in exceptions if word.endswith(".") and word[:-1].isalpha()
    )
    return frozenset(abbreviations), frozenset(defaults.stop_words)


# The factory


@Language.factory(
    "genner_sentences",
    assigns=["token.is_sent_start", "doc.sents"],
    default_config=DEFAULTS,
    # The component is not trained, so its scores select no model.
    default_score_weights={"sents_f": None, "sents_p": None, "sents_r": None},
)
def make_sentences(
    nlp: Language,
    name: str,
    splitter: Callable[[str, str], Any],
    lines: bool,
    overwrite: bool,
    scorer: Optional[Callable],  # noqa: UP045
) -> SentenceSplitter:
    """Create the component `genner_sentences`.

    nlp (Language): The pipeline.
    name (str): The name of the component.
    splitter (Callable[[str, str], Sequence[int]]): Gets a text and the code of its
        language, and returns the offsets where sentences start.
    lines (bool): Whether each line starts a sentence.
    overwrite (bool): Whether to replace sentence boundaries that are set.
    scorer (Callable | None): The scoring method.
    RETURNS (SentenceSplitter): The component.
    """
    return SentenceSplitter(
        nlp.vocab,
        name,
        splitter=splitter,
        lang=nlp.lang or "xx",
        lines=lines,
        overwrite=overwrite,
        scorer=scorer,
    )


# The check of other components


def warn_of_sentencizer(nlp: Language, name: str) -> None:
    """Warn if a sentencizer cuts numbers, because the tokenizer separates their
    periods. The sentencizer starts a sentence after each period that is a token.

    nlp (Language): The pipeline.
    name (str): A component that gets the sentences as its inputs.
    """
    if name not in nlp.pipe_names:
        return
    for other in nlp.pipe_names[: nlp.pipe_names.index(name)]:
        if nlp.get_pipe_meta(other).factory != "sentencizer":
            continue
        doc = nlp.get_pipe(other)(nlp.tokenizer("4.7"))
        if len(list(doc.sents)) > 1:
            warn(Warnings.W520.format(name=other))


def find_sentence_setter(nlp: Language | None, name: str) -> str | None:
    """Find the upstream component that sets sentence boundaries.

    nlp (Language | None): The pipeline.
    name (str): The name of a component.
    RETURNS (str | None): The name of the first such component before it, if there is
        one.
    """
    if nlp is None:
        return None
    for other in nlp.pipe_names:
        if other == name:
            break
        if "token.is_sent_start" in nlp.get_pipe_meta(other).assigns:
            return other
    return None
