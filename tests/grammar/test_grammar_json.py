"""The automaton of the JSON formats."""

import json
import random

import pytest
from grammar_cases import by_character, output_text, source_of
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.formats import CharSpan, get_format
from spacy_genner.grammar import make_grammars, make_source
from spacy_genner.models.tokenization import TokenAlignedEncoder

JSON = ("grouped_json", "occurrence_json", "offset_json")
LABELS = ["A", "AB", 'c"\\']
WORDS = ["x", "xx", "yy", '"', "\\", "{", "]", ",", " ", "\n", "é", "7", "<eos>"]


def grammar_of(name, words, spaces=None, max_depth=4, labels=LABELS):
    make = make_grammars(get_format(name), labels, by_character, max_depth)
    return make(source_of(words, spaces))


def char_spans(grammar, marked):
    source = grammar.source
    return [
        CharSpan(source.starts[m[0]], source.ends[m[1] - 1], LABELS[m[2]])
        for m in marked
    ]


def random_walk(grammar, seed, most=4000):
    choose = random.Random(seed)
    state, ids = grammar.start(), []
    while not state.finished:
        pick = choose.choice(state.choices)
        ids.append(pick)
        state = state.advance(pick)
        assert len(ids) < most
    return ids, state


def check_output(name, grammar, ids, state):
    """Check that an output is JSON and that the parser finds the same spans.

    A repeated entry at the end of a list is not a span.
    """
    text, output = grammar.source.text, output_text(ids)
    content = json.loads(output)
    parsed = get_format(name).parse(output, text, LABELS)
    codes = {issue.code for issue in parsed.issues}
    found = char_spans(grammar, state.spans)
    assert len(set(found)) == len(found)
    if name == "grouped_json":
        doubtful = bool(grammar.ambiguous(state.spans))
        repeated = any(
            texts[-1:] == [t] for texts in content.values() for t in texts[:-1]
        )
        assert repeated or doubtful is ("ambiguous_place" in codes)
        # The order of entries may differ from that of their assigned occurrences.
        assert codes <= {"ambiguous_place", *(["duplicate"] if repeated else [])}
        if not doubtful:
            assert set(found) == set(parsed.spans)
    else:
        repeated = content[-1:] in [[entry] for entry in content[:-1]]
        assert len(content) == len(found) + repeated
        assert codes == ({"duplicate"} if repeated else set())
        assert found == parsed.spans


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=300, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=7),
    seed=st.integers(0, 2**32),
    depth=st.integers(1, 3),
)
def test_random_walks_are_well_formed_and_parsed_back(name, words, seed, depth):
    choose = random.Random(seed)
    spaces = [choose.random() < 0.7 for _ in words]
    grammar = grammar_of(name, words, spaces, depth)
    ids, state = random_walk(grammar, seed)
    check_output(name, grammar, ids, state)
    if name != "grouped_json":
        for word in range(len(grammar.source)):
            over = [m for m in state.spans if m.start <= word < m.end]
            assert len(over) <= depth


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_targets_are_legal_and_equal_to_rendered_outputs(name, data):
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7))
    spaces = data.draw(
        st.lists(st.booleans(), min_size=len(words), max_size=len(words))
    )
    grammar = grammar_of(name, words, spaces, max_depth=30)
    size = len(grammar.source)
    spans = []
    for _ in range(data.draw(st.integers(0, 5))):
        start = data.draw(st.integers(0, size - 1))
        end = data.draw(st.integers(start + 1, size))
        if not grammar.source.blank[start] and not grammar.source.blank[end - 1]:
            spans.append((start, end, data.draw(st.integers(0, len(LABELS) - 1))))
    lost = grammar.unsayable(spans)
    kept = sorted(set(spans) - set(lost))
    ids = grammar.target(kept)
    state = grammar.walk(ids)[-1]
    assert state.finished
    assert {m[:3] for m in state.spans} == set(kept)
    fmt = get_format(name)
    expected_spans = char_spans(grammar, kept)
    text = grammar.source.text
    assert output_text(ids) == fmt.render(text, expected_spans, LABELS)
    if not lost:
        assert set(char_spans(grammar, spans)) >= set(expected_spans)


@pytest.mark.parametrize("name", JSON)
def test_empty_text_has_one_output(name):
    grammar = grammar_of(name, [])
    ids, state = random_walk(grammar, 0)
    assert len(ids) == len(grammar.target([]))
    assert state.spans == []
    assert json.loads(output_text(ids)) in ([], {label: [] for label in LABELS})


@pytest.mark.parametrize("name", JSON)
def test_occurrences_of_a_string_are_distinguished(name):
    """Occurrences inside words are counted, but cannot be chosen."""
    grammar = grammar_of(name, ["x", "xx", "x", "yy", "x"])
    for start in (0, 2, 4):
        spans = [(start, start + 1, 0)]
        if grammar.unsayable(spans):
            assert name == "grouped_json" and start > 0
            continue
        state = grammar.walk(grammar.target(spans))[-1]
        assert [m[:3] for m in state.spans] == spans
    ids = grammar.target([(0, 1, 0)])
    place = {"occurrence_json": "1", "offset_json": "0"}.get(name)
    if place is not None:
        at = output_text(ids).index(place)
        legal = {chr(id_) for id_ in grammar.walk(ids[:at])[-1].choices}
        expected = {"occurrence_json": {"1", "4", "5"}, "offset_json": {"0", "5", "1"}}
        assert legal == expected[name]


def test_second_label_on_a_range_is_later_in_order():
    grammar = grammar_of("offset_json", ["x"])
    two = [(0, 1, 1), (0, 1, 2)]
    ids = grammar.target(two)
    second = output_text(ids).index("label", 30) + len('label": "')
    # A repetition of the first label, or a later one.
    assert [chr(i) for i in grammar.walk(ids[:second])[-1].choices] == ["A", "c"]
    assert [chr(i) for i in grammar.walk([*ids[:second], ord("A")])[-1].choices] == [
        "B"
    ]
    assert [m[:3] for m in grammar.walk(ids)[-1].spans] == two
    # No entry can follow the last label.
    ids = grammar.target([(0, 1, 2)])
    assert [chr(i) for i in grammar.walk(ids[:-1])[-1].choices] == ["]"]


@pytest.mark.parametrize("name", ["occurrence_json", "offset_json"])
def test_repeated_entry_ends_the_list(name):
    grammar = grammar_of(name, ["x", "yy", "x", "z"])
    spans = [(0, 1, 0), (1, 2, 1)]
    output = output_text(grammar.target(spans))
    first = output[1 : output.index("}") + 1]
    for entry in (first, output[len(first) + 3 : -1]):
        state = grammar.walk([ord(char) for char in f"{output[:-1]}, {entry[:-1]}"])[-1]
        assert [chr(id_) for id_ in state.choices] == ["}"]
        state = state.advance(ord("}"))
        assert [chr(id_) for id_ in state.choices] == ["]"]
        assert [m[:3] for m in state.advance(ord("]")).spans] == spans
    # With another label, the entry would precede the last one.
    wrong = first.replace('"A"', '"c')
    with pytest.raises(ValueError, match="G102"):
        grammar.walk([ord(char) for char in f"{output[:-1]}, {wrong}"])


def test_repeated_string_ends_its_list():
    grammar = grammar_of("grouped_json", ["x", "yy", "x", "z"])

    def walked(texts):
        output = json.dumps({"A": texts, "AB": ["z"], LABELS[2]: []})
        return grammar.walk([ord(char) for char in output])[-1]

    marked = [m[:3] for m in walked(["x", "yy", "yy"]).spans]
    assert marked == [(0, 1, 0), (1, 2, 0), (3, 4, 1)]
    for texts in (["yy", "yy", "z"], ["yy", "yy", "yy"]):
        with pytest.raises(ValueError, match="G102"):
            walked(texts)


@pytest.mark.parametrize("name", JSON)
def test_steps_of_an_entry_cover_the_entry(name):
    """The steps of an entry include its text, its label and its place."""
    grammar = grammar_of(name, ["x", "yy", "x"])
    ids = grammar.target([(0, 1, 0), (1, 2, 0)])
    state = grammar.walk(ids)[-1]
    output = output_text(ids)
    for entry, text in zip(state.spans, ["x", "yy"], strict=True):
        covered = "".join(output[step] for step in entry.steps)
        assert f'"{text}"' in covered
        if name != "grouped_json":
            assert '"label": "A"' in covered


@pytest.mark.parametrize("kind", ["bytelevel", "metaspace", "metaspace_prefix"])
@pytest.mark.parametrize("name", JSON)
def test_real_tokenizers(name, kind, tiny_tokenizers):
    encode = TokenAlignedEncoder(tiny_tokenizers[kind])
    words = ["The", "University", "of", "Lisbon", '"', "Lisbon", "🙂", "\n", "Lisbon"]
    make = make_grammars(get_format(name), LABELS, encode, 2)
    grammar = make(make_source(words, [True] * len(words), encode))
    for start in range(len(grammar.source)):
        for end in range(start + 1, len(grammar.source) + 1):
            spans = [(start, end, 2)]
            blank = grammar.source.blank
            if blank[start] or blank[end - 1] or grammar.unsayable(spans):
                continue
            ids = grammar.target(spans)
            state = grammar.walk(ids)[-1]
            assert state.finished
            assert [m[:3] for m in state.spans] == spans
            decoded = encode.tokenizer.decode(ids)
            assert json.loads(decoded)
    for seed in range(20):
        ids, state = random_walk(grammar, seed)
        assert json.loads(encode.tokenizer.decode(ids)) is not None


def test_first_of_two_strings_with_the_same_ids_counts():
    def lossy(text):
        return [0 if char in "éü" else ord(char) for char in text]

    make = make_grammars(get_format("occurrence_json"), LABELS, lossy, 2)
    grammar = make(make_source(["é", "ü"], [True, False], lossy))
    state = grammar.walk(grammar.target([(1, 2, 0)]))[-1]
    assert [m[:3] for m in state.spans] == [(0, 1, 0)]


@pytest.mark.parametrize("name", JSON)
def test_labels_with_the_same_ids_raise(name):
    def lossy(text):
        return [0 if char.isalpha() else ord(char) for char in text]

    if name == "grouped_json":
        # The model never chooses a label, so no labels have to be distinguished.
        make_grammars(get_format(name), ["A", "B"], lossy, 2)
    else:
        with pytest.raises(ValueError, match="G101"):
            make_grammars(get_format(name), ["A", "B"], lossy, 2)


def test_long_text_is_walked_quickly(processor_seconds):
    words = [f"w{number % 50}" for number in range(500)]
    grammar = grammar_of("occurrence_json", words)
    spans = [(word, word + 1, 0) for word in range(0, 500, 5)]
    states = []
    assert (
        processor_seconds(lambda: states.extend(grammar.walk(grammar.target(spans))))
        < 5
    )
    assert states[-1].finished


def test_grouped_lists_share_the_maximum_depth():
    """The longest spans are representable, and of equal ones the first."""
    grammar = grammar_of("grouped_json", ["x", "yy", "xx"], max_depth=1)
    assert grammar.unsayable([(0, 1, 0), (2, 3, 1)]) == []
    assert grammar.unsayable([(0, 1, 0), (0, 2, 1), (2, 3, 2)]) == [(0, 1, 0)]
    assert grammar.unsayable([(0, 1, 0), (0, 1, 1)]) == [(0, 1, 1)]
    deeper = grammar_of("grouped_json", ["x", "yy", "xx"], max_depth=2)
    spans = [(0, 1, 0), (0, 1, 1), (0, 1, 2)]
    assert deeper.unsayable(spans) == [(0, 1, 2)]
