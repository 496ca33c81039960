"""Training against a plain loop of forward and backward passes over the same tokens.

Takes some batches as `spacy train` makes them with a config and runs each, by turns,
through the component (reading the reference, loss, gradients, optimizer) and through
the network alone: the same rows, padded the same way, the instruction left out, one
forward pass and one backward pass from the sum of the hidden states. Prints one line of
JSON; the ratio compares the medians.

    python benchmarks/training_speed.py configs/genia.cfg --batches 8
"""

import argparse
import json
import random
import time
from functools import partial
from itertools import islice
from statistics import median

import torch
from decoding_runs import peak_memory
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry, resolve_dot_names

from spacy_genner.config.settings import NAMED_LOSSES
from spacy_genner.models.base_model import text_decoder


def timed(run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def padded(rows: list) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids = [row.ids + [row.ids[-1]] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def plain_pass(network, ids: torch.Tensor, mask: torch.Tensor) -> None:
    """What any training of the adapter on these rows has to pay for."""
    hidden = text_decoder(network)(input_ids=ids, attention_mask=mask, use_cache=False)[
        0
    ]
    hidden.sum().backward()
    for parameter in network.parameters():
        parameter.grad = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--loss", help="a name, or JSON weights; else the config's")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    switch = "components.generative_ner.model.gradient_checkpointing"
    overrides = {switch: args.gradient_checkpointing}
    if args.loss:
        named = args.loss in NAMED_LOSSES
        loss = args.loss if named else json.loads(args.loss)
        overrides["components.generative_ner.loss"] = loss
    nlp = init_nlp(load_config(args.config, overrides=overrides, interpolate=False))
    ner = nlp.get_pipe("generative_ner")
    settings = nlp.config.interpolate()["training"]
    (corpus,) = resolve_dot_names(nlp.config.interpolate(), [settings["train_corpus"]])
    batcher = registry.resolve({"batcher": settings["batcher"]})["batcher"]
    optimizer = registry.resolve({"optimizer": settings["optimizer"]})["optimizer"]
    examples = list(corpus(nlp))
    random.Random(args.seed).shuffle(examples)
    batches = list(islice(batcher(examples), 4 * args.batches))
    # Within a buffer the long ones come first.
    random.Random(args.seed).shuffle(batches)

    def train_on(batch):
        nlp.update(batch, sgd=False)
        ner.finish_update(optimizer)

    spent: dict[str, list[float]] = {"component": [], "plain": []}
    tokens = places = 0
    for index, batch in enumerate(batches[: args.batches + 1]):
        rows = ner._gold().rows(batch)
        ids, mask = padded(rows)
        ner.lm.training_network.train()
        plain = timed(partial(plain_pass, ner.lm.training_network, ids, mask))
        own = timed(partial(train_on, batch))
        if index:
            # The first one pays for what is made once.
            spent["plain"].append(plain)
            spent["component"].append(own)
            tokens += sum(map(len, rows))
            places += ids.numel()
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
        "padding_of_plain": round(places / tokens - 1, 3),
        "dtype": str(ner.lm.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "peak_gb": round(peak_memory(), 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
