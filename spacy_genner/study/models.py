"""The eight models of the study: train and score one of them on one of its corpora with
its recipe, and set the score beside the study's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..corpora.docbin import load_docs
from ..errors import Errors
from ..evaluation.evaluate import check_gold
from ..evaluation.records import Annotation, refuse_damaged
from ..formats import FORMATS
from ..io import replaced_file
from ..pipeline.loading import find_spans_key, load_pipeline
from .memorisation import score_row
from .published import BRACKETED, CORPORA, MODELS, published_score
from .scores import score_pipeline
from .stages import Stages, checksum, read_result, training_seconds

HEADER = (
    "model",
    "corpus",
    "format",
    "F1",
    "95 % interval",
    "F1 in the study",
    "difference",
    "minutes",
    "changes to the recipe",
)


@dataclass
class ModelRun:
    """A model of the study on one of its corpora.

    model (str): The key of the model in `MODELS`.
    corpus (str): The key of the corpus in `CORPORA`.
    train (Path): The training documents (.spacy).
    dev (Path): The development documents (.spacy), which select nothing.
    test (Path): The test documents (.spacy).
    labels (Path): The JSON file of the labels and their definitions.
    config (Path): The recipe, `configs/study.cfg`.
    stages (Stages): Keeps the pipeline and the result.
    format (str): The output format.
    revision (str | None): The commit of the model on the hub.
    changes (Mapping[str, Any]): Further settings that replace those of the recipe.
    seed (int): The seed of the bootstrap.
    RAISES (ValueError): The study has no such model, corpus or format.
    """

    model: str
    corpus: str
    train: Path
    dev: Path
    test: Path
    labels: Path
    config: Path
    stages: Stages
    format: str = BRACKETED
    revision: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        for what, found, expected in (
            ("model", self.model, MODELS),
            ("corpus", self.corpus, CORPORA),
            ("format", self.format, FORMATS),
        ):
            if found not in expected:
                raise ValueError(
                    Errors.G948.format(
                        what=what, found=found, expected=", ".join(expected)
                    )
                )

    @property
    def name(self) -> str:
        """RETURNS (str): The name of the run, its folder and its file."""
        return f"{self.model}-{self.corpus}-{self.format}"

    def run(self) -> dict[str, Any]:
        """Train the model, score its last checkpoint, and keep the result.

        RETURNS (dict[str, Any]): The evaluation, with `study_run`: the model, the
            corpus, the format, the study's score (`published`, in percent, or None) and
            the changes to its recipe.
        RAISES (ValueError): A file is missing or damaged, or the model is not
            available.
        """
        self.stages.total = 2
        corpora = [self.train, self.test, self.labels]
        identity: dict[str, Any] = {
            "corpora": checksum(corpora),
            "model": self.model,
        }
        overrides = {
            "vars.base": MODELS[self.model].base,
            "vars.revision": self.revision,
            "paths.train": str(self.train),
            "paths.dev": str(self.dev),
            "paths.labels": str(self.labels),
            "components.generative_ner.format": self.format,
            **self.changes,
        }
        pipeline = self.stages.pipeline(self.name, identity, self.config, overrides)

        def compute() -> tuple[dict[str, Any], list[Annotation]]:
            nlp = load_pipeline(str(pipeline))
            key = find_spans_key(nlp, str(pipeline))
            docs = list(load_docs(self.test, nlp.vocab))
            check_gold(docs, key)
            result, rows = score_pipeline(
                nlp,
                docs,
                key,
                name=str(pipeline),
                data=str(self.test),
                seed=self.seed,
            )
            result["study_run"] = {
                "model": self.model,
                "corpus": self.corpus,
                "format": self.format,
                "published": published_score(self.model, self.corpus, self.format),
                "changes": dict(self.changes),
                "seconds": training_seconds(pipeline.parent),
            }
            return result, rows

        identity = {**identity, "seed": self.seed, "pipeline": checksum([pipeline])}
        return self.stages.result(self.name, identity, compute)

    def clear(self) -> None:
        """Remove the pipeline and the result of an earlier run."""
        self.stages.clear([self.name], [self.name])


def read_rows(folder: Path) -> list[list[str]]:
    """Read the results of model runs as rows of a table.

    folder (Path): The folder of the results.
    RETURNS (list[list[str]]): The cells of each row, in the order of `HEADER`, by model
        and corpus.
    RAISES (ValueError): A result is damaged.
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        if result is None or "study_run" not in result:
            continue
        with refuse_damaged(path):
            rows.append((_order(result["study_run"]), _cells(result)))
    return [cells for _, cells in sorted(rows)]


def _order(run: Mapping[str, Any]) -> tuple[int, ...]:
    parts = (("model", MODELS), ("corpus", CORPORA), ("format", FORMATS))
    return tuple(list(names).index(run[key]) for key, names in parts)


def _cells(result: Mapping[str, Any]) -> list[str]:
    run, row = result["study_run"], score_row(result)
    published = run["published"]
    return [
        MODELS[run["model"]].name,
        CORPORA[run["corpus"]],
        f"`{run['format']}`",
        f"{100 * row['f']:.2f}",
        f"{100 * row['low']:.2f} to {100 * row['high']:.2f}",
        "" if published is None else f"{published:.2f}",
        "" if published is None else f"{100 * row['f'] - published:+.2f}",
        f"{(run['seconds'] + result['run']['seconds']) / 60:.1f}",
        ", ".join(f"`{key}`" for key in run["changes"]) or "none",
    ]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table. A column is aligned to the right if all its cells are numbers,
    or empty.

    header (Sequence[str]): The names of the columns.
    rows (Sequence[Sequence[str]]): The cells of each row.
    RETURNS (str): The table, ending with a line break.
    """
    columns = [[row[index] for row in rows] for index in range(len(header))]
    marks = ["---:" if _are_numbers(column) else "---" for column in columns]
    lines = [list(header), marks, *map(list, rows)]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n"
        for line in lines
    )


def _are_numbers(cells: Sequence[str]) -> bool:
    filled = [cell.lstrip("+-") for cell in cells if cell]
    return bool(filled) and all(cell[:1].isdigit() for cell in filled)


def write_table(folder: Path, output: Path) -> str:
    """Write the table of all model runs in a folder.

    folder (Path): The folder of the results.
    output (Path): The Markdown file.
    RETURNS (str): The table.
    """
    table = markdown_table(HEADER, read_rows(folder))
    with replaced_file(output) as fresh:
        fresh.write_text(table, encoding="utf8")
    return table
