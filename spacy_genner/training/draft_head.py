"""Training of a draft head beside an adapter that is trained already."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam

from ..component import GenerativeNER
from .schedules import cosine_warmup


def train_draft_head(
    pipe: GenerativeNER,
    examples: Sequence[Example],
    learn_rate: float = 5e-4,
    batch_size: int = 16,
    seed: int = 0,
    shown: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[float]:
    """Train the draft head of a component, once over some examples. Its adapter stays
    as it is.

    pipe (GenerativeNER): The component.
    examples (Sequence[Example]): The examples.
    learn_rate (float): The highest learning rate of Adam.
    batch_size (int): Examples of an update.
    seed (int): Fixes their order.
    shown (Callable): Wraps the batches, for a progress bar.
    RETURNS (List[float]): The loss of each batch.
    RAISES (ValueError): The component has no adapter, or wants no draft head; or an
        example can't be used.
    """
    order = list(examples)
    random.Random(seed).shuffle(order)
    batches = list(minibatch(order, size=batch_size))
    rates = cosine_warmup(learn_rate, max(1, len(batches)))
    optimizer = Adam(learn_rate, L2=0.0)
    losses = []
    for batch, rate in zip(shown(batches), rates, strict=False):
        optimizer.learn_rate = rate
        losses.append(pipe.update_draft_head(batch, sgd=optimizer))
    return losses
