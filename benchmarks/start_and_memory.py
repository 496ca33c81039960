"""Measure the start of a pipeline and the memory of a stream.

Starts new processes that load the pipeline and annotate one sentence: their time, and
their processor time (user and system) up to the spans of the sentence and up to the end
of the process. With documents, one more process streams them through `nlp.pipe` and
reports its peak resident memory. Also sums up the size of the saved component. Prints
one line of JSON.

    python benchmarks/start_and_memory.py training/genia/model-best \\
        corpus/genia-train.spacy --docs 2000
    OMP_NUM_THREADS=1 python benchmarks/start_and_memory.py universal --repeats 7
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

START = """
import spacy_genner, sys, time
nlp = spacy_genner.load(sys.argv[1])
doc = nlp("Lisbon hosts the University of Lisbon.")
print(time.process_time())
"""
STREAM = """
import resource, sys, spacy_genner
from spacy.tokens import DocBin
nlp = spacy_genner.load(sys.argv[1])
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


def start(model: str) -> dict[str, float]:
    """Start a process that annotates one sentence.

    model (str): The pipeline.
    RETURNS (dict[str, float]): Its seconds; the processor time up to the spans, and
        that of the whole process.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output, seconds = run(START, model)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_to_spans": float(output), "cpu_to_end": spent}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline, or 'universal'")
    add("data", nargs="?", help="documents to stream (.spacy)")
    add("--docs", type=int, default=2000, help="number of documents to stream")
    add("--repeats", type=int, default=3, help="number of starts")
    add("--component", default="generative_ner", help="name of the component")
    args = parser.parse_args()
    starts = [start(args.model) for _ in range(args.repeats)]
    row = dict(vars(args))
    for name in ("seconds", "cpu_to_spans", "cpu_to_end"):
        values = [each[name] for each in starts]
        row[f"start_{name}"] = [round(value, 2) for value in values]
        row[f"start_{name}_median"] = round(median(values), 2)
    if args.data is not None:
        output, _ = run(STREAM, args.model, args.data, str(args.docs))
        count, peak = map(int, output.split())
        # Linux counts in KiB.
        row |= {"documents": count, "peak_gb": round(peak * 1024 / 1e9, 3)}
    folder = Path(args.model) / args.component
    if folder.is_dir():
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        row["component_mb"] = round(size / 1e6, 2)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
