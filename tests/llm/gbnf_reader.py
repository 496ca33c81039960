"""A reader of GBNF grammars, for tests: which outputs they accept, and samples."""

import json
import random
import re

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\[[^\]]*\]\*?|[A-Za-z0-9]+|\|')
Rules = dict[str, list[list[str]]]


def read_rules(grammar: str) -> Rules:
    """RETURNS (dict[str, list[list[str]]]): The alternatives of each rule. A grammar
    with a reference to a missing rule is an error."""
    rules: Rules = {}
    for line in grammar.splitlines():
        name, _, right = line.partition(" ::= ")
        assert name not in rules
        rules[name] = [[]]
        for token in _TOKEN.findall(right):
            if token == "|":
                rules[name].append([])
            else:
                rules[name][-1].append(token)
        assert re.sub(r"\s", "", _TOKEN.sub("", right)) == ""
    used = {
        t for alternatives in rules.values() for parts in alternatives for t in parts
    }
    missing = {t for t in used if t[0] not in '"['} - set(rules)
    assert not missing, missing
    return rules


def accepts(rules: Rules, text: str) -> bool:
    """RETURNS (bool): Whether a grammar accepts a text."""
    # Pairs of an offset and the symbols that must follow.
    waiting = [(0, ("root",))]
    seen = set(waiting)
    while waiting:
        at, symbols = waiting.pop()
        if not symbols:
            if at == len(text):
                return True
            continue
        first, rest = symbols[0], symbols[1:]
        found = []
        if first in rules:
            found = [(at, (*parts, *rest)) for parts in rules[first]]
        elif first[0] == "[":
            if at < len(text) and re.fullmatch(first.rstrip("*"), text[at]):
                found.append((at + 1, symbols if first.endswith("*") else rest))
            if first.endswith("*"):
                found.append((at, rest))
        else:
            literal = json.loads(first)
            if text.startswith(literal, at):
                found.append((at + len(literal), rest))
        for each in found:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False


def sample(rules: Rules, choose: random.Random) -> str:
    """RETURNS (str): A random output."""
    output, symbols = "", ["root"]
    while symbols:
        symbol = symbols.pop(0)
        if symbol in rules:
            symbols = [*choose.choice(rules[symbol]), *symbols]
        elif symbol[0] == "[":
            low, high = symbol[1], symbol[3]
            output += chr(choose.randint(ord(low), ord(high)))
        else:
            output += json.loads(symbol)
    return output
