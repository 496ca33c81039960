"""`genner split`: split a corpus into parts for training, development and test."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpora.convert import TOKENIZERS
from ..corpora.documents import ConvertOptions
from ..corpora.forms import CONVERTERS
from ..errors import Errors, Warnings
from ._util import app, check_suffix, choice, reports_errors, warn_on_stderr


@app.command("split")
@reports_errors
def split(
    corpus: Annotated[
        Path,
        typer.Argument(metavar="CORPUS.spacy", help="The corpus: a file or a folder."),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTDIR",
            help="The folder for train.spacy, dev.spacy and test.spacy.",
        ),
    ],
    dev: Annotated[
        float,
        typer.Option(
            "--dev", "-d", help="The share of the documents in dev. 0 for no dev.spacy."
        ),
    ] = 0.1,
    test: Annotated[
        float,
        typer.Option(
            "--test", help="The share of the documents in test. 0 for no test.spacy."
        ),
    ] = 0.1,
    seed: Annotated[
        int, typer.Option("--seed", "-s", help="The seed of the split.")
    ] = 0,
    name: Annotated[
        str,
        choice("--from", "-f", allowed=CONVERTERS, help="The corpus format."),
    ] = "docbin",
    spans_key: Annotated[
        str,
        typer.Option("--spans-key", "-k", help="The key of the group in doc.spans."),
    ] = "sc",
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="The language code.")
    ] = "en",
    tokenizer: Annotated[
        str,
        choice(
            "--tokenizer",
            "-t",
            allowed=TOKENIZERS,
            help="The tokenizer for other formats than .spacy, as in 'convert'.",
        ),
    ] = "blank",
) -> None:
    """Split a corpus by document into train, dev and test.

    Each part gets its share of the documents with each label (iterative stratification,
    Sechidis et al. 2011), and a rare label is in every part if possible. Documents with
    the same 'doc_id' in doc.user_data or the same text stay together. The same seed
    always gives the same split.

    \b
    Examples:
      python -m spacy genner split corpus.spacy corpus --dev 0.1 --test 0.2
      python -m spacy genner split corpus.jsonl corpus --from jsonl --tokenizer fine
    """
    from ..corpora.split import split_corpus
    from .convert import print_summary

    if not corpus.exists() and str(corpus) != "-":
        raise ValueError(Errors.G520.format(path=corpus))
    if name == "docbin":
        check_suffix(corpus, ".spacy")
    counts = split_corpus(
        corpus,
        output,
        dev=dev,
        test=test,
        seed=seed,
        name=name,
        options=ConvertOptions(spans_key=spans_key, lang=lang),
        tokenizer=tokenizer,
    )
    if counts.conversion is not None:
        print_summary(counts.conversion, output, "spacy", tokenizer)
    parts = list(counts.documents)
    labels = sorted({label for spans in counts.spans.values() for label in spans})
    rows = [("documents", *counts.documents.values(), sum(counts.documents.values()))]
    for label in labels:
        numbers = [counts.spans[part].get(label, 0) for part in parts]
        rows.append((label, *numbers, sum(numbers)))
    totals = [sum(counts.spans[part].values()) for part in parts]
    rows.append(("spans", *totals, sum(totals)))
    msg.good(f"{', '.join(parts)} -> {output}")
    msg.table(
        rows,
        header=("", *parts, "all"),
        aligns=("l", *("r" for _ in parts), "r"),
        divider=True,
    )
    if counts.together:
        typer.echo(
            f"{counts.together} documents have the ID or the text of others and are in "
            "the part of those."
        )
    if counts.lacking:
        found = ", ".join(
            f"{label} ({', '.join(missing)})"
            for label, missing in counts.lacking.items()
        )
        warn_on_stderr(Warnings.W521.format(found=found))
