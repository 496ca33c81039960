"""`genner convert`: convert a corpus from one format to another."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from wasabi import msg

from ..corpora.convert import TOKENIZERS, convert_file
from ..corpora.documents import (
    DISCONTINUOUS,
    EXTENTS,
    ConvertOptions,
    WriteOptions,
    read_document_list,
)
from ..corpora.forms import CONVERTERS, ENDINGS, WRITERS
from ..corpora.labels import labels_in_file, read_labels
from ..errors import Errors
from ..formats import FORMATS, get_format
from ..io import has_lone_surrogate
from ._util import app, choice, fail, progress_bar, reports_errors

if TYPE_CHECKING:
    from ..corpora.documents import ConversionCounts


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


class Forms(NamedTuple):
    """The forms that an option is for.

    read (Tuple[str, ...]): Forms to read.
    written (Tuple[str, ...]): Forms to write.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


# By the name of the parameter. All other options are for every form, or refused by a
# form's reader.
OPTIONS = {
    "detokenize": Forms(read=("alpaca", "conll", "conll-2012", "conll-nested")),
    "discontinuous": Forms(read=("brat",)),
    "extent": Forms(read=("ace2005",)),
    "labels": Forms(written=("alpaca",)),
    "output_format": Forms(read=("alpaca",), written=("alpaca",)),
    "triggers": Forms(read=("brat",)),
}


def check_options(context: typer.Context, form: str, to: str) -> None:
    """Refuse options that would do nothing as wrong usage (exit code 2).

    context (Context): What the command was given.
    form (str): The form to read.
    to (str): The form to write.
    RAISES (BadParameter): An option is for other forms.
    """
    for param in context.command.params:
        name = param.name or ""
        source = context.get_parameter_source(name)
        # The class of sources is click's, or typer's own, by typer's version.
        if source is None or source.name != "COMMANDLINE":
            continue
        forms = OPTIONS.get(name)
        if forms is None or form in forms.read or to in forms.written:
            continue
        ways = {"--from": forms.read, "--to": forms.written}
        expected = [f"{flag} {each}" for flag, all_ in ways.items() for each in all_]
        raise typer.BadParameter(
            f"with --from {form} and --to {to} it would do nothing. It is for "
            f"{', '.join(expected)}: leave it out.",
            param_hint=param.opts[0],
        )


def read_labels_file(path: Path, output_format: str) -> dict[str, str]:
    """Read labels, for the instruction of a corpus.

    path (Path): A JSON file: an object of labels with their definitions, or a list.
    output_format (str): The format that has to carry them.
    RETURNS (Dict[str, str]): Label to definition, which may be empty.
    RAISES (ValueError): The file holds no labels, or one that the format can't carry.
    """
    try:
        content = labels_in_file(path)
    except ValueError as error:
        raise ValueError(Errors.G561.format(path=path, reason=error)) from error
    labels = read_labels(content, get_format(output_format))
    for text in (*labels, *labels.values()):
        if has_lone_surrogate(text):
            reason = f"it holds half of a character (a lone surrogate) in {text!r}"
            raise ValueError(Errors.G561.format(path=path, reason=reason))
    return labels


@app.command("convert")
@reports_errors
def convert(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="The corpus: a file or a folder.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="What to write, as --to says.")
    ],
    form: Annotated[
        str,
        choice(
            "--from",
            "-f",
            allowed=CONVERTERS,
            help="The form of the corpus.",
        ),
    ],
    to: Annotated[
        str,
        choice(
            "--to",
            allowed=WRITERS,
            help="The form to write.",
        ),
    ] = "spacy",
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="The language, as a code.")
    ] = "en",
    spans_key: Annotated[
        str, typer.Option("--spans-key", "-k", help="The group of doc.spans.")
    ] = "sc",
    tokenizer: Annotated[
        str,
        choice(
            "--tokenizer",
            "-t",
            allowed=TOKENIZERS,
            help="'blank' is the language's own; 'fine' parts every change between "
            "letters, digits and other characters (spacy-genner.FineTokenizer.v1).",
        ),
    ] = "blank",
    join_sentences: Annotated[
        bool | None,
        typer.Option(
            "--join-sentences/--split-sentences",
            help="One Doc a document, or one a sentence, where the corpus parts both. "
            "By default as the form is best known.",
            show_default=False,
        ),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(
            "--documents",
            help="A file with the ids of the documents to take, one a line: a split.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        choice(
            "--format",
            allowed=FORMATS,
            help="The format of the outputs: those that --to alpaca writes (default: "
            "inline_bracketed), else those that --from alpaca reads (default: told by "
            "looking at them).",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A JSON file of labels with definitions, for the instruction that "
            "--to alpaca writes.",
            show_default=False,
        ),
    ] = None,
    discontinuous: Annotated[
        str,
        choice(
            "--discontinuous",
            allowed=DISCONTINUOUS,
            help="An entity in several parts is an error, one span from the first to "
            "the last, or a span each.",
        ),
    ] = "refuse",
    extent: Annotated[
        str,
        choice(
            "--extent",
            allowed=EXTENTS,
            help="The whole mention, or its head, where the corpus has both.",
        ),
    ] = "full",
    triggers: Annotated[
        bool,
        typer.Option(
            "--triggers", help="Read the words that stand for events as spans, too."
        ),
    ] = False,
    detokenize: Annotated[
        bool,
        typer.Option(
            "--detokenize",
            help="Take out the spaces that only part tokens: 'Lisbon .'",
        ),
    ] = False,
) -> None:
    """Convert an annotated corpus, by default to spaCy's format.

    Nothing is lost silently. Spans that no token boundary fits are counted, listed,
    and kept in doc.user_data, so that an evaluation counts them as missed; what the
    form of the output can't say is counted and listed. Examples of each form, and
    what each can't say: docs/corpora.md.

    \b
    Forms to read:
      bracketed     the [University of [Oslo | GPE] | ORG]; one sentence a line,
                    documents parted by empty lines
      jsonl         {"text": ..., "spans": [{"start", "end", "label"}]} on each line,
                    as Prodigy writes it; 'entities' and 'type' are as good
      conll         a token and its tag on each line (IOB1, IOB2, BILUO, BIOES)
      conll-nested  a token and one tag a level on each line
      conll-2012    OntoNotes 5 as CoNLL-2012 has it: a file or a folder of them
      genia-xml     GENIA 3.02: the XML file or its archive
      ace2005       ACE 2005: a folder of .sgm with .apf.xml
      brat          a folder of .txt with .ann (or .a1)
      pubtator      titles and abstracts, then lines with offsets
      alpaca        {"instruction", "input", "output"}: a JSON list, or one a line
      docbin        a .spacy file

    \b
    Forms to write:
      spacy         a .spacy file; 'docbin' is the same
      jsonl         with tokens, as Prodigy loads it
      alpaca        a JSON list, for instruction tuning elsewhere
      conll         one tag a token: of spans that overlap the longest is kept
      conll-nested  as many columns of tags as there are levels
      brat          a folder of .txt with .ann
      bracketed     one sentence a line; not for texts with brackets

    \b
    Examples:
      python -m spacy genner convert corpus/dev.txt corpus/dev.spacy --from bracketed
      python -m spacy genner convert dev.spacy dev.json --from docbin --to alpaca
          --format inline_xml
    """
    check_options(context, form, to)
    ending = ENDINGS.get(to)
    if ending and output.suffix != ending:
        fail(Errors.G525.format(path=output, found=output.suffix, expected=ending))
    writes_outputs = to == "alpaca"
    counts = convert_file(
        source,
        output,
        form,
        options=ConvertOptions(
            join_sentences=join_sentences,
            spans_key=spans_key,
            lang=lang,
            documents=None if documents is None else read_document_list(documents),
            extent=extent,
            discontinuous=discontinuous,
            triggers=triggers,
            # An input's own is told where it is the output's that is named.
            format=None if writes_outputs else output_format,
            detokenize=detokenize,
        ),
        tokenizer=tokenizer,
        to=to,
        write_options=_write_options(output_format, labels),
        progress=progress_bar("documents"),
    )
    print_summary(counts, output, to, tokenizer)


def _write_options(output_format: str | None, labels: Path | None) -> WriteOptions:
    name = output_format or WriteOptions().format
    definitions = {} if labels is None else read_labels_file(labels, name)
    return WriteOptions(format=name, definitions=definitions)
