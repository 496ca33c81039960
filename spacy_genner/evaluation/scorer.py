"""The registered scorer of spaCy's training and evaluation."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Optional

from spacy.training import Example

from ..corpora.docbin import unaligned_spans
from ..formats import CharSpan
from .scores import score_documents


def make_span_scorer(
    spans_key: Optional[str] = None,  # noqa: UP045
) -> Callable[..., dict[str, Any]]:
    """`spacy-genner.span_scorer.v1`: spancat's scores, and those of nested spans.

    spans_key (Optional[str]): The group of `doc.spans` that is scored; None for that of
        the component whose scorer it is.
    RETURNS (Callable): The scorer. To spancat's keys (`spans_KEY_f` and so on) it adds
        `spans_KEY_nested_p`, `_r` and `_f`. Reference spans that no token boundary
        fits count as missed in all of them.
    """
    # A component is pickled with its scorer where processes are spawned.
    return partial(_score, spans_key)


def _score(
    chosen: str | None,
    examples: Iterable[Example],
    /,
    *,
    spans_key: str = "sc",
    **kwargs: Any,
) -> dict[str, Any]:
    # spaCy hands over the component's settings as keywords.
    spans_key = chosen or spans_key
    examples = list(examples)
    gold = [gold_spans(example.reference, spans_key) for example in examples]
    found = [group_spans(example.predicted, spans_key) for example in examples]
    scores = score_documents(gold, found)
    attr = f"spans_{spans_key}"
    if not any(spans_key in example.reference.spans for example in examples):
        # As spaCy's own scorer says of data without annotation.
        return {f"{attr}_{key}": None for key in "prf"} | {f"{attr}_per_type": None}
    result = {f"{attr}_{key}": scores[f"micro_{key}"] for key in "prf"}
    result |= {f"{attr}_nested_{key}": scores[f"nested_{key}"] for key in "prf"}
    types = scores["per_type"].items()
    result[f"{attr}_per_type"] = {
        label: {key: row[key] for key in "prf"} for label, row in types
    }
    return result


def group_spans(doc: Any, key: str) -> list[CharSpan]:
    """The spans of a group, each once.

    doc (Doc): The document.
    key (str): The group.
    RETURNS (List[CharSpan]): Its spans; none where there is no such group.
    """
    spans = doc.spans[key] if key in doc.spans else ()
    return list(
        dict.fromkeys(CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    )


def gold_spans(doc: Any, key: str) -> list[CharSpan]:
    """The reference spans, those that no token boundary fits among them.

    doc (Doc): The document.
    key (str): The group.
    RETURNS (List[CharSpan]): The spans.
    """
    return [*group_spans(doc, key), *unaligned_spans(doc)]
