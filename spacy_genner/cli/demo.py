"""`genner demo`: annotate a few texts and show their spans."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import Printer

from ..errors import Errors
from ..io import decode_line, has_lone_surrogate
from ._util import (
    FACTORY,
    Code,
    GpuId,
    SpansKey,
    app,
    choose_gpu,
    find_spans_key,
    load_pipeline,
    reports_errors,
)

UNIVERSAL = "universal"
STANDARD_INPUT = "-"
# The parts of --labels: a text in quotes, another text, a separator, an open quote.
_PARTS = re.compile(r'"(?:[^"]|"")*"|[^",\n]+|[",\n]')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEPARATORS = (",", "\n")
_JSON_STARTS = "[{"


@app.command("demo")
@reports_errors
def demo(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT ...]",
            help="The texts. '-', or none with a pipe: each line of the standard input "
            "is a text.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="LABELS",
            help="The labels, separated by commas, with definitions if you like: "
            "'person,city=A city or town.' A part with a comma of its own has double "
            "quotes around it. A name that ends with .json is a file of labels. The "
            "option can be repeated. Default: the labels of the pipeline; those of the "
            "universal one are for everyday texts.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A saved or installed pipeline, or one of the Hugging Face hub. "
            "'universal' is the one of this package, which follows any labels.",
        ),
    ] = UNIVERSAL,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            min=0.0,
            max=1.0,
            help="The minimum probability of a span. Default: that of the pipeline.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a JSON object for each text, as 'annotate' writes it."
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE.html",
            help="Write a page with displaCy's drawing of the spans as well.",
            show_default=False,
        ),
    ] = None,
    spans_key: SpansKey = None,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Annotate texts and show their spans, with labels and scores.

    Without --model, the universal adapter of the package follows any labels, without
    training and without a network. It needs the default base: pip install
    'spacy-genner[gemma]'.

    A span within another one is indented. Each text has a status: 'ok', 'windowed' for
    a text that was read in parts, 'repaired' or 'failed'; issues say more.

    \b
    Examples:
      python -m spacy genner demo "Ana Lima plays the cello in Porto."
      python -m spacy genner demo "Ana Lima plays the cello in Porto."
          --labels "person,city,instrument=A musical instrument."
      python -m spacy genner demo - --json < texts.txt
      python -m spacy genner demo "Lisbon hosts the University of Lisbon."
          --model training/demo/model-best --html spans.html
    """
    from spacy.cli._util import import_code

    from ..io import check_place, check_suffix

    source = _source(list(texts or ()))
    chosen = parse_labels(labels) if labels else None
    if html is not None:
        check_suffix(html, ".html")
        check_place(html)
    import_code(code)
    choose_gpu(gpu_id)
    nlp, key = _prepare(model, chosen, min_score, spans_key)
    _show(_annotate(nlp, key, source), key, as_json, html)


def parse_labels(values: Sequence[str]) -> dict[str, str]:
    """Read the labels of the command line.

    values (Sequence[str]): Each is a file of labels (.json), or labels separated by
        commas, each a label or `label=definition`. A text in double quotes may have
        commas.
    RETURNS (dict[str, str]): The labels and their definitions, which may be empty.
    RAISES (ValueError): A label is empty or occurs twice, a quote is not closed, or a
        file has no labels.
    """
    from ..corpora.label_sets import to_label_set
    from ..corpora.labels import labels_in_file

    pairs: list[tuple[str, str]] = []
    for value in values:
        if value.endswith(".json"):
            try:
                pairs += to_label_set(labels_in_file(Path(value)))
            except ValueError as error:
                raise ValueError(
                    Errors.G561.format(path=value, reason=error)
                ) from error
            continue
        pairs += _split_labels(value)
    if not pairs:
        raise ValueError(Errors.G960.format(found=" ".join(values)))
    if len(dict(pairs)) < len(pairs):
        raise ValueError(Errors.G421.format(found=[label for label, _ in pairs]))
    return dict(pairs)


def _split_labels(value: str) -> list[tuple[str, str]]:
    """Split labels at the commas and line breaks outside of double quotes."""
    fields: list[list[str]] = [[]]
    for part in _PARTS.findall(value.strip()):
        if part in _SEPARATORS:
            fields.append([])
        elif part == '"':
            raise ValueError(Errors.G990.format(found=value, reason="an open quote"))
        else:
            fields[-1].append(part)
    pairs = []
    for parts in fields:
        label, _, definition = _unquoted("".join(parts)).partition("=")
        label, definition = _unquoted(label), _unquoted(definition)
        if not label:
            raise ValueError(Errors.G960.format(found=value))
        if label[0] in _JSON_STARTS or '"' in label:
            reason = f"the label {label!r}"
            raise ValueError(Errors.G990.format(found=value, reason=reason))
        pairs.append((label, definition))
    return pairs


def _unquoted(text: str) -> str:
    """The text within a pair of quotes, in which a doubled quote is one."""
    text = text.strip()
    if _QUOTED.fullmatch(text):
        return text[1:-1].replace('""', '"').strip()
    return text


def _source(texts: list[str]) -> Iterable[str]:
    """Get the texts of the arguments and of the standard input.

    RETURNS (Iterable[str]): The texts. Those of a pipe are read before the model is
        loaded, so that a bad line is found before the work; those that a person types
        are read one by one.
    RAISES (BadParameter): There is no text.
    RAISES (ValueError): A text is not valid Unicode.
    """
    has_terminal = sys.stdin is None or sys.stdin.isatty()
    if not texts and has_terminal:
        raise typer.BadParameter(
            "Give a text, or '-' for the standard input.", param_hint="[TEXT ...]"
        )
    stream = _read(texts or [STANDARD_INPUT])
    if STANDARD_INPUT in texts and has_terminal:
        return stream
    found = list(stream)
    if not found:
        raise typer.BadParameter(
            "The standard input is empty. Give a text on each line.",
            param_hint="[TEXT ...]",
        )
    return found


def _read(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts, 1):
        if text == STANDARD_INPUT:
            stream = getattr(sys.stdin, "buffer", sys.stdin)
            for line_number, raw in enumerate(iter(stream.readline, b""), 1):
                yield decode_line(Path("standard input"), line_number, raw)
        elif has_lone_surrogate(text):
            raise ValueError(Errors.G962.format(number=number, found=ascii(text)[:80]))
        else:
            yield text


def _prepare(
    model: str,
    labels: dict[str, str] | None,
    min_score: float | None,
    spans_key: str | None,
) -> tuple[Any, str]:
    """Load a pipeline with the labels and the minimum score.

    RETURNS (tuple[Language, str]): The pipeline, and the key of its group of spans.
    RAISES (ValueError): The pipeline can't be used, or has fixed labels.
    """
    with _waiting("Loading the model. The first time takes longer."):
        nlp = load_pipeline(model)
        pipes = [
            nlp.get_pipe(name)
            for name in nlp.pipe_names
            if nlp.get_pipe_meta(name).factory == FACTORY
        ]
        key = spans_key or find_spans_key(nlp, model)
        if not pipes and (labels is not None or min_score is not None):
            raise ValueError(Errors.G526.format(path=model, found=0))
        for component in pipes:
            _apply(component, model, labels, min_score)
    return nlp, key


def _apply(
    component: Any, model: str, labels: dict[str, str] | None, min_score: float | None
) -> None:
    from ..app.models import why_labels_are_fixed
    from ..pipeline.universal import EVERYDAY_LABELS

    if labels is not None:
        reason = why_labels_are_fixed(component)
        if reason and list(labels) != list(component.labels):
            raise ValueError(
                Errors.G961.format(
                    model=model, labels=", ".join(component.labels), reason=reason
                )
            )
        if not reason:
            component.set_labels(labels)
    elif not component.labels and component.takes_any_labels:
        component.set_labels(EVERYDAY_LABELS)
    if min_score is not None:
        component.cfg["min_score"] = min_score
    # Reports a missing base once, and not as a failure of each text.
    component.load()


def _annotate(nlp: Any, key: str, texts: Iterable[str]) -> Iterator[Any]:
    from ..pipeline.texts import InputText, annotate_stream

    numbered = (InputText(text, {}, None, at) for at, text in enumerate(texts, 1))
    # A person who types a line waits for its spans.
    batch_size = None if isinstance(texts, list) else 1
    return annotate_stream(nlp, key, numbered, batch_size)


def _show(stream: Iterable[Any], key: str, as_json: bool, html: Path | None) -> None:
    from ..io import replaced_file
    from ..pipeline.texts import to_record
    from ._display import page, printer, tokens_of
    from ._texts import StreamCounts

    show = printer()
    drawn = []
    counts = StreamCounts()
    for annotated in counts.count_in(stream):
        record = to_record(annotated, key)
        if as_json:
            line = json.dumps(record, ensure_ascii=False) + "\n"
            typer.echo(line.encode("utf8"), nl=False)
        else:
            show(record)
        if html is not None:
            drawn.append((record, tokens_of(annotated.doc)))
        sys.stdout.flush()
    counts.warn_of_unwritten(key)
    if html is not None:
        with replaced_file(html) as fresh:
            fresh.write_text(page(drawn), encoding="utf8")
        typer.echo(Printer(no_print=True).good(f"Spans drawn -> {html}"), err=True)


def _waiting(message: str) -> AbstractContextManager[Any]:
    """A message on stderr while the block runs, if it is a terminal."""
    from rich.console import Console

    return Console(stderr=True).status(message)
