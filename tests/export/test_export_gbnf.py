"""Grammars in text form against the automaton and the formats."""

import json
import random

import pytest
from gbnf_reader import accepts, read_rules, sample

from spacy_genner.export.gbnf import copy_grammar, inline_rules
from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.grammar import make_grammars, make_source

LABELS = ["ORG", "GPE", "PER"]
# Tags in the text, quotes, escapes, white space and characters outside of ASCII.
TEXTS = [
    ["The", "University", "of", "Porto", "."],
    ["See", "[", "3", "|", "ORG]", "<GPE>", "x", "</GPE>"],
    ['"', "a\\b", "\n", "Ünï", "😀", "|", "PER]", "end", "\n"],
    ["\n", " "],
    ["one"],
]


def characters(text):
    return tuple(map(ord, text))


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("words", TEXTS)
def test_outputs_of_the_automaton_are_accepted(name, words):
    choose = random.Random(0)
    source = make_source(words, [True] * len(words), characters)
    grammar = make_grammars(get_format(name), LABELS, characters, 3)(source)
    rules = read_rules(copy_grammar(get_format(name), source, LABELS, 3))
    outputs = set()
    for _ in range(5):
        state = grammar.start()
        output = ""
        # A random walk: every output that decoding may write, complete at last.
        while not state.finished:
            assert len(output) < 5000
            ids = state.choices
            id_ = ids[0] if len(output) > 80 else choose.choice(ids)
            output += chr(id_)
            state = state.advance(id_)
        outputs.add(output)
    assert all(accepts(rules, output) for output in outputs)


@pytest.mark.parametrize("name", ["inline_bracketed", "inline_xml"])
@pytest.mark.parametrize("words", TEXTS)
def test_inline_samples_are_outputs_of_the_automaton(name, words):
    """Except for the labels of spans with the same range or, in XML, of tags: of those,
    the parser reports a fault of the copy alone."""
    choose = random.Random(1)
    source = make_source(words, [True] * len(words), characters)
    for labels in (LABELS, LABELS[:1]):
        fmt = get_format(name)
        grammar = make_grammars(fmt, labels, characters, 2)(source)
        rules = read_rules(copy_grammar(fmt, source, labels, 2))
        accepted = 0
        for _ in range(60):
            output = sample(rules, choose)
            state = grammar.start()
            for char in output:
                if ord(char) not in state.choices:
                    break
                state = state.advance(ord(char))
            else:
                assert state.finished
                accepted += 1
                continue
            if len(labels) == 1 or name == "inline_bracketed":
                parsed = fmt.parse(output, source.text.rstrip(" "), labels)
                codes = {issue.code for issue in parsed.issues}
                assert codes <= {"duplicate", "copy_differs"}
        assert accepted


@pytest.mark.parametrize("name", ["grouped_json", "occurrence_json", "offset_json"])
def test_json_samples_parse_with_issues_of_places_alone(name):
    choose = random.Random(2)
    words = ["The", "University", '"', "of", "\n", "Porto"]
    source = make_source(words, [True] * 6, characters)
    text = source.text.rstrip(" ")
    rules = read_rules(copy_grammar(get_format(name), source, LABELS, 2))
    seen: set[CharSpan] = set()
    for _ in range(200):
        output = sample(rules, choose)
        json.loads(output)
        parsed = get_format(name).parse(output, text, LABELS)
        codes = {issue.code for issue in parsed.issues}
        assert not codes & {"unknown_label", "extra_text", "truncated"}
        seen |= set(parsed.spans)
    assert len(seen) > 10 and {span.label for span in seen} == set(LABELS)


def test_no_span_ends_where_the_text_continues_with_the_tag():
    words = ["a", "b", "|", "ORG]", "c"]
    source = make_source(words, [True] * 5, characters)
    rules = read_rules(copy_grammar(get_format("inline_bracketed"), source, LABELS, 1))
    assert rules["close2"] == [['" | GPE]"'], ['" | PER]"']]
    assert rules["c2d1"] == [['" |"', "c3d1"], ["close2", "c2d0"]]
    # The same characters are a span that ends later.
    output = "a[ b | ORG] | ORG] c"
    grammar = make_grammars(get_format("inline_bracketed"), LABELS, characters, 1)
    [span] = grammar(source).walk(characters(output))[-1].spans
    assert (span.start, span.end) == (1, 4) and accepts(rules, output)


def test_grammar_allows_no_other_output():
    source = make_source(["a", "b"], [True, False], characters)
    rules = read_rules(copy_grammar(get_format("inline_bracketed"), source, ["X"], 1))
    assert accepts(rules, "a[ b | X]") and accepts(rules, "[a b | X]")
    for output in ("a", "a b c", "a [b | X]", "[a | Y] b", "[[a | X] | X] b", "[a b"):
        assert not accepts(rules, output), output


def test_size_grows_linearly(processor_seconds):
    def size(words, depth):
        source = make_source(["word"] * words, [True] * words, characters)
        return len(copy_grammar(get_format("inline_xml"), source, LABELS, depth))

    assert size(400, 6) < 2.3 * size(200, 6) and size(200, 6) < 2.3 * size(200, 3)
    assert processor_seconds(size, 400, 6, repeats=3) < 2.0


def test_rules_that_lead_to_no_end_are_left_out():
    """A span can't end at the white space after the last word."""
    source = make_source(["a", "\n"], [False, False], characters)
    rules = inline_rules(get_format("inline_bracketed"), source, ["X"], 2)
    assert "c2d1" not in rules
    read = read_rules(copy_grammar(get_format("inline_bracketed"), source, ["X"], 2))
    assert accepts(read, "[a | X]\n") and not accepts(read, "[a\n | X]")
