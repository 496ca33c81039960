"""Time one forward pass of a trained pipeline's model in float32, in 8 bits, and
compiled.

The project uses none of these variants; the figures show why.

    python benchmarks/one_pass.py training/genia/model-best --tokens 640

Prints one line of JSON a variant: the median seconds, their ratio to those of the plain
pass, the seconds of the first pass with its preparation, and the distance of the hidden
states from the plain ones, relative to their norm.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import spacy
import torch
from torch import Tensor, nn

from spacy_genner.models.base_model import text_decoder


def quantized(decoder: nn.Module) -> nn.Module:
    """Quantize linear layers dynamically: their weights once, their inputs at each
    pass.

    decoder (nn.Module): A text decoder.
    RETURNS (nn.Module): A quantized copy.
    """
    return torch.ao.quantization.quantize_dynamic(
        copy.deepcopy(decoder).float(), {nn.Linear}, dtype=torch.qint8
    )


VARIANTS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda decoder: decoder,
    "float32": lambda decoder: copy.deepcopy(decoder).float(),
    "int8": quantized,
    "compiled": lambda decoder: torch.compile(decoder, dynamic=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add(
        "--ways",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        help="variants to time",
    )
    add("--tokens", type=int, default=640, help="tokens of a pass")
    add("--repeats", type=int, default=7, help="passes of each variant")
    add("--seed", type=int, default=0, help="seed of the token ids")
    args = parser.parse_args()
    lm = spacy.load(args.model).get_pipe("generative_ner").lm
    decoder = text_decoder(lm.decoding_network())
    generator = torch.Generator().manual_seed(args.seed)
    largest = min(2000, decoder.get_input_embeddings().num_embeddings)
    ids = torch.randint(10, largest, (1, args.tokens), generator=generator)
    ids = ids.to(lm.device)
    settings = {
        "threads": torch.get_num_threads(),
        "tokens": args.tokens,
        "dtype": str(lm.dtype).removeprefix("torch."),
    }

    @torch.inference_mode()
    def run(variant: Any) -> Tensor:
        hidden: Tensor = variant(input_ids=ids, use_cache=False)[0]
        return hidden.float()

    def timed(variant: Any) -> float:
        started = time.perf_counter()
        run(variant)
        return time.perf_counter() - started

    expected = run(decoder)
    for name in args.ways:
        started = time.perf_counter()
        variant = VARIANTS[name](decoder)
        found = run(variant)
        first = time.perf_counter() - started
        # Plain pass and variant take turns, so that other load affects both alike.
        times = [(timed(decoder), timed(variant)) for _ in range(args.repeats)]
        seconds = median(own for _, own in times)
        row = {
            "way": name,
            "seconds": round(seconds, 3),
            "times_plain": round(seconds / median(plain for plain, _ in times), 2),
            "first_ran_after": round(first, 1),
            "apart": round(float((found - expected).norm() / expected.norm()), 4),
        }
        print(json.dumps(row | settings), flush=True)


if __name__ == "__main__":
    main()
