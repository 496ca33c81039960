"""Measure what a forward pass of decoding costs beyond its tokens.

A draft ends where another pass is cheaper than tokens that are probably wrong
(`PASS_COST` and `ROW_COST` in `spacy_genner/decoding/engine.py`). Both costs depend on
the processor: how fast it reads the weights, and how fast it multiplies. This script
times passes of several shapes, and fits

    seconds = seconds_a_token * (tokens + pass_cost + row_cost * rows)

by least squares of the relative error.

    python benchmarks/pass_cost.py training/genia/model-best

Prints one line of JSON for each shape: rows, tokens, and the seconds of processor time,
the lowest of the repeats. The last line has the fit and the costs that decoding uses.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import spacy
import torch

from spacy_genner.decoding.engine import PASS_COST, ROW_COST, Engine

# Rows, new tokens of a row, and tokens of a row before them.
SHAPES = (
    (20, 100, 0),
    (20, 60, 100),
    (10, 60, 100),
    (40, 20, 130),
    (40, 10, 130),
    (40, 5, 130),
    (40, 2, 130),
    (20, 10, 130),
    (20, 5, 130),
    (10, 10, 130),
    (10, 5, 130),
    (4, 10, 130),
    (4, 2, 130),
    (1, 10, 130),
    (2, 250, 0),
)


def pass_seconds(
    engine: Engine, shape: tuple[int, int, int], repeats: int, seed: int
) -> float:
    """Time a pass.

    engine (Engine): The model.
    shape (tuple[int, int, int]): See `SHAPES`.
    repeats (int): The number of passes.
    seed (int): The seed of the token ids.
    RETURNS (float): The processor time of the fastest, in seconds.
    """
    count, length, before = shape
    generator = torch.Generator().manual_seed(seed)
    size = len(engine.head.weight)

    def tokens(number: int) -> list[list[int]]:
        return torch.randint(size, (count, number), generator=generator).tolist()

    batch = engine.rows(count, before + length)
    if before:
        batch.feed(range(count), tokens(before), [0] * count)
    new, starts = tokens(length), [before] * count
    seconds = []
    # The first pass is not timed.
    for _ in range(repeats + 1):
        started = time.process_time()
        batch.feed(range(count), new, starts)
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Fit the costs to the times.

    rows (list[dict[str, Any]]): The lines of the shapes.
    RETURNS (dict[str, float]): `ms_a_token`, and `pass_cost` and `row_cost` in tokens.
    """
    seconds = np.array([row["seconds"] for row in rows])
    parts = np.array([[row["tokens"], 1.0, row["rows"]] for row in rows])
    solved = np.linalg.lstsq(parts / seconds[:, None], np.ones(len(rows)), rcond=None)
    token, once, row = solved[0]
    return {
        "ms_a_token": round(1e3 * token, 3),
        "pass_cost": round(once / token, 1),
        "row_cost": round(row / token, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add("--repeats", type=int, default=5, help="passes of each shape")
    add("--seed", type=int, default=0, help="seed of the token ids")
    args = parser.parse_args()
    ner: Any = spacy.load(args.model).get_pipe("generative_ner")
    engine = ner.predictor.engine()
    rows = []
    for shape in SHAPES:
        seconds = pass_seconds(engine, shape, args.repeats, args.seed)
        row = {"rows": shape[0], "tokens": shape[0] * shape[1], "seconds": seconds}
        rows.append(row)
        print(json.dumps(row | {"seconds": round(seconds, 4)}), flush=True)
    found: dict[str, Any] = {
        **fit(rows),
        "used": {"pass_cost": PASS_COST, "row_cost": ROW_COST},
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
