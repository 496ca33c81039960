"""A reader of GBNF grammars, for tests: which outputs they accept, samples, and the
characters that may come next, as a server follows them."""

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


# A symbol that must follow: the name of a rule, or the rest of a literal.
Symbol = tuple[str, bool]
Stacks = frozenset[tuple[Symbol, ...]]


def start(rules: Rules) -> Stacks:
    """RETURNS (frozenset): What may follow at the beginning, for `legal` and `step`.
    Only for grammars of literals."""
    return _expanded(rules, {(("root", True),)})


def legal(stacks: Stacks) -> set[str]:
    """RETURNS (set[str]): The characters that may come next, and the empty string if
    the output may end."""
    return {stack[0][0][0] if stack else "" for stack in stacks}


def step(rules: Rules, stacks: Stacks, char: str) -> Stacks:
    """RETURNS (frozenset): What may follow after a legal character."""
    found = {
        ((stack[0][0][1:], False), *stack[1:])
        for stack in stacks
        if stack and stack[0][0][0] == char
    }
    return _expanded(rules, found)


def _expanded(rules: Rules, stacks: set[tuple[Symbol, ...]]) -> Stacks:
    result = set()
    while stacks:
        stack = stacks.pop()
        if not stack or (stack[0][0] and not stack[0][1]):
            result.add(stack)
            continue
        (name, is_rule), *rest = stack
        if not is_rule:
            stacks.add(tuple(rest))
            continue
        for parts in rules[name]:
            made = [
                (part, True) if part in rules else (json.loads(part), False)
                for part in parts
            ]
            stacks.add((*made, *rest))
    return frozenset(result)
