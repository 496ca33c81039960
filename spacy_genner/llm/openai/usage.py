"""Usage of a client: requests, tokens and cost."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spacy.language import Language

_MILLION = 1_000_000


@dataclass(frozen=True)
class Usage:
    """Counts since a client was made.

    requests (int): Requests sent, repeated ones too.
    from_cache (int): Answers that came from the cache on disk, or that the same
        question got at that moment.
    retries (int): Requests that were sent again after a failure.
    failures (int): Questions that got no answer.
    truncated (int): Answers that were cut at the limit of tokens.
    prompt_tokens (int): Tokens of prompts, as the server counts them.
    completion_tokens (int): Tokens of answers.
    uncounted (int): Answers whose tokens the server did not tell; they are in no sum.
    cost (Optional[float]): What the tokens cost; None without prices.
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
    """Counts from several threads.

    prices (Mapping[str, float]): Prices of a million tokens, "input" and "output";
        empty where none are known.
    """

    def __init__(self, prices: Mapping[str, float]):
        self._prices = prices
        self._lock = threading.Lock()
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The counts of this moment."""
        with self._lock:
            usage = self._usage
        if not self._prices:
            return usage
        cost = usage.prompt_tokens * self._prices["input"]
        cost += usage.completion_tokens * self._prices["output"]
        return replace(usage, cost=cost / _MILLION)

    def add(self, **counts: int) -> None:
        """Add to some counts.

        counts (int): By their names in `Usage`.
        """
        with self._lock:
            old = {key: getattr(self._usage, key) for key in counts}
            new = {key: old[key] + count for key, count in counts.items()}
            self._usage = replace(self._usage, **new)

    def add_tokens(self, prompt: int | None, completion: int | None) -> None:
        """Add the tokens of an answer.

        prompt (Optional[int]): Those of its prompt; None where it is not told.
        completion (Optional[int]): Those of the answer.
        """
        self.add(
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            uncounted=int(prompt is None or completion is None),
        )


def usage_of(nlp: Language) -> dict[str, Usage]:
    """Count requests, tokens and cost since the pipeline was made or loaded.

    nlp (Language): The pipeline.
    RETURNS (Dict[str, Usage]): The counts of each component with a model behind a
        server, of the factory `generative_ner` or `llm`, by its name.
    """
    found = {}
    for name, pipe in nlp.pipeline:
        # spacy-llm's component shows its model in no other way.
        models: list[Any] = [getattr(pipe, "_model", None)]
        models.append(getattr(getattr(pipe, "lm", None), "client", None))
        for model in models:
            usage = getattr(model, "usage", None)
            # Models of others may count in ways of their own.
            if isinstance(usage, Usage):
                found[name] = usage
    return found
