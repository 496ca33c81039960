"""Grammars in text form, for servers that constrain outputs by a grammar.

An engine behind a server knows nothing of a text to copy, so each text needs a grammar
of its own. It follows the rules of `spacy_genner.grammar`, in GBNF, the notation of
llama.cpp, which xgrammar reads as well. The model's layout has markup before white
space, and so has the grammar.

For the inline formats the grammar has two rules for each boundary between words and
each number of open spans, so its size grows linearly with the text and with
`max_depth`. It accepts slightly more than the automaton, which also records where the
open spans begin: the grammar does not check that the closing tag of `inline_xml` names
the label of the opening tag, nor the order of labels with the same range. A grammar
that checks it has a rule for each stack of open spans, whose number grows exponentially
with `max_depth`. A `Continuation` makes the grammar exact at one place instead: the
client asks again from the place where an output leaves the automaton.

For the JSON formats it only allows strings of whole words of the text, and the labels.
Numbers, order and repetitions are left to the parser, which reports any fault.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..formats import Format, InlineFormat
from ..grammar import Source

# In bytes. Longer grammars take longer to send and to compile than their text to
# annotate.
MAX_GRAMMAR_BYTES = 256 * 1024
Rules = dict[str, list[list[str]]]

_END = '""'


class Continuation(NamedTuple):
    """The place between two words at which an inline output goes on.

    boundary (int): The number of words before it.
    depth (int): The number of open spans.
    next_texts (tuple[str, ...]): What may come next: tags, or the text of the next
        word. The grammar excludes everything else.
    """

    boundary: int
    depth: int
    next_texts: tuple[str, ...]


def copy_grammar(
    fmt: Format,
    source: Source,
    labels: Sequence[str],
    max_depth: int,
    start: Continuation | None = None,
) -> str:
    """Write the grammar of the outputs for one text.

    fmt (Format): The output format.
    source (Source): The text.
    labels (Sequence[str]): The labels, in order.
    max_depth (int): The maximum number of spans that are open at the same time. The
        JSON formats have no such limit.
    start (Continuation | None): Where the output of an inline format goes on. None for
        its beginning.
    RETURNS (str): The grammar in GBNF. Its root is the rule `root`.
    """
    if isinstance(fmt, InlineFormat):
        return gbnf(inline_rules(fmt, source, labels, max_depth, start))
    return gbnf(json_rules(fmt.name, source, labels))


def inline_rules(
    fmt: InlineFormat,
    source: Source,
    labels: Sequence[str],
    max_depth: int,
    start: Continuation | None = None,
) -> Rules:
    """Make the rules of an inline format for one text.

    The rule `cIdJ` continues at boundary I with J open spans: it may copy the next
    word, and open or close spans. The rule `oIdJ` follows an opening tag, so it may not
    close a span. A rule that leads to no end is left out.

    fmt (InlineFormat): The format.
    source (Source): The text.
    labels (Sequence[str]): The labels.
    max_depth (int): The maximum number of open spans.
    start (Continuation | None): Where the output goes on. None for its beginning.
    RETURNS (dict[str, list[list[str]]]): The alternatives of each rule, the start rule
        first. An alternative consists of quoted literals and names of rules.
    """
    size = len(source)
    open_tags = list(dict.fromkeys(map(fmt.open_tag, labels)))
    close_tags = list(dict.fromkeys(map(fmt.close_tag, labels)))
    rules: Rules = {f"c{size}d0": [[_END]]}
    if size:
        _add_closing(rules, source, close_tags, size, max_depth)
    for word in range(size - 1, -1, -1):
        text = quoted(source.word_texts[word])
        opened = [] if source.blank[word] else open_tags
        opened = _without_literal(source.text, source.starts[word], opened)
        opening = _tag_rule(rules, "open", word, opened, open_tags)
        # A span may open inside of one that has just opened, so the deepest come first.
        for depth in range(max_depth, -1, -1):
            alternatives = []
            if f"c{word + 1}d{depth}" in rules:
                alternatives.append([text, f"c{word + 1}d{depth}"])
            if f"o{word}d{depth + 1}" in rules:
                alternatives.append([opening, f"o{word}d{depth + 1}"])
            if alternatives:
                rules[f"c{word}d{depth}"] = list(alternatives)
                if depth and opened:
                    rules[f"o{word}d{depth}"] = alternatives
        if word:
            _add_closing(rules, source, close_tags, word, max_depth)
    if size:
        # Nothing follows the end of the text.
        end = f"c{size}d0"
        del rules[end]
        for alternatives in rules.values():
            alternatives[:] = [[p for p in parts if p != end] for parts in alternatives]
    if start is None:
        return _reachable(rules, "c0d0")
    rules["next"] = _next_alternatives(rules, start)
    return _reachable(rules, "next")


def _next_alternatives(rules: Rules, start: Continuation) -> list[list[str]]:
    """The alternatives of a rule that begin with certain texts."""
    wanted = set(map(quoted, start.next_texts))
    return [
        [literal, *rest]
        for first, *rest in rules[f"c{start.boundary}d{start.depth}"]
        for [literal] in rules.get(first, [[first]])
        if literal in wanted
    ]


def _add_closing(
    rules: Rules, source: Source, tags: list[str], boundary: int, max_depth: int
) -> None:
    """Add the alternatives that close a span at a boundary."""
    if source.blank[boundary - 1]:
        return
    end = source.ends[boundary - 1]
    closed = _without_literal(source.text, end, tags)
    name = _tag_rule(rules, "close", boundary, closed, tags)
    # The spans around one that closes may close as well, so the outer ones come first.
    for depth in range(1, max_depth + 1):
        outer = f"c{boundary}d{depth - 1}"
        if closed and outer in rules:
            rules.setdefault(f"c{boundary}d{depth}", []).append([name, outer])


def _tag_rule(
    rules: Rules, name: str, boundary: int, tags: list[str], all_tags: list[str]
) -> str:
    """Add the rule for the tags that are legal at a boundary, which most share."""
    rule = name if len(tags) == len(all_tags) else f"{name}{boundary}"
    if tags:
        rules[rule] = [[quoted(tag)] for tag in tags]
    return rule


def _without_literal(text: str, offset: int, tags: Iterable[str]) -> list[str]:
    """The tags with which the text itself does not continue. Where it does, the copy
    takes precedence."""
    return [tag for tag in tags if not text.startswith(tag, offset)]


def json_rules(name: str, source: Source, labels: Sequence[str]) -> Rules:
    """Make the rules of a JSON format for one text.

    The rule `sI` is a string that begins with word I, and `tI` continues one after that
    word.

    name (str): The name of the format.
    source (Source): The text.
    labels (Sequence[str]): The labels.
    RETURNS (dict[str, list[list[str]]]): The rules, the start rule first.
    """
    rules: Rules = {"root0": []}
    starts = [word for word in range(len(source)) if not source.blank[word]]
    if name == "grouped_json":
        parts: list[str] = []
        for index, label in enumerate(labels):
            key = json.dumps(label, ensure_ascii=False)
            parts += [quoted(f"{', ' if index else '{'}{key}: "), "list"]
        rules["root0"] = [[*parts, quoted("}")]]
        before, after = '"', [quoted('"')]
    else:
        rules["root0"] = [["list"]]
        before = '{"text": "'
        after = [quoted('", "label": '), "label"]
        if name == "occurrence_json":
            after += [quoted(', "occurrence_index": '), "number"]
        else:
            after += [quoted(', "start": '), "number", quoted(', "end": '), "number"]
        after.append(quoted("}"))
    rules["list"] = [[quoted("[]")]]
    if starts and labels:
        entry = [quoted(before), "string", *after]
        rules["list"].append([quoted("["), *entry, "more"])
        rules["more"] = [[quoted("]")], [quoted(", "), *entry, "more"]]
        rules["string"] = [[f"s{word}"] for word in starts]
        rules["label"] = [[quoted(json.dumps(x, ensure_ascii=False))] for x in labels]
        rules["number"] = [['"0"'], ["[1-9]", "[0-9]*"]]
    for word in range(len(source)):
        text = source.word_texts[word]
        own = text[len(text) - (source.ends[word] - source.starts[word]) :]
        rest: list[list[str]] = [] if source.blank[word] else [[_END]]
        if starts and word < starts[-1]:
            next_text = quoted(_json_text(source.word_texts[word + 1]))
            rest.append([next_text, f"t{word + 1}"])
        rules[f"t{word}"] = rest
        if not source.blank[word]:
            rules[f"s{word}"] = [[quoted(_json_text(own)), f"t{word}"]]
    return _reachable(rules, "root0")


def _json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _reachable(rules: Rules, start: str) -> Rules:
    """Remove the rules that the start rule does not lead to."""
    kept: Rules = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in kept or name not in rules:
            continue
        kept[name] = rules[name]
        waiting += [part for parts in rules[name] for part in parts if part in rules]
    return kept


def quoted(text: str) -> str:
    """RETURNS (str): A literal in the notation of GBNF, EBNF and Lark."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() or ord(char) > 0xFFFF:
        return char
    return f"\\u{ord(char):04x}"


def gbnf(rules: Rules) -> str:
    """RETURNS (str): The rules in GBNF, which llama.cpp and xgrammar read."""
    return format_rules(rules, "root", "::=")


def format_rules(rules: Rules, root: str, sign: str) -> str:
    """Write rules in a notation.

    rules (dict[str, list[list[str]]]): The rules, the start rule first.
    root (str): The name of the start rule in the notation.
    sign (str): Stands between the name of a rule and its alternatives.
    RETURNS (str): The grammar, one rule on a line.
    """
    lines = [f"{root} {sign} {next(iter(rules))}"]
    for name, alternatives in rules.items():
        right = " | ".join(" ".join(parts) for parts in alternatives)
        lines.append(f"{name} {sign} {right}")
    return "\n".join(lines) + "\n"
