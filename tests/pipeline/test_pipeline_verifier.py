"""Self-verification: the questions, and the effect of the verdicts."""

from functools import partial

import pytest
import torch
from component_cases import (
    TEXTS,
    component,
    found,
    make_doc,
    pipeline,
    trained_pipeline,
)
from spacy.tokens import Doc

from spacy_genner.decoding.engine import Engine, YesNoScorer
from spacy_genner.models.base_model import text_decoder
from spacy_genner.pipeline.results import Prediction, TokenSpan
from spacy_genner.pipeline.verifier import Verdict, Verifier


def make_prediction(*spans, status="ok"):
    return Prediction([TokenSpan(*span) for span in spans], status)


@pytest.fixture
def doc():
    nlp = pipeline("unused")
    words = "The University of Porto ( 1911 ) is old . It rains .".split()
    spaces = [True, True, True, True, False, False, True, True, False, True]
    return Doc(nlp.vocab, words, [*spaces, True, False, False])


class FixedJudge:
    """Returns fixed verdicts and records the texts."""

    def __init__(self, *verdicts):
        self.verdicts = verdicts
        self.texts = []

    def __call__(self, texts):
        self.texts += texts
        return self.verdicts[: len(texts)]


def test_a_question_shows_one_span_in_markup(doc):
    judge = FixedJudge(*[Verdict(0.9)] * 4)
    spans = [(1, 4, "ORG", 0.5), (3, 4, "GPE", 0.5), (5, 6, "DATE", 0.5)]
    prediction = make_prediction(*spans, (12, 13, "X", 0.5))
    Verifier().verify([doc], [prediction], judge)
    assert judge.texts == [
        "The [University of Porto | ORG] (1911) is old. It rains.",
        "The University of [Porto | GPE] (1911) is old. It rains.",
        "The University of Porto ([1911 | DATE]) is old. It rains.",
        "The University of Porto (1911) is old. It rains[. | X]",
    ]
    assert [span.score for span in prediction.spans] == pytest.approx([0.45] * 4)
    assert (prediction.status, prediction.issues) == ("ok", [])


def test_the_context_is_limited_by_the_sentence_and_the_setting(doc):
    judge = FixedJudge(Verdict(0.9))
    for token in doc:
        token.is_sent_start = token.i in (0, 10)
    Verifier().verify([doc], [make_prediction((10, 11, "X", 0.5))], judge)
    Verifier(context=1).verify([doc], [make_prediction((3, 4, "GPE", 0.5))], judge)
    assert judge.texts == ["[It | X] rains.", "of [Porto | GPE] ("]


def test_a_rejected_span_is_dropped_and_reported(doc):
    prediction = make_prediction((1, 4, "ORG", 0.5), (3, 4, "GPE", 0.5))
    Verifier(keep=0.4).verify(
        [doc], [prediction], FixedJudge(Verdict(0.4), Verdict(0.39))
    )
    assert [span[:3] for span in prediction.spans] == [(1, 4, "ORG")]
    [issue] = prediction.issues
    assert (issue["code"], issue["start"], issue["end"]) == ("rejected", 3, 4)
    assert "GPE" in issue["message"] and "0.39" in issue["message"]
    assert prediction.status == "ok"


def test_spans_with_high_scores_and_failed_documents_are_not_verified(doc):
    judge = FixedJudge(Verdict(0.0))
    prediction = make_prediction((1, 4, "ORG", 0.8), (3, 4, "GPE", 0.79))
    failed = make_prediction((3, 4, "GPE", 0.1), status="failed")
    Verifier(below=0.8).verify([doc, doc], [prediction, failed], judge)
    assert len(judge.texts) == 1
    assert [span[:3] for span in prediction.spans] == [(1, 4, "ORG")]
    assert len(failed.spans) == 1
    Verifier().verify([doc], [make_prediction()], None)


def test_an_unverified_span_is_kept_and_reported(doc):
    prediction = make_prediction((1, 4, "ORG", 0.5))
    Verifier().verify([doc], [prediction], FixedJudge(Verdict(None, "no server")))
    assert (prediction.status, prediction.spans[0].score) == ("repaired", 0.5)
    assert prediction.issues[0]["code"] == "unverified"
    assert "no server" in prediction.issues[0]["message"]


def test_a_failed_question_does_not_affect_others(doc):
    def judge(texts):
        if any("[Porto" in text for text in texts):
            raise RuntimeError("out of memory")
        return [Verdict(0.9)] * len(texts)

    prediction = make_prediction(
        (1, 4, "ORG", 0.5), (3, 4, "GPE", 0.5), (5, 6, "DATE", 0.5)
    )
    other = make_prediction((5, 6, "DATE", 0.5))
    Verifier().verify([doc, doc], [prediction, other], judge)
    scores = [span.score for span in prediction.spans]
    assert scores == pytest.approx([0.45, 0.5, 0.45])
    assert [issue["code"] for issue in prediction.issues] == ["unverified"]
    assert (other.status, other.spans[0].score) == ("ok", pytest.approx(0.45))


@pytest.mark.parametrize(
    "setting, code",
    [
        ({"keep": 2}, "G409.*verifier.keep"),
        ({"context": 0}, "G106.*verifier.context"),
        ({"template": "compact"}, "G107.*verify"),
    ],
)
def test_invalid_settings(setting, code):
    with pytest.raises(ValueError, match=code):
        Verifier(**setting)


@pytest.mark.parametrize("family", ["llama", "gemma3", "granite4"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_probabilities_are_those_of_the_next_token(tiny_base, family, batch_tokens):
    nlp = pipeline(tiny_base(family), model__lora=None, model__dtype="float64")
    lm = component(nlp).lm
    encode = component(nlp).predictor.encoder.encode
    network = lm.base.model
    prefix = list(encode("Is it so?"))
    engine = Engine(network, text_decoder(network), prefix)
    prompts = [encode(text) for text in ("Yes?", "It rains.\nAnswer:\n", "no", "x")]
    found = YesNoScorer(engine, encode, batch_tokens).probabilities(prompts)
    ids = [
        {encode(a + b)[0] for a in ("", " ") for b in (w, w.capitalize(), w.upper())}
        for w in ("yes", "no")
    ]
    for prompt, probability in zip(prompts, found, strict=True):
        with torch.inference_mode():
            logits = network(torch.tensor([[*prefix, *prompt]])).logits[0, -1]
        probabilities = logits.double().softmax(0)
        yes, no = (
            probabilities[sorted(mine - other)].sum()
            for mine, other in (ids, ids[::-1])
        )
        assert probability == pytest.approx(float(yes / (yes + no)), abs=1e-9)


def test_the_component_verifies_with_its_base(tiny_base):
    base = tiny_base("llama")
    plain = trained_pipeline(base)
    before = [plain(make_doc(plain, text)) for text, _ in TEXTS]
    assert sum(len(doc.spans["sc"]) for doc in before) > 0

    def verified(**settings):
        block = {"@misc": "spacy-genner.Verifier.v1", **settings}
        nlp = trained_pipeline(base, verifier=block)
        return list(nlp.pipe(make_doc(nlp, text) for text, _ in TEXTS))

    for old, new in zip(before, verified(keep=0.0), strict=True):
        assert found(old) == found(new)
        pairs = zip(
            old.spans["sc"].attrs["scores"],
            new.spans["sc"].attrs["scores"],
            strict=True,
        )
        assert all(0 < now < was for was, now in pairs)
    for old, new in zip(before, verified(keep=1.0), strict=True):
        assert found(new) == []
        codes = [issue["code"] for issue in new.spans["sc"].attrs["issues"]]
        assert codes == ["rejected"] * len(found(old))
    for old, new in zip(before, verified(below=0.0), strict=True):
        assert found(old) == found(new)


def test_a_text_beyond_the_context_length(tiny_base):
    nlp = trained_pipeline(
        tiny_base("llama"), verifier={"@misc": "spacy-genner.Verifier.v1"}
    )
    pipe = component(nlp)
    judge = partial(
        pipe.predictor.judge, layout=pipe.verifier.layout(pipe.predictor.layout)
    )
    short, long = judge(["[It | ORG] rains .", "x " * 5000])
    assert 0 <= short.probability <= 1
    assert long.probability is None and "1024" in long.reason
