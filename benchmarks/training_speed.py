"""Compare the time of training with that of plain passes over the same tokens.

Takes batches as `spacy train` makes them with a config. Each batch runs in the
component (targets, loss, gradients and optimizer) and in the network alone: the same
sequences, padded, without the instruction, in one forward pass and one backward pass
from the sum of the hidden states. Prints one line of JSON. `ratio` is the median of the
ratios of the times.

    python benchmarks/training_speed.py configs/genia.cfg --batches 8
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import torch
from decoding_runs import peak_memory
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry, resolve_dot_names

from spacy_genner.config.settings import NAMED_LOSSES
from spacy_genner.models.base_model import text_decoder
from spacy_genner.training.data import TrainingSequence


def timed(run: Callable[[], object]) -> float:
    """RETURNS (float): The seconds of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def padded(
    sequences: Sequence[TrainingSequence],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad training sequences.

    sequences (Sequence[TrainingSequence]): The sequences.
    RETURNS (tuple[Tensor, Tensor]): Ids and mask, each of shape (sequences, longest).
    """
    longest = max(map(len, sequences))
    ids = [each.ids + [each.ids[-1]] * (longest - len(each)) for each in sequences]
    mask = [[1] * len(each) + [0] * (longest - len(each)) for each in sequences]
    return torch.tensor(ids), torch.tensor(mask)


def plain_pass(network: Any, ids: torch.Tensor, mask: torch.Tensor) -> None:
    """Run one forward and one backward pass, the least that training can take.

    network (PreTrainedModel): The network with its adapter.
    ids (Tensor): Token ids of shape (sequences, longest).
    mask (Tensor): The attention mask, of the same shape.
    """
    decoder = text_decoder(network)
    hidden = decoder(input_ids=ids, attention_mask=mask, use_cache=False)[0]
    hidden.sum().backward()
    for parameter in network.parameters():
        parameter.grad = None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("config", help="training config")
    add("--batches", type=int, default=8, help="number of batches")
    add("--loss", help="name of a loss, or weights in JSON (default: the config's)")
    add(
        "--gradient-checkpointing",
        action="store_true",
        help="train with gradient checkpointing",
    )
    add("--seed", type=int, default=0, help="seed of the batches")
    args = parser.parse_args()
    component = "components.generative_ner"
    checkpointing = f"{component}.model.gradient_checkpointing"
    overrides = {checkpointing: args.gradient_checkpointing}
    if args.loss:
        named = args.loss in NAMED_LOSSES
        overrides[f"{component}.loss"] = args.loss if named else json.loads(args.loss)
    nlp = init_nlp(load_config(args.config, overrides=overrides, interpolate=False))
    ner = nlp.get_pipe("generative_ner")
    settings = nlp.config.interpolate()["training"]
    (corpus,) = resolve_dot_names(nlp.config.interpolate(), [settings["train_corpus"]])
    batcher = registry.resolve({"batcher": settings["batcher"]})["batcher"]
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    examples = list(corpus(nlp))
    random.Random(args.seed).shuffle(examples)
    batches = list(islice(batcher(examples), 4 * args.batches))
    # The batcher's buffer puts long examples first.
    random.Random(args.seed).shuffle(batches)

    def train_on(batch: list) -> None:
        nlp.update(batch, sgd=False)
        ner.finish_update(optimizer)

    spent: dict[str, list[float]] = {"component": [], "plain": []}
    tokens = padded_tokens = 0
    for index, batch in enumerate(batches[: args.batches + 1]):
        sequences = ner.target_builder.sequences(batch)
        ids, mask = padded(sequences)
        ner.lm.training_network.train()
        plain = timed(partial(plain_pass, ner.lm.training_network, ids, mask))
        own = timed(partial(train_on, batch))
        # The first batch includes what is made once.
        if index:
            spent["plain"].append(plain)
            spent["component"].append(own)
            tokens += sum(map(len, sequences))
            padded_tokens += ids.numel()
    ratios = [
        own / plain
        for own, plain in zip(spent["component"], spent["plain"], strict=True)
    ]
    row = {
        **vars(args),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "tokens_a_second": round(tokens / sum(spent["component"])),
        "plain_tokens_a_second": round(tokens / sum(spent["plain"])),
        "padding_of_plain": round(padded_tokens / tokens - 1, 3),
        "dtype": str(ner.lm.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "peak_gb": round(peak_memory(), 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
