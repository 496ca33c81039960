"""What `annotate --teacher` prints at its end."""

from collections.abc import Mapping
from pathlib import Path

from wasabi import msg

from ..distillation import Counts, Rules
from ..errors import Warnings
from ..llm.remote.usage import Usage
from ._errors import warn_on_stderr

_SHOWN = ("requests", "from_cache", "prompt_tokens", "completion_tokens", "uncounted")


def print_summary(
    counts: Counts,
    output: Path,
    review: Path,
    rules: Rules,
) -> None:
    """Print what a run has made, and what asks for a look.

    counts (Counts): What it has made.
    output (Path): The corpus.
    review (Path): The review.
    rules (Rules): What was good enough.
    """
    msg.good(
        f"{counts.usable} of {counts.total} documents, {counts.spans} spans -> {output}"
    )
    msg.info(f"For a person to look at, the doubtful first -> {review}")
    rows = [(label, str(count)) for label, count in sorted(counts.labels.items())]
    share = counts.with_issues / counts.graded
    rows.append(("(documents with an issue)", f"{share:.1%}"))
    told = {
        "(documents that failed)": counts.failed,
        "(documents left out)": counts.left_out,
        "(blank documents)": counts.blank,
        "(doubtful spans taken out)": counts.taken_out,
    }
    rows += [(name, str(count)) for name, count in told.items() if count]
    msg.table(rows, aligns=("l", "r"))
    if rules.min_score and counts.spans and not counts.scored:
        warn_on_stderr(Warnings.W761.format(least=rules.min_score))
    if counts.failed:
        warn_on_stderr(
            Warnings.W760.format(
                count=counts.failed,
                total=counts.total,
                output=output,
                review=review,
                first=counts.first_failure,
            )
        )


def print_usage(usage: Mapping[str, Usage]) -> None:
    """Print what a run has asked of models behind servers.

    usage (Mapping[str, Usage]): The counts of each component that has asked one.
    """
    for component, each in usage.items():
        msg.info(f"What this run asked for, component {component!r}:")
        rows = [(name.replace("_", " "), str(getattr(each, name))) for name in _SHOWN]
        if each.cost is not None:
            rows.append(("cost", f"{each.cost:.4f}"))
        msg.table(rows, aligns=("l", "r"))
