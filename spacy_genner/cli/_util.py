"""Shared parts of the commands: options, error reporting, pipelines and progress."""

import configparser
import errno
import os
import re
import select
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NoReturn,
    ParamSpec,
    TextIO,
    TypeVar,
)

import typer
from confection import ConfigValidationError
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup
from tqdm import tqdm
from wasabi import Printer

from ..errors import Errors, Warnings
from ..io import check_suffix  # noqa: F401
from ..pipeline.loading import (  # noqa: F401
    FACTORY,
    find_component,
    find_spans_key,
    load_pipeline,
    without_values,
)

if TYPE_CHECKING:
    from ..evaluation.records import Annotation

HELP = """Generative named entity recognition: convert corpora, train pipelines,
annotate texts and evaluate.

\b
To get started:
  python -m spacy genner demo "Ana Lima plays the cello in Porto."
  python -m spacy genner convert corpus/train.txt corpus/train.spacy --from bracketed
  python -m spacy train configs/demo.cfg --output training/demo
  python -m spacy genner evaluate training/demo/model-best corpus/test.spacy --output
      metrics/demo.json
"""
BAD_INPUT = 1
# What a shell reports for a program that a closed pipe ended: 128 + SIGPIPE.
CLOSED_PIPE = 141
_ENTITY_GROUP_FACTORY = "genner_entities_as_group"
# The codes of this project and of spaCy.
_CODED = re.compile(r"\[[GE]\d{3,4}\] ")

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(name="genner", help=HELP, no_args_is_help=True, rich_markup_mode=None)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A saved or installed pipeline, one of the Hugging Face hub (ORG/NAME or "
        "ORG/NAME@REVISION), or 'universal', which follows any labels.",
    ),
]
DevData = Annotated[
    Path,
    typer.Argument(
        metavar="DEV.spacy", help="Annotated documents that were not trained on."
    ),
]
NewFolder = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="A new or empty folder.")
]
Limit = Annotated[
    int,
    typer.Option("--limit", min=0, help="The number of documents to use; 0 for all."),
]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size", "-b", min=1, help="The number of documents in a batch."
    ),
]
SpansKey = Annotated[
    str | None,
    typer.Option(
        "--spans-key",
        "-k",
        help="The key of the group in doc.spans. Default: that of the component.",
        show_default=False,
    ),
]
Code = Annotated[
    Path | None,
    typer.Option(
        "--code",
        "-c",
        metavar="FILE",
        help="A Python file with registered functions.",
        show_default=False,
    ),
]


GpuId = Annotated[
    int,
    typer.Option(
        "--gpu-id",
        "-g",
        help="The number of the GPU; -1 uses 'device' of the config. cupy is not "
        "required.",
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        min=0.0, help="Minutes between checkpoints. Each evaluation writes one, too."
    ),
]


def choice(*flags: str, allowed: Collection[str], **settings: Any) -> Any:
    """Create an option with a fixed set of values. Other values are wrong usage (exit
    code 2).

    *flags (str): The names of the option.
    allowed (Collection[str]): The values, which `--help` lists.
    **settings (Any): Further arguments of `typer.Option`.
    RETURNS (OptionInfo): The option. It accepts None as its default.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(sorted(allowed))}."
            )
        return value

    metavar = f"[{'|'.join(sorted(allowed))}]"
    return typer.Option(*flags, metavar=metavar, callback=check, **settings)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse overrides of config values, as spaCy does. The environment variable that
    spaCy reads may contain overrides, too.

    arguments (Sequence[str]): `--section.key=value`, or two arguments for each.
    RETURNS (dict[str, Any]): The values by section and key.
    RAISES (BadParameter): An argument is not an override.
    """
    from click import NoSuchOption
    from spacy.cli._util import parse_config_overrides

    try:
        return parse_config_overrides(list(arguments))
    except NoSuchOption as error:
        # spaCy raises the exception of click, which some versions of typer do not
        # report as wrong usage.
        raise typer.BadParameter(error.message) from None


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command to report bad input: a message on stderr and exit code 1.

    An exception without a code is a bug of the program and keeps its traceback.

    command (Callable): The command.
    RETURNS (Callable): The decorated command, with the same signature.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _replace_unknown_characters()
        try:
            with _ends_with_its_reader(), warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return command(*args, **kwargs)
        except ConfigValidationError as error:
            _exit(without_values(error))
        except OSError as error:
            _exit(_os_message(error))
        except Exception as error:
            # str() of a KeyError is the repr of its message.
            message = str(error.args[0]) if error.args else str(error)
            if not _CODED.match(message):
                raise
            _exit(message)

    return run


def _replace_unknown_characters() -> None:
    """Write characters that the encoding of the output lacks as escapes. Texts and
    labels may have any, and a command must not fail after its work is done."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


@contextmanager
def _ends_with_its_reader() -> Iterator[None]:
    """End a command quietly if the reader of its output has gone, as that of
    `genner ... | head -1` does."""
    try:
        yield
        # A text that waits in the buffer would only fail at the end of the process.
        sys.stdout.flush()
    except BrokenPipeError:
        # Other connections can break, too.
        if not (broken := [s for s in (sys.stdout, sys.stderr) if _has_no_reader(s)]):
            raise
        for stream in broken:
            # Python flushes its streams again at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise typer.Exit(CLOSED_PIPE) from None


def _has_no_reader(stream: TextIO) -> bool:
    # Windows has no `poll`, and a stream of a test no descriptor.
    with suppress(AttributeError, OSError, ValueError):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    return False


# Errors of confection, configparser and spaCy for a file that is no config.
CONFIG_ERRORS = (
    ConfigValidationError,
    configparser.Error,
    ValueError,
    ImportError,
    KeyError,
    RecursionError,
)


@contextmanager
def names_config(path: Path) -> Iterator[None]:
    """Name the config in the errors that it causes, unless a message of this project
    names the setting at fault.

    path (Path): The file of the config.
    RAISES (ValueError): The block raises an error for an invalid config.
    """
    try:
        yield
    except CONFIG_ERRORS as error:
        if str(error).startswith("[G"):
            raise
        reason = " ".join(without_values(error).split()).rstrip(".")
        raise ValueError(Errors.G342.format(path=path, reason=reason)) from error


def warn_on_stderr(message: str) -> None:
    """Print a warning to stderr. Stdout is for results.

    message (str): The message.
    """
    typer.echo(Printer(no_print=True).warn(message), err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn_on_stderr(str(message))


def _exit(message: str) -> NoReturn:
    typer.echo(Printer(no_print=True).fail(message), err=True)
    raise typer.Exit(BAD_INPUT)


def _os_message(error: OSError) -> str:
    if _CODED.match(str(error)):
        return str(error)
    path = error.filename if error.filename is not None else "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Errors.G523.format(path=path)
    if isinstance(error, FileNotFoundError):
        return Errors.G520.format(path=path)
    if isinstance(error, IsADirectoryError):
        return Errors.G521.format(path=path)
    if isinstance(error, PermissionError):
        return Errors.G522.format(path=path)
    if isinstance(error, FileExistsError) and Path(path).is_file():
        return Errors.G572.format(path=path)
    if isinstance(error, NotADirectoryError):
        return Errors.G577.format(path=path)
    if error.errno == errno.ELOOP:
        return Errors.G578.format(path=path)
    if error.errno == errno.ENAMETOOLONG:
        return Errors.G579.format(path=path)
    return Errors.G524.format(path=path, reason=error.strerror or error)


def choose_gpu(gpu_id: int) -> int:
    """Select the GPU for torch, and for thinc if thinc can use a GPU.

    gpu_id (int): The number of the GPU, or -1 for none.
    RETURNS (int): The same number if thinc uses the GPU, else -1.
    RAISES (ValueError): torch finds no such GPU.
    """
    if gpu_id < 0:
        return -1
    import torch
    from thinc.api import require_gpu
    from thinc.compat import has_cupy_gpu

    count = torch.cuda.device_count()
    if gpu_id >= count:
        raise ValueError(Errors.G317.format(found=gpu_id, count=count))
    torch.cuda.set_device(gpu_id)
    if not has_cupy_gpu:
        return -1
    require_gpu(gpu_id)
    return gpu_id


def add_entity_group(nlp: Language, key: str) -> bool:
    """Add a component that copies `doc.ents` into a span group, if the pipeline assigns
    entities but no span groups, as one with spaCy's `ner` does. Its entities are then
    treated like any other spans.

    nlp (Language): The pipeline.
    key (str): The key of the group.
    RETURNS (bool): Whether the component was added.
    """
    assigned = {
        target for pipe in nlp.pipe_names for target in nlp.get_pipe_meta(pipe).assigns
    }
    if "doc.ents" not in assigned or "doc.spans" in assigned:
        return False
    nlp.add_pipe(_ENTITY_GROUP_FACTORY, config={"spans_key": key})
    return True


@Language.factory(
    _ENTITY_GROUP_FACTORY, assigns=["doc.spans"], default_config={"spans_key": "sc"}
)
def _make_entity_group(
    nlp: Language, name: str, spans_key: str
) -> Callable[[Doc], Doc]:
    def copy_entities(doc: Doc) -> Doc:
        if spans_key not in doc.spans:
            doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=list(doc.ents))
        return doc

    return copy_entities


def progress_bar(
    unit: str, total: int | None = None, lines: bool = False
) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Create a wrapper that shows the progress over a stream on stderr.

    unit (str): The name of the items.
    total (int | None): The number of items, if known.
    lines (bool): Whether to print lines if stderr is not a terminal.
    RETURNS (Callable[[Iterable[Any]], Iterable[Any]]): The wrapper. Without `lines` it
        shows nothing if stderr is not a terminal.
    """

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        if lines and not sys.stderr.isatty():
            return _with_lines(list(items), unit)
        return tqdm(items, total=total, unit=f" {unit}", disable=None, leave=False)

    return wrap


def _with_lines(items: Sequence[Any], unit: str) -> Iterator[Any]:
    """Print a line after every tenth of the items, and after the last."""
    for done, item in enumerate(items, 1):
        yield item
        tenth, before = (10 * count // len(items) for count in (done, done - 1))
        if tenth > before:
            typer.echo(f"{unit}: {done} of {len(items)}", err=True)


def warn_of_unwritten(key: str, count: int, total: int) -> None:
    """Warn of documents whose group the pipeline has not written.

    key (str): The key of the group.
    count (int): The number of these documents.
    total (int): The number of all documents.
    """
    if count:
        warn_on_stderr(Warnings.W985.format(key=key, count=count, total=total))


def warn_of_failures(rows: Sequence["Annotation"]) -> None:
    """Count the documents that failed, which have no predicted spans.

    rows (Sequence[Annotation]): The documents that a command has annotated.
    """
    from ..pipeline.results import FAILED

    failed = [row for row in rows if row.status == FAILED]
    if failed:
        first = next((issue["message"] for issue in failed[0].issues), FAILED)
        warn_on_stderr(
            Warnings.W601.format(count=len(failed), total=len(rows), first=first)
        )


def check_file(path: Path) -> None:
    """Check that a file exists.

    path (Path): The file.
    RAISES (ValueError): There is none, or it is a folder.
    """
    if not path.is_file():
        message = Errors.G521 if path.is_dir() else Errors.G520
        raise ValueError(message.format(path=path))
