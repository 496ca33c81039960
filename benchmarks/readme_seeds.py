"""Run the README's example with many seeds, and count the runs with the right spans.

The lines of the example are executed as they are in README.md, up to its training loop.
A seed sets the initial weights of the adapter and the tokens that the loss samples. The
optimizer does not know how many updates will follow, so one training gives the results
after each of the numbers of updates.

    python benchmarks/readme_seeds.py 12 20 40 --seeds 20
    python benchmarks/readme_seeds.py 12 20 40 --seeds 20 --spacy-default

Other sentences, annotated with the brackets of the component's own format, can take the
place of the example's: a JSON file with an object of "lang", "labels", "texts" and, if
wanted, other settings of the component as "config".
"""

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_genner.formats import CharSpan, get_format

NAME = "generative_ner"
README = Path(__file__).parents[1] / "README.md"


@dataclass
class Task:
    """A pipeline that is ready to be trained, and its annotated documents."""

    nlp: Language
    docs: list[Doc]
    optimizer: Any


def readme_code() -> str:
    """RETURNS (str): The lines of the README's example before its training loop."""
    text = README.read_text(encoding="utf8")
    found = re.search(r"<!-- example -->\n```python\n(.*?)\nfor ", text, re.DOTALL)
    if found is None:
        raise SystemExit(f"{README} has no example with a loop")
    return found[1]


def readme_task(seed: int, spacy_default: bool) -> Task:
    """Execute the lines of the README.

    seed (int): The seed of the initial weights.
    spacy_default (bool): Whether to set spaCy's default optimizer.
    RETURNS (Task): Its pipeline, document and optimizer.
    """
    # The seed of a pipeline is a setting of its config.
    before, call, after = readme_code().partition("optimizer = nlp.initialize(")
    scope: dict[str, Any] = {}
    exec(before, scope)
    _configure(scope["nlp"], seed, spacy_default)
    exec(call + after, scope)
    return Task(scope["nlp"], [scope["gold"]], scope["optimizer"])


def file_task(path: Path, seed: int, spacy_default: bool) -> Task:
    """Make the same pipeline for sentences of a file.

    path (Path): A JSON file.
    seed (int): The seed of the initial weights.
    spacy_default (bool): Whether to set spaCy's default optimizer.
    RETURNS (Task): The pipeline, the documents and the optimizer.
    """
    data = json.loads(path.read_text(encoding="utf8"))
    nlp = spacy.blank(data["lang"])
    config = {**data.get("config", {}), "labels": data["labels"]}
    nlp.add_pipe(NAME, config=config)
    _configure(nlp, seed, spacy_default)
    docs = [_annotated(nlp, text) for text in data["texts"]]
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    return Task(nlp, docs, nlp.initialize(lambda: examples))


def _configure(nlp: Language, seed: int, spacy_default: bool) -> None:
    nlp.config["system"]["seed"] = seed
    if spacy_default:
        default = Language.default_config["training"]["optimizer"]
        nlp.config["training"]["optimizer"] = dict(default)


def _annotated(nlp: Language, marked: str) -> Doc:
    parts = re.split(r"(\[| \| [^\[\]|]+\])", marked)
    text, starts, spans = "", [], []
    for part in parts:
        if part == "[":
            starts.append(len(text))
        elif part.startswith(" | ") and part.endswith("]"):
            spans.append(CharSpan(starts.pop(), len(text), part[3:-1]))
        else:
            text += part
    doc = nlp.make_doc(text)
    found = [doc.char_span(span.start, span.end, span.label) for span in spans]
    if None in found:
        raise SystemExit(f"a span does not fit the tokens of {marked!r}")
    doc.spans["sc"] = found
    return doc


def train(task: Task, updates: int, batch_size: int, seed: int) -> Iterator[float]:
    """Train with batches of shuffled documents.

    task (Task): The pipeline, the documents and the optimizer.
    updates (int): The number of updates.
    batch_size (int): The number of documents in a batch.
    seed (int): The seed of the order.
    YIELDS (float): The loss of each update.
    """
    order = random.Random(seed)
    batch: list[Doc] = []
    left: list[Doc] = []
    for _ in range(updates):
        left = left or order.sample(task.docs, len(task.docs))
        batch, left = left[:batch_size], left[batch_size:]
        examples = [Example(task.nlp.make_doc(doc.text), doc) for doc in batch]
        yield task.nlp.update(examples, sgd=task.optimizer)[NAME]


def mistakes(task: Task) -> list[str]:
    """RETURNS (list[str]): The documents whose spans are not the annotated ones, as
    the pipeline annotates them."""
    inline = get_format("inline_bracketed")
    wrong = []
    for gold in task.docs:
        doc = task.nlp(gold.text)
        found, expected = (
            {(span.start_char, span.end_char, span.label_) for span in each.spans["sc"]}
            for each in (doc, gold)
        )
        if found != expected:
            spans = [CharSpan(*span) for span in sorted(found)]
            wrong.append(inline.render(gold.text, spans))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("updates", type=int, nargs="+", help="numbers of updates to look at")
    add("--seeds", type=int, default=20, help="number of seeds")
    add("--first-seed", type=int, default=0, help="the first seed")
    add("--texts", type=Path, help="JSON file with other sentences")
    add("--batch-size", type=int, default=8, help="documents in an update")
    add("--spacy-default", action="store_true", help="spaCy's default optimizer")
    add("--learn-rate", type=float, help="another rate of that optimizer")
    add("--losses", action="store_true", help="print the loss of each update")
    args = parser.parse_args()
    right = dict.fromkeys(sorted(args.updates), 0)
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        fix_random_seed(seed)
        if args.texts is None:
            task = readme_task(seed, args.spacy_default)
        else:
            task = file_task(args.texts, seed, args.spacy_default)
        if args.learn_rate is not None:
            task.optimizer.learn_rate = args.learn_rate
        started, spent = time.perf_counter(), 0.0
        losses: list[float] = []
        for loss in train(task, max(right), args.batch_size, seed):
            losses.append(loss)
            spent += time.perf_counter() - started
            if len(losses) in right:
                wrong = mistakes(task)
                right[len(losses)] += not wrong
                verdict = "wrong: " + "; ".join(wrong) if wrong else "right"
                print(
                    f"seed {seed:2}  updates {len(losses):2}  loss {loss:.4f}  "
                    f"{spent:5.1f} s  {verdict}",
                    flush=True,
                )
            started = time.perf_counter()
        if args.losses:
            print("   ", *(f"{loss:.2g}" for loss in losses), flush=True)
    rate = task.optimizer.learn_rate
    for updates, count in right.items():
        print(f"{updates} updates, learning rate {rate:g}: {count} of {args.seeds}")


if __name__ == "__main__":
    main()
