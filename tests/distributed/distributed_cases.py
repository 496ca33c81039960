"""Pipelines and corpora for the tests of runs over a corpus."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import import_file

CODE = Path(__file__).with_name("marks_component.py")
NEEDS_ARROW = pytest.mark.skipif(
    find_spec("pyarrow") is None, reason="the extra 'ray' is not installed"
)
NLP = spacy.blank("en")


def save_marks(folder: Path, killed: Path | str = "") -> Path:
    """Save a pipeline with the component of the code file."""
    import_file("python_code", CODE)
    nlp = spacy.blank("en")
    nlp.add_pipe("distributed_test_marks", config={"killed": str(killed)})
    nlp.to_disk(folder)
    return folder


def save_tiny(folder: Path, base: Path) -> Path:
    """Save a pipeline with an untrained adapter on a tiny base."""
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-genner.LoraCausalLM.v1", "name": str(base)}
    nlp.add_pipe("generative_ner", config={"labels": ["ORG", "GPE"], "model": model})
    nlp.initialize()
    nlp.to_disk(folder)
    return folder


def write_jsonl(path: Path, texts: list[str]) -> Path:
    """Write texts with an id and a nested field. Every third line is blank."""
    lines = []
    for number, text in enumerate(texts):
        row = {"id": f"d{number}", "meta": {"x": "ü"}, "text": text}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        if number % 3 == 2:
            lines.append(" \n")
    path.write_text("".join(lines), encoding="utf8")
    return path


def write_docs(path: Path, texts: list[str]) -> Path:
    """Write Docs with a key in their user data."""
    docs = [NLP(text) for text in texts]
    for number, doc in enumerate(docs):
        doc.user_data["doc_id"] = f"d{number}"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def jsonl_rows(folder: Path) -> list[dict]:
    """The records of all parts, in the order of their names."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("part-*.jsonl"))
        for line in path.read_text("utf8").splitlines()
    ]
