"""The test data of general abilities: GSM8K, PIQA and MMLU-Redux in local files, and a
small set of extractive questions that belongs to the project.

The layout of the files is that of their publishers. `sample` makes a test set of the
wanted size, and further questions that a prompt can show as examples.
"""

import ast
import csv
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..io import json_objects, read_text

EXTRACTIVE = Path(__file__).parent / "tasks" / "extractive.jsonl"
GSM8K = Path("gsm8k", "test.jsonl")
PIQA = Path("piqa", "valid.jsonl")
PIQA_LABELS = Path("piqa", "valid-labels.lst")
MMLU_REDUX = Path("mmlu_redux")
# One file of MMLU-Redux was saved on a Macintosh.
_ENCODINGS = ("utf-8-sig", "mac_roman")
_DELIMITERS = ",;"
_USABLE = "ok"

Row = dict[str, Any]


def read_gsm8k(folder: Path) -> list[Row]:
    """Read GSM8K (Cobbe et al., "Training Verifiers to Solve Math Word Problems",
    2021).

    folder (Path): The folder with `gsm8k/test.jsonl`.
    RETURNS (list[dict[str, Any]]): Rows with `question` and `answer`, whose end is
        "#### NUMBER".
    RAISES (ValueError): The file is missing or damaged.
    """
    path = _existing(folder / GSM8K)
    rows = [row for _, row in json_objects(path)]
    for row in rows:
        _check_texts(path, row, "question", "answer")
    return rows


def read_piqa(folder: Path) -> list[Row]:
    """Read the validation part of PIQA (Bisk et al., "PIQA: Reasoning about Physical
    Commonsense in Natural Language", 2020). The test part has no labels.

    folder (Path): The folder with `piqa/valid.jsonl` and `piqa/valid-labels.lst`.
    RETURNS (list[dict[str, Any]]): Rows with `goal`, `sol1`, `sol2` and `label`, 0 or
        1.
    RAISES (ValueError): A file is missing or damaged.
    """
    path, labels_path = _existing(folder / PIQA), _existing(folder / PIQA_LABELS)
    rows = [row for _, row in json_objects(path)]
    labels = read_text(labels_path).split()
    if len(labels) != len(rows) or not set(labels) <= {"0", "1"}:
        reason = f"{len(labels)} labels, each 0 or 1, are expected for {len(rows)} rows"
        raise ValueError(Errors.G945.format(path=labels_path, reason=reason))
    for row in rows:
        _check_texts(path, row, "goal", "sol1", "sol2")
    return [{**row, "label": int(x)} for row, x in zip(rows, labels, strict=True)]


def read_mmlu_redux(folder: Path) -> list[Row]:
    """Read the questions of MMLU-Redux without errors (Gema et al., "Are We Done with
    MMLU?", 2024). The delimiter of a file is a comma or a semicolon, and one file is
    not UTF-8. `error_type` is "ok" for a usable question, in any case.

    folder (Path): The folder with `mmlu_redux/mmlu_SUBJECT.csv`.
    RETURNS (list[dict[str, Any]]): Rows with `question`, four `choices`, `answer`, the
        index of the correct one, and `subject`.
    RAISES (ValueError): There are no files, or one is damaged.
    """
    files = sorted(_existing(folder / MMLU_REDUX).glob("mmlu_*.csv"))
    if not files:
        reason = "it has no mmlu_SUBJECT.csv"
        raise ValueError(Errors.G945.format(path=folder / MMLU_REDUX, reason=reason))
    return [row for path in files for row in _read_subject(path)]


def _read_subject(path: Path) -> Iterator[Row]:
    text = _decode(path)
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    # A quoted question may contain line breaks, which the csv module keeps.
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    for number, row in enumerate(rows):
        if (row.get("error_type") or "").strip().casefold() != _USABLE:
            continue
        try:
            choices = [str(each) for each in ast.literal_eval(row["choices"])]
            answer = int(row["answer"])
            question = row["question"].strip()
            if len(choices) != 4 or not 0 <= answer < 4 or not question:
                raise ValueError(f"{len(choices)} choices and the answer {answer}")
        except (KeyError, AttributeError, SyntaxError, TypeError, ValueError) as error:
            reason = f"question {number + 1}: {error!r}"
            raise ValueError(Errors.G945.format(path=path, reason=reason)) from error
        subject = path.stem.removeprefix("mmlu_").replace("_", " ")
        yield {
            "question": question,
            "choices": choices,
            "answer": answer,
            "subject": subject,
        }


def _decode(path: Path) -> str:
    data = path.read_bytes()
    for encoding in _ENCODINGS[:-1]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode(_ENCODINGS[-1])


def read_extractive(folder: Path | None = None) -> list[Row]:
    """Read the extractive questions of the project.

    folder (Path | None): Unused: the questions belong to the package.
    RETURNS (list[dict[str, Any]]): Rows with `passage`, `question` and `answers`, a
        list of correct answers. The first one stands in the passage word for word.
    """
    return [row for _, row in json_objects(EXTRACTIVE)]


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "gsm8k": read_gsm8k,
    "piqa": read_piqa,
    "mmlu_redux": read_mmlu_redux,
    "extractive": read_extractive,
}


def sample(
    rows: list[Row], limit: int, seed: int, examples: int = 0
) -> tuple[list[Row], list[Row]]:
    """Draw a test set, and further rows that are not a part of it.

    rows (list[dict[str, Any]]): The rows.
    limit (int): The size of the test set; 0 for all rows but the further ones.
    seed (int): The random seed.
    examples (int): The number of further rows.
    RETURNS (tuple[list[dict[str, Any]], list[dict[str, Any]]]): The test set and the
        further rows, each in the order of the rows.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    shown, rest = sorted(order[:examples]), order[examples:]
    chosen = sorted(rest[:limit] if limit else rest)
    return [rows[index] for index in chosen], [rows[index] for index in shown]


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(Errors.G945.format(path=path, reason="it does not exist"))
    return path


def _check_texts(path: Path, row: Row, *keys: str) -> None:
    for key in keys:
        if not isinstance(row.get(key), str):
            reason = f"{key!r} is {str(row.get(key))[:40]!r}"
            raise ValueError(Errors.G945.format(path=path, reason=reason))
