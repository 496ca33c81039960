"""Score the labels of a zero-shot run by whether training has seen their names.

    python benchmarks/zero_shot_labels.py zero_shot.json configs/universal.cfg \\
        --paths.corpora DATA_DIR/universal

The first file is the output of `benchmarks/zero_shot.py`. The config names the mixture
of corpora: a label is *seen* if a corpus of the mixture has a label with its name, or
lists it among the alternative names, in any case. The names are all that is compared:
entities of an unseen label may be those of a seen one with another name.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spacy.cli._util import parse_config_overrides
from spacy.util import load_config

from spacy_genner.corpora.mixture import LABELS_FILE, LabelledCorpus


def trained_names(config: dict[str, Any]) -> set[str]:
    """The label names that training with a mixture has seen, in lower case."""
    settings = config["corpora"]["train"]
    weights = settings.get("weights", {})
    alternatives = json.loads(Path(settings["names"]).read_text(encoding="utf-8"))
    names = set()
    for path in sorted(Path(settings["path"]).glob(f"*/{LABELS_FILE}")):
        corpus = path.parent.name
        if weights.get(corpus, 1):
            labels = LabelledCorpus(
                path.parent, alternatives=alternatives.get(corpus, {})
            ).labels
            for label in labels.values():
                names |= {each.lower() for each in (label.name, *label.other_names)}
    return names


def sum_scores(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Micro-averaged scores of several labels."""
    gold = found = right = 0
    for row in rows:
        gold += row["gold"]
        found += row["predicted"]
        right += round(row["r"] * row["gold"])
    p, r = right / max(1, found), right / max(1, gold)
    return {"p": p, "r": r, "f": 2 * p * r / max(1e-12, p + r), "gold": gold}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("config", type=Path)
    arguments, overrides = parser.parse_known_args()
    config = load_config(
        arguments.config, overrides=parse_config_overrides(overrides), interpolate=True
    )
    known = trained_names(config)
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    for kind, result in results.items():
        groups: dict[str, list[tuple[str, dict[str, Any]]]] = {"seen": [], "unseen": []}
        for domain in result["domains"].values():
            for label, row in domain["per_label"].items():
                group = "seen" if label.lower() in known else "unseen"
                groups[group].append((label, row))
        for group, rows in groups.items():
            scores = sum_scores(row for _, row in rows)
            percent = "F {f:.1f} P {p:.1f} R {r:.1f}".format(
                **{key: 100 * scores[key] for key in "fpr"}
            )
            size = f"({scores['gold']} spans of {len(rows)} labels)"
            print(f"{kind:8} {group:7} {percent} {size}")
            for label, row in sorted(rows, key=lambda each: -each[1]["gold"]):
                print(f"    {label:25} F {100 * row['f']:5.1f} ({row['gold']} spans)")


if __name__ == "__main__":
    main()
