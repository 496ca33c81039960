"""The probability of yes against no, after prompts of any kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..grammar.source import Encode
    from .rows import Engine

WORDS = ("yes", "no")


class YesNo:
    """Weighs the two words as a model's next token.

    engine (Engine): The model behind the prefix that the prompts share.
    encode (Callable[[str], Sequence[int]]): Encodes a piece of text.
    batch_tokens (int): The most tokens of one batch.
    """

    def __init__(self, engine: "Engine", encode: "Encode", batch_tokens: int = 2048):
        self.engine = engine
        self.batch_tokens = batch_tokens
        yes, no = (_first_ids(word, encode) for word in WORDS)
        self._ids = [sorted(yes - no), sorted(no - yes)]

    @torch.inference_mode()
    def probabilities(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Weigh the words after each prompt.

        prompts (Sequence[Sequence[int]]): The ids behind the prefix, at least one each.
        RETURNS (List[float]): The probability of yes, of yes and no together, in any
            spelling with or without a space before it.
        """
        found = [0.0] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        while order:
            # The first is the longest.
            count = max(1, self.batch_tokens // len(prompts[order[0]]))
            batch, order = order[:count], order[count:]
            for index, odds in zip(batch, self._weighed(prompts, batch), strict=True):
                found[index] = odds
        return found

    def _weighed(
        self, prompts: Sequence[Sequence[int]], batch: list[int]
    ) -> list[float]:
        feeding = [prompts[index] for index in batch]
        rows = self.engine.rows(len(batch), max(map(len, feeding)))
        states = rows.feed(range(len(batch)), feeding, [0] * len(batch))
        last = torch.stack([hidden[-1] for hidden in states])
        yes, no = (
            self.engine.head.rows(
                last, torch.tensor([ids] * len(batch), device=last.device)
            ).logsumexp(1)
            for ids in self._ids
        )
        odds: list[float] = torch.sigmoid(yes - no).tolist()
        return odds


def _first_ids(word: str, encode: "Encode") -> set[int]:
    spellings = (word, word.capitalize(), word.upper())
    return {encode(before + each)[0] for before in ("", " ") for each in spellings}
