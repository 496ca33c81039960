"""`genner convert`: convert a corpus from one format to another."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from wasabi import msg

from ..corpora.convert import TOKENIZERS, convert_file
from ..corpora.documents import (
    DISCONTINUOUS,
    EXTENTS,
    OFFSETS,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
    read_document_list,
)
from ..corpora.forms import CONVERTERS, ENDINGS, WRITERS
from ..corpora.label_names import read_label_names
from ..corpora.labels import labels_in_file, read_labels
from ..errors import Errors
from ..formats import FORMATS, get_format
from ..io import has_lone_surrogate
from ._util import app, check_suffix, choice, progress_bar, reports_errors


class Applicability(NamedTuple):
    """The corpus formats to which an option applies.

    read (tuple[str, ...]): Formats to read.
    written (tuple[str, ...]): Formats to write.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


# By parameter name. Other options apply to every format, or the reader of a format
# refuses them.
OPTIONS = {
    "detokenize": Applicability(read=("alpaca", "conll", "conll-2012", "conll-nested")),
    "discontinuous": Applicability(read=("brat",)),
    "extent": Applicability(read=("ace2005",)),
    "labels": Applicability(written=("alpaca",)),
    "output_format": Applicability(read=("alpaca",), written=("alpaca",)),
    "offsets": Applicability(
        read=("doccano", "jsonl", "label-studio", "label-studio-min")
    ),
    "tag_column": Applicability(read=("conll", "conll-nested")),
    "token_column": Applicability(read=("conll", "conll-nested")),
    "triggers": Applicability(read=("brat",)),
}


@app.command("convert")
@reports_errors
def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="The corpus: a file, a folder, or '-' for the standard input.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The file or folder to write.")
    ],
    name: Annotated[
        str,
        choice(
            "--from", "-f", allowed=CONVERTERS, help="The corpus format of the input."
        ),
    ],
    to: Annotated[
        str,
        choice("--to", allowed=WRITERS, help="The corpus format of the output."),
    ] = "spacy",
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="The language code.")
    ] = "en",
    spans_key: Annotated[
        str,
        typer.Option("--spans-key", "-k", help="The key of the group in doc.spans."),
    ] = "sc",
    tokenizer: Annotated[
        str,
        choice(
            "--tokenizer",
            "-t",
            allowed=TOKENIZERS,
            help="'blank' is the tokenizer of the language; 'fine' splits at every "
            "change between letters, digits and other characters "
            "(spacy-genner.FineTokenizer.v1).",
        ),
    ] = "blank",
    join_sentences: Annotated[
        bool | None,
        typer.Option(
            "--join-sentences/--split-sentences",
            help="Create one Doc for each document or for each sentence, if the corpus "
            "marks both. The default depends on the corpus format.",
            show_default=False,
        ),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(
            "--documents",
            help="A file with the ids of the documents to read, one a line, such as "
            "those of a split.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        choice(
            "--format",
            allowed=FORMATS,
            help="The output format that --to alpaca writes (default: "
            "inline_bracketed), or else that --from alpaca reads (default: detected "
            "from the outputs).",
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
    label_names: Annotated[
        Path | None,
        typer.Option(
            "--label-names",
            help="A JSON file of labels and the names that replace them, such as "
            '{"PER": "person"}.',
            show_default=False,
        ),
    ] = None,
    discontinuous: Annotated[
        str,
        choice(
            "--discontinuous",
            allowed=DISCONTINUOUS,
            help="The treatment of an entity in several parts: an error, one span from "
            "the first part to the last, or one span for each part.",
        ),
    ] = "refuse",
    extent: Annotated[
        str,
        choice(
            "--extent",
            allowed=EXTENTS,
            help="Read the full mention or its head, if the corpus marks both.",
        ),
    ] = "full",
    triggers: Annotated[
        bool,
        typer.Option("--triggers", help="Read event triggers as spans, too."),
    ] = False,
    detokenize: Annotated[
        bool,
        typer.Option(
            "--detokenize",
            help="Remove the spaces that tokenization inserted, as in 'Lisbon .'",
        ),
    ] = False,
    offsets: Annotated[
        str,
        choice(
            "--offsets",
            allowed=OFFSETS,
            help="What the offsets in a JSON file count: characters (code points), "
            "units of UTF-16 (tools in JavaScript), or bytes of UTF-8.",
        ),
    ] = "characters",
    token_column: Annotated[
        str | None,
        typer.Option(
            "--token-column",
            help="The column of the tokens in a CoNLL file: its number, from 1, or its "
            "name in the header row (default: detected).",
            show_default=False,
        ),
    ] = None,
    tag_column: Annotated[
        list[str] | None,
        typer.Option(
            "--tag-column",
            help="A column of tags in a CoNLL file, by number or name. For "
            "conll-nested the option can be repeated (default: the last column, or "
            "all columns after the token).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert an annotated corpus from one format to another.

    No annotation is lost silently. Spans that fit no token boundary are counted, listed
    and kept in doc.user_data, so that an evaluation counts them as missed. Anything
    that the output format can't represent is counted and listed. docs/corpora.md has an
    example of each corpus format and its limits.

    \b
    Formats to read:
      bracketed     the [University of [Oslo | GPE] | ORG]; one sentence a line,
                    documents separated by empty lines
      jsonl         {"text": ..., "spans": [{"start", "end", "label"}]} on each line,
                    as written by Prodigy; also a JSON list, and the exports of
                    doccano, Label Studio (JSON, JSON-MIN) and spaCy (Doc.to_json)
      label-studio  the same reader, under the name of the tool
      label-studio-min  also the same reader
      doccano       also the same reader
      conll         a token and its tag on each line (IOB1, IOB2, BILUO, BIOES), also
                    in CoNLL-U, HIPE, GermEval and MultiCoNER files
      conll-nested  a token and one tag for each level on each line
      conll-2012    OntoNotes 5 in the format of CoNLL-2012: a file or a folder
      genia-xml     GENIA 3.02: the XML file or its archive
      ace2005       ACE 2005: a folder of .sgm with .apf.xml
      brat          a folder of .txt with .ann (or .a1)
      pubtator      titles and abstracts, followed by lines with offsets
      alpaca        {"instruction", "input", "output"}: a JSON list, or one a line;
                    also conversations (sharegpt, messages)
      docbin        a .spacy file

    \b
    Formats to write:
      spacy         a .spacy file; 'docbin' is the same
      jsonl         with tokens, for Prodigy
      label-studio  tasks with one annotation each, to correct them there
      label-studio-min  the same in the form of its export JSON-MIN
      doccano       texts with spans, to correct them there
      alpaca        a JSON list, for instruction tuning with other tools
      conll         one tag for each token; of overlapping spans the longest is kept
      conll-nested  one column of tags for each level
      brat          a folder of .txt with .ann
      bracketed     one sentence a line; not for texts with brackets

    \b
    Examples:
      python -m spacy genner convert corpus/dev.txt corpus/dev.spacy --from bracketed
      python -m spacy genner convert dev.spacy dev.json --from docbin --to alpaca
          --format inline_xml
    """
    refuse_unused_options(context, name, to)
    if to in ENDINGS:
        check_suffix(output, ENDINGS[to])
    writes_outputs = to == "alpaca"
    counts = convert_file(
        source,
        output,
        name,
        options=ConvertOptions(
            join_sentences=join_sentences,
            spans_key=spans_key,
            lang=lang,
            documents=None if documents is None else read_document_list(documents),
            extent=extent,
            discontinuous=discontinuous,
            triggers=triggers,
            # If --format names the format of the written outputs, the format of the
            # outputs in the input is detected.
            format=None if writes_outputs else output_format,
            detokenize=detokenize,
            offsets=offsets,
            token_column=token_column,
            tag_columns=tuple(tag_column or ()),
        ),
        tokenizer=tokenizer,
        to=to,
        write_options=_write_options(output_format, labels),
        label_names=None if label_names is None else read_label_names(label_names),
        progress=progress_bar("documents"),
    )
    print_summary(counts, output, to, tokenizer)


def refuse_unused_options(context: typer.Context, name: str, to: str) -> None:
    """Refuse options that have no effect for the given formats as wrong usage (exit
    code 2).

    context (Context): The context of the command.
    name (str): The corpus format of the input.
    to (str): The corpus format of the output.
    RAISES (BadParameter): An option only applies to other formats.
    """
    for param in context.command.params:
        option = param.name or ""
        source = context.get_parameter_source(option)
        # Compare by name: depending on the version of typer, the class is typer's own
        # or that of click.
        if source is None or source.name != "COMMANDLINE":
            continue
        applies = OPTIONS.get(option)
        if applies is None or name in applies.read or to in applies.written:
            continue
        flags = {"--from": applies.read, "--to": applies.written}
        expected = [f"{flag} {each}" for flag, names in flags.items() for each in names]
        raise typer.BadParameter(
            f"with --from {name} and --to {to} it would do nothing. It applies to "
            f"{', '.join(expected)}: leave it out.",
            param_hint=param.opts[0],
        )


def _write_options(output_format: str | None, labels: Path | None) -> WriteOptions:
    chosen = output_format or WriteOptions().format
    definitions = {} if labels is None else read_definitions(labels, chosen)
    return WriteOptions(format=chosen, definitions=definitions)


def read_definitions(path: Path, output_format: str) -> dict[str, str]:
    """Read the labels and definitions for the instruction of a corpus.

    path (Path): A JSON file with an object of labels and definitions, or with a list of
        labels.
    output_format (str): The output format, which must be able to represent the labels.
    RETURNS (dict[str, str]): The definition of each label, which may be empty.
    RAISES (ValueError): The file has no labels, or one that the format can't represent.
    """
    try:
        content = labels_in_file(path)
        definitions = read_labels(content, get_format(output_format))
    except ValueError as error:
        raise ValueError(Errors.G561.format(path=path, reason=error)) from error
    for text in (*definitions, *definitions.values()):
        if has_lone_surrogate(text):
            reason = f"it holds half of a character (a lone surrogate) in {text!r}"
            raise ValueError(Errors.G561.format(path=path, reason=reason))
    return definitions


def print_summary(
    counts: ConversionCounts, output: Path, to: str, tokenizer: str
) -> None:
    """Print the counts of a conversion, including losses and changes.

    counts (ConversionCounts): The counts.
    output (Path): The output.
    to (str): The corpus format of the output.
    tokenizer (str): The tokenizer for texts without tokens.
    """
    msg.good(f"{counts.documents} documents, {counts.spans} spans -> {output}")
    rows = [(label, count) for label, count in sorted(counts.labels.items())]
    if counts.sentences:
        rows.insert(0, ("(sentences)", counts.sentences))
    if counts.duplicates:
        rows.append(("(duplicate spans, kept once)", counts.duplicates))
    if counts.empty:
        rows.append(("(documents without text, left out)", counts.empty))
    msg.table(rows, aligns=("l", "r"))
    if counts.unaligned and to in ("spacy", "docbin", "jsonl"):
        kept = "without token numbers" if to == "jsonl" else "in doc.user_data"
        remedy = "--tokenizer fine may fit them. " if tokenizer == "blank" else ""
        _warn_with_examples(
            f"{counts.unaligned} of {counts.spans} spans fit no token boundary; they "
            f"are kept {kept}. {remedy}The first:",
            counts.examples,
        )
    for kind, count in counts.diagnostics.items():
        _warn_with_examples(
            f"{count} times in the source: {kind}. The first:", counts.listed[kind]
        )
    for reason, count in counts.left_out.items():
        _warn_with_examples(
            f"{count} of {counts.spans} spans are left out, because the corpus format "
            f"{to!r} can't represent them (a span that {reason}). The first:",
            counts.listed[reason],
        )
    for kind, count in counts.changed.items():
        _warn_with_examples(f"{count} {kind}. The first:", counts.listed[kind])


def _warn_with_examples(title: str, examples: Iterable[str]) -> None:
    msg.warn(title)
    for example in examples:
        typer.echo(f"- {example}")
