"""One pass through a trained pipeline's model in other ways than the project's: in
float32, in 8 bits, and compiled. None of them is used, and this says why.

    python benchmarks/one_pass.py training/genia/model-best --tokens 640

Prints one line of JSON a way: seconds (median), how many times those of the plain pass,
seconds until it first ran, and how far its hidden states are from the plain ones, as a
share of their norm.
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


def in_8_bits(decoder: nn.Module) -> nn.Module:
    """Linear layers whose weights are quantised once and whose inputs each time."""
    return torch.ao.quantization.quantize_dynamic(
        copy.deepcopy(decoder).float(), {nn.Linear}, dtype=torch.qint8
    )


WAYS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda decoder: decoder,
    "float32": lambda decoder: copy.deepcopy(decoder).float(),
    "int8": in_8_bits,
    "compiled": lambda decoder: torch.compile(decoder, dynamic=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a trained pipeline")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--tokens", type=int, default=640, help="of a pass")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lm = spacy.load(args.model).get_pipe("generative_ner").lm
    decoder = text_decoder(lm.decoding_network())
    draw = torch.Generator().manual_seed(args.seed)
    ids = torch.randint(10, 2000, (1, args.tokens), generator=draw).to(lm.device)
    told = {"threads": torch.get_num_threads(), "tokens": args.tokens}
    told["dtype"] = str(lm.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def run(way: Any) -> Tensor:
        hidden: Tensor = way(input_ids=ids, use_cache=False)[0]
        return hidden.float()

    def timed(way: Any) -> float:
        started = time.perf_counter()
        run(way)
        return time.perf_counter() - started

    expected = run(decoder)
    for name in args.ways:
        started = time.perf_counter()
        way = WAYS[name](decoder)
        found = run(way)
        first = time.perf_counter() - started
        # By turns, so that both have the machine as it is.
        times = [(timed(decoder), timed(way)) for _ in range(args.repeats)]
        seconds = median(own for _, own in times)
        row = {
            "way": name,
            "seconds": round(seconds, 3),
            "times_plain": round(seconds / median(plain for plain, _ in times), 2),
            "first_ran_after": round(first, 1),
            "apart": round(float((found - expected).norm() / expected.norm()), 4),
        }
        print(json.dumps(row | told), flush=True)


if __name__ == "__main__":
    main()
