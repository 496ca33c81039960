"""The prompt: template, instruction, label definitions and demonstrations.

A prompt is rendered from a jinja template around its text. The part before the text
that all documents share, the prefix, is processed by the model once.
"""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, wraps
from importlib import resources
from os.path import commonprefix
from pathlib import Path
from time import monotonic
from typing import Any

from ..config.settings import PromptConfig
from ..errors import Errors, Warnings, warn
from .examples import Demonstration, Neighbours

TEMPLATES = ("compact", "study")
# Stands for the text while a template is rendered: a private-use character that texts
# hardly ever contain.
_SLOT = "\ue0f8"


def read_template(name: str, own: Sequence[str] = TEMPLATES) -> str:
    """Read a template.

    name (str): The name of a built-in template, or a file that ends in `.jinja` or
        `.j2`.
    own (Sequence[str]): The built-in templates to choose from.
    RETURNS (str): The source of the template.
    RAISES (ValueError): There is no template of that name.
    RAISES (OSError): The file cannot be read.
    """
    if name in own:
        return _read_built_in(name)
    path = Path(name)
    if path.suffix not in (".jinja", ".j2"):
        expected = ", ".join(own)
        raise ValueError(Errors.G107.format(found=name, expected=expected))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OSError(Errors.G108.format(path=name, reason=error)) from error


def render_around(source: str, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Render a template, and split the result at its `{{ text }}`.

    source (str): The source of the template.
    variables (Mapping[str, Any]): The variables besides `text`. They are not templates
        themselves: braces in a definition or a demonstration stay braces.
    RETURNS (tuple[str, ...]): The strings before the text, between its readings, and
        after the last one: one more than the number of readings.
    RAISES (ValueError): The template cannot be rendered, does not use `text`, or
        exceeds the limits of size, work and time.
    """
    slot = _SLOT
    # A longer run of the character than any variable contains.
    contents = "\n".join(_strings(variables))
    while slot in contents:
        slot += _SLOT
    try:
        rendered = _render_limited(source, {**variables, "text": slot})
    except Exception as error:
        # jinja2 raises any exception that an expression raises.
        raise ValueError(Errors.G109.format(reason=error)) from error
    parts = tuple(rendered.split(slot))
    if len(parts) < 2:
        raise ValueError(Errors.G110)
    return parts


def _strings(value: Any) -> list[str]:
    """All strings in nested mappings and sequences."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence):
        return [text for item in value for text in _strings(item)]
    return []


@cache
def _read_built_in(name: str) -> str:
    folder = resources.files(__package__) / "templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def _compile(source: str) -> Any:
    return _environment().from_string(source)


# The limits of a template, which may come with a pipeline of another person. The size
# of a prompt, or of a value in its template, in characters or elements; the work, which
# counts passes of loops, calls and the sizes of their results; and the time in seconds.
MAX_SIZE = 4_000_000
MAX_WORK = 2_000_000
MAX_SECONDS = 5.0
# The largest number that widths, counts and repetitions may have, and the largest size
# of an integer in bits.
_MAX_NUMBER = 100_000
_MAX_BITS = 4096
# The time of these grows faster than their input, and a prompt needs none of them.
_REMOVED_FILTERS = ("striptags", "urlize")
_HIDDEN_ARGUMENTS = ("_loop_vars", "_block_vars")
# A width in a format string.
_WIDTH = re.compile(r"\d{5,}|\*")


class _Budget(threading.local):
    """The work and the time that the template of a thread has left."""

    work = 0
    end = 0.0

    def start(self) -> None:
        self.work, self.end = MAX_WORK, monotonic() + MAX_SECONDS

    def spend(self, work: int = 1) -> None:
        self.work -= work
        if self.work < 0 or monotonic() > self.end:
            raise ValueError(
                f"it takes more than {MAX_WORK:,} operations or {MAX_SECONDS:g} seconds"
            )


_budget = _Budget()


def _check_size(size: int) -> None:
    if size > MAX_SIZE:
        raise ValueError(f"it makes a value of more than {MAX_SIZE:,} characters")


def _measured(value: Any) -> Any:
    """Return a value after its size, with nested values, has been spent."""
    # Strings are compared with the limit alone: a reference to one is no work.
    pending, total = [value], 0
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, (list, tuple, set, frozenset)):
            _budget.spend(1 + len(each))
            pending.extend(each)
        elif isinstance(each, Mapping):
            _budget.spend(1 + len(each))
            pending.extend(each.keys())
            pending.extend(each.values())
        elif type(each).__name__ == "Namespace":
            _budget.spend()
            pending.append(each._Namespace__attrs)
        elif isinstance(each, int):
            if each.bit_length() > _MAX_BITS:
                raise ValueError("it makes a number with too many digits")
        _check_size(total)
    return value


def _limited_result(value: Any) -> Any:
    """Return the result of a call, whose size is spent. An iterator spends one step for
    each item."""
    if isinstance(value, str):
        _budget.spend(1 + len(value) // 16)
        _check_size(len(value))
        return value
    if isinstance(value, Iterator):
        return _limited_items(value)
    _budget.spend()
    return _measured(value)


def _limited_items(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        _budget.spend()
        yield item


def _check_arguments(name: str, values: Sequence[Any]) -> None:
    """Refuse the arguments of a filter, a method or a function if its result would be
    too large."""
    for value in values:
        _measured(value)
        numbers = value if isinstance(value, (list, tuple)) else [value]
        for number in numbers if name != "range" else ():
            if isinstance(number, int) and abs(number) > _MAX_NUMBER:
                raise ValueError(f"{name!r} has the argument {number}")
    texts = [value for value in values if isinstance(value, str)]
    sizes = [len(text) for text in texts]
    if name in ("format", "format_map") and texts and _WIDTH.search(texts[0]):
        raise ValueError("a format has a width of five digits or a variable one")
    if name == "replace" and len(sizes) == 3:
        count = texts[0].count(texts[1]) if texts[1] else sizes[0] + 1
        _check_size(sizes[0] + count * sizes[2])
    elif name == "join" and len(values) > 1:
        separator = max(sizes, default=0)
        items = max((len(v) for v in values if isinstance(v, Sized)), default=0)
        _check_size(separator * items)
    elif name == "wordwrap" and sizes:
        _check_size(sizes[0] * (1 + max(sizes[1:], default=0)))
    elif name in ("indent", "center", "ljust", "rjust", "expandtabs"):
        widths = [value for value in values if isinstance(value, int)] + sizes[1:]
        lines = 1 + sum(text.count("\n") + text.count("\t") for text in texts[:1])
        _check_size(sum(sizes) + lines * max(widths, default=0))
    elif name == "sum" and any(isinstance(each, (list, tuple)) for each in values[1:]):
        raise ValueError("'sum' adds numbers only")
    elif name == "translate":
        raise ValueError("'translate' is not available")


def _limited_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    from jinja2.utils import _PassArg

    passed = _PassArg.from_obj(function)

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        context, own = (args[:1], args[1:]) if passed is not None else ((), args)
        _budget.spend()
        if own and isinstance(own[0], Iterator):
            items = _limited_items(own[0])
            own = (list(items) if name == "join" else items, *own[1:])
        # A filter may be given any value to work on, such as a large number.
        shown = own[1:] if own and isinstance(own[0], int) else own
        _check_arguments(name, [*shown, *kwargs.values()])
        return _limited_result(function(*context, *own, **kwargs))

    return run


@cache
def _environment() -> Any:
    # Imported here, so that making a pipeline does not import jinja2.
    from jinja2 import StrictUndefined, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.visitor import NodeTransformer

    class Limiter(NodeTransformer):
        """Makes each pass of a loop, and each new list or string, spend work."""

        def _call(self, method: str, node: Any, *args: Any) -> Any:
            return nodes.Call(
                nodes.EnvironmentAttribute(method), list(args), [], None, None,
                lineno=node.lineno,
            )  # fmt: skip

        def visit_For(self, node: Any) -> Any:
            self.generic_visit(node)
            step = nodes.ExprStmt(self._call("spend", node), lineno=node.lineno)
            node.body.insert(0, step)
            if node.test is not None:
                # The condition is evaluated for items that the body does not receive.
                spent = self._call("spend", node)
                node.test = nodes.And(spent, node.test, lineno=node.lineno)
            return node

        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            parts = nodes.List(node.nodes, lineno=node.lineno)
            return self._call("join_values", node, parts)

        def _visit_literal(self, node: Any) -> Any:
            self.generic_visit(node)
            stored = getattr(node, "ctx", "load") != "load"
            return node if stored else self._call("measured", node, node)

        visit_List = visit_Dict = visit_Tuple = _visit_literal

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(["*", "**", "+", "%", "//"])

        def _parse(self, *args: Any) -> Any:
            tree = Limiter().visit(super()._parse(*args))
            tree.set_environment(self)
            return tree

        def concat(self, parts: Any) -> str:  # type: ignore[override]
            texts, size = [], 0
            for text in parts:
                texts.append(text)
                size += len(text)
                _check_size(size)
            return "".join(texts)

        def spend(self) -> bool:
            _budget.spend()
            return True

        def measured(self, value: Any) -> Any:
            return _measured(value)

        def join_values(self, values: list[Any]) -> str:
            _measured(values)
            return self.concat(str(value) for value in values)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _budget.spend()
            _measured((left, right))
            if operator == "%" and isinstance(left, str):
                _check_arguments("format", [left])
            for one, other in ((left, right), (right, left)):
                if (
                    operator == "*"
                    and isinstance(one, int)
                    and isinstance(other, Sized)
                ):
                    _check_size(len(other) * max(one, 0))
            if operator == "**" and isinstance(left, int) and isinstance(right, int):
                if left.bit_length() * abs(right) > _MAX_BITS:
                    raise ValueError("it makes a number with too many digits")
            return _limited_result(super().call_binop(context, operator, left, right))

        def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            _budget.spend()
            owner = getattr(function, "__self__", None)
            if owner is self:
                return function(*args)
            # The code that jinja generates adds variables of the block.
            given = [kwargs[key] for key in kwargs if key not in _HIDDEN_ARGUMENTS]
            values = [*args, *given]
            wrapped = getattr(function, "__wrapped__", function)
            text = getattr(wrapped, "__self__", owner)
            if isinstance(text, str):
                values.insert(0, text)
            _check_arguments(getattr(function, "__name__", ""), values)
            result = super().call(context, function, *args, **kwargs)
            return _limited_result(result)

    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_measured,
        optimized=False,
    )
    del environment.globals["lipsum"]
    environment.filters = {
        name: _limited_filter(name, function)
        for name, function in environment.filters.items()
        if name not in _REMOVED_FILTERS
    }
    return environment


def _render_limited(source: str, variables: Mapping[str, Any]) -> str:
    """Compile and render a template within the limits."""
    _check_size(len(source))
    _budget.start()
    template = _compile(source)
    return str(_environment().concat(template.generate(variables)))


_LIST = "List every named entity of the text, as"

# The output format in full, for a model that is not trained on these prompts.
INSTRUCTIONS: dict[str, str] = {
    "inline_bracketed": (
        "Copy the text and mark every named entity in it, in this "
        "way: [entity | LABEL]."
    ),
    "inline_xml": (
        "Copy the text and mark every named entity in it, in this "
        "way: <LABEL>entity</LABEL>."
    ),
    "grouped_json": (
        f"{_LIST} a JSON object: under each label the list of its entities in the "
        "order of the text, an empty list where there is none."
    ),
    "occurrence_json": (
        f'{_LIST} a JSON list of objects with "text", "label" and '
        '"occurrence_index": which occurrence of that string in the text is meant, '
        "counted from 1."
    ),
    "offset_json": (
        f'{_LIST} a JSON list of objects with "text", "label", "start" and "end": '
        "its first character, counted from 0, and the one after its last."
    ),
}

# A tuned model needs no description of the markup.
_COPY = "Copy the text and mark every named entity in it."
SHORT_INSTRUCTIONS = {
    **INSTRUCTIONS,
    "inline_bracketed": _COPY,
    "inline_xml": _COPY,
}


@dataclass(frozen=True)
class PromptSettings:
    """The settings of a component's prompt.

    source (str): The source of a jinja template. Empty if its file cannot be read.
    instruction (str): The instruction. Empty for the default of the output format.
    chat (bool | str): Whether the prompt is a turn of a chat, in the chat template of
        the tokenizer. "auto" uses the chat template for a model without an adapter, if
        there is one.
    problem (str): The reason why the file of the template cannot be read.
    """

    source: str
    instruction: str = ""
    chat: bool | str = "auto"
    problem: str = ""

    @property
    def template(self) -> str:
        """RETURNS (str): The source of the template.
        RAISES (ValueError): Its file cannot be read, and the component was not loaded
            from a saved one, which holds the source.
        """
        if self.problem:
            raise ValueError(self.problem)
        return self.source

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PromptSettings":
        """Read the block `prompt` of a config.

        config (dict[str, Any]): The block. `template` is a name or a file.
        RETURNS (PromptSettings): The settings. If the file cannot be read, the first
            use of the template raises.
        RAISES (ValueError): A setting is unknown or invalid.
        """
        settings = PromptConfig(**config)
        source, problem = "", ""
        try:
            source = read_template(settings.template)
        except OSError as error:
            # A saved component holds the source, so it loads without the file.
            problem = str(error)
        return cls(source, settings.instruction, settings.chat, problem)


# The output holds the text once more. As many tokens again are kept for its markup.
OUTPUT_FACTOR = 2


def text_room(limit: int, fixed: int, readings: int) -> int:
    """The maximum number of tokens of a text.

    limit (int): The maximum number of tokens of prompt and output.
    fixed (int): The number of tokens of the prompt without a text.
    readings (int): How many times the prompt holds the text.
    RETURNS (int): The number of tokens. Below 1 if there is no room.
    """
    return (limit - fixed) // (readings + OUTPUT_FACTOR)


@dataclass(frozen=True)
class PromptLayout:
    """The layout of a prompt: instruction, demonstrations, text.

    The prefix, which all documents share, is processed by the model once. It is
    followed by the text, `readings` times, and the output. Without a second reading, a
    causal model has not seen the words that follow a word when it copies that word
    (Springer et al., "Repetition Improves Language Model Embeddings", 2024).

    labels (tuple[str, ...]): The labels, in order.
    definitions (Mapping[str, str]): Label to definition. Labels may be missing.
    instruction (str): The instruction. Empty for the default of the output format.
    format (str): The output format.
    readings (int): How many times the prompt holds the text: 1 or 2.
    demonstrations (tuple[tuple[str, str], ...]): Texts with their outputs, shown in all
        prompts.
    neighbours (Neighbours | None): Selects further demonstrations for each text.
    template (str): The source of a jinja template.
    RAISES (ValueError): `readings` is neither 1 nor 2. When a prompt is first rendered:
        the template is broken.
    """

    labels: tuple[str, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    format: str = "inline_bracketed"
    readings: int = 2
    demonstrations: tuple[tuple[str, str], ...] = ()
    neighbours: Neighbours | None = None
    template: str = field(default_factory=lambda: read_template("compact"))

    def __post_init__(self) -> None:
        if self.readings not in (1, 2):
            raise ValueError(Errors.G104.format(found=self.readings))

    @cached_property
    def prefix(self) -> str:
        """RETURNS (str): The start of the prompt that all documents share."""
        alone = self._render(())[0]
        if self.neighbours is None:
            return alone
        # The whole lines that are the same with and without a demonstration.
        probe = Demonstration("\ue0f9", "\ue0f9")
        shown = self._render([probe])[0].partition(probe.text)[0]
        common = commonprefix([alone, shown])
        return common[: common.rfind("\n") + 1]

    def around(self, more: Sequence[Demonstration] = ()) -> tuple[str, ...]:
        """The parts of a prompt around its text, after the prefix.

        more (Sequence[Demonstration]): The demonstrations of this text, the nearest
            first. The prompt shows them in reverse order.
        RETURNS (tuple[str, ...]): The strings before the text, between its readings,
            and after the last one.
        """
        if not more:
            return self._plain
        first, *rest = self._render(more[::-1])
        return (first[len(self.prefix) :], *rest)

    def render(self, text: str, more: Sequence[Demonstration] = ()) -> str:
        """The whole prompt as a string.

        text (str): The text to annotate.
        more (Sequence[Demonstration]): The demonstrations of this text.
        RETURNS (str): The prompt.
        """
        return self.prefix + text.join(self.around(more))

    @cached_property
    def _plain(self) -> tuple[str, ...]:
        first, *rest = self._render(())
        return (first[len(self.prefix) :], *rest)

    def _render(self, more: Sequence[Demonstration]) -> tuple[str, ...]:
        shown = [*self.demonstrations, *more]
        variables: dict[str, Any] = {
            "instruction": self.instruction,
            "full_instruction": INSTRUCTIONS[self.format],
            "short_instruction": SHORT_INSTRUCTIONS[self.format],
            "labels": [
                {"name": label, "definition": self.definitions.get(label) or ""}
                for label in self.labels
            ],
            "format": self.format,
            "examples": [{"text": text, "output": output} for text, output in shown],
            "readings": self.readings,
            "output_cue": "Marked" if self.format.startswith("inline") else "Entities",
        }
        return render_around(self.template, variables)

    def fit_demonstrations(
        self, count: Callable[[str], int], limit: int | None, max_tokens: int
    ) -> "PromptLayout":
        """Keep the first demonstrations that leave room for texts: half of the model's
        positions, or more if the windows are small. A warning names the number of
        demonstrations that are left out.

        count (Callable[[str], int]): Counts the tokens of a text.
        limit (int | None): The maximum number of tokens of prompt and output. None for
            no limit.
        max_tokens (int): The maximum number of tokens of a window.
        RETURNS (PromptLayout): This layout, or one with fewer demonstrations.
        """
        shown = self.demonstrations
        if limit is None or not shown:
            return self
        room = limit - min((self.readings + OUTPUT_FACTOR) * max_tokens, limit // 2)

        def size(number: int) -> int:
            return count(replace(self, demonstrations=shown[:number]).prefix)

        # Each demonstration makes the prefix longer, so the sizes are sorted.
        kept = bisect_right(range(1, len(shown) + 1), room, key=size)
        if kept < len(shown):
            warn(Warnings.W402.format(kept=kept, count=len(shown), limit=limit))
        return replace(self, demonstrations=shown[:kept])

    def fit_neighbours(
        self,
        text: str,
        size: Callable[[Sequence[Demonstration]], int],
        limit: int | None,
    ) -> Sequence[Demonstration]:
        """Select the demonstrations of one text that fit into the model.

        text (str): The text.
        size (Callable[[Sequence[Demonstration]], int]): Counts the tokens of prompt and
            output with some demonstrations.
        limit (int | None): The maximum number of those tokens. None for no limit.
        RETURNS (Sequence[Demonstration]): The nearest demonstrations that fit, the
            nearest first.
        """
        if self.neighbours is None:
            return ()
        shown = list(self.neighbours.of(text))
        while shown and limit is not None and size(shown) > limit:
            shown.pop()
        return shown
