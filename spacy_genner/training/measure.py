"""How fast a base trains and annotates on this machine."""

import random
import warnings
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer

from ..errors import GennerWarning

# The first step pays for what is made once.
WARM_UP = 1
MOST_STEPS = 6
MOST_DOCS = 24
# After so long no further step or document is begun.
MOST_SECONDS = 20.0
SAMPLE = 200


@dataclass(frozen=True)
class Speed:
    """What was measured.

    step_seconds (float): A training step.
    doc_seconds (float): The annotation of a document.
    steps (int): Steps that were timed.
    docs (int): Documents that were timed.
    batch_words (int): Words in a batch of the wanted number of tokens.
    doc_words (float): Words of a document, on average.
    doc_tokens (float): Tokens of input and output of a document, on average.
    device (str): The device.
    dtype (str): The dtype.
    threads (int): torch's threads.
    """

    step_seconds: float
    doc_seconds: float
    steps: int
    docs: int
    batch_words: int
    doc_words: float
    doc_tokens: float
    device: str
    dtype: str
    threads: int


def measure_speed(
    config: Config, batch_tokens: int, name: str = "generative_ner"
) -> Speed:
    """Time a few training steps and a few documents.

    config (Config): A training config, not interpolated.
    batch_tokens (int): Tokens that a batch should have.
    name (str): The component.
    RETURNS (Speed): What was measured.
    """
    with warnings.catch_warnings():
        # Training itself warns of what there is to warn of.
        warnings.simplefilter("ignore", GennerWarning)
        return _measured(config, batch_tokens, name)


def _measured(config: Config, batch_tokens: int, name: str) -> Speed:
    import torch

    nlp = init_nlp(config)
    settings = nlp.config.interpolate()["training"]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(nlp.config.interpolate(), corpora)
    examples = list(train(nlp))
    random.Random(0).shuffle(examples)
    pipe: Any = nlp.get_pipe(name)
    words, tokens = _sizes(nlp, name, examples[:SAMPLE])
    batch_words = max(1, round(batch_tokens * words / tokens))
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    step_seconds, steps = _time_steps(nlp, name, optimizer, examples, batch_words)
    docs = [example.predicted for example in islice(dev(nlp), SAMPLE)]
    random.Random(0).shuffle(docs)
    doc_seconds, timed = _time_docs(nlp, docs[:MOST_DOCS])
    sampled = len(examples[:SAMPLE])
    return Speed(
        step_seconds,
        doc_seconds,
        steps,
        timed,
        batch_words,
        words / sampled,
        tokens / sampled,
        str(pipe.lm.device),
        str(pipe.lm.dtype).replace("torch.", ""),
        torch.get_num_threads(),
    )


def _sizes(nlp: Language, name: str, examples: list[Example]) -> tuple[int, int]:
    """Words and tokens of some examples, which are annotated with sentences."""
    pipe: Any = nlp.get_pipe(name)
    before = nlp.pipe_names[: nlp.pipe_names.index(name)]
    for example in examples:
        for other in before:
            example.predicted = nlp.get_pipe(other)(example.predicted)
    rows = pipe._runtime().gold(pipe.key, "drop").rows(examples)
    return sum(map(len, examples)), sum(map(len, rows))


def _time_steps(
    nlp: Language,
    name: str,
    optimizer: Optimizer,
    examples: list[Example],
    batch_words: int,
) -> tuple[float, int]:
    pipe: Any = nlp.get_pipe(name)
    batches = registry.batchers.get("spacy.batch_by_padded.v1")(
        size=batch_words, buffer=256, discard_oversize=False
    )
    # Long ones come first in a buffer: a step's time is that of the average one.
    chosen = list(batches(examples))
    random.Random(0).shuffle(chosen)
    others = [each for each in nlp.pipe_names if each != name]
    spent: list[float] = []
    for batch in islice(chosen * (WARM_UP + MOST_STEPS), WARM_UP + MOST_STEPS):
        started = perf_counter()
        # What `spacy train` does in a step; other components annotate alone.
        nlp.update(batch, sgd=False, exclude=others, annotates=others)  # type: ignore[arg-type]
        pipe.finish_update(optimizer)
        spent.append(perf_counter() - started)
        if len(spent) > WARM_UP and sum(spent) > MOST_SECONDS:
            break
    timed = spent[WARM_UP:]
    return sum(timed) / len(timed), len(timed)


def _time_docs(nlp: Language, docs: list[Any]) -> tuple[float, int]:
    # What is made once, such as merged weights, is no document's time.
    list(nlp.pipe([docs[0].copy()]))
    done = 0
    started = perf_counter()
    while docs[done:]:
        # Together, as an evaluation decodes them.
        part = docs[done : done + 8]
        for _ in nlp.pipe([doc.copy() for doc in part]):
            done += 1
        if perf_counter() - started > MOST_SECONDS:
            break
    return (perf_counter() - started) / done, done
