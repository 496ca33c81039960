"""Write a universal adapter with its card: corpora, their licences, and scores.

    python benchmarks/universal_adapter.py training/universal/model-last \\
        spacy_genner/adapters/universal --corpora FOLDER \\
        --scores metrics/universal/crossner.json

Writes what `genner export --to adapter` writes, and README.md and NOTICE. An earlier
result is replaced. FOLDER holds the corpora. Each has `SOURCE.txt` with lines `repo:`,
`licence:` and `language:`, or a row in `OTHER_SOURCES`.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from spacy.util import load_config

from spacy_genner.export.half_precision import export_half_precision
from spacy_genner.io import replaced_folder
from spacy_genner.models.licenses import GEMMA_NOTICE

# Sources of the corpora whose folders have no SOURCE.txt.
OTHER_SOURCES = {
    "bionlp13cg": (
        "https://2013.bionlp-st.org",
        "CC BY-SA 3.0 (annotations); abstracts under PubMed's terms",
        "en",
    ),
    "danplus": ("https://github.com/bplank/DaNplus", "MIT", "da"),
    "ncbi": (
        "https://www.ncbi.nlm.nih.gov/CBBresearch/Dogan/DISEASE/",
        "public domain notice (US NLM)",
        "en",
    ),
}
DOMAINS = {"ai": "AI"}

CARD = """\
# Universal adapter

A LoRA adapter of rank {rank} for `{base}` that annotates texts with any labels.
It is the adapter `"universal"` of spacy-genner:

```python
import spacy

nlp = spacy.blank("en")
config = {{
    "labels": {{"person": "", "city": "A city or town."}},
    "model": {{"adapter": "universal"}},
}}
nlp.add_pipe("generative_ner", config=config)
```

It was trained on {count} corpora with label sets that change from batch to batch, by
`spacy project run universal` ({steps}).
{note}

## Scores

CrossNER, whose texts are not a part of training. Many of its label names are. F1 of
exact spans and labels, in percent; {size}.

{scores}

## Limits

- It finds names and terms better than descriptions, and common kinds of entities better
  than rare ones. A definition helps where the name alone is ambiguous.
- {english:.0f} % of the training data is in English. Other languages have one to three
  corpora each.
- Its scores are lower than those of models with several hundred million parameters that
  were trained for this task for days. Adapt it to your own labels with a few dozen
  sentences or more (`genner init-config --start universal`).
- Its probabilities are not calibrated for labels that it has not seen.

## License

The adapter is offered under CC BY-SA 4.0. It is a derivative of Gemma, so that the
Gemma Terms of Use apply as well (see NOTICE). The texts and annotations of the corpora
are not a part of it. They are used under the licences below; the sources name their
authors.

| corpus | source | licence | language |
|---|---|---|---|
{corpora}
"""


class Source(NamedTuple):
    """Where a corpus comes from.

    name (str): The name of the folder.
    url (str): The address of the source.
    licence (str): The licence.
    language (str): The codes of the languages.
    """

    name: str
    url: str
    licence: str
    language: str


def read_source(folder: Path) -> Source:
    """Read the source of a corpus.

    folder (Path): The folder of the corpus.
    RETURNS (Source): The source.
    RAISES (ValueError): The source or the licence is not stated.
    """
    if folder.name in OTHER_SOURCES:
        return Source(folder.name, *OTHER_SOURCES[folder.name])
    text = (folder / "SOURCE.txt").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^([a-z ]+): *(.+)$", text, flags=re.MULTILINE))
    place = next((value for key, value in fields.items() if key.startswith("repo")), "")
    match = re.search(r"github ([\w.-]+/[\w.-]+)", place)
    url = f"https://github.com/{match[1]}" if match else place
    if not url or "licence" not in fields:
        raise ValueError(f"{folder}/SOURCE.txt states no source or no licence")
    return Source(folder.name, url, fields["licence"], fields.get("language", ""))


def score_table(scores: dict[str, Any]) -> str:
    """Render the result of zero_shot.py as a table."""
    domains = list(next(iter(scores.values()))["domains"])
    heads = " | ".join(DOMAINS.get(name, name) for name in domains)
    lines = [f"| labels | {heads} | mean |", "|---" * (len(domains) + 2) + "|"]
    for key, title in (("plain", "names"), ("defined", "names and definitions")):
        if key in scores:
            found = scores[key]["domains"]
            values = [100 * found[name]["f"] for name in domains]
            values.append(100 * scores[key]["mean_f"])
            lines.append(
                f"| {title} | " + " | ".join(f"{v:.1f}" for v in values) + " |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the trained pipeline")
    parser.add_argument("output", type=Path, help="the folder to write")
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--config", type=Path, default="configs/universal.cfg")
    parser.add_argument("--scores", type=Path, required=True, help="from zero_shot.py")
    parser.add_argument("--steps", default="seed 0", help="the length of training")
    parser.add_argument("--note", default="")
    arguments = parser.parse_args()
    config = load_config(arguments.config, interpolate=True)
    weights = config["corpora"]["train"]["weights"]
    folders = [
        path.parent
        for path in sorted(arguments.corpora.glob("*/train.jsonl"))
        if weights.get(path.parent.name, 1) > 0
    ]
    scores = json.loads(arguments.scores.read_text(encoding="utf-8"))
    sizes = {
        row["docs"] for each in scores.values() for row in each["domains"].values()
    }
    rows = [read_source(folder) for folder in folders]
    model = config["components"]["generative_ner"]["model"]
    shares = {row.name: weights.get(row.name, 1) for row in rows}
    english = sum(shares[row.name] for row in rows if row.language == "en")
    card = CARD.format(
        rank=model["lora"]["rank"],
        base=model["name"],
        count=len(folders),
        english=100 * english / sum(shares.values()),
        steps=arguments.steps,
        note=arguments.note,
        size=f"{min(sizes)} to {max(sizes)} sentences of each domain",
        scores=score_table(scores),
        corpora="\n".join("| " + " | ".join(each) + " |" for each in rows),
    )
    with TemporaryDirectory() as work, replaced_folder(arguments.output) as fresh:
        made = export_half_precision(arguments.model, Path(work) / "adapter")
        shutil.copytree(made, fresh, dirs_exist_ok=True)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        (fresh / "NOTICE").write_text(f"{GEMMA_NOTICE}\n", encoding="utf-8")
    print(arguments.output / "README.md")


if __name__ == "__main__":
    main()
