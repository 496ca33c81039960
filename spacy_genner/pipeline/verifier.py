"""Verification of predicted spans by a yes/no question."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from spacy.tokens import Doc

from ..config.settings import check_count, check_probability
from ..prompts import PromptLayout
from ..prompts.layout import read_template
from .results import FAILED, REPAIRED, Prediction, TokenSpan, map_with_fallback


class Verdict(NamedTuple):
    """An answer to the question whether a span is right.

    probability (Optional[float]): That of "yes", against "no"; None where there is no
        answer.
    reason (str): Why there is none.
    """

    probability: float | None
    reason: str = ""


Judge = Callable[[Sequence[str]], Sequence[Verdict]]


class Verifier:
    """Asks a model about the spans that it found, each by itself. Registered as
    `spacy-genner.Verifier.v1`.

    Self-verification, Wang et al., "GPT-NER: Named Entity Recognition via Large
    Language Models", 2023; yes and no weighed by their probabilities, Kadavath et al.,
    "Language Models (Mostly) Know What They Know", 2022. A span that the model says no
    to is taken out, and listed in the issues as `rejected`; the score of one that
    stays is multiplied by the probability of yes. One that could not be asked about
    stays, with the issue `unverified`.

    below (float): Spans with this score or a higher one are not asked about. Above 1,
        as by default, all are; so are those of a model that gives no probabilities.
    keep (float): The least probability of yes at which a span stays.
    context (int): How many tokens to either side of a span the question shows, within
        its sentence where the document has sentences.
    template (str): "verify", or a file with a jinja template. Its `text` is the text
        with the one mark.
    RAISES (ValueError): A setting can't be used.
    """

    def __init__(
        self,
        below: float = 1.1,
        keep: float = 0.5,
        context: int = 64,
        template: str = "verify",
    ):
        self.below = float(below)
        self.keep = check_probability("verifier.keep", keep)
        self.context = check_count("verifier.context", context)
        self.template = read_template(template, own=("verify",))

    def layout(self, asked: PromptLayout) -> PromptLayout:
        """The prompt of the second question.

        asked (PromptLayout): That of the first, with the labels.
        RETURNS (PromptLayout): The prompt.
        """
        return PromptLayout(
            asked.labels,
            asked.definitions,
            format="inline_bracketed",
            readings=1,
            template=self.template,
        )

    def verify(
        self, docs: Sequence[Doc], outcomes: Sequence[Prediction], judge: Judge
    ) -> None:
        """Ask about the spans of some documents, all at once.

        docs (Sequence[Doc]): The documents. They are not changed.
        outcomes (Sequence[Prediction]): What was found in each; changed in place.
        judge (Callable[[Sequence[str]], Sequence[Verdict]]): Answers texts with one
            mark each.
        """
        texts = [
            self._marked(doc, span)
            for doc, outcome in zip(docs, outcomes, strict=True)
            for span in self._asked(outcome)
        ]
        verdicts = iter(
            map_with_fallback(judge, texts, lambda _, error: Verdict(None, str(error)))
        )
        for outcome in outcomes:
            asked = self._asked(outcome)
            spans = [
                self._kept(outcome, span, next(verdicts)) if span in asked else span
                for span in outcome.spans
            ]
            outcome.spans = [span for span in spans if span is not None]

    def _asked(self, outcome: Prediction) -> list[TokenSpan]:
        """The spans of a document that are asked about."""
        if outcome.status == FAILED:
            return []
        return [
            span
            for span in outcome.spans
            if span.score < self.below or not outcome.weighed
        ]

    def _kept(
        self, outcome: Prediction, span: TokenSpan, verdict: Verdict
    ) -> TokenSpan | None:
        place = {"start": span.start, "end": span.end, "within": "tokens"}
        where = f"{span.label} over tokens {span.start} to {span.end}"
        if verdict.probability is None:
            outcome.status = REPAIRED
            message = f"{where} could not be verified: {verdict.reason}"
            outcome.issues.append({"code": "unverified", "message": message, **place})
            return span
        if verdict.probability < self.keep:
            message = f"{where}: yes has a probability of {verdict.probability:.2f}"
            outcome.issues.append({"code": "rejected", "message": message, **place})
            return None
        return span._replace(score=span.score * verdict.probability)

    def _marked(self, doc: Doc, span: TokenSpan) -> str:
        first, last = 0, len(doc)
        if doc.has_annotation("SENT_START"):
            first, last = doc[span.start].sent.start, doc[span.end - 1].sent.end
        first = max(first, span.start - self.context)
        last = min(last, span.end + self.context)
        before = doc[first : span.start].text_with_ws if first < span.start else ""
        inside = doc[span.start : span.end]
        after = doc[span.end : last].text if span.end < last else ""
        space = doc[span.end - 1].whitespace_ if after else ""
        return f"{before}[{inside.text} | {span.label}]{space}{after}"
