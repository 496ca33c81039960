"""A context-free grammar in text form for the outputs of one text, in the bracketed
format.

Engines that compile a grammar have no notion of a text to copy, so each text needs its
own grammar: one rule for each boundary between words and each number of open spans.
The grammar accepts somewhat more than this project's own, because it does not record
which spans are marked already.
"""

from collections.abc import Sequence

from spacy_genner.grammar import Source

Rules = dict[str, list[list[str]]]


def copy_rules(source: Source, labels: Sequence[str], max_depth: int) -> Rules:
    """Make the rules for one text, in the model's layout, with markup before white
    space.

    The rule `cIdJ` continues at boundary I with J open spans: it may copy the next word
    and open or close spans. The rule `oIdJ` follows an opening mark, so it may not
    close a span.

    source (Source): The text.
    labels (Sequence[str]): The labels.
    max_depth (int): The most open spans.
    RETURNS (dict[str, list[list[str]]]): The alternatives of each rule, the start rule
        first. An alternative consists of quoted literals and names of rules.
    """
    rules: Rules = {}
    size = len(source)
    for word in range(size + 1):
        for depth in range(max_depth + 1 if word else 1):
            rules[f"c{word}d{depth}"] = _copy_or_open(source, word, depth, max_depth)
            if depth and not source.blank[word - 1]:
                after = _rule_at(word, depth - 1, size)
                rules[f"c{word}d{depth}"].append(["close", *after])
        if word < size and not source.blank[word]:
            for depth in range(1, max_depth + 1):
                rules[f"o{word}d{depth}"] = _copy_or_open(
                    source, word, depth, max_depth
                )
    # Nothing follows the end of the text.
    rules = {name: alternatives for name, alternatives in rules.items() if alternatives}
    rules["close"] = [[quoted(f" | {label}]")] for label in labels]
    return _reachable(rules)


def _copy_or_open(
    source: Source, word: int, depth: int, max_depth: int
) -> list[list[str]]:
    """The alternatives that copy the next word, or open a span before it."""
    size = len(source)
    if word == size:
        return []
    alternatives = [[quoted(source.word_texts[word]), *_rule_at(word + 1, depth, size)]]
    if depth < max_depth and not source.blank[word]:
        alternatives.append([quoted("["), f"o{word}d{depth + 1}"])
    return alternatives


def _rule_at(word: int, depth: int, size: int) -> list[str]:
    return [] if word == size and not depth else [f"c{word}d{depth}"]


def _reachable(rules: Rules) -> Rules:
    """Remove the rules that the start rule does not lead to."""
    kept: Rules = {}
    waiting = [next(iter(rules))]
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept[name] = rules[name]
        waiting += [part for parts in rules[name] for part in parts if part in rules]
    return kept


def quoted(text: str) -> str:
    """RETURNS (str): A literal in the notation of EBNF, GBNF and Lark."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() or ord(char) > 0xFFFF:
        return char
    return f"\\u{ord(char):04x}"


def ebnf(rules: Rules) -> str:
    """RETURNS (str): The grammar in the notation of xgrammar and llama.cpp."""
    return _format_rules(rules, "root", "::=")


def lark(rules: Rules) -> str:
    """RETURNS (str): The grammar in the notation of llguidance."""
    return _format_rules(rules, "start", ":")


def _format_rules(rules: Rules, root: str, sign: str) -> str:
    lines = [f"{root} {sign} {next(iter(rules))}"]
    for name, alternatives in rules.items():
        right = " | ".join(" ".join(parts) for parts in alternatives)
        lines.append(f"{name} {sign} {right}")
    return "\n".join(lines) + "\n"
