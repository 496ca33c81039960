"""Convert the domains of CrossNER, with label names in plain words.

    python benchmarks/crossner_corpora.py DATA_DIR/crossner corpus/crossner

writes `DOMAIN-train.spacy`, `DOMAIN-dev.spacy`, `DOMAIN-test.spacy` and
`DOMAIN-labels.json`, the labels with their definitions, from
`configs/crossner-labels.json`. They are the input of `genner init-config`, and of the
peers of docs/baselines.md.
"""

import argparse
import json
from pathlib import Path

from zero_shot import DOMAINS, LABELS

from spacy_genner.corpora import convert_file

PARTS = ("train", "dev", "test")


def convert_domain(folder: Path, output: Path, labels: dict[str, list[str]]) -> int:
    """Convert the parts of a domain, and write its labels.

    folder (Path): The folder of the domain, with `train.txt`, `dev.txt` and `test.txt`.
    output (Path): The folder to write to.
    labels (dict[str, list[str]]): The name and the definition of each label.
    RETURNS (int): The number of spans.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = {label: name for label, (name, _) in labels.items()}
    spans = 0
    for part in PARTS:
        counts = convert_file(
            folder / f"{part}.txt",
            output / f"{folder.name}-{part}.spacy",
            "conll",
            tokenizer="fine",
            label_names=names,
        )
        spans += counts.spans
    definitions = json.dumps(dict(labels.values()), indent=1, ensure_ascii=False)
    path = output / f"{folder.name}-labels.json"
    path.write_text(definitions + "\n", encoding="utf-8")
    return spans


def main() -> None:
    """Convert the domains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="the folder of the domains")
    parser.add_argument("output", type=Path, help="the folder to write to")
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS))
    args = parser.parse_args()
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    for domain in args.domains:
        spans = convert_domain(args.corpus / domain, args.output, labels[domain])
        print(f"{domain}: {spans} spans", flush=True)


if __name__ == "__main__":
    main()
