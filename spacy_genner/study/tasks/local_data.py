"""The functions that the task files in this folder name.

The evaluation harness loads this module by its path, apart from the package.
"""

from pathlib import Path
from typing import Any

from spacy_genner.study.answers import extraction_scores, number_score
from spacy_genner.study.general_data import READERS, sample


def gsm8k(**settings: Any) -> Any:
    """RETURNS (DatasetDict): GSM8K, with five questions for the prompt."""
    return _dataset("gsm8k", examples=5, **settings)


def piqa(**settings: Any) -> Any:
    """RETURNS (DatasetDict): PIQA."""
    return _dataset("piqa", **settings)


def mmlu_redux(**settings: Any) -> Any:
    """RETURNS (DatasetDict): MMLU-Redux."""
    return _dataset("mmlu_redux", **settings)


def extractive(**settings: Any) -> Any:
    """RETURNS (DatasetDict): The extractive questions."""
    return _dataset("extractive", **settings)


def _dataset(
    name: str,
    examples: int = 0,
    folder: str = ".",
    limit: int = 0,
    seed: int = 0,
    **_: Any,
) -> Any:
    """Make the data of a task. The harness passes its metadata: the folder, the size of
    the test set, and the seed."""
    from datasets import Dataset, DatasetDict

    test, shown = sample(READERS[name](Path(folder)), limit, seed, examples)
    splits = {"test": test, **({"examples": shown} if shown else {})}
    return DatasetDict({k: Dataset.from_list(rows) for k, rows in splits.items()})


def score_number(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """RETURNS (dict[str, float]): Whether the last number of an answer is correct."""
    return {"exact_match": number_score(results[0], doc["answer"])}


def score_extract(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """RETURNS (dict[str, float]): The overlap of an answer with a correct one."""
    return {"f1": extraction_scores(results[0], doc["answers"])["f1"]}
