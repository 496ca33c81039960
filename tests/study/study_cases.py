"""A tiny corpus with three labels, and a pipeline that is trained on it."""

import json
from pathlib import Path

import srsly
from training_cases import CONFIG

from spacy_genner.corpora.convert import DocMaker
from spacy_genner.corpora.docbin import write_docbin
from spacy_genner.corpora.documents import Annotated, ConversionCounts, WriteOptions
from spacy_genner.formats import CharSpan, get_format
from spacy_genner.study.stages import train_pipeline

DEFINITIONS = {"ORG": "a firm", "GPE": "a city", "PER": "a person"}
TRAIN = [
    "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG].",
    "[Maria | PER] lives in [Porto | GPE].",
    "The [University of [Porto | GPE] | ORG] is old.",
    "It rains.",
    "[Porto | ORG] beat [Braga | ORG] in 1995.",
    "[John Smith | PER] met [Maria | PER].",
]
TEST = [
    "[Maria | PER] likes [Lisbon | GPE], and [Braga | GPE] too.",
    "The [University of [Evora | GPE] | ORG] has 24 halls.",
    "It rains.",
]
HELD_OUT = [
    "[Ana Lima | PER] founded the [Bank of [Faro | GPE] | ORG] in [Tavira | GPE].",
    "[Porto | GPE] is here.",
]


def read(outputs):
    """Read texts with markup."""
    fmt = get_format("inline_bracketed")
    for number, output in enumerate(outputs):
        text = output
        for label in DEFINITIONS:
            text = text.replace(f" | {label}]", "")
        text = text.replace("[", "")
        parsed = fmt.parse(output, text, list(DEFINITIONS))
        assert not parsed.issues
        yield Annotated(text, list(parsed.spans), str(number), None)


def write(path: Path, outputs) -> Path:
    """Write texts with markup as a corpus."""
    docs = DocMaker(tokenizer="fine")(read(outputs))
    write_docbin(docs, path, WriteOptions(), ConversionCounts())
    return path


def write_config(folder: Path, base: Path) -> Path:
    """Write a training config, and the labels that it names."""
    labels = folder / "labels.json"
    srsly.write_json(labels, DEFINITIONS)
    text = CONFIG.replace('name = "BASE"', f"name = {json.dumps(str(base))}")
    text = text.replace(
        'labels = ["ORG", "GPE"]',
        "\n[initialize.components.generative_ner.labels]\n"
        '@readers = "spacy.read_labels.v1"\n'
        f"path = {json.dumps(str(labels))}\nrequire = true",
    )
    text = text.replace(
        'pipeline = ["generative_ner"]',
        'pipeline = ["generative_ner"]\n\n[nlp.tokenizer]\n'
        '@tokenizers = "spacy-genner.FineTokenizer.v1"',
    )
    path = folder / "config.cfg"
    path.write_text(text, encoding="utf8")
    return path


def settings(corpus: Path, **more) -> dict:
    """Overrides for a short training."""
    return {
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
        "training.max_steps": 2,
        "training.eval_frequency": 1000,
        **{key.replace("__", "."): value for key, value in more.items()},
    }


def make_plain(folder: Path, base: Path, **more) -> dict[str, Path]:
    """Write the corpora and train the plain run."""
    files = {
        "train": write(folder / "train.spacy", TRAIN),
        "test": write(folder / "test.spacy", TEST),
        "held_out": write(folder / "dev.spacy", HELD_OUT),
    }
    config = write_config(folder, base)
    train_pipeline(config, settings(files["train"], **more), folder / "plain")
    return {**files, "plain": folder / "plain" / "model-last", "config": config}


def spans(text: Annotated) -> list[tuple[str, str]]:
    return [(text.text[s.start : s.end], s.label) for s in sorted(text.spans)]


__all__ = ["CharSpan"]
