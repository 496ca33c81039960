"""Widen a spancat suggester to cover the training spans."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry, resolve_dot_names
from thinc.api import Config
from wasabi import msg

from ..corpora.docbin import unaligned_spans
from ..errors import Errors

SUGGESTER = "spacy.ngram_range_suggester.v1"


@dataclass(frozen=True)
class SpanWidths:
    """How wide the spans of a corpus are, in tokens of the pipeline.

    counts (Dict[int, int]): The number of spans of each width.
    off_grid (int): Spans that no token boundary fits, and no width helps.
    """

    counts: dict[int, int]
    off_grid: int = 0

    @property
    def spans(self) -> int:
        """RETURNS (int): The spans that have a width."""
        return sum(self.counts.values())

    def within(self, width: int) -> int:
        """Count the spans that a suggester finds.

        width (int): The widest span that it suggests.
        RETURNS (int): The spans.
        """
        return sum(count for size, count in self.counts.items() if size <= width)

    def covering(self, share: float) -> int:
        """The least width within which a share of the spans lies.

        share (float): The share, above 0 and at most 1.
        RETURNS (int): The width; 0 where there are no spans.
        """
        wanted = share * self.spans
        enough = (size for size in sorted(self.counts) if self.within(size) >= wanted)
        return next(enough, 0)


def cover_spans(
    component: str = "spancat", share: float = 0.99
) -> Callable[[Language], None]:
    """Registered as the callback `spacy-genner.CoverSpans.v1`, for
    `[initialize.before_init]`: has a `spancat` suggest every span up to the width
    within which a share of the training spans lies.

    The width goes into the pipeline's config, with spaCy's own suggester, so that a
    saved pipeline suggests what it was trained on.

    component (str): The name of the `spancat`.
    share (float): The share of the training spans.
    RETURNS (Callable[[Language], None]): The callback.
    RAISES (ValueError): The share is not above 0 and at most 1.
    """
    try:
        checked = float(share)
    except (TypeError, ValueError):
        raise ValueError(Errors.G308.format(name="share", found=share)) from None
    if not 0.0 < checked <= 1.0:
        raise ValueError(Errors.G330.format(found=share))

    def widen(nlp: Language) -> None:
        _widen(nlp, component, checked)

    return widen


def span_widths(examples: Iterable[Example], spans_key: str) -> SpanWidths:
    """Measure the reference spans of some examples.

    examples (Iterable[Example]): The examples.
    spans_key (str): The group of `doc.spans` that holds the spans.
    RETURNS (SpanWidths): Their widths in tokens of the predicted Docs.
    """
    counts: Counter[int] = Counter()
    off_grid = 0
    for example in examples:
        group = list(example.reference.spans.get(spans_key, ()))
        aligned = example.get_aligned_spans_y2x(group, allow_overlap=True)
        counts.update(len(span) for span in aligned)
        off_grid += len(group) - len(aligned) + len(unaligned_spans(example.reference))
    return SpanWidths(dict(counts), off_grid)


def _widen(nlp: Language, component: str, share: float) -> None:
    names = [
        name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "spancat"
    ]
    if component not in names:
        raise ValueError(Errors.G331.format(name=component, found=names))
    spancat: Any = nlp.get_pipe(component)
    config = nlp.config.interpolate()
    (corpus,) = resolve_dot_names(config, [config["training"]["train_corpus"]])
    found = span_widths(corpus(nlp), spancat.key)
    width = found.covering(share)
    if not width:
        raise ValueError(Errors.G307.format(key=spancat.key))
    settings = {"@misc": SUGGESTER, "min_size": 1, "max_size": width}
    spancat.suggester = registry.resolve({"suggester": settings})["suggester"]
    nlp.get_pipe_config(component)["suggester"] = Config(settings)
    within, total = found.within(width), found.spans
    text = (
        f"{component} suggests spans of 1 to {width} tokens: {within} of {total} "
        f"training spans ({100 * within / total:.1f} %); {total - within} are wider"
    )
    if found.off_grid:
        text += f", and {found.off_grid} fit no token boundary"
    msg.info(text)
