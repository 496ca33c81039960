"""Widen the suggester of a `spancat` to cover the training spans."""

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
    """The widths of the spans of a corpus, in tokens of the pipeline.

    counts (dict[int, int]): The number of spans of each width.
    off_grid (int): The number of spans that fit no token boundary, and that no
        suggester finds.
    """

    counts: dict[int, int]
    off_grid: int = 0

    @property
    def spans(self) -> int:
        """RETURNS (int): The number of spans with a width."""
        return sum(self.counts.values())

    def within(self, width: int) -> int:
        """Count the spans up to a width.

        width (int): The maximum width.
        RETURNS (int): The number of spans.
        """
        return sum(count for size, count in self.counts.items() if size <= width)

    def covering(self, share: float) -> int:
        """Get the smallest width that covers a share of the spans.

        share (float): The share, above 0 and at most 1.
        RETURNS (int): The width. 0 if there are no spans.
        """
        wanted = share * self.spans
        enough = (size for size in sorted(self.counts) if self.within(size) >= wanted)
        return next(enough, 0)


def span_widths(examples: Iterable[Example], spans_key: str) -> SpanWidths:
    """Measure the reference spans of examples.

    examples (Iterable[Example]): The examples.
    spans_key (str): The group of `doc.spans` with the spans.
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


def cover_spans(
    component: str = "spancat", share: float = 0.99
) -> Callable[[Language], None]:
    """Make a callback for `[initialize.before_init]` that widens the suggester of a
    `spancat` to cover a share of the training spans. Registered as
    `spacy-genner.CoverSpans.v1`.

    The width is written to the config of the pipeline, for spaCy's own suggester, so a
    saved pipeline uses the suggester that it was trained with.

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


def _widen(nlp: Language, component: str, share: float) -> None:
    names = [
        name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "spancat"
    ]
    if component not in names:
        raise ValueError(Errors.G331.format(name=component, found=names))
    spancat: Any = nlp.get_pipe(component)
    config = nlp.config.interpolate()
    (corpus,) = resolve_dot_names(config, [config["training"]["train_corpus"]])
    widths = span_widths(corpus(nlp), spancat.key)
    width = widths.covering(share)
    if not width:
        raise ValueError(Errors.G307.format(key=spancat.key))
    settings = {"@misc": SUGGESTER, "min_size": 1, "max_size": width}
    spancat.suggester = registry.resolve({"suggester": settings})["suggester"]
    nlp.get_pipe_config(component)["suggester"] = Config(settings)
    within, total = widths.within(width), widths.spans
    text = (
        f"{component} suggests spans of 1 to {width} tokens: {within} of {total} "
        f"training spans ({100 * within / total:.1f} %); {total - within} are wider"
    )
    if widths.off_grid:
        text += f", and {widths.off_grid} fit no token boundary"
    msg.info(text)
