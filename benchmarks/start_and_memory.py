"""Measure the start-up time of a trained pipeline and the memory of a stream.

Starts new processes that load the pipeline and annotate one sentence, and one that
streams documents through `nlp.pipe` and reports its peak resident memory. Also sums up
the size of the saved component. Prints one line of JSON.

    python benchmarks/start_and_memory.py training/genia/model-best \\
        corpus/genia-train.spacy --docs 2000
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

START = """
import spacy, sys
nlp = spacy.load(sys.argv[1])
doc = nlp("Lisbon hosts the University of Lisbon.")
print(doc.spans.keys())
"""
STREAM = """
import resource, sys, spacy
from spacy.tokens import DocBin
nlp = spacy.load(sys.argv[1])
docs = DocBin().from_disk(sys.argv[2]).get_docs(nlp.vocab)
texts = [doc.text for _, doc in zip(range(int(sys.argv[3])), docs)]
count = sum(1 for _ in nlp.pipe(texts))
assert count == len(texts)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(code: str, *args: str) -> tuple[str, float]:
    """Run Python code in a new process.

    code (str): The code.
    *args (str): Its arguments.
    RETURNS (tuple[str, float]): Its output and its seconds.
    """
    started = time.perf_counter()
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add("data", help="documents to stream (.spacy)")
    add("--docs", type=int, default=2000, help="number of documents to stream")
    add("--repeats", type=int, default=3, help="number of starts")
    add("--component", default="generative_ner", help="name of the component")
    args = parser.parse_args()
    starts = [run(START, args.model)[1] for _ in range(args.repeats)]
    output, _ = run(STREAM, args.model, args.data, str(args.docs))
    count, peak = map(int, output.split())
    folder = Path(args.model) / args.component
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    row = {
        **vars(args),
        "start_seconds": [round(seconds, 2) for seconds in starts],
        "start_median": round(median(starts), 2),
        "documents": count,
        # Linux counts in KiB.
        "peak_gb": round(peak * 1024 / 1e9, 3),
        "component_mb": round(size / 1e6, 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
