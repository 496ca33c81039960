"""Yes-no prompts, with log-probabilities if the server returns them."""

import math

import pytest
from remote_cases import make_client, sample_prompt
from server import Fail, Respond, Server

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.openai.protocol import YesNoProbability


def chat(*places):
    """Log-probabilities in the form of a chat call, from one dict for each position,
    whose first token is the one that was written."""
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


def send(script, count=1, **settings):
    with Server(script, key=None) as server:
        client = make_client(server, api_key_env=None, **settings)
        answers = client.probabilities([f"prompt {i}" for i in range(count)])
        assert server.rejected == []
        return answers, [call.body for call in server.calls]


@pytest.mark.parametrize("call, write", [("chat", chat), ("completion", completion)])
@pytest.mark.parametrize(
    "places, probability",
    [
        ([{"Yes": 0.6, "No": 0.2, "Maybe": 0.2}], 0.75),
        ([{" no": 0.6, "Yes": 0.1, "YES": 0.1, "y": 0.1}], 1 / 3),
        ([{"Yes": 0.9}], 1.0),
        ([{"no": 0.9, "The": 0.1}], 0.0),
        # Tokens before the word are skipped.
        ([{"\n": 0.99, "no": 0.01}, {"**": 1.0}, {"Yes": 0.6, "No": 0.4}], 0.6),
        ([{"The": 1.0}, {" answer": 1.0}, {"No": 0.8, "Yes": 0.2}], 0.2),
        # A negligible probability of the words is ignored if another token was written.
        ([{"Answer": 0.99, "Yes": 3e-4, "No": 6e-6}, {": ": 1.0}, {"no": 1.0}], 0.0),
        ([{"Answer": 0.99, "Yes": 3e-4, "No": 6e-6}, {" is": 1.0}, {" no": 1.0}], 0.0),
        # Thoughts are ignored.
        ([{"<think>": 1.0}, {"No": 1.0}, {"</think>": 1.0}, {"Yes": 0.9}], 1.0),
        ([{"No": 1.0}, {".</think>\n": 1.0}, {"Yes": 0.6, "No": 0.4}], 0.6),
        # The words have most of the probability, and another one was written.
        ([{"Maybe": 0.4, "Yes": 0.3, "No": 0.3}, {"No": 1.0}], 0.5),
    ],
)
def test_probabilities(call, write, places, probability):
    text = "".join(next(iter(place)) for place in places)
    (answer,), (body,) = send(
        lambda c: Respond(text, logprobs=write(*places)), call=call
    )
    assert answer.error is None
    assert answer.probability == pytest.approx(probability)
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
def test_answers_without_logprobs(text, probability, logprobs):
    (answer,), _ = send(lambda call: Respond(text, logprobs=logprobs))
    assert answer == YesNoProbability(probability, None)


def test_invalid_logprobs():
    place = {"token": "Yes", "logprob": "high", "top_logprobs": [{"token": 3}, None]}
    (answer,), _ = send(lambda call: Respond("no", logprobs={"content": [place]}))
    assert answer == YesNoProbability(0.0, None)
    place = {"token": "Yes", "logprob": 9999.0, "top_logprobs": None}
    (answer,), _ = send(lambda call: Respond("no", logprobs={"content": [place]}))
    assert answer == YesNoProbability(1.0, None)


def test_failed_prompt_has_an_error():
    def script(call):
        return Fail(400, "bad") if call.prompt.endswith("1") else "yes"

    answers, _ = send(script, count=3)
    assert [o.probability for o in answers] == [1.0, None, 1.0]
    assert "G715" in str(answers[1].error)
    assert answers[0].error is None and answers[2].error is None


def test_other_options():
    with Server(lambda call: "Falsch", key=None) as server:
        client = make_client(server, api_key_env=None)
        assert client.probabilities(["?"], ("wahr", "falsch")) == [
            YesNoProbability(0.0)
        ]
        for options in (("yes", "yep"), ("yes",), ("", "no"), ("a", "b", "c")):
            with pytest.raises(ValueError, match="G725"):
                client.probabilities(["?"], options)


def test_server_with_fewer_alternatives():
    def script(call):
        if call.body["top_logprobs"] > 5:
            return Fail(400, "top_logprobs must be at most 5")
        return Respond("Yes", logprobs=chat({"Yes": 0.6, "No": 0.2}))

    answers, bodies = send(script, count=3, max_concurrent=1)
    assert [o.probability for o in answers] == pytest.approx([0.75] * 3)
    assert len(bodies) == 4


@pytest.mark.parametrize("call", ["chat", "completion"])
def test_server_without_logprobs(call):
    def script(call):
        return (
            Fail(400, "logprobs are not supported") if "logprobs" in call.body else "no"
        )

    with pytest.warns(GennerWarning, match="W701.*not supported"):
        answers, bodies = send(script, count=10, call=call, max_concurrent=1)
    assert answers == [YesNoProbability(0.0)] * 10
    assert len(bodies) <= 12


def test_no_schema_is_requested():
    with Server(lambda call: "yes", key=None) as server:
        for call in ("chat", "completion"):
            client = make_client(server, api_key_env=None, call=call)
            client.probabilities([sample_prompt(format="grouped_json")])
            body = server.calls[-1].body
            assert "response_format" not in body and "stop" not in body
            assert body["max_tokens"] < 9
        assert server.rejected == []


def test_token_limit_of_a_model_that_thinks():
    with Server(lambda call: "yes", key=None) as server:
        for changes in (
            {"max_tokens": 900},
            {"max_tokens": 2},
            {"extra": {"max_completion_tokens": 70, "seed": 2}},
            {"extra": {"max_completion_tokens": 2}, "max_tokens": 900},
        ):
            make_client(server, api_key_env=None, **changes).probabilities(["?"])
        assert server.rejected == []
        first, second, third, fourth = (call.body for call in server.calls)
    assert first["max_tokens"] == 900 and second["max_tokens"] == 4
    assert third["max_completion_tokens"] == 70 and third["seed"] == 2
    assert fourth["max_completion_tokens"] == 4 and "max_tokens" not in fourth
