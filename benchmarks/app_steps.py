"""Time the correction of `genner app` with a large corpus: opening, and single steps.

    python benchmarks/app_steps.py --docs 10000

The corpus has paragraphs of a few hundred characters with one span each. All documents
but one are done, so each step writes an output of nearly the whole corpus. Neither a
model nor a page is needed.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from spacy_genner.app.page import Workbench
from spacy_genner.corpora.convert import DocMaker

TEXT = (
    "{number} Mara Quist left the University of Oslo for the Bergen office of Nordic "
    "Data Group. She had studied physics there, and she knew every corner of the old "
    "building. Her brother stayed, and he still works in the basement, where the "
    "instruments are. They write to each other on the first day of each month."
)


def main(docs: int, steps: int) -> None:
    """Time the correction and print the results.

    docs (int): The number of documents.
    steps (int): The number of steps to time.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "in.jsonl"
        with corpus.open("w", encoding="utf8") as file:
            for number in range(docs):
                text = TEXT.format(number=number)
                start = len(str(number)) + 1
                span = {"start": start, "end": start + 10, "label": "PERSON"}
                file.write(json.dumps({"text": text, "spans": [span]}) + "\n")
        workbench = Workbench([], DocMaker("en").nlp)
        workbench.open(str(corpus))
        step(workbench, "finish")
        workbench.close()
        output = corpus.with_name("in.corrected.jsonl")
        finished = json.loads(output.read_text("utf8"))
        rows = corpus.read_text("utf8").splitlines()
        with output.open("w", encoding="utf8") as file:
            for number in range(1, docs):
                row = {**finished, **json.loads(rows[number - 1])}
                row["spans"] = [
                    {**finished["spans"][0], **span} for span in row["spans"]
                ]
                row["review"] = {**finished["review"], "number": number}
                file.write(json.dumps(row) + "\n")
        start = time.perf_counter()
        workbench.open(str(corpus))
        opened = time.perf_counter() - start
        assert workbench.session is not None
        left = workbench.session.view()["counts"]["left"]
        seconds = []
        for at in range(steps):
            begin = time.perf_counter()
            step(workbench, "undo" if at % 2 else "finish")
            seconds.append(time.perf_counter() - begin)
        size = output.stat().st_size
        workbench.close()
    print(f"{docs} documents of {len(TEXT)} characters, {left} left")
    print(f"opening: {opened:.2f} s")
    print(
        f"a step that writes {size / 1e6:.1f} MB: "
        f"{1000 * statistics.median(seconds):.0f} ms (median of {steps}, "
        f"{1000 * min(seconds):.0f} to {1000 * max(seconds):.0f})"
    )


def step(workbench: Workbench, action: str) -> None:
    """Make a step and check that it was not refused."""
    revision = workbench.session.revision if workbench.session else 0
    request = {"page": "benchmark", "action": action, "revision": revision}
    answer = workbench.correct(request)
    if answer["error"]:
        raise SystemExit(answer["error"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.docs, arguments.steps)
