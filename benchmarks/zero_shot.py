"""Score a pipeline on CrossNER with labels that it was not trained on.

    python benchmarks/zero_shot.py MODEL DATA_DIR/crossner --output zero_shot.json

MODEL is a pipeline whose adapter takes any labels. Each domain is scored on its whole
test set, with natural label names, once without and once with definitions. Spans and
labels count as exact matches.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.label_sets import set_label_set

DOMAINS = ("ai", "literature", "music", "politics", "science")
LABELS = Path(__file__).parent.parent / "configs" / "crossner-labels.json"


def read_domain(
    nlp: spacy.Language, path: Path, names: dict[str, list[str]]
) -> list[tuple[Doc, set[tuple[int, int, str]]]]:
    """Read a file in CoNLL format as Docs and gold spans in characters."""
    found = []
    for text, spans, *_ in get_converter("conll")(path, ConvertOptions()):
        gold = {(span.start, span.end, names[span.label][0]) for span in spans}
        found.append((nlp.make_doc(text), gold))
    return found


def score(
    nlp: spacy.Language, key: str, data: list, labels: dict[str, str]
) -> dict[str, Any]:
    """Annotate Docs with a label set, and count exact matches."""
    docs = [nlp.make_doc(doc.text) for doc, _ in data]
    for doc in docs:
        set_label_set(doc, labels)
    counts = {label: [0, 0, 0] for label in labels}
    started = time.perf_counter()
    annotated = list(nlp.pipe(docs, batch_size=64))
    seconds = time.perf_counter() - started
    for doc, (_, gold) in zip(annotated, data, strict=True):
        found = {(s.start_char, s.end_char, s.label_) for s in doc.spans[key]}
        for *_, label in gold:
            counts[label][0] += 1
        for *_, label in found:
            counts[label][1] += 1
        for *_, label in gold & found:
            counts[label][2] += 1
    total = [sum(each[place] for each in counts.values()) for place in range(3)]
    return {
        **measures(*total),
        "per_label": {label: measures(*each) for label, each in counts.items()},
        "docs": len(docs),
        "docs_per_second": len(docs) / seconds,
    }


def measures(gold: int, found: int, right: int) -> dict[str, float]:
    """Precision, recall and F1 from counts."""
    precision, recall = right / max(1, found), right / max(1, gold)
    f = 2 * precision * recall / max(1e-12, precision + recall)
    return {"p": precision, "r": recall, "f": f, "gold": gold, "predicted": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("crossner", type=Path)
    parser.add_argument("--domains", nargs="+", default=DOMAINS, choices=DOMAINS)
    parser.add_argument("--limit", type=int, default=0, help="sentences of a domain")
    parser.add_argument("--definitions", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    nlp = spacy.load(arguments.model)
    factories = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    name = next(name for name in factories if factories[name] == "generative_ner")
    key = nlp.get_pipe(name).key  # type: ignore[attr-defined]
    all_names = json.loads(LABELS.read_text(encoding="utf-8"))
    results: dict[str, Any] = {}
    choices = {"no": [False], "yes": [True], "both": [False, True]}
    for defined in choices[arguments.definitions]:
        rows = {}
        for domain in arguments.domains:
            names = all_names[domain]
            path = arguments.crossner / domain / f"{arguments.split}.txt"
            data = read_domain(nlp, path, names)
            if arguments.limit:
                size = min(arguments.limit, len(data))
                data = random.Random(0).sample(data, size)
            labels = {
                natural: text if defined else "" for natural, text in names.values()
            }
            rows[domain] = row = score(nlp, key, data, labels)
            print(
                f"{domain:12} definitions={defined!s:5} F {100 * row['f']:.1f} "
                f"P {100 * row['p']:.1f} R {100 * row['r']:.1f} "
                f"({row['docs']} sentences, {row['docs_per_second']:.1f}/s)",
                flush=True,
            )
        mean = sum(row["f"] for row in rows.values()) / len(rows)
        print(f"mean         definitions={defined!s:5} F {100 * mean:.1f}", flush=True)
        results["defined" if defined else "plain"] = {"mean_f": mean, "domains": rows}
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
