"""Verification of predicted spans by a yes/no question."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from spacy.tokens import Doc

from ..config.settings import check_count, check_probability
from ..prompts import PromptLayout
from ..prompts.layout import read_template
from .results import FAILED, REPAIRED, Prediction, TokenSpan, map_with_fallback


class Verdict(NamedTuple):
    """The answer to the question whether a span is correct.

    probability (float | None): The probability of "yes", against "no". None if there is
        no answer.
    reason (str): Why there is no answer.
    """

    probability: float | None
    reason: str = ""


# Answers the question about each of some texts.
Judge = Callable[[Sequence[str]], Sequence[Verdict]]


class Verifier:
    """Asks the model about each span that it predicted. Registered as
    `spacy-genner.Verifier.v1`.

    A span is dropped if the model answers "no", and listed in the issues as `rejected`.
    The score of a span that is kept is multiplied by the probability of "yes". A span
    without an answer is kept, with the issue `unverified`.

    Source: self-verification, Wang et al., "GPT-NER: Named Entity Recognition via Large
    Language Models", 2023. The probabilities of yes and no: Kadavath et al., "Language
    Models (Mostly) Know What They Know", 2022.

    below (float): Spans with this score or a higher one are not verified. The default
        is above 1, so that all spans are. The spans of a model without probabilities
        always are.
    keep (float): The minimum probability of "yes" to keep a span.
    context (int): The number of tokens on either side of a span that the question
        shows, within its sentence if the document has sentence boundaries.
    template (str): "verify", or a file with a jinja template. The variable `text` is
        the text with the span in markup.
    RAISES (ValueError): A setting is invalid.
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

    def layout(self, prompt: PromptLayout) -> PromptLayout:
        """Make the prompt of the yes/no question.

        prompt (PromptLayout): The prompt of the prediction, with the labels.
        RETURNS (PromptLayout): The prompt of the question.
        """
        return PromptLayout(
            prompt.labels,
            prompt.definitions,
            format="inline_bracketed",
            readings=1,
            template=self.template,
        )

    def verify(
        self, docs: Sequence[Doc], predictions: Sequence[Prediction], judge: Judge
    ) -> None:
        """Verify the spans of some documents together.

        docs (Sequence[Doc]): The documents. They are not changed.
        predictions (Sequence[Prediction]): One for each document, changed in place.
        judge (Callable[[Sequence[str]], Sequence[Verdict]]): Answers the question about
            each of some texts with one span in markup.
        """
        texts = [
            self._mark(doc, span)
            for doc, prediction in zip(docs, predictions, strict=True)
            for span in self._to_verify(prediction)
        ]
        verdicts = iter(
            map_with_fallback(judge, texts, lambda _, error: Verdict(None, str(error)))
        )
        for prediction in predictions:
            verified = self._to_verify(prediction)
            spans = [
                self._apply(prediction, span, next(verdicts))
                if span in verified
                else span
                for span in prediction.spans
            ]
            prediction.spans = [span for span in spans if span is not None]

    def _to_verify(self, prediction: Prediction) -> list[TokenSpan]:
        if prediction.status == FAILED:
            return []
        return [
            span
            for span in prediction.spans
            if span.score < self.below or not prediction.has_scores
        ]

    def _apply(
        self, prediction: Prediction, span: TokenSpan, verdict: Verdict
    ) -> TokenSpan | None:
        """Apply a verdict to a span.

        RETURNS (TokenSpan | None): The span with its new score. None if it is dropped.
        """
        place = {"start": span.start, "end": span.end, "within": "tokens"}
        where = f"{span.label} over tokens {span.start} to {span.end}"
        if verdict.probability is None:
            prediction.status = REPAIRED
            message = f"{where} could not be verified: {verdict.reason}"
            prediction.issues.append(
                {"code": "unverified", "message": message, **place}
            )
            return span
        if verdict.probability < self.keep:
            message = f"{where}: yes has a probability of {verdict.probability:.2f}"
            prediction.issues.append({"code": "rejected", "message": message, **place})
            return None
        return span._replace(score=span.score * verdict.probability)

    def _mark(self, doc: Doc, span: TokenSpan) -> str:
        """The text around a span, with the span in markup."""
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
