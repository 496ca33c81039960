"""`convert`: an annotated corpus to a `.spacy` file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

from ..corpora import CONVERTERS, ConvertOptions, convert_file
from ..corpora.to_docs import TOKENIZERS
from ..errors import Errors
from ._app import app
from ._choices import one_of, shown
from ._errors import fail, reports_errors
from ._progress import progress_bar

if TYPE_CHECKING:
    from ..corpora import ConversionCounts


@app.command("convert")
@reports_errors
def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="The corpus.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT.spacy", help="The file to write.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--from",
            "-f",
            metavar=shown(CONVERTERS),
            callback=one_of(CONVERTERS),
            help="The form of the corpus.",
        ),
    ],
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="The language, as a code.")
    ] = "en",
    spans_key: Annotated[
        str, typer.Option("--spans-key", "-k", help="The group of doc.spans.")
    ] = "sc",
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar=shown(TOKENIZERS),
            callback=one_of(TOKENIZERS),
            help="'blank' is the language's own; 'fine' parts every change between "
            "letters, digits and other characters (spacy-genner.FineTokenizer.v1).",
        ),
    ] = "blank",
    join_sentences: Annotated[
        bool | None,
        typer.Option(
            "--join-sentences/--split-sentences",
            help="One Doc a document, or one a sentence. By default joined for "
            "'bracketed', split for the others.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert an annotated corpus to spaCy's format.

    Spans go to doc.spans, nested ones too. Those that no token boundary fits are
    counted, listed, and kept in doc.user_data, so that an evaluation counts them as
    missed.

    \b
    Forms:
      bracketed     the [University of [Oslo | GPE] | ORG]; one sentence a line,
                    documents parted by empty lines
      jsonl         {"text": ..., "spans": [{"start", "end", "label"}]} on each line,
                    as Prodigy writes it; 'entities' and 'type' are as good
      conll         a token and its tag on each line (IOB1, IOB2, BILUO, BIOES)
      conll-nested  a token and one tag a level on each line
      docbin        a .spacy file

    \b
    Example:
      python -m spacy genner convert corpus/dev.txt corpus/dev.spacy --from bracketed
    """
    if output.suffix != ".spacy":
        fail(Errors.G525.format(path=output, found=output.suffix, expected=".spacy"))
    counts = convert_file(
        source,
        output,
        form,
        options=ConvertOptions(join_sentences, spans_key, lang),
        tokenizer=tokenizer,
        progress=progress_bar("documents"),
    )
    _print_summary(counts, output)


def _print_summary(counts: "ConversionCounts", output: Path) -> None:
    msg.good(f"{counts.documents} documents, {counts.spans} spans -> {output}")
    rows = [(label, count) for label, count in sorted(counts.labels.items())]
    if counts.sentences:
        rows.insert(0, ("(sentences)", counts.sentences))
    if counts.duplicates:
        rows.append(("(said twice, kept once)", counts.duplicates))
    if counts.empty:
        rows.append(("(documents without text, left out)", counts.empty))
    msg.table(rows, aligns=("l", "r"))
    if counts.unaligned:
        msg.warn(
            f"{counts.unaligned} of {counts.spans} spans fit no token boundary; they "
            "are kept in doc.user_data. --tokenizer fine may fit them. The first:",
            "\n".join(f"- {example}" for example in counts.examples),
        )
