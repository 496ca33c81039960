"""Training targets, and reference spans that are refused, or skipped and counted."""

import warnings

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
from spacy_genner.corpora.tokenizer import make_fine_tokenizer
from spacy_genner.errors import GennerWarning

CROSSING = ("the New York Times writer", [(1, 3, "GPE"), (2, 4, "ORG"), (4, 5, "ORG")])


def counts_of(nlp, *examples):
    """Update with examples that contain skipped spans, and return the counts."""
    with pytest.warns(GennerWarning, match="W302"):
        component(nlp).update(list(examples))
    return component(nlp).gold_counts()


def targets(nlp, example):
    """Decode the reference outputs. A word includes the white space before it, so a tag
    opens before the white space."""
    pipe = component(nlp)
    sequences = pipe.target_builder.sequences([example])
    return [pipe.lm.tokenizer.decode(each.target.ids) for each in sequences]


def test_nested_spans(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    text = "the Porto city hall"
    spans = [(0, 4, "ORG"), (1, 4, "ORG"), (1, 2, "GPE")]
    example = make_example(nlp, text, spans)
    assert targets(nlp, example) == ["[the[[ Porto | GPE] city hall | ORG] | ORG]"]
    counts = component(nlp).gold_counts()
    assert (counts.examples, counts.spans, counts.skipped) == (1, 3, {})


def test_two_labels_of_the_same_tokens(tiny_base):
    """The label that comes first in the component's list is the inner one."""
    spans = [(0, 1, "GPE"), (0, 1, "ORG")]
    for labels, expected in (
        (["ORG", "GPE"], "[[Lisbon | ORG] | GPE] wins"),
        (["GPE", "ORG"], "[[Lisbon | GPE] | ORG] wins"),
    ):
        nlp = pipeline(tiny_base("llama"), labels=labels)
        assert targets(nlp, make_example(nlp, "Lisbon wins", spans)) == [expected]
        assert component(nlp).gold_counts().skipped == {}


def test_crossing_spans_are_refused(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(ValueError) as error:
        component(nlp).update([make_example(nlp, *CROSSING)])
    message = str(error.value)
    assert message.startswith("[G304]")
    for part in (CROSSING[0], "'New York' (GPE)", "'York Times' (ORG)", "crossing"):
        assert part in message


def test_the_error_shows_the_sentence_of_a_long_document(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    before = 100
    words = ["It", "rains", "."] * before
    spans = [(a + 3 * before, b + 3 * before, label) for a, b, label in CROSSING[1]]
    example = make_example(nlp, " ".join(words) + " " + CROSSING[0], spans)
    for token in example.predicted:
        token.is_sent_start = token.i % 3 == 0 and token.i <= 3 * before
    with pytest.raises(ValueError, match=r"G304.* in 'the New York Times writer'"):
        component(nlp).update([example])
    # Without sentence boundaries it shows the surrounding tokens.
    example = make_example(nlp, " ".join(words) + " " + CROSSING[0], spans)
    with pytest.raises(ValueError, match=r"G304.* rains \. the New York") as error:
        component(nlp).update([example])
    assert len(str(error.value)) < 600


def test_crossing_spans_are_dropped_and_counted(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    example = make_example(nlp, *CROSSING)
    counts = counts_of(nlp, example)
    assert counts.skipped == {"crossing": 1}
    assert counts.listed == {"crossing": ["'York Times' (ORG)"]}
    # Training uses the other spans of the sentence.
    expected = "the[ New York | GPE] Times[ writer | ORG]"
    assert targets(nlp, example) == [expected]


def test_spans_that_the_format_cannot_represent(tiny_base):
    """A tag that the text continues with, and nesting beyond `max_depth`."""
    base = tiny_base("llama")
    literal = ("the [ bracket", [(1, 2, "ORG"), (2, 3, "GPE")])
    deep = ("Porto hall", [(0, 1, "GPE"), (0, 1, "ORG"), (0, 2, "ORG")])
    for text, spans, skipped in (
        (*literal, "'[' (ORG)"),
        (*deep, "'Porto' ("),
    ):
        nlp = pipeline(base, max_depth=2)
        with pytest.raises(ValueError, match="G305") as error:
            component(nlp).update([make_example(nlp, text, spans)])
        assert skipped in str(error.value) and text in str(error.value)
        nlp = pipeline(base, max_depth=2, crossing="drop")
        counts = counts_of(nlp, make_example(nlp, text, spans))
        assert counts.skipped == {"unsayable": 1}
        assert skipped in counts.listed["unsayable"][0]


@pytest.mark.parametrize("words", [["Porto", "\n", "hall"], ["Porto", "hall", "\n"]])
def test_a_span_with_white_space_at_its_edge(tiny_base, words):
    """Within a document, and at its end, where windows leave white space out."""
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


def test_spans_that_fit_no_token_boundary(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    # The tokens of the reference are finer than those of the pipeline.
    fine = Doc(nlp.vocab, words=["NF", "-", "kappa", "wins"], spaces=[0, 0, 1, 0])
    fine.spans["sc"] = [Span(fine, 2, 3, "GPE"), Span(fine, 0, 3, "ORG")]
    coarse = Doc(nlp.vocab, words=["NF-kappa", "wins"])
    example = Example(coarse, fine)
    counts = counts_of(nlp, example)
    assert (counts.spans, counts.skipped) == (2, {"off_grid": 1})
    assert counts.listed["off_grid"] == ["'kappa' (GPE)"]
    assert targets(nlp, example) == ["[NF-kappa | ORG] wins"]


def test_unaligned_spans_of_a_converted_corpus(tiny_base):
    """They are stored in the user data of the Doc, in characters."""
    nlp = pipeline(tiny_base("llama"))
    example = make_example(nlp, "Lisbon-based company", [(0, 2, "ORG")])
    example.reference.user_data[UNALIGNED] = [[0, 6, "GPE"]]
    counts = counts_of(nlp, example)
    assert (counts.spans, counts.skipped) == (2, {"off_grid": 1})
    assert counts.listed["off_grid"] == ["'Lisbon' (GPE)"]


def test_an_unknown_label(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    example = make_example(nlp, "Maria lives", [(0, 1, "PERSON")])
    with pytest.raises(ValueError, match=r"G303.*PERSON.*Maria.*\['ORG', 'GPE'\]"):
        component(nlp).update([example])


def test_only_the_first_skipped_spans_are_listed(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    counts = counts_of(nlp, *[make_example(nlp, *CROSSING) for _ in range(8)])
    assert counts.examples == 8 and counts.crossing == 8
    assert len(counts.listed["crossing"]) == 5


def test_initialize_resets_the_counts(tiny_base):
    nlp = pipeline(tiny_base("llama"), crossing="drop")
    pipe = component(nlp)
    assert pipe.gold_counts() is None
    example = make_example(nlp, *CROSSING)
    assert counts_of(nlp, example).crossing == 1
    # Only the first span of each kind causes a warning.
    pipe.update([example])
    assert pipe.gold_counts().crossing == 2
    nlp.initialize(lambda: [example])
    assert pipe.gold_counts() is None


def test_documents_without_text_or_without_the_group(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    blank = make_example(nlp, "", [])
    assert pipe.update([blank]) == {"generative_ner": 0.0}
    plain = Example(make_doc(nlp, "It rains"), make_doc(nlp, "It rains"))
    # A missing group counts as an empty one: the target has no tags.
    assert pipe.update([plain])["generative_ner"] > 0
    assert targets(nlp, plain) == ["It rains"]
    assert pipe.gold_counts().skipped == {}


def test_sentences_in_prediction_and_documents_in_training(tiny_base):
    """An upstream component sets sentence boundaries, but not in training."""
    nlp = pipeline(tiny_base("llama"))
    nlp.add_pipe("sentencizer", first=True)
    examples = [make_example(nlp, "It rains . Porto wins .", [(3, 4, "GPE")])]
    nlp.initialize(lambda: examples)
    with pytest.warns(GennerWarning, match=r"W403.*'sentencizer'.*annotating_compon"):
        nlp.update(examples)
    # Only once, and not if training has sentences, too, or uses whole documents.
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


def test_a_sentencizer_that_cuts_numbers(tiny_base):
    """The warning names the component, and the factory to use."""
    for unit in ("auto", "doc"):
        nlp = pipeline(tiny_base("llama"), window__unit=unit)
        nlp.tokenizer = make_fine_tokenizer()(nlp)
        nlp.add_pipe("sentencizer", name="cutter", first=True)
        examples = [make_example(nlp, "Porto wins", [(0, 1, "GPE")])]
        with warnings.catch_warnings(record=True) as issued:
            warnings.simplefilter("always", GennerWarning)
            nlp.initialize(lambda examples=examples: examples)
        found = [str(each.message) for each in issued if "W520" in str(each.message)]
        assert len(found) == (unit == "auto")
        if found:
            assert "'cutter'" in found[0] and '"genner_sentences"' in found[0]


def test_spans_that_cross_a_sentence_boundary(tiny_base):
    """The warning names the component that set the boundary; the counts differ from
    those of windows."""
    nlp = pipeline(tiny_base("llama"))
    nlp.add_pipe("sentencizer", name="cutter", first=True)
    spans = [(1, 5, "GPE"), (3, 4, "GPE")]
    examples = [make_example(nlp, "in St . Porto today", spans)]
    nlp.initialize(lambda: examples)
    match = "W302.*cross a sentence boundary.*'cutter' set.*genner_sentences"
    with pytest.warns(GennerWarning, match=match):
        nlp.update(examples, annotates=["cutter"])
    counts = component(nlp).gold_counts()
    assert counts.skipped == {"sentence": 1} and counts.cut == 0
    assert counts.listed["sentence"] == ["'St . Porto today' (GPE)"]
    # Boundaries of the documents, and the remedy of windows.
    own = pipeline(tiny_base("llama"))
    example = make_example(own, "in St . Porto today", spans)
    example.predicted[3].is_sent_start = True
    with pytest.warns(GennerWarning, match="W302.*are those of the documents"):
        component(own).update([example])
    whole = pipeline(
        tiny_base("llama"), window__unit="doc", window__max_tokens=8, window__overlap=3
    )
    text = "the city of Lisbon and the city of Porto"
    example = make_example(whole, text, [(0, 9, "ORG")])
    example.predicted[4].is_sent_start = True
    match = "W302.*window boundary.*at most 8 tokens.*'window.max_tokens'"
    with pytest.warns(GennerWarning, match=match):
        component(whole).update([example])
    assert component(whole).gold_counts().skipped == {"cut": 1}
