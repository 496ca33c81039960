"""`convert`: an annotated corpus from one form to another."""

from pathlib import Path
from typing import Annotated

import typer

from ..corpora import CONVERTERS, WRITERS, ConvertOptions, WriteOptions, convert_file
from ..corpora.annotated import DISCONTINUOUS, EXTENTS
from ..corpora.documents import read_document_list
from ..corpora.to_docs import TOKENIZERS
from ..corpora.writers import ENDINGS
from ..errors import Errors
from ..formats import FORMATS
from ._app import app
from ._choices import choice
from ._conversion_summary import print_summary
from ._convert_options import check_options
from ._errors import fail, reports_errors
from ._labels_file import read_labels_file
from ._progress import progress_bar


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
