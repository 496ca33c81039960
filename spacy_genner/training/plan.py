"""Share the budget of a training run between steps and evaluations."""

import math
from dataclasses import dataclass

from spacy.language import Language

from .loop import epoch_sizes
from .speed import Speed

# The number of epochs without a budget is the lowest between these two that gives
# `ENOUGH_STEPS`.
MIN_EPOCHS, MAX_EPOCHS = 2, 12
ENOUGH_STEPS = 100
# The approximate share of the time that evaluations take.
EVALUATION_SHARE = 0.1
# The numbers of evaluations to choose from. With fewer than the last, the best model
# would be a matter of chance.
EVALUATIONS = (10, 8, 6, 5)
# The minimum number of evaluations if the number of steps is given, and does not divide
# well into more.
LEAST_EVALUATIONS = 3
# The maximum share of the time that evaluations take if documents are slow.
MAX_EVALUATION_SHARE = 0.3
# The number of documents below which the score of an evaluation is unreliable.
MIN_EVALUATION_DOCS = 100


@dataclass(frozen=True)
class Plan:
    """The steps and evaluations of a training run.

    max_steps (int): The last step, a multiple of `eval_frequency`.
    eval_frequency (int): The number of steps between evaluations.
    limit (int): The number of documents in an evaluation. 0 for all.
    seconds (float): The expected duration of the run.
    """

    max_steps: int
    eval_frequency: int
    limit: int
    seconds: float


def default_steps(nlp: Language) -> int:
    """Get the number of steps of a training run without a budget.

    nlp (Language): The pipeline with the whole config.
    RETURNS (int): The steps of the lowest number of epochs that has at least
        `ENOUGH_STEPS`, but of no less than `MIN_EPOCHS` and no more than `MAX_EPOCHS`.
    """
    epochs = {epoch for epoch, _ in epoch_sizes(nlp, MAX_EPOCHS, ENOUGH_STEPS)}
    return len(epoch_sizes(nlp, max(MIN_EPOCHS, len(epochs))))


def make_plan(
    speed: Speed, dev_docs: int, minutes: float | None, steps: int | None
) -> Plan:
    """Share a budget between training and evaluation.

    speed (Speed): The time of a step and of a document.
    dev_docs (int): The number of development documents.
    minutes (float | None): The budget in minutes.
    steps (int | None): The budget in steps, if there is none in minutes.
    RETURNS (Plan): The plan.
    """
    training_share = 1.0 - EVALUATION_SHARE
    if minutes is not None:
        steps = int(60 * minutes * training_share / speed.step_seconds)
    steps = max(1, steps or 0)
    budget = steps * speed.step_seconds * EVALUATION_SHARE / training_share
    for evaluations in EVALUATIONS:
        # spaCy evaluates after step 0, too.
        limit = int(budget / ((evaluations + 1) * speed.doc_seconds))
        if limit >= min(dev_docs, MIN_EVALUATION_DOCS) and evaluations <= steps:
            break
    else:
        evaluations = min(EVALUATIONS[-1], steps)
        limit = int(budget / ((evaluations + 1) * speed.doc_seconds))
    limit = min(max(limit, min(dev_docs, MIN_EVALUATION_DOCS // 5)), dev_docs)
    if minutes is not None:
        # A few documents are evaluated even if they take more than their share.
        most = 60 * minutes * MAX_EVALUATION_SHARE
        pass_seconds = (evaluations + 1) * speed.doc_seconds
        limit = max(1, min(limit, int(most / pass_seconds)))
        left = 60 * minutes - limit * pass_seconds
        steps = max(evaluations, min(steps, int(left / speed.step_seconds)))
    fewest = LEAST_EVALUATIONS if minutes is None else EVALUATIONS[-1]
    frequency, evaluations = _evenly(steps, evaluations, fewest)
    max_steps = frequency * evaluations
    seconds = (max_steps + 1) * speed.step_seconds
    seconds += (evaluations + 1) * limit * speed.doc_seconds
    return Plan(max_steps, frequency, 0 if limit == dev_docs else limit, seconds)


def _evenly(steps: int, evaluations: int, fewest: int) -> tuple[int, int]:
    """Share steps between evaluations, so that few of them are left over.

    steps (int): The number of steps.
    evaluations (int): The maximum number of evaluations.
    fewest (int): The minimum that is accepted if the usual one leaves more than a fifth
        of the steps over.
    RETURNS (tuple[int, int]): The steps between evaluations, and the number of
        evaluations.
    """
    plans = [
        (frequency, min(evaluations, steps // frequency))
        for frequency in (steps // evaluations, steps // evaluations + 1)
    ]
    for least in (EVALUATIONS[-1], fewest):
        usable = [plan for plan in plans if plan[1] >= min(least, evaluations)]
        chosen = max(usable, key=math.prod)
        if math.prod(chosen) >= 0.8 * steps:
            break
    return chosen
