"""Measure the speed of training and prediction with a config on this machine."""

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer

from ..errors import GennerWarning

# The first training steps are not timed: they include one-time work.
WARM_UP_STEPS = 1
# The maximum numbers of steps and documents to time.
MAX_STEPS = 6
MAX_DOCS = 24
# The documents that are decoded together, as in an evaluation.
DOC_BATCH_SIZE = 8
# After this time no further step or batch of documents is started.
MAX_SECONDS = 20.0
# The number of documents that sizes are averaged over.
MEASURE_SAMPLE = 200


@dataclass(frozen=True)
class Speed:
    """The measured speed of training and prediction.

    step_seconds (float): The time of a training step.
    doc_seconds (float): The time to annotate a document.
    steps (int): The number of timed steps.
    docs (int): The number of timed documents.
    batch_words (int): The number of words in a batch with the wanted number of tokens.
    doc_words (float): The average number of words in a document.
    doc_tokens (float): The average number of tokens of input and output of a document.
    device (str): The device.
    dtype (str): The dtype.
    threads (int): The number of threads of torch.
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
    config: Config,
    batch_tokens: int,
    name: str = "generative_ner",
    progress: Callable[[str], None] = lambda text: None,
) -> Speed:
    """Time a few training steps and a few documents.

    config (Config): A training config, not interpolated.
    batch_tokens (int): The wanted number of tokens in a batch.
    name (str): The name of the component.
    progress (Callable[[str], None]): Called with a line before each part of the work.
    RETURNS (Speed): The measured speed.
    """
    with warnings.catch_warnings():
        # Training itself will issue these warnings.
        warnings.simplefilter("ignore", GennerWarning)
        return _measure_speed(config, batch_tokens, name, progress)


def _measure_speed(
    config: Config, batch_tokens: int, name: str, progress: Callable[[str], None]
) -> Speed:
    progress("Loading the base model")
    nlp = init_nlp(config)
    settings = nlp.config.interpolate()["training"]
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(nlp.config.interpolate(), corpora)
    examples = list(train(nlp))
    random.Random(0).shuffle(examples)
    pipe: Any = nlp.get_pipe(name)
    sample = examples[:MEASURE_SAMPLE]
    words, tokens = _count_sizes(nlp, name, sample)
    batch_words = max(1, round(batch_tokens * words / tokens))
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    step_seconds, steps = _time_steps(
        nlp, name, optimizer, examples, batch_words, progress
    )
    docs = [example.predicted for example in islice(dev(nlp), MEASURE_SAMPLE)]
    random.Random(0).shuffle(docs)
    progress(f"Timing {min(len(docs), MAX_DOCS)} documents")
    doc_seconds, timed = _time_docs(nlp, docs[:MAX_DOCS])
    return Speed(
        step_seconds,
        doc_seconds,
        steps,
        timed,
        batch_words,
        words / len(sample),
        tokens / len(sample),
        str(pipe.lm.device),
        str(pipe.lm.dtype).replace("torch.", ""),
        torch.get_num_threads(),
    )


def _count_sizes(nlp: Language, name: str, examples: list[Example]) -> tuple[int, int]:
    """Count the words and tokens of examples. The components before the named one
    annotate the examples, such as with sentence boundaries."""
    pipe: Any = nlp.get_pipe(name)
    upstream = nlp.pipe_names[: nlp.pipe_names.index(name)]
    for example in examples:
        for other in upstream:
            example.predicted = nlp.get_pipe(other)(example.predicted)
    builder = pipe.predictor.target_builder(pipe.key, "drop")
    return sum(map(len, examples)), sum(map(len, builder.sequences(examples)))


def _time_steps(
    nlp: Language,
    name: str,
    optimizer: Optimizer,
    examples: list[Example],
    batch_words: int,
    progress: Callable[[str], None],
) -> tuple[float, int]:
    """RETURNS (tuple[float, int]): Seconds per step, and the number of timed steps."""
    pipe: Any = nlp.get_pipe(name)
    batcher = registry.batchers.get("spacy.batch_by_padded.v1")(
        size=batch_words, buffer=256, discard_oversize=False
    )
    # The batcher starts with the longest documents, so shuffle to get average batches.
    batches = list(batcher(examples))
    random.Random(0).shuffle(batches)
    count = WARM_UP_STEPS + MAX_STEPS
    others = [each for each in nlp.pipe_names if each != name]
    seconds: list[float] = []
    for number, batch in enumerate(islice(batches * count, count), 1):
        progress(f"Timing training steps: {number} of {count}")
        started = perf_counter()
        # A step as in `spacy train`. The other components only annotate.
        nlp.update(batch, sgd=False, exclude=others, annotates=others)  # type: ignore[arg-type]
        pipe.finish_update(optimizer)
        seconds.append(perf_counter() - started)
        if len(seconds) > WARM_UP_STEPS and sum(seconds) > MAX_SECONDS:
            break
    timed = seconds[WARM_UP_STEPS:]
    return sum(timed) / len(timed), len(timed)


def _time_docs(nlp: Language, docs: list[Doc]) -> tuple[float, int]:
    """RETURNS (tuple[float, int]): Seconds per document, and the number of timed
    documents."""
    # Exclude one-time work, such as merging weights.
    list(nlp.pipe([docs[0].copy()]))
    done = 0
    started = perf_counter()
    while docs[done:]:
        batch = docs[done : done + DOC_BATCH_SIZE]
        for _ in nlp.pipe([doc.copy() for doc in batch]):
            done += 1
        if perf_counter() - started > MAX_SECONDS:
            break
    return (perf_counter() - started) / done, done
