"""Failed documents are reported and yielded, and do not affect others."""

import pytest
from component_cases import (
    NAME,
    TEXTS,
    FailingDecoder,
    component,
    found,
    make_doc,
    pipeline,
    result,
    results,
    trained_pipeline,
)

# The position of an issue of a text with three tokens.
PLACE = {"start": 0, "end": 3, "within": "tokens"}
ISSUE = {"code": "failed", "message": "broken", **PLACE}
FAILED = ([], [], "failed", [ISSUE], [])


@pytest.fixture
def nlp(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    pipe.decoder = FailingDecoder(pipe.decoder, lambda: RuntimeError("broken"))
    return nlp


@pytest.fixture
def handled(nlp):
    """The calls of an error handler that does not raise."""
    calls = []

    def handler(name, pipe, docs, error):
        # The group is written before the handler is called.
        calls.append((name, pipe, [d.text for d in docs], error, result(docs[0])))

    nlp.set_error_handler(handler)
    return calls


def mixed(nlp):
    """One failing document among others."""
    texts = [TEXTS[0][0], "a bad text", TEXTS[2][0], TEXTS[1][0]]
    return [make_doc(nlp, text) for text in texts]


def test_one_document_fails_alone(nlp, handled):
    docs = mixed(nlp)
    names = [doc.text for doc in docs]
    bad = docs[1].text
    good = results(with_working_decoder(nlp))
    for batch_size in (1, 2, 10):
        handled.clear()
        out = list(nlp.pipe(mixed(nlp), batch_size=batch_size))
        assert [doc.text for doc in out] == names
        assert result(out[1]) == FAILED
        others = [result(out[0]), result(out[2]), result(out[3])]
        assert [row[0] for row in others] == [good[0][0], good[2][0], good[1][0]]
        assert all(row[0] and row[2] == "ok" for row in others)
        ((name, pipe, texts, error, seen),) = handled
        assert name == NAME and pipe is component(nlp) and texts == [bad]
        assert isinstance(error, RuntimeError) and str(error) == "broken"
        assert seen == FAILED


def with_working_decoder(nlp):
    """A copy of the pipeline whose decoder does not fail."""
    pipe = component(nlp)
    base = pipe.lm.name
    return pipeline(base).from_bytes(nlp.to_bytes())


def test_a_single_text_fails(nlp, handled):
    doc = nlp("a bad text")
    assert result(doc) == FAILED
    assert [texts for _, _, texts, *_ in handled] == [["a bad text"]]


def test_entities_of_a_failed_document_stay(nlp, handled):
    doc = make_doc(nlp, "a bad text")
    doc.ents = [doc.char_span(0, 1, "OWN")]
    component(nlp).cfg["overwrite_ents"] = True
    nlp(doc)
    assert result(doc)[2] == "failed"
    assert [ent.label_ for ent in doc.ents] == ["OWN"]


def test_several_documents_fail(nlp, handled):
    texts = ["bad one", "Lisbon", "bad two"]
    docs = list(nlp.pipe(texts))
    statuses = [doc.spans["sc"].attrs["status"] for doc in docs]
    assert statuses == ["failed", "ok", "failed"]
    assert [texts for _, _, texts, *_ in handled] == [["bad one"], ["bad two"]]


def test_errors_are_raised_by_default(nlp):
    with pytest.raises(RuntimeError, match="broken"):
        nlp("a bad text")
    stream = nlp.pipe(mixed(nlp))
    # The documents before it in the batch are yielded first.
    assert found(next(stream)) == TEXTS[0][1]
    with pytest.raises(RuntimeError, match="broken"):
        next(stream)


def test_an_error_handler_of_the_component(nlp):
    seen = []
    component(nlp).set_error_handler(lambda *args: seen.append(args[2][0].text))
    docs = list(nlp.pipe(["Lisbon", "bad"]))
    assert len(docs) == 2 and seen == ["bad"]


def test_a_key_error_is_wrapped(tiny_base):
    """spaCy would report a KeyError as a missing call of `initialize`."""
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    pipe.decoder = FailingDecoder(pipe.decoder, lambda: KeyError("x1"))
    match = r"G424.*a bad text.*KeyError\('x1'\)"
    with pytest.raises(ValueError, match=match) as error:
        nlp("a bad text")
    assert isinstance(error.value.__cause__, KeyError)


def test_a_keyboard_interrupt_is_raised(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    pipe.decoder = FailingDecoder(pipe.decoder, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        list(nlp.pipe(["Lisbon", "a bad text"]))
    # The pipeline still works afterwards.
    assert [row[0] for row in results(nlp)] == [spans for _, spans in TEXTS]


def test_a_document_without_sentences_fails_alone(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"), window__unit="sentence")
    seen = []
    nlp.set_error_handler(lambda name, pipe, docs, error: seen.append(str(error)))
    docs = [make_doc(nlp, "Maria lives in Porto .") for _ in range(2)]
    for token in docs[0]:
        token.is_sent_start = token.i == 0
    docs = list(nlp.pipe(docs))
    assert [doc.spans["sc"].attrs["status"] for doc in docs] == ["ok", "failed"]
    assert len(seen) == 1 and seen[0].startswith("[G406]")
    assert docs[1].spans["sc"].attrs["issues"][0]["message"] == seen[0]


def test_good_documents_are_decoded_together(tiny_base):
    """Documents are decoded one by one only after a failure."""
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    decoder = pipe.decoder = FailingDecoder(
        pipe.decoder, lambda: RuntimeError("broken")
    )
    list(nlp.pipe(["Lisbon", "Porto", "Maria"]))
    assert decoder.calls == 1
