"""The outputs of the bracketed format for one text, as a grammar in text form.

Engines that compile grammars know nothing of a text to be copied, so each text needs a
grammar of its own: a rule for every boundary between units and every number of open
spans. It allows somewhat more than this project's own, as it does not tell that a span
was marked before.
"""

from collections.abc import Sequence

from spacy_genner.grammar import Source

Rules = dict[str, list[list[str]]]


def copy_rules(source: Source, labels: Sequence[str], max_depth: int) -> Rules:
    """The rules of one text; in the model's layout, in which marks stand before white
    space.

    source (Source): The text.
    labels (Sequence[str]): The labels.
    max_depth (int): How many spans may be open at once.
    RETURNS (Dict[str, List[List[str]]]): Alternatives by the name of the rule, the
        first one being where an output starts: quoted text, and names of rules. In `c`
        rules spans may close and open, in `o` rules, after an opening mark, open only.
    """
    rules: Rules = {}
    size = len(source)
    for unit in range(size + 1):
        for depth in range(max_depth + 1 if unit else 1):
            rules[f"c{unit}d{depth}"] = _goes_on(source, unit, depth, max_depth)
            if depth and not source.blank[unit - 1]:
                after = _at(unit, depth - 1, size)
                rules[f"c{unit}d{depth}"].append(["close", *after])
        if unit < size and not source.blank[unit]:
            for depth in range(1, max_depth + 1):
                rules[f"o{unit}d{depth}"] = _goes_on(source, unit, depth, max_depth)
    # At the end of the text nothing is left to be said.
    rules = {name: ways for name, ways in rules.items() if ways}
    rules["close"] = [[quoted(f" | {label}]")] for label in labels]
    return _reached(rules)


def _goes_on(source: Source, unit: int, depth: int, max_depth: int) -> list[list[str]]:
    """Copy the next unit, or open a span before it."""
    size = len(source)
    if unit == size:
        return []
    ways = [[quoted(source.pieces[unit]), *_at(unit + 1, depth, size)]]
    if depth < max_depth and not source.blank[unit]:
        ways.append([quoted("["), f"o{unit}d{depth + 1}"])
    return ways


def _at(unit: int, depth: int, size: int) -> list[str]:
    return [] if unit == size and not depth else [f"c{unit}d{depth}"]


def _reached(rules: Rules) -> Rules:
    """The rules that the first one leads to."""
    first = next(iter(rules))
    kept: Rules = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept[name] = rules[name]
        waiting += [part for way in rules[name] for part in way if part in rules]
    return kept


def quoted(text: str) -> str:
    """RETURNS (str): A literal, as EBNF, GBNF and Lark grammars have it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() or ord(char) > 0xFFFF:
        return char
    return f"\\u{ord(char):04x}"


def ebnf(rules: Rules) -> str:
    """RETURNS (str): The grammar as xgrammar and llama.cpp read it."""
    return _written(rules, "root", "::=")


def lark(rules: Rules) -> str:
    """RETURNS (str): The grammar as llguidance reads it."""
    return _written(rules, "start", ":")


def _written(rules: Rules, root: str, sign: str) -> str:
    lines = [f"{root} {sign} {next(iter(rules))}"]
    for name, ways in rules.items():
        lines.append(f"{name} {sign} " + " | ".join(" ".join(way) for way in ways))
    return "\n".join(lines) + "\n"
