"""How probable it is that a question is answered with the first of two words."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ...errors import Errors
from ..thinking import thought_before
from .replies import Reply

# A token with what could have stood there, and how probable each was.
_Place = tuple[str, list[tuple[str, float]]]
_MOST = 0.5


class Odds(NamedTuple):
    """The answer to a yes-no question.

    probability (Optional[float]): That of the first word, against the second; None
        where the answer says neither.
    error (Optional[Exception]): Why there is no answer.
    """

    probability: float | None
    error: Exception | None = None


def check_options(options: Sequence[str]) -> tuple[str, str]:
    """Check the two words, one of which answers a question.

    options (Sequence[str]): The words.
    RETURNS (Tuple[str, str]): The same, stripped and in small letters.
    RAISES (ValueError): They are not two, or begin with the same letter.
    """
    words = [str(option).strip().lower() for option in options]
    if len(words) != 2 or not all(words) or words[0][0] == words[1][0]:
        raise ValueError(Errors.G725.format(found=list(options)))
    return words[0], words[1]


def read_odds(reply: Reply, options: tuple[str, str]) -> float | None:
    """The probability of the first word.

    It is that of the tokens that begin it, of all that begin either, at the first place
    where such a token was taken or they hold most of the probability. Where there is no
    such place, or the server gives no probabilities, it is 1 or 0 by the word that
    comes first in the answer. What the model thought before is no part of it.

    reply (Reply): The answer.
    options (Tuple[str, str]): The two words, in small letters.
    RETURNS (Optional[float]): The probability; None where there is neither word.
    """
    for token, alternatives in _behind_thought(list(_positions(reply.logprobs))):
        if not any(char.isalnum() for char in token):
            # A line break or a mark before the word.
            continue
        first, second = (_mass(alternatives, option) for option in options)
        # At any other place the two have a trace of probability, which says nothing.
        taken = any(_begins(token, option) for option in options)
        if first + second > (0 if taken else _MOST):
            return first / (first + second)
    answer = reply.text[thought_before(reply.text) :].lower()
    found = re.search("|".join(rf"\b{re.escape(o)}\b" for o in options), answer)
    return None if found is None else float(found[0] == options[0])


def _behind_thought(places: list[_Place]) -> list[_Place]:
    written = "".join(token for token, _ in places)
    begin = thought_before(written)
    ends = accumulate(len(token) for token, _ in places)
    return [place for place, end in zip(places, ends, strict=True) if end > begin]


def _begins(token: str, option: str) -> bool:
    start = token.strip().lower()
    return bool(start) and option.startswith(start)


def _mass(alternatives: Sequence[tuple[str, float]], option: str) -> float:
    total = 0.0
    for token, logprob in alternatives:
        if _begins(token, option):
            total += math.exp(min(logprob, 0.0))
    return total


def _positions(logprobs: Any) -> Iterator[_Place]:
    """Each token of an answer with what could have stood there, as either call of the
    protocol has it."""
    if not isinstance(logprobs, dict):
        return
    content = logprobs.get("content")
    if isinstance(content, list):
        for place in content:
            if isinstance(place, dict):
                top = place.get("top_logprobs")
                pairs = [_pair(item) for item in (top if isinstance(top, list) else [])]
                yield str(place.get("token")), _usable([_pair(place), *pairs])
        return
    tokens, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
    if not isinstance(tokens, list) or not isinstance(tops, list):
        return
    chosen = logprobs.get("token_logprobs")
    chosen = chosen if isinstance(chosen, list) else [None] * len(tokens)
    for token, logprob, top in zip(tokens, chosen, tops, strict=False):
        pairs = list(top.items()) if isinstance(top, dict) else []
        yield str(token), _usable([(token, logprob), *pairs])


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, dict):
        return None, None
    return item.get("token"), item.get("logprob")


def _usable(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[str, float]]:
    """Each token once: the one that was taken stands among the others too."""
    known: dict[str, float] = {}
    for token, logprob in pairs:
        if isinstance(token, str) and isinstance(logprob, (int, float)):
            if not math.isnan(logprob):
                known[token] = float(logprob)
    return list(known.items())
