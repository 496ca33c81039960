"""Score a pipeline on CrossNER with labels that it was not trained on.

    python benchmarks/zero_shot.py MODEL DATA_DIR/crossner --output zero_shot.json

MODEL is a pipeline whose adapter takes any labels, such as `universal`. Each domain is
scored on its whole test set, with natural label names, once without and once with
definitions. Spans and labels count as exact matches.

With --drafts the documents are decoded again, with the spans of the first time as
drafts. The ratio of the two times is what a perfect draft head for any labels would
bring.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc

import spacy_genner
from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.label_sets import set_label_set
from spacy_genner.decoding.decoder import DocSpansDrafter, DraftDecoder

DOMAINS = ("ai", "literature", "music", "politics", "science")
DRAFTS = "drafts"
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


def make_docs(nlp: spacy.Language, data: list, labels: dict[str, str]) -> list[Doc]:
    """Make Docs with a label set."""
    docs = [nlp.make_doc(doc.text) for doc, _ in data]
    for doc in docs:
        set_label_set(doc, labels)
    return docs


def draft_gain(
    nlp: spacy.Language, name: str, annotated: list[Doc], labels: dict[str, str]
) -> float:
    """Compute how much faster perfect drafts make decoding.

    nlp (Language): The pipeline.
    name (str): The name of the component.
    annotated (list[Doc]): Annotated documents.
    labels (dict[str, str]): Their label set.
    RETURNS (float): The time without drafts by the time with the spans as drafts.
    """
    ner: Any = nlp.get_pipe(name)
    decoder, seconds = ner.decoder, []
    for drafter in (None, DocSpansDrafter(DRAFTS)):
        docs = make_docs(nlp, [(doc, ()) for doc in annotated], labels)
        for doc, found in zip(docs, annotated, strict=True):
            doc.spans[DRAFTS] = [
                doc.char_span(span.start_char, span.end_char, span.label_)
                for span in found.spans[ner.key]
            ]
        ner.decoder = DraftDecoder(decoder.batch_tokens, drafter, decoder.opening_bias)
        started = time.perf_counter()
        again = list(nlp.pipe(docs, batch_size=64))
        seconds.append(time.perf_counter() - started)
        for doc, found in zip(again, annotated, strict=True):
            spans = [[*each.spans[ner.key]] for each in (doc, found)]
            if list(map(str, spans[0])) != list(map(str, spans[1])):
                print(f"other spans in {doc.text[:60]!r}", flush=True)
    ner.decoder = decoder
    return seconds[0] / seconds[1]


def score(
    nlp: spacy.Language, name: str, data: list, labels: dict[str, str], drafts: bool
) -> dict[str, Any]:
    """Annotate Docs with a label set, and count exact matches."""
    docs = make_docs(nlp, data, labels)
    key = nlp.get_pipe(name).key  # type: ignore[attr-defined]
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
    gain = draft_gain(nlp, name, annotated, labels) if drafts else None
    total = [sum(each[place] for each in counts.values()) for place in range(3)]
    return {
        **measures(*total),
        "per_label": {label: measures(*each) for label, each in counts.items()},
        "docs": len(docs),
        "docs_per_second": len(docs) / seconds,
        "draft_gain": gain,
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
    parser.add_argument("--drafts", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    nlp = spacy_genner.load(arguments.model)
    factories = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    name = next(name for name in factories if factories[name] == "generative_ner")
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
            rows[domain] = row = score(nlp, name, data, labels, arguments.drafts)
            print(
                f"{domain:12} definitions={defined!s:5} F {100 * row['f']:.1f} "
                f"P {100 * row['p']:.1f} R {100 * row['r']:.1f} "
                f"({row['docs']} sentences, {row['docs_per_second']:.1f}/s)",
                flush=True,
            )
            if arguments.drafts:
                print(f"{domain:12} perfect drafts: {row['draft_gain']:.2f} times")
        mean = sum(row["f"] for row in rows.values()) / len(rows)
        print(f"mean         definitions={defined!s:5} F {100 * mean:.1f}", flush=True)
        results["defined" if defined else "plain"] = {"mean_f": mean, "domains": rows}
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
