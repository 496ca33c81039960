"""Yes or no, with the probability where the server gives it."""

import math

import pytest
from remote_cases import make_client, make_question
from server import Fail, Say, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.protocol import YesNoProbability


def chat(*places):
    """Log-probabilities as chat calls have them: a dict a place, the taken token
    first."""
    return {
        "content": [
            {
                "token": next(iter(place)),
                "logprob": math.log(next(iter(place.values()))),
                "top_logprobs": [
                    {"token": token, "logprob": math.log(p)}
                    for token, p in place.items()
                ],
            }
            for place in places
        ]
    }


def completion(*places):
    return {
        "tokens": [next(iter(place)) for place in places],
        "token_logprobs": [math.log(next(iter(place.values()))) for place in places],
        "top_logprobs": [
            {token: math.log(p) for token, p in place.items()} for place in places
        ],
        "text_offset": [0] * len(places),
    }


def asked(script, count=1, **settings):
    with Server(script, key=None) as server:
        client = make_client(server, api_key_env=None, **settings)
        odds = client.probabilities([f"question {i}" for i in range(count)])
        assert server.wrong == []
        return odds, [call.body for call in server.calls]


@pytest.mark.parametrize("call, write", [("chat", chat), ("completion", completion)])
@pytest.mark.parametrize(
    "places, probability",
    [
        ([{"Yes": 0.6, "No": 0.2, "Maybe": 0.2}], 0.75),
        ([{" no": 0.6, "Yes": 0.1, "YES": 0.1, "y": 0.1}], 1 / 3),
        ([{"Yes": 0.9}], 1.0),
        ([{"no": 0.9, "The": 0.1}], 0.0),
        # What stands before the word is skipped, and so is its own small chance of it.
        ([{"\n": 0.99, "no": 0.01}, {"**": 1.0}, {"Yes": 0.6, "No": 0.4}], 0.6),
        ([{"The": 1.0}, {" answer": 1.0}, {"No": 0.8, "Yes": 0.2}], 0.2),
        # A trace of the words where another one was taken says nothing.
        ([{"Answer": 0.99, "Yes": 3e-4, "No": 6e-6}, {": ": 1.0}, {"no": 1.0}], 0.0),
        ([{"Answer": 0.99, "Yes": 3e-4, "No": 6e-6}, {" is": 1.0}, {" no": 1.0}], 0.0),
        # Nor does what is thought before.
        ([{"<think>": 1.0}, {"No": 1.0}, {"</think>": 1.0}, {"Yes": 0.9}], 1.0),
        ([{"No": 1.0}, {".</think>\n": 1.0}, {"Yes": 0.6, "No": 0.4}], 0.6),
        # Most of it, and another word was taken.
        ([{"Maybe": 0.4, "Yes": 0.3, "No": 0.3}, {"No": 1.0}], 0.5),
    ],
)
def test_probabilities(call, write, places, probability):
    text = "".join(next(iter(place)) for place in places)
    (odds,), (body,) = asked(lambda c: Say(text, logprobs=write(*places)), call=call)
    assert odds.error is None
    assert odds.probability == pytest.approx(probability)
    assert 1 <= body["max_tokens"] <= 5
    if call == "chat":
        assert body["logprobs"] is True and body["top_logprobs"] == 20
    else:
        assert body["logprobs"] == 5


@pytest.mark.parametrize(
    "text, probability",
    [
        ("Yes", 1.0),
        ("no.", 0.0),
        ("**Yes**, not No", 1.0),
        ("I think no", 0.0),
        ("<think>No, or...</think>\n\nYes", 1.0),
        ("<think>No, or", None),
        ("Answer: no", 0.0),
        ("Nobody knows yesterday", None),
        ("", None),
    ],
)
@pytest.mark.parametrize(
    "logprobs",
    [None, {"content": None}, {"content": [3]}, {"tokens": ["x"]}, [], "no", chat()],
)
def test_without_probabilities_the_text_decides(text, probability, logprobs):
    (odds,), _ = asked(lambda call: Say(text, logprobs=logprobs))
    assert odds == YesNoProbability(probability, None)


def test_probabilities_that_are_none():
    place = {"token": "Yes", "logprob": "high", "top_logprobs": [{"token": 3}, None]}
    (odds,), _ = asked(lambda call: Say("no", logprobs={"content": [place]}))
    assert odds == YesNoProbability(0.0, None)
    place = {"token": "Yes", "logprob": 9999.0, "top_logprobs": None}
    (odds,), _ = asked(lambda call: Say("no", logprobs={"content": [place]}))
    assert odds == YesNoProbability(1.0, None)


def test_a_question_that_fails_has_its_error():
    def script(call):
        return Fail(400, "bad") if call.prompt.endswith("1") else "yes"

    odds, _ = asked(script, count=3)
    assert [o.probability for o in odds] == [1.0, None, 1.0]
    assert "G715" in str(odds[1].error)
    assert odds[0].error is None and odds[2].error is None


def test_other_words():
    with Server(lambda call: "Falsch", key=None) as server:
        client = make_client(server, api_key_env=None)
        assert client.probabilities(["?"], ("wahr", "falsch")) == [
            YesNoProbability(0.0)
        ]
        for options in (("yes", "yep"), ("yes",), ("", "no"), ("a", "b", "c")):
            with pytest.raises(ValueError, match="G725"):
                client.probabilities(["?"], options)


def test_fewer_alternatives_where_the_server_has_fewer():
    def script(call):
        if call.body["top_logprobs"] > 5:
            return Fail(400, "top_logprobs must be at most 5")
        return Say("Yes", logprobs=chat({"Yes": 0.6, "No": 0.2}))

    odds, bodies = asked(script, count=3, max_concurrent=1)
    assert [o.probability for o in odds] == pytest.approx([0.75] * 3)
    assert len(bodies) == 4


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_a_server_without_probabilities(call):
    def script(call):
        return (
            Fail(400, "logprobs are not supported") if "logprobs" in call.body else "no"
        )

    with pytest.warns(GennerWarning, match="W701.*not supported"):
        odds, bodies = asked(script, count=10, call=call, max_concurrent=1)
    assert odds == [YesNoProbability(0.0)] * 10
    assert len(bodies) <= 12


def test_no_schema_is_asked_for():
    with Server(lambda call: "yes", key=None) as server:
        for call in ("chat", "completion"):
            client = make_client(server, api_key_env=None, call=call)
            client.probabilities([make_question(format="grouped_json")])
            body = server.calls[-1].body
            assert "response_format" not in body and "stop" not in body
            assert body["max_tokens"] < 9
        assert server.wrong == []


def test_a_model_that_thinks_has_the_limit_that_is_set():
    with Server(lambda call: "yes", key=None) as server:
        for changes in (
            {"max_tokens": 900},
            {"max_tokens": 2},
            {"extra": {"max_completion_tokens": 70, "seed": 2}},
            {"extra": {"max_completion_tokens": 2}, "max_tokens": 900},
        ):
            make_client(server, api_key_env=None, **changes).probabilities(["?"])
        assert server.wrong == []
        first, second, third, fourth = (call.body for call in server.calls)
    assert first["max_tokens"] == 900 and second["max_tokens"] == 4
    assert third["max_completion_tokens"] == 70 and third["seed"] == 2
    assert fourth["max_completion_tokens"] == 4 and "max_tokens" not in fourth
