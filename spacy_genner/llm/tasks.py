"""The tasks as spacy-llm finds them by name."""

from collections.abc import Callable
from typing import Any, Dict, Iterable, List, Optional, Union  # noqa: UP035

from spacy.scorer import get_ner_prf
from spacy.training import Example

from ..evaluation.scorer import make_span_scorer
from .examples import read_examples
from .settings import TaskSettings, split_labels
from .task import MarkingTask

# What confection takes for the examples: a list, or a reader.
Examples = Union[Iterable[Dict[str, Any]], Callable[[], Any], None]  # noqa: UP006, UP007


def make_ner_task(
    labels: Union[List[str], str] = "",  # noqa: UP006, UP007
    label_definitions: Optional[Dict[str, str]] = None,  # noqa: UP006, UP045
    examples: Examples = None,
    template: Optional[str] = None,  # noqa: UP045
    format: str = "inline_bracketed",
    spans_key: str = "sc",
    readings: int = 1,
    set_ents: str = "outer",
    overwrite_ents: bool = False,
    keep_raw: bool = False,
    scorer: Optional[Callable] = None,  # noqa: UP045
) -> MarkingTask:
    """`spacy-genner.NER.v1`: entities to `doc.ents`, and all spans, with status and
    issues, to `doc.spans[spans_key]`.

    labels (Union[List[str], str]): The labels, or a string with commas between them;
        empty to take them from the examples at `nlp.initialize`.
    label_definitions (Optional[Dict[str, str]]): What labels stand for.
    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Annotated texts for
        the prompt, or what reads them, such as `spacy.FewShotReader.v1`.
    template (Optional[str]): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How often the project's templates hold the text: 1 or 2.
    set_ents (str): Which spans are entities: "outer", "inner" or "none".
    overwrite_ents (bool): Whether entities that are in the Doc give way.
    keep_raw (bool): Whether the group keeps the answer, `attrs["answer"]`.
    scorer (Optional[Callable]): Scores examples; by default as spaCy's `ner` and as
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting can't be used.
    """
    return MarkingTask(
        split_labels(labels, label_definitions),
        read_examples(examples),
        TaskSettings(
            format=format,
            spans_key=spans_key,
            template=template or "study",
            readings=readings,
            set_ents=set_ents,
            overwrite_ents=overwrite_ents,
            keep_raw=keep_raw,
        ),
        scorer or score_entities,
    )


def make_spancat_task(
    labels: Union[List[str], str] = "",  # noqa: UP006, UP007
    label_definitions: Optional[Dict[str, str]] = None,  # noqa: UP006, UP045
    examples: Examples = None,
    template: Optional[str] = None,  # noqa: UP045
    format: str = "inline_bracketed",
    spans_key: str = "sc",
    readings: int = 1,
    keep_raw: bool = False,
    scorer: Optional[Callable] = None,  # noqa: UP045
) -> MarkingTask:
    """`spacy-genner.SpanCat.v1`: spans, nested ones too, to `doc.spans[spans_key]`.

    labels (Union[List[str], str]): The labels, or a string with commas between them;
        empty to take them from the examples at `nlp.initialize`.
    label_definitions (Optional[Dict[str, str]]): What labels stand for.
    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Annotated texts for
        the prompt, or what reads them, such as `spacy.FewShotReader.v1`.
    template (Optional[str]): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How often the project's templates hold the text: 1 or 2.
    keep_raw (bool): Whether the group keeps the answer, `attrs["answer"]`.
    scorer (Optional[Callable]): Scores examples; by default
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting can't be used.
    """
    return MarkingTask(
        split_labels(labels, label_definitions),
        read_examples(examples),
        TaskSettings(
            format=format,
            spans_key=spans_key,
            template=template or "study",
            readings=readings,
            keep_raw=keep_raw,
        ),
        scorer or make_span_scorer(),
    )


def score_entities(
    examples: Iterable[Example], *, spans_key: str = "sc", **kwargs: Any
) -> dict[str, Any]:
    """Score entities, and the spans beside them.

    examples (Iterable[Example]): Predicted documents with their references.
    spans_key (str): The group of `doc.spans`.
    RETURNS (Dict[str, Any]): spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`,
        and what `spacy-genner.span_scorer.v1` gives.
    """
    examples = list(examples)
    spans = make_span_scorer()(examples, spans_key=spans_key)
    return {**get_ner_prf(examples), **spans}
