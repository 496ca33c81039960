"""A teacher whose answers are set by the test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035

import spacy
from spacy.tokens import Doc, DocBin
from spacy_llm.registry import registry
from typer.testing import CliRunner

from spacy_genner.cli import app

RUNNER = CliRunner()
CONFIG = """
[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "spacy-genner.SpanCat.v1"
labels = ["ORG", "GPE"]
keep_raw = true

[components.llm.model]
@llm_models = "cli_test.Answers.v1"
name = "standard"
context_length = 10000
"""
OK = "Lisbon hosts the University of Lisbon ."
REPAIRED = "Maria lives in Porto ."
FAILED = "The University of Porto is old ."
PLAIN = "It rains ."
ANSWERS = {
    OK: "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG] .",
    REPAIRED: "Sure! Maria lives in [Porto | GPE] .",
    FAILED: ValueError("the server is tired"),
}
NESTED = [(0, 6, "GPE"), (17, 37, "ORG"), (31, 37, "GPE")]


class Answers:
    """A language model that answers from a dict. Other texts have no entities."""

    # The answer to each text. A ValueError fails only this text, and any other
    # exception is raised for the whole batch. Set by a test.
    by_text: dict[str, Any] = {}
    asked: list[str] = []
    usage: Any = None
    context_length = 10_000

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        return [[self._answer(prompt) for prompt in each] for each in prompts]

    def _answer(self, prompt: Any) -> Any:
        from spacy_genner.llm.messages import Completion

        text = prompt.subject.text
        Answers.asked.append(text)
        answer = Answers.by_text.get(text, text)
        if isinstance(answer, ValueError):
            return Completion(error=answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@registry.llm_models("cli_test.Answers.v1")
def make_answers(
    name: str = "", context_length: int = 10_000, adapter: str | None = None
) -> Callable[[Iterable[Iterable[Any]]], Iterable[Iterable[Any]]]:
    return Answers()


def run(*args: Any) -> Any:
    return RUNNER.invoke(app, ["annotate", *map(str, args)])


def teach(workdir: Path, *args: Any, source: str = "in.txt") -> Any:
    """Annotate the texts of a folder with its teacher."""
    paths = (workdir / source, workdir / "corpus.spacy")
    return run("--teacher", workdir / "teacher.cfg", *paths, *args)


def write_texts(workdir: Path, *texts: str) -> Path:
    path = workdir / "in.txt"
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def reviewed(workdir: Path, name: str = "corpus.review.jsonl") -> list[dict[str, Any]]:
    lines = (workdir / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def corpus(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def spans(doc: Doc) -> list[tuple[int, int, str]]:
    return [(s.start_char, s.end_char, s.label_) for s in doc.spans["sc"]]


def output_of(result: Any) -> str:
    """The output of a command as one line."""
    return " ".join(result.output.split())
