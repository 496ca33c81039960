"""What `convert` prints."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wasabi import msg

if TYPE_CHECKING:
    from ..corpora import ConversionCounts


def print_summary(
    counts: "ConversionCounts", output: Path, form: str, tokenizer: str
) -> None:
    """Print what a conversion has met, and what it could not say.

    counts (ConversionCounts): What it has met.
    output (Path): What was written.
    form (str): The form of the output.
    tokenizer (str): The tokenizer that parted texts that come without tokens.
    """
    msg.good(f"{counts.documents} documents, {counts.spans} spans -> {output}")
    rows = [(label, count) for label, count in sorted(counts.labels.items())]
    if counts.sentences:
        rows.insert(0, ("(sentences)", counts.sentences))
    if counts.duplicates:
        rows.append(("(said twice, kept once)", counts.duplicates))
    if counts.empty:
        rows.append(("(documents without text, left out)", counts.empty))
    msg.table(rows, aligns=("l", "r"))
    if counts.unaligned and form in ("spacy", "docbin", "jsonl"):
        kept = "without token numbers" if form == "jsonl" else "in doc.user_data"
        remedy = "--tokenizer fine may fit them. " if tokenizer == "blank" else ""
        msg.warn(
            f"{counts.unaligned} of {counts.spans} spans fit no token boundary; they "
            f"are kept {kept}. {remedy}The first:",
            _listed(counts.examples),
        )
    for kind, count in counts.remarks.items():
        msg.warn(
            f"{count} times in the source: {kind}. The first:",
            _listed(counts.listed[kind]),
        )
    for reason, count in counts.left_out.items():
        msg.warn(
            f"{count} of {counts.spans} spans are left out, as the form {form!r} can't "
            f"say them (a span that {reason}). The first:",
            _listed(counts.listed[reason]),
        )
    for kind, count in counts.changed.items():
        msg.warn(f"{count} {kind}. The first:", _listed(counts.listed[kind]))


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
