"""The windows of documents in prediction and training."""

import pytest
from component_cases import (
    FixedDecoder,
    component,
    found,
    make_doc,
    make_example,
    pipeline,
    result,
)

from spacy_genner.errors import GennerWarning
from spacy_genner.prompts import windows as windows_module
from spacy_genner.prompts.windows import cut


def decoded_texts(nlp, doc):
    decoder = component(nlp).decoder = FixedDecoder({})
    nlp(doc)
    return decoder.texts


def doc_with_sentences(nlp, *starts):
    doc = make_doc(nlp, "Maria lives in Porto . It rains .")
    for token in doc:
        token.is_sent_start = token.i in starts
    return doc


def test_units_of_windows(tiny_base):
    base = tiny_base("llama")
    two = ["Maria lives in Porto .", "It rains ."]
    for unit, starts, expected in (
        ("auto", (0, 5), two),
        ("auto", None, [" ".join(two)]),
        ("doc", (0, 5), [" ".join(two)]),
        ("sentence", (0, 5), two),
        ("sentence", (0,), [" ".join(two)]),
    ):
        nlp = pipeline(base, window__unit=unit)
        doc = make_doc(nlp, " ".join(two))
        if starts is not None:
            doc = doc_with_sentences(nlp, *starts)
        assert decoded_texts(nlp, doc) == expected, (unit, starts)
        # A whole sentence does not count as cut.
        assert doc.spans["sc"].attrs["status"] == "ok"


def test_missing_sentence_boundaries(tiny_base):
    nlp = pipeline(tiny_base("llama"), window__unit="sentence")
    with pytest.raises(ValueError, match="G406.*Maria"):
        nlp(make_doc(nlp, "Maria lives"))
    # A single token is always a sentence.
    assert nlp(make_doc(nlp, "Maria")).spans["sc"].attrs["status"] == "ok"


def test_the_status_is_windowed_only_after_a_cut(tiny_base):
    nlp = pipeline(tiny_base("llama"), window__max_tokens=8, window__overlap=3)
    short, long = "Lisbon", "the city of Lisbon and the city of Porto"
    decoder = component(nlp).decoder = FixedDecoder({})
    docs = list(nlp.pipe([make_doc(nlp, short), make_doc(nlp, long)]))
    assert [doc.spans["sc"].attrs["status"] for doc in docs] == ["ok", "windowed"]
    assert decoder.texts[0] == short and len(decoder.texts) > 2
    # Neighbouring windows overlap.
    assert sum(len(text.split()) for text in decoder.texts[1:]) > len(long.split())


def test_a_span_in_two_windows_is_written_once(tiny_base):
    nlp = pipeline(tiny_base("llama"), window__max_tokens=8, window__overlap=4)
    doc = make_doc(nlp, "the city of the city of the city of the city")
    texts = decoded_texts(nlp, doc)
    assert len(texts) > 1
    spans = {
        text: [(place, place + 1, 1, 0.9) for place in range(len(text.split()))]
        for text in texts
    }
    component(nlp).decoder = FixedDecoder(spans)
    assert found(nlp(doc)) == [(i, i + 1, "GPE") for i in range(len(doc))]


def test_crossing_spans_of_neighbouring_windows(tiny_base):
    nlp = pipeline(tiny_base("llama"), window__max_tokens=8, window__overlap=5)
    doc = make_doc(nlp, "the University of Porto and the city of Lisbon signed")
    cutter = component(nlp).predictor.cutter
    first, second = cutter.windows(doc)[:2]
    assert second.start > first.start + 1 and first.end > second.start + 1
    # The span of the second window starts inside that of the first.
    texts = decoded_texts(nlp, doc)
    fixed = {
        texts[0]: [(second.start - 1, first.end, 0, 0.6)],
        texts[1]: [(1, second.end - second.start, 1, 0.9)],
    }
    component(nlp).decoder = FixedDecoder(fixed)
    spans, scores, status, issues, _ = result(nlp(doc))
    assert spans == [(second.start + 1, second.end, "GPE")]
    assert scores == [pytest.approx(0.9)]
    assert status == "repaired"
    assert [issue["code"] for issue in issues] == ["crossing"]
    assert issues[0]["start"] == second.start - 1 and issues[0]["end"] == first.end


def test_training_and_prediction_use_the_same_windows(tiny_base, monkeypatch):
    nlp = pipeline(tiny_base("llama"), window__max_tokens=8, window__overlap=3)
    calls = []

    def recording_cut(*args):
        windows = cut(*args)
        calls.append((args, windows))
        return windows

    monkeypatch.setattr(windows_module, "cut", recording_cut)
    text = "the city of Lisbon and the city of Porto"
    example = make_example(nlp, text, [(3, 4, "GPE"), (0, 9, "ORG"), (8, 9, "GPE")])
    nlp(make_doc(nlp, text))
    pipe = component(nlp)
    with pytest.warns(GennerWarning, match="W302.*cross a window boundary"):
        pipe.update([example])
    assert len(calls) == 2 and calls[0] == calls[1]
    windows = calls[0][1]
    assert len(windows) > 1
    counts = pipe.gold_counts()
    assert (counts.examples, counts.spans, counts.cut) == (1, 3, 1)
    assert counts.listed["cut"] == [f"{text!r} (ORG)"]
    assert counts.skipped == {"cut": 1}
    # Each window is a training sequence.
    assert len(pipe.target_builder.sequences([example])) == len(windows)


def test_the_base_model_limits_windows(tiny_base):
    """A text beyond the model's positions is cut, whatever the config sets."""
    nlp = pipeline(tiny_base("llama"), window__max_tokens=5000)
    cutter = component(nlp).predictor.cutter
    assert 100 < cutter.max_tokens < 1024 // 3
    doc = make_doc(nlp, "the city of Lisbon " * 100)
    assert len(cutter.windows(doc)) > 1
    definitions = {"ORG": "a company or a university " * 300, "GPE": "a place"}
    full = pipeline(tiny_base("llama"), labels=definitions)
    with pytest.raises(ValueError, match="G405.*1024"):
        full(make_doc(full, "Lisbon"))


@pytest.mark.parametrize("size", [1, 900])
def test_a_token_beyond_the_context_length(tiny_base, size):
    """The token is skipped and reported, and the rest of the document is annotated."""
    nlp = pipeline(tiny_base("llama"), window__max_tokens=50, window__overlap=10)
    doc = make_doc(nlp, f"Lisbon wins {'q7' * size} Porto wins")
    whole = nlp(doc)
    issues = whole.spans["sc"].attrs["issues"]
    if size == 1:
        assert issues == [] and whole.spans["sc"].attrs["status"] == "ok"
        return
    [issue] = issues
    assert whole.spans["sc"].attrs["status"] == "repaired"
    assert (issue["code"], issue["within"]) == ("too_long", "tokens")
    assert (issue["start"], issue["end"]) == (2, 3)
    assert "q7q7" in issue["message"] and len(issue["message"]) < 200
    predictor = component(nlp).predictor
    windows = predictor.cutter.windows(doc)
    assert [w for w in windows if not predictor.cutter.holds(w)] == [windows[1]]
    covered = {
        i for w in windows if predictor.cutter.holds(w) for i in range(w.start, w.end)
    }
    assert covered == {0, 1, 3, 4}
    # Training skips the token and the spans that contain it.
    example = make_example(nlp, doc.text, [(0, 1, "GPE"), (2, 4, "ORG")])
    with pytest.warns(GennerWarning, match="W302"):
        sequences = component(nlp).target_builder.sequences([example])
    assert len(sequences) == 2 and component(nlp).gold_counts().cut == 1


def test_a_token_longer_than_a_window_is_decoded_if_it_fits(tiny_base):
    nlp = pipeline(tiny_base("llama"), window__max_tokens=20, window__overlap=5)
    doc = nlp(make_doc(nlp, f"Lisbon wins {'q7' * 20} Porto wins"))
    assert doc.spans["sc"].attrs["status"] == "windowed"
    assert doc.spans["sc"].attrs["issues"] == []


def deepest(doc):
    return max(sum(s.start <= t.i < s.end for s in doc.spans["sc"]) for t in doc)


@pytest.mark.parametrize("max_depth", [1, 2])
@pytest.mark.parametrize(
    "name", ["grouped_json", "occurrence_json", "inline_bracketed"]
)
def test_the_maximum_depth_holds_in_every_format(tiny_base, name, max_depth):
    """The output of a base with random weights has many spans."""
    nlp = pipeline(
        tiny_base("llama", "bytelevel"),
        format=name,
        max_depth=max_depth,
        labels=["ORG", "GPE", "PERSON"],
        window__max_tokens=12,
        window__overlap=8,
    )
    texts = [
        "Lisbon hosts the University of Lisbon .",
        "the city of Lisbon and the city of Porto and the University of Porto signed",
        "Porto and Porto and Lisbon",
    ]
    docs = [nlp(make_doc(nlp, text)) for text in texts]
    assert all(deepest(doc) <= max_depth for doc in docs)
    assert any(len(doc.spans["sc"]) for doc in docs)


def test_the_most_probable_spans_keep_the_maximum_depth(tiny_base):
    text = "the University of Porto"
    nlp = pipeline(tiny_base("llama"), max_depth=1, labels=["A", "B", "C"])
    decoded = [(0, 4, 0, 0.7), (3, 4, 1, 0.6), (1, 2, 1, 0.9), (3, 4, 2, 0.8)]
    component(nlp).decoder = FixedDecoder({text: decoded})
    spans, scores, status, issues, ents = result(nlp(make_doc(nlp, text)))
    assert spans == [(1, 2, "B"), (3, 4, "C")]
    assert scores == [pytest.approx(0.9), pytest.approx(0.8)]
    assert status == "repaired"
    assert [(i["code"], i["start"], i["end"], i["within"]) for i in issues] == [
        ("too_deep", 0, 4, "tokens"),
        ("too_deep", 3, 4, "tokens"),
    ]
    assert "max_depth" in issues[0]["message"] and "A over" in issues[0]["message"]
    assert ents == spans
    nlp = pipeline(tiny_base("llama"), max_depth=3, labels=["A", "B", "C"])
    component(nlp).decoder = FixedDecoder({text: decoded})
    _, _, status, issues, _ = result(nlp(make_doc(nlp, text)))
    assert status == "ok" and not issues


def test_joined_windows_keep_the_maximum_depth(tiny_base):
    nlp = pipeline(
        tiny_base("llama"), max_depth=1, window__max_tokens=8, window__overlap=5
    )
    doc = make_doc(nlp, "the University of Porto and the city of Lisbon signed")
    first, second = component(nlp).predictor.cutter.windows(doc)[:2]
    texts = decoded_texts(nlp, doc)
    # Each window is at depth 1. The spans do not cross.
    last = first.end - 1
    fixed = {
        texts[0]: [(1, last, 0, 0.6)],
        texts[1]: [(last - 1 - second.start, last - second.start, 1, 0.9)],
    }
    assert first.decides(1, last) and second.decides(last - 1, last)
    component(nlp).decoder = FixedDecoder(fixed)
    spans, _, status, issues, _ = result(nlp(doc))
    assert spans == [(last - 1, last, "GPE")]
    assert status == "repaired"
    assert [issue["code"] for issue in issues] == ["too_deep"]
