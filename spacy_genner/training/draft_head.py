"""Training of a draft head beside an adapter that is trained already."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam

from ..component import GenerativeNER
from .schedules import cosine_warmup
from .texts import Text

# Enough for texts of like lengths to find each other.
READ_AT_ONCE = 128
# How often the head learns from each text, and how many updates it takes at least.
EPOCHS = 3
UPDATES = 500


def train_draft_head(
    pipe: GenerativeNER,
    examples: Sequence[Example],
    learn_rate: float = 5e-4,
    epochs: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    shown: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[float]:
    """Train a new draft head for a component. Its adapter stays as it is.

    Texts are read once, and what was read is held in memory: it is the reading that
    takes time.

    pipe (GenerativeNER): The component.
    examples (Sequence[Example]): The examples.
    learn_rate (float): The highest learning rate of Adam.
    epochs (Optional[int]): How often the head learns from each; None: as often as it
        takes for `UPDATES` updates, and `EPOCHS` times at least.
    batch_size (int): Texts of an update.
    seed (int): Fixes their order.
    shown (Callable): Wraps the batches that are read, for a progress bar.
    RETURNS (List[float]): The loss of each update.
    RAISES (ValueError): The component has no adapter, or wants no draft head; or an
        example can't be used.
    """
    texts: list[Text] = []
    for batch in shown(list(minibatch(examples, size=READ_AT_ONCE))):
        texts += pipe.read_for_draft_head(batch)
    pipe.lm.drafting.clear()
    if epochs is None:
        batches_each = max(1, math.ceil(len(texts) / batch_size))
        epochs = max(EPOCHS, math.ceil(UPDATES / batches_each))
    choose = random.Random(seed)
    batches = [
        batch
        for _ in range(epochs)
        for batch in minibatch(choose.sample(texts, len(texts)), size=batch_size)
    ]
    rates = cosine_warmup(learn_rate, max(1, len(batches)))
    optimizer = Adam(learn_rate, L2=0.0)
    losses = []
    for batch, rate in zip(batches, rates, strict=False):
        optimizer.learn_rate = rate
        losses.append(pipe.update_draft_head(batch, sgd=optimizer))
    return losses
