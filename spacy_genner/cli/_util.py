"""Options, error reporting and helpers that the commands share."""

import errno
import re
import warnings
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import spacy
import typer
from confection import ConfigValidationError
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup
from tqdm import tqdm
from wasabi import Printer

from ..errors import Errors

HELP = """Generative named entity recognition: corpora, training, annotation, scores.

\b
A first round:
  python -m spacy genner convert corpus/train.txt corpus/train.spacy --from bracketed
  python -m spacy train configs/demo.cfg --output training/demo
  python -m spacy genner evaluate training/demo/model-best corpus/test.spacy --output
      metrics/demo.json
"""

app = typer.Typer(name="genner", help=HELP, no_args_is_help=True, rich_markup_mode=None)


Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A saved or installed pipeline.")
]
SpansKey = Annotated[
    str | None,
    typer.Option(
        "--spans-key",
        "-k",
        help="The group of doc.spans. Default: that of the component.",
        show_default=False,
    ),
]
Code = Annotated[
    Path | None,
    typer.Option(
        "--code",
        "-c",
        metavar="FILE",
        help="Python file with registered functions.",
        show_default=False,
    ),
]


def choice(*flags: str, allowed: Collection[str], **more: Any) -> Any:
    """Make an option that takes one of a few values, and refuses others as wrong usage
    (exit code 2).

    *flags (str): The option's names.
    allowed (Collection[str]): The values, which `--help` shows.
    **more: What else `typer.Option` takes.
    RETURNS (OptionInfo): The option. None passes, where that is its default.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(sorted(allowed))}."
            )
        return value

    metavar = f"[{'|'.join(sorted(allowed))}]"
    return typer.Option(*flags, metavar=metavar, callback=check, **more)


P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 1
# This project's codes, and spaCy's.
_CODED = re.compile(r"\[[GE]\d{3,4}\] ")


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command its exit codes: 1 for bad input, with a message on stderr.

    An error without a code is a fault of the program and keeps its traceback.

    command (Callable): The command.
    RETURNS (Callable): The same, with the same signature.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return command(*args, **kwargs)
        except ConfigValidationError as error:
            fail(without_values(error))
        except OSError as error:
            fail(_os_message(error))
        except Exception as error:
            # KeyError shows its message in quotes.
            message = str(error.args[0]) if error.args else str(error)
            if not _CODED.match(message):
                raise
            fail(message)

    return run


def without_values(error: Exception) -> str:
    """What an error says. One of a config that does not fit would show the whole block,
    in which a key may stand.

    error (Exception): The error.
    RETURNS (str): Its message, without the values of a config.
    """
    if isinstance(error, ConfigValidationError):
        error = ConfigValidationError.from_error(error, show_config=False)
    return str(error)


def fail(message: str) -> NoReturn:
    """Print a message on stderr and end with the exit code for bad input.

    message (str): The message.
    """
    typer.echo(Printer(no_print=True).fail(message), err=True)
    raise typer.Exit(BAD_INPUT)


def warn_on_stderr(message: str) -> None:
    """Print a warning on stderr: stdout is for results.

    message (str): The message.
    """
    typer.echo(Printer(no_print=True).warn(message), err=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn_on_stderr(str(message))


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
    return Errors.G524.format(path=path, reason=error.strerror or error)


def choose_gpu(gpu_id: int) -> int:
    """Choose the GPU for torch, and for thinc where it can use one.

    gpu_id (int): The GPU, or -1.
    RETURNS (int): The same where thinc uses it, else -1.
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


_FACTORY = "generative_ner"
_ENTITIES = "genner_entities_as_group"


def load_pipeline(name: str) -> Language:
    """Load a saved or installed pipeline.

    name (str): Its folder, or its package's name.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): It can't be loaded.
    """
    try:
        return spacy.load(Path(name) if Path(name).exists() else name)
    except (OSError, ValueError) as error:
        if str(error).startswith("[G"):
            raise
        reason = without_values(error)
        raise ValueError(Errors.G527.format(path=name, reason=reason)) from error


def find_spans_key(nlp: Language, name: str) -> str:
    """Find the group that a pipeline's generative component writes to.

    nlp (Language): The pipeline.
    name (str): What it was loaded from, for the message.
    RETURNS (str): The key of `doc.spans`.
    RAISES (ValueError): There is no such component, or more than one.
    """
    return str(nlp.get_pipe_config(_only_component(nlp, name))["spans_key"])


def find_component(nlp: Language, name: str) -> Any:
    """Find the generative component of a pipeline.

    nlp (Language): The pipeline.
    name (str): What it was loaded from, for the message.
    RETURNS (GenerativeNER): The component.
    RAISES (ValueError): There is no such component, or more than one.
    """
    return nlp.get_pipe(_only_component(nlp, name))


def _only_component(nlp: Language, name: str) -> str:
    found = [
        pipe for pipe in nlp.pipe_names if nlp.get_pipe_meta(pipe).factory == _FACTORY
    ]
    if len(found) != 1:
        raise ValueError(Errors.G526.format(path=name, found=len(found)))
    return found[0]


def add_group_of_entities(nlp: Language, key: str) -> bool:
    """Have a pipeline that finds nothing but entities, as one with spaCy's `ner` does,
    put them into a group too, so that they are scored as any other spans.

    nlp (Language): The pipeline; it gets one more component.
    key (str): The group of `doc.spans`.
    RETURNS (bool): Whether it is such a pipeline: one component says that it writes
        `doc.ents`, and none that it writes `doc.spans`.
    """
    written = {
        target for pipe in nlp.pipe_names for target in nlp.get_pipe_meta(pipe).assigns
    }
    if "doc.ents" not in written or "doc.spans" in written:
        return False
    nlp.add_pipe(_ENTITIES, config={"spans_key": key})
    return True


@Language.factory(_ENTITIES, assigns=["doc.spans"], default_config={"spans_key": "sc"})
def _entities_as_group(
    nlp: Language, name: str, spans_key: str
) -> Callable[[Doc], Doc]:
    def fill(doc: Doc) -> Doc:
        if spans_key not in doc.spans:
            doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=list(doc.ents))
        return doc

    return fill


def progress_bar(
    unit: str, total: int | None = None
) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Make a wrapper that shows how far a stream has been read, on stderr.

    unit (str): What is counted.
    total (Optional[int]): How many there will be, where that is known.
    RETURNS (Callable[[Iterable[Any]], Iterable[Any]]): The wrapper. It shows nothing
        where stderr is no terminal.
    """

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        return tqdm(items, total=total, unit=f" {unit}", disable=None, leave=False)

    return wrap
