"""Usage of a remote model: requests, tokens and cost."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spacy.language import Language

_PRICED_TOKENS = 1_000_000


@dataclass(frozen=True)
class Usage:
    """Counts since a client was made.

    requests (int): Requests sent, including retries.
    from_cache (int): Answers from the cache on disk, or shared with an identical
        request in flight.
    retries (int): Requests that were sent again.
    failures (int): Prompts without an answer.
    truncated (int): Answers cut off at the token limit.
    prompt_tokens (int): Tokens in prompts, as counted by the server.
    completion_tokens (int): Tokens in answers.
    uncounted (int): Answers for which the server reported no token counts. They are
        not in the sums.
    cost (float | None): The cost of the tokens. None without prices.
    """

    requests: int = 0
    from_cache: int = 0
    retries: int = 0
    failures: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    cost: float | None = None


class UsageTracker:
    """Counts usage in several threads.

    prices (Mapping[str, float]): The prices of a million tokens, "input" and "output".
        Empty if unknown.
    """

    def __init__(self, prices: Mapping[str, float]):
        self._prices = prices
        self._lock = threading.Lock()
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The current counts."""
        with self._lock:
            usage = self._usage
        if not self._prices:
            return usage
        cost = usage.prompt_tokens * self._prices["input"]
        cost += usage.completion_tokens * self._prices["output"]
        return replace(usage, cost=cost / _PRICED_TOKENS)

    def add(self, **counts: int) -> None:
        """Increase counts, given by their names in `Usage`."""
        with self._lock:
            sums = {key: getattr(self._usage, key) + n for key, n in counts.items()}
            self._usage = replace(self._usage, **sums)

    def add_tokens(self, prompt: int | None, completion: int | None) -> None:
        """Add the tokens of a prompt and its answer. None if not reported."""
        self.add(
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            uncounted=int(prompt is None or completion is None),
        )


def usage_of(nlp: Language) -> dict[str, Usage]:
    """Report requests, tokens and cost since a pipeline was made or loaded.

    nlp (Language): The pipeline.
    RETURNS (dict[str, Usage]): The usage of each component with a remote model, of the
        factory `generative_ner` or `llm`, by the component's name.
    """
    found = {}
    for name, pipe in nlp.pipeline:
        # spacy-llm's component has no public attribute for its model.
        models: list[Any] = [getattr(pipe, "_model", None)]
        models.append(getattr(getattr(pipe, "lm", None), "client", None))
        for model in models:
            usage = getattr(model, "usage", None)
            # Other models may have usage of another kind.
            if isinstance(usage, Usage):
                found[name] = usage
    return found
