"""Compare a tuned adapter behind a server with the same adapter in this process.

    python benchmarks/served_adapter.py PIPELINE DATA.spacy --adapter EXPORT \\
        --name MODEL --url http://127.0.0.1:8080/v1

The server must be running. A document agrees if its spans are the same. For those that
do not, `--output` lists the differences with the margin of the local decoder: a small
margin means that the two labels or tags were almost equally likely, so that rounding
decides between them.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_genner.io import write_json

FACTORY = "generative_ner"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print its figures."""
    args = make_parser().parse_args(arguments)
    local = load_local(args.pipeline, args.dtype)
    served = load_served(args)
    docs = read_docs(args.data, local, args.documents, args.seed)
    started = time.perf_counter()
    expected = list(local.pipe(copies(docs)))
    local_seconds = time.perf_counter() - started
    started = time.perf_counter()
    found = list(served.pipe(copies(docs)))
    served_seconds = time.perf_counter() - started
    report = compare(expected, found, component(local).key)
    report |= {
        "local_seconds": round(local_seconds, 1),
        "served_seconds": round(served_seconds, 1),
        "dtype": args.dtype,
        "structured": args.structured,
    }
    if args.output:
        write_json(args.output, report)
    shown = {key: value for key, value in report.items() if key != "differences"}
    json.dump(shown, sys.stdout, indent=2)
    print()


def make_parser() -> argparse.ArgumentParser:
    """RETURNS (ArgumentParser): The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pipeline", type=Path, help="the saved pipeline")
    parser.add_argument("data", type=Path, help="documents (.spacy)")
    parser.add_argument("--adapter", required=True, help="the export, or PIPELINE")
    parser.add_argument("--name", required=True, help="the model's name on the server")
    parser.add_argument("--url", required=True, help="the address of the server")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="selects the documents")
    parser.add_argument("--dtype", default="auto", help="that of the local model")
    parser.add_argument("--structured", choices=("auto", "true", "false"))
    parser.add_argument("--no-scores", action="store_true")
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a JSON file with all differences")
    parser.set_defaults(structured="auto")
    return parser


def load_local(path: Path, dtype: str) -> Language:
    """Load a pipeline with another dtype of its model, and without the scores of the
    draft head, which a server does not have."""
    name = component(spacy.load(path)).name
    model = {"dtype": dtype, "head_weight": 0.0}
    return spacy.load(path, config={"components": {name: {"model": model}}})


def load_served(args: argparse.Namespace) -> Language:
    """Load a pipeline whose component asks a server."""
    structured = {"auto": "auto", "true": True, "false": False}[args.structured]
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": args.name,
        "adapter": str(args.adapter),
        "base_url": args.url,
        "api_key_env": None,
        "structured": structured,
        "scores": not args.no_scores,
        "max_concurrent": args.concurrent,
        "timeout": 600.0,
    }
    name = component(spacy.load(args.pipeline)).name
    return spacy.load(args.pipeline, config={"components": {name: {"model": model}}})


def component(nlp: Language) -> Any:
    """RETURNS (GenerativeNER): The first generative component of a pipeline."""
    names = [n for n in nlp.pipe_names if nlp.get_pipe_meta(n).factory == FACTORY]
    return nlp.get_pipe(names[0])


def read_docs(path: Path, nlp: Language, count: int, seed: int) -> list[Doc]:
    """Read a random selection of documents that are not blank."""
    docs = [doc for doc in DocBin().from_disk(path).get_docs(nlp.vocab) if len(doc)]
    chosen = random.Random(seed).sample(range(len(docs)), min(count, len(docs)))
    return [docs[index] for index in sorted(chosen)]


def copies(docs: Sequence[Doc]) -> list[Doc]:
    """RETURNS (list[Doc]): The same tokens without annotation."""
    return [
        Doc(
            doc.vocab,
            words=[token.text for token in doc],
            spaces=[bool(token.whitespace_) for token in doc],
        )
        for doc in docs
    ]


def compare(expected: Sequence[Doc], found: Sequence[Doc], key: str) -> dict[str, Any]:
    """Compare the spans of documents.

    expected (Sequence[Doc]): The documents, annotated by the local decoder.
    found (Sequence[Doc]): The same documents, annotated through the server.
    key (str): The group of `doc.spans`.
    RETURNS (dict[str, Any]): The number of documents and of those with equal spans, the
        F1 score between both, the statuses, the mean and the largest difference of the
        scores of equal spans, and the differences.
    """
    agreeing = both = one = other = 0
    score_differences: list[float] = []
    differences = []
    statuses: Counter[str] = Counter()
    for index, (local, remote) in enumerate(zip(expected, found, strict=True)):
        first, second = scored(local, key), scored(remote, key)
        statuses[remote.spans[key].attrs["status"]] += 1
        agreeing += set(first) == set(second)
        both += len(set(first) & set(second))
        one, other = one + len(first), other + len(second)
        score_differences += [abs(first[s] - second[s]) for s in first if s in second]
        if set(first) != set(second):
            differences.append(
                {
                    "document": index,
                    "local": {str(s): first[s] for s in set(first) - set(second)},
                    "served": {str(s): second[s] for s in set(second) - set(first)},
                    "issues": remote.spans[key].attrs["issues"],
                }
            )
    count = max(1, len(score_differences))
    return {
        "documents": len(expected),
        "agreeing": agreeing,
        "f1_between": round(2 * both / max(1, one + other), 4),
        "statuses": dict(statuses),
        "score_difference_mean": round(sum(score_differences) / count, 4),
        "score_difference_max": round(max(score_differences, default=0.0), 4),
        "differences": differences,
    }


def scored(doc: Doc, key: str) -> dict[tuple[int, int, str], float]:
    """RETURNS (dict[tuple[int, int, str], float]): The spans with their scores."""
    spans = doc.spans[key]
    scores = spans.attrs["scores"]
    return {
        (span.start, span.end, span.label_): round(float(score), 4)
        for span, score in zip(spans, scores, strict=True)
    }


if __name__ == "__main__":
    main()
