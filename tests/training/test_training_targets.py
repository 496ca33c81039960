"""Reference spans that training can't use: refused, or dropped and counted."""

import pytest
from component_cases import (
    component,
    make_doc,
    make_example,
    pipeline,
)
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_genner.corpora.docbin import UNALIGNED
from spacy_genner.errors import GennerWarning

CROSSING = ("the New York Times writer", [(1, 3, "GPE"), (2, 4, "ORG"), (4, 5, "ORG")])


def counts_of(nlp, *examples):
    """What training has lost, the first of it with a warning."""
    with pytest.warns(GennerWarning, match="W302"):
        component(nlp).update(list(examples))
    return component(nlp).gold_counts()


def targets(nlp, example):
    """The marked outputs that training asks for. A unit is a token with the white
    space before it, so a mark opens before that."""
    pipe = component(nlp)
    rows = pipe.target_builder.sequences([example])
    return [pipe.lm.tokenizer.decode(row.target.ids) for row in rows]


def test_what_is_learnt(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    text = "the Porto city hall"
    spans = [(0, 4, "ORG"), (1, 4, "ORG"), (1, 2, "GPE")]
    example = make_example(nlp, text, spans)
    assert targets(nlp, example) == ["[the[[ Porto | GPE] city hall | ORG] | ORG]"]
    counts = component(nlp).gold_counts()
    assert (counts.examples, counts.spans, counts.skipped) == (1, 3, {})


def test_two_labels_on_one_range(tiny_base):
    """The label that stands first in the component's list is the inner one."""
    spans = [(0, 1, "GPE"), (0, 1, "ORG")]
    for labels, expected in (
        (["ORG", "GPE"], "[[Lisbon | ORG] | GPE] wins"),
        (["GPE", "ORG"], "[[Lisbon | GPE] | ORG] wins"),
    ):
        nlp = pipeline(tiny_base("llama"), labels=labels)
        assert targets(nlp, make_example(nlp, "Lisbon wins", spans)) == [expected]
        assert component(nlp).gold_counts().skipped == {}


def test_crossing_is_refused(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(ValueError) as error:
        component(nlp).update([make_example(nlp, *CROSSING)])
    message = str(error.value)
    assert message.startswith("[G304]")
    for part in (CROSSING[0], "'New York' (GPE)", "'York Times' (ORG)", "crossing"):
        assert part in message


def test_the_error_names_the_sentence_in_a_long_document(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    before = 100
    words = ["It", "rains", "."] * before
    spans = [(a + 3 * before, b + 3 * before, label) for a, b, label in CROSSING[1]]
    example = make_example(nlp, " ".join(words) + " " + CROSSING[0], spans)
    for token in example.predicted:
        token.is_sent_start = token.i % 3 == 0 and token.i <= 3 * before
    with pytest.raises(ValueError, match=r"G304.* in 'the New York Times writer'"):
        component(nlp).update([example])
    # Without sentences, the words around.
    example = make_example(nlp, " ".join(words) + " " + CROSSING[0], spans)
    with pytest.raises(ValueError, match=r"G304.* rains \. the New York") as error:
        component(nlp).update([example])
    assert len(str(error.value)) < 600


def test_crossing_is_dropped_and_counted(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    example = make_example(nlp, *CROSSING)
    counts = counts_of(nlp, example)
    assert counts.skipped == {"crossing": 1}
    assert counts.listed == {"crossing": ["'York Times' (ORG)"]}
    # The rest of the sentence is learnt.
    expected = "the[ New York | GPE] Times[ writer | ORG]"
    assert targets(nlp, example) == [expected]


def test_what_the_format_cannot_say(tiny_base):
    """A copy wins over the mark, a nest is too deep, an edge is white space."""
    base = tiny_base("llama")
    literal = ("the [ bracket", [(1, 2, "ORG"), (2, 3, "GPE")])
    deep = ("Porto hall", [(0, 1, "GPE"), (0, 1, "ORG"), (0, 2, "ORG")])
    for text, spans, lost in (
        (*literal, "'[' (ORG)"),
        (*deep, "'Porto' ("),
    ):
        nlp = pipeline(base, max_depth=2)
        with pytest.raises(ValueError, match="G305") as error:
            component(nlp).update([make_example(nlp, text, spans)])
        assert lost in str(error.value) and text in str(error.value)
        nlp = pipeline(base, max_depth=2, crossing="drop")
        counts = counts_of(nlp, make_example(nlp, text, spans))
        assert counts.skipped == {"unsayable": 1}
        assert lost in counts.listed["unsayable"][0]


@pytest.mark.parametrize("words", [["Porto", "\n", "hall"], ["Porto", "hall", "\n"]])
def test_white_space_at_an_edge(tiny_base, words):
    """The same within a document and at its end, which windows leave out."""
    base = tiny_base("llama")

    def example(nlp):
        docs = [Doc(nlp.vocab, words=words) for _ in range(2)]
        docs[1].spans["sc"] = [Span(docs[1], 0, words.index("\n") + 1, "GPE")]
        return Example(*docs)

    nlp = pipeline(base)
    with pytest.raises(ValueError, match="G305.*white space"):
        component(nlp).update([example(nlp)])
    nlp = pipeline(base, crossing="drop")
    assert counts_of(nlp, example(nlp)).skipped == {"unsayable": 1}


def test_off_the_grid(tiny_base):
    """Spans that the pipeline's tokenizer has no boundaries for."""
    nlp = pipeline(tiny_base("llama"))
    # The reference has finer tokens than what the pipeline makes of the text.
    fine = Doc(nlp.vocab, words=["NF", "-", "kappa", "wins"], spaces=[0, 0, 1, 0])
    fine.spans["sc"] = [Span(fine, 2, 3, "GPE"), Span(fine, 0, 3, "ORG")]
    coarse = Doc(nlp.vocab, words=["NF-kappa", "wins"])
    example = Example(coarse, fine)
    counts = counts_of(nlp, example)
    assert (counts.spans, counts.skipped) == (2, {"off_grid": 1})
    assert counts.listed["off_grid"] == ["'kappa' (GPE)"]
    assert targets(nlp, example) == ["[NF-kappa | ORG] wins"]


def test_what_conversion_could_not_place(tiny_base):
    """Corpora keep them beside the document, in characters."""
    nlp = pipeline(tiny_base("llama"))
    example = make_example(nlp, "Lisbon-based company", [(0, 2, "ORG")])
    example.reference.user_data[UNALIGNED] = [[0, 6, "GPE"]]
    counts = counts_of(nlp, example)
    assert (counts.spans, counts.skipped) == (2, {"off_grid": 1})
    assert counts.listed["off_grid"] == ["'Lisbon' (GPE)"]


def test_a_label_that_the_component_lacks(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    example = make_example(nlp, "Maria lives", [(0, 1, "PERSON")])
    with pytest.raises(ValueError, match=r"G303.*PERSON.*Maria.*\['ORG', 'GPE'\]"):
        component(nlp).update([example])


def test_only_the_first_few_are_listed(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    counts = counts_of(nlp, *[make_example(nlp, *CROSSING) for _ in range(8)])
    assert counts.examples == 8 and counts.crossing == 8
    assert len(counts.listed["crossing"]) == 5


def test_counts_begin_anew(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    pipe = component(nlp)
    assert pipe.gold_counts() is None
    example = make_example(nlp, *CROSSING)
    assert counts_of(nlp, example).crossing == 1
    # Of each kind one warning, and none after it.
    pipe.update([example])
    assert pipe.gold_counts().crossing == 2
    nlp.initialize(lambda: [example])
    assert pipe.gold_counts() is None


def test_documents_without_text_or_group(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    blank = make_example(nlp, "", [])
    assert pipe.update([blank]) == {"generative_ner": 0.0}
    plain = Example(make_doc(nlp, "It rains"), make_doc(nlp, "It rains"))
    # No group is as good as an empty one: it is learnt that nothing is marked.
    assert pipe.update([plain])["generative_ner"] > 0
    assert targets(nlp, plain) == ["It rains"]
    assert pipe.gold_counts().skipped == {}


def test_sentences_in_use_and_documents_in_training(tiny_base):
    """A component before this one sets sentences, and training does not run it."""
    nlp = pipeline(tiny_base("llama"))
    nlp.add_pipe("sentencizer", first=True)
    examples = [make_example(nlp, "It rains . Porto wins .", [(3, 4, "GPE")])]
    nlp.initialize(lambda: examples)
    with pytest.warns(GennerWarning, match=r"W403.*'sentencizer'.*annotating_compon"):
        nlp.update(examples)
    # Once, and not at all where training has sentences, too, or wants none.
    nlp.update(examples)
    nlp.initialize(lambda: examples)
    nlp.update(examples, annotates=["sentencizer"])
    whole = pipeline(tiny_base("llama"), window__unit="doc")
    whole.add_pipe("sentencizer", first=True)
    whole.initialize(lambda: examples)
    whole.update(examples)
    behind = pipeline(tiny_base("llama"))
    behind.add_pipe("sentencizer")
    behind.initialize(lambda: examples)
    behind.update(examples)
