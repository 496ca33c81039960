"""A tuned adapter behind strict servers that answer as the local decoder does.

The servers know a prompt only by its token ids, so a prompt that differs in one token
from that of the local decoder has no answer.
"""

import json
import math
import random
from dataclasses import dataclass

import gbnf_reader
import pytest
import spacy
from component_cases import (
    LABELS,
    NAME,
    TEXTS,
    component,
    found,
    perturb,
    pipeline,
    trained_pipeline,
)
from gbnf_reader import accepts, read_rules
from remote_cases import ENV
from server import MODEL, Fail, Respond, Server
from server_protocol import LLAMA_CPP, OPENAI, TEXT_ONLY, VLLM
from spacy.tokens import Doc

from spacy_genner.errors import GennerWarning
from spacy_genner.export import gbnf
from spacy_genner.export.write import export_adapter
from spacy_genner.formats import get_format
from spacy_genner.grammar import make_grammars, make_source
from spacy_genner.llm.openai import tuned
from spacy_genner.llm.openai.client import RemoteClient
from spacy_genner.llm.openai.protocol import ParsedResponse

LORA = "cells"
WORDS = [
    *(text.split() for text, _ in TEXTS),
    ["See", "[", "3", "|", "ORG]", "in", "Porto", "."],
    ["Ünï", "😀", "of", "\n", "Lisbon"],
]


@dataclass(frozen=True)
class Answer:
    """What the local decoder writes, as a server reports it."""

    text: str
    tokens: list[str]
    logprobs: list[float]
    alternatives: list[dict[str, float]]

    def completion(self):
        """In the form of vLLM and llama-cpp-python."""
        return {
            "tokens": self.tokens,
            "token_logprobs": self.logprobs,
            "top_logprobs": self.alternatives,
            "text_offset": [0] * len(self.tokens),
        }

    def chat(self):
        """In the form of llama-server."""
        return {
            "content": [
                {
                    "token": token,
                    "logprob": logprob,
                    "top_logprobs": [
                        {"token": other, "logprob": value}
                        for other, value in top.items()
                    ],
                }
                for token, logprob, top in zip(
                    self.tokens, self.logprobs, self.alternatives, strict=True
                )
            ]
        }


def make_docs(nlp, words=WORDS):
    return [Doc(nlp.vocab, words=each) for each in words]


def answers_of(nlp, docs):
    """The local decoder's answers by the ids of their prompts."""
    predictor = component(nlp).predictor
    tokenizer = component(nlp).lm.tokenizer
    engine = predictor.engine()
    answers = {}
    for doc in docs:
        for window in predictor.cutter.windows(doc):
            source = predictor.encoder.source_of(doc[window.start : window.end])
            task = predictor.decoding_task(doc, window, source)
            [result] = predictor.decoder.decode(engine, [task])
            probabilities = {d.step: math.exp(d.logp) for d in result.decisions}
            tokens = [tokenizer.decode([id_]) for id_ in result.ids]
            states = task.grammar.walk(result.ids)
            logprobs, alternatives = [], []
            for step, token in enumerate(tokens):
                # The whole vocabulary has another token with half of the probability,
                # which is not legal.
                p = probabilities.get(step, 1.0)
                rest = [tokenizer.decode([i]) for i in states[step].choices]
                rest = [other for other in rest if other != token]
                top = {token: math.log(0.5 * p), "#illegal": math.log(0.5)}
                for other in rest:
                    share = max(1e-12, 0.5 * (1 - p) / len(rest))
                    top[other] = math.log(share)
                logprobs.append(top[token])
                alternatives.append(top)
            ids = " ".join(map(str, [*predictor.encoder.prefix_ids, *task.prompt]))
            text = tokenizer.decode(list(result.ids))
            answers[ids] = Answer(text, tokens, logprobs, alternatives)
    return answers


def served_script(answers, kind):
    def script(call):
        answer = answers[call.prompt]
        grammar = call.body.get("grammar")
        if kind == VLLM and "structured_outputs" in call.body:
            grammar = call.body["structured_outputs"]["grammar"]
        if grammar is not None:
            assert accepts(read_rules(grammar), answer.text)
        # The server of llama-cpp-python has another default.
        assert kind != LLAMA_CPP or call.body["repeat_penalty"] == 1.0
        assert len(answer.tokens) < call.body["max_tokens"]
        logprobs = answer.chat() if kind == LLAMA_CPP else answer.completion()
        return Respond(answer.text, logprobs=logprobs)

    return script


def client(server, adapter, **changes):
    """A pipeline whose component asks a server, with the settings of the export."""
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": LORA,
        "adapter": str(adapter),
        "base_url": server.url,
        "api_key_env": ENV,
        **changes.pop("model", {}),
    }
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"readings": 1, "model": model, **changes})
    return nlp


def same_predictions(local, remote, tolerance=1e-4):
    assert [found(doc) for doc in remote] == [found(doc) for doc in local]
    for one, other in zip(local, remote, strict=True):
        attrs = other.spans["sc"].attrs
        assert attrs["status"] == one.spans["sc"].attrs["status"]
        assert list(attrs["scores"]) == pytest.approx(
            list(one.spans["sc"].attrs["scores"]), abs=tolerance
        )


@pytest.fixture(scope="module")
def tuned_nlp(tiny_base):
    return trained_pipeline(tiny_base("llama"))


@pytest.fixture(scope="module")
def saved(tuned_nlp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "model"
    tuned_nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def export(saved):
    return export_adapter(saved, saved.parent / "out", "vllm", name=LORA).folder


@pytest.fixture(scope="module")
def local_docs(tuned_nlp):
    return list(tuned_nlp.pipe(make_docs(tuned_nlp)))


def test_vllm_with_the_name_of_the_lora_adapter(tuned_nlp, export, local_docs):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    script = served_script(answers, VLLM)
    with Server(script, kind=VLLM, models=(f"{LORA}-base", LORA)) as server:
        remote = client(server, export)
        assert component(remote).labels == tuple(LABELS)
        docs = list(remote.pipe(make_docs(remote)))
    assert server.rejected == []
    same_predictions(local_docs, docs)
    assert sum(len(found(doc)) for doc in docs) >= 5
    assert {call.body["model"] for call in server.calls} == {LORA}
    for call in server.calls:
        ids = call.body["prompt"]
        begin = component(tuned_nlp).lm.tokenizer.bos_token_id
        assert ids[0] == begin and ids.count(begin) == 1
        assert set(call.body) == {
            "model", "prompt", "temperature", "max_tokens", "stop", "logprobs",
            "structured_outputs",
        }  # fmt: skip


def test_wrong_name_of_the_adapter(export):
    with Server(kind=VLLM, models=("other",)) as server:
        remote = client(server, export)
        with pytest.raises(Exception, match=r"G712.*cells"):
            remote(make_docs(remote)[0])


@pytest.mark.parametrize("format", ["inline_bracketed", "inline_xml", "grouped_json"])
@pytest.mark.parametrize("kind", [LLAMA_CPP, VLLM])
def test_outputs_of_any_adapter(tiny_base, tmp_path, format, kind):
    """Random weights write nested spans with all labels, in every format."""
    nlp = perturb(pipeline(tiny_base("llama"), format=format))
    nlp.to_disk(tmp_path / "model")
    docs = make_docs(nlp)
    answers = answers_of(nlp, docs)
    with Server(served_script(answers, kind), kind=kind, models=(LORA,)) as server:
        # A saved component says nothing of the server that runs it.
        settings = {"server": kind}
        remote = client(server, tmp_path / "model", format=format, model=settings)
        predicted = list(remote.pipe(make_docs(remote)))
    assert server.rejected == []
    local = list(nlp.pipe(docs))
    tolerance = 1e-3 if format != "grouped_json" else 1.0
    same_predictions(local, predicted, tolerance)
    assert any(map(found, predicted))


def test_windows_are_those_of_the_local_decoder(tiny_base, saved, tuned_nlp):
    window = {"unit": "doc", "max_tokens": 24, "overlap": 4}
    nlp = trained_pipeline(tiny_base("llama"), window=window)
    words = [word for text, _ in TEXTS for word in text.split()] * 2
    local = nlp(Doc(nlp.vocab, words=words))
    answers = answers_of(nlp, [Doc(nlp.vocab, words=words)])
    assert len(answers) > 2
    with Server(served_script(answers, VLLM), kind=VLLM, models=(LORA,)) as server:
        remote = client(server, saved, window=window, model={"server": "vllm"})
        doc = remote(Doc(remote.vocab, words=words))
    same_predictions([local], [doc])
    assert doc.spans["sc"].attrs["status"] == "windowed"


def test_server_that_takes_text_only(tuned_nlp, export, local_docs):
    """As llama-cpp-python's, which refuses ids with a status of 500."""
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    tokenizer = component(tuned_nlp).lm.tokenizer
    by_text = {
        # The server puts the begin of a sequence before a text itself.
        tokenizer.decode(list(map(int, ids.split()))[1:]): answer
        for ids, answer in answers.items()
    }

    def script(call):
        assert set(call.body) <= {
            "model", "prompt", "temperature", "max_tokens", "stop", "logprobs",
        }  # fmt: skip
        answer = by_text[call.prompt]
        return Respond(answer.text, logprobs=answer.completion())

    with Server(script, kind=TEXT_ONLY, models=(LORA,)) as server:
        remote = client(server, export, model={"structured": "auto"})
        with pytest.warns(GennerWarning) as warned:
            docs = list(remote.pipe(make_docs(remote)))
        codes = sorted(str(warning.message)[:6] for warning in warned)
        # A text with the name of a control token would be read as the token.
        bad = remote.make_doc(f"Maria {tokenizer.eos_token} lives in Porto .")
        with pytest.raises(Exception, match=r"G852.*</s>|G852.*<eos>"):
            remote(bad)
    same_predictions(local_docs, docs)
    assert codes == ["[W840]", "[W841]"]


def test_grammars_that_a_server_refuses(tuned_nlp, export):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))

    def script(call):
        if "structured_outputs" in call.body:
            return Fail(400, "structured outputs are disabled: no grammar backend")
        return served_script(answers, VLLM)(call)

    with Server(script, kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export)
        with pytest.warns(GennerWarning, match="W841"):
            docs = list(remote.pipe(make_docs(remote)))
        assert any(map(found, docs))
        required = client(server, export, model={"structured": True})
        with pytest.raises(Exception, match="G716"):
            required(make_docs(required)[0])
        free = client(server, export, model={"structured": False})
        free(make_docs(free)[0])
    assert "structured_outputs" not in server.calls[-1].body


def test_large_grammars_are_left_out(tuned_nlp, export, monkeypatch):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    monkeypatch.setattr(tuned, "MAX_GRAMMAR_BYTES", 10)
    with Server(served_script(answers, VLLM), kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export)
        with pytest.warns(GennerWarning, match=r"W843.*10"):
            docs = list(remote.pipe(make_docs(remote)))
        assert any(map(found, docs))
        required = client(server, export, model={"structured": True})
        with pytest.raises(ValueError, match="G853"):
            required(make_docs(required)[0])
    assert gbnf.MAX_GRAMMAR_BYTES > 10_000


def test_scores_that_a_server_does_not_give(tuned_nlp, export, local_docs):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))

    def script(call):
        return Respond(answers[call.prompt].text)

    with Server(script, kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export)
        with pytest.warns(GennerWarning, match="W842"):
            docs = list(remote.pipe(make_docs(remote)))
        silent = client(server, export, model={"scores": False})
        silent(make_docs(silent)[0])
    assert "logprobs" not in server.calls[-1].body
    assert [found(doc) for doc in docs] == [found(doc) for doc in local_docs]
    assert {float(s) for doc in docs for s in doc.spans["sc"].attrs["scores"]} == {1.0}


@pytest.mark.parametrize(
    ("output", "finish", "issues"),
    [
        # Markup after white space, as the format itself has it.
        ("Maria lives in [Porto | GPE] .", "stop", set()),
        ("Maria lives in[ Porto | GPE] in .", "stop", {"copy_differs"}),
        ("Maria lives in[ Porto | GPE]", "length", {"truncated"}),
    ],
)
def test_other_outputs_are_aligned_and_reported(export, output, finish, issues):
    def script(call):
        return Respond(output, finish=finish)

    with Server(script, kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export, model={"keep_answers": True, "scores": False})
        doc = remote(Doc(remote.vocab, words=TEXTS[1][0].split()))
    assert found(doc) == [(3, 4, "GPE")]
    attrs = doc.spans["sc"].attrs
    assert attrs["status"] == ("repaired" if issues else "ok")
    assert attrs["answer"] == output
    assert {issue["code"] for issue in attrs["issues"]} >= issues


def test_documents_fail_alone(tuned_nlp, export):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    first = next(iter(answers))

    def script(call):
        if call.prompt == first:
            return Fail(400, "this text is refused")
        return served_script(answers, VLLM)(call)

    seen = []
    with Server(script, kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export)
        remote.set_error_handler(lambda name, pipe, docs, error: seen.append(docs))
        docs = list(remote.pipe(make_docs(remote)))
    assert [len(each) for each in seen] == [1]
    statuses = [doc.spans["sc"].attrs["status"] for doc in docs]
    assert statuses == ["failed"] + ["ok"] * (len(WORDS) - 1)


def test_answers_come_from_the_cache(tuned_nlp, export, local_docs, tmp_path):
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    cache = {"cache": str(tmp_path / "cache")}
    with Server(served_script(answers, VLLM), kind=VLLM, models=(LORA,)) as server:
        for _ in range(2):
            remote = client(server, export, model=cache)
            docs = list(remote.pipe(make_docs(remote)))
    assert len(server.calls) == len(WORDS)
    same_predictions(local_docs, docs)


def test_blank_documents_are_not_sent(export):
    with Server(kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export)
        docs = list(remote.pipe([remote.make_doc(""), remote.make_doc("  \n")]))
    assert server.calls == []
    assert [doc.spans["sc"].attrs["status"] for doc in docs] == ["ok", "ok"]


def test_saved_pipelines_keep_the_adapter(export, tmp_path, saved):
    """Of the client, and a pipeline of the local adapter with another model."""
    with Server(kind=VLLM) as server:
        remote = client(server, export)
        remote.to_disk(tmp_path / "client")
        again = spacy.load(tmp_path / "client")
        model = remote.get_pipe_config(NAME)["model"]
    assert component(again).labels == tuple(LABELS)
    assert not (tmp_path / "client" / NAME / "adapter").exists()
    config = {"components": {NAME: {"model": model}}}
    other = spacy.load(saved, config=config)
    assert component(other).lm.served is not None
    assert component(other).predictor.encoder.prefix_ids
    copied = component(client(server, export)).from_bytes(component(other).to_bytes())
    assert copied.labels == tuple(LABELS)


def test_settings_that_differ_from_the_adapter(export):
    with Server(kind=VLLM) as server:
        with pytest.raises(ValueError, match=r"G850.*inline_bracketed.*inline_xml"):
            client(server, export, format="inline_xml")
        with pytest.warns(GennerWarning, match=r"W404.*readings"):
            client(server, export, readings=2)
        with pytest.warns(GennerWarning, match=r"W404.*labels"):
            nlp = client(server, export, labels=["ORG"])
    assert component(nlp).labels == tuple(LABELS)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ({"adapter": "nowhere"}, "G840"),
        ({"adapter": ""}, "G701"),
        ({"server": "tgi"}, "G701"),
        ({"system": "You are."}, "G701"),
    ],
)
def test_invalid_settings(export, model, code):
    with Server() as server, pytest.raises(ValueError, match=code):
        client(server, export, model=model)


def test_verifier_is_refused(export):
    with Server(kind=VLLM) as server:
        remote = client(server, export)
        with pytest.raises(ValueError, match="G851"):
            component(remote).predictor.judge(["x"], None)


def test_server_without_a_name_gets_both_grammars(tuned_nlp, saved):
    """It ignores the one that it does not know, or refuses both."""
    answers = answers_of(tuned_nlp, make_docs(tuned_nlp))
    refused = []

    def script(call):
        refused.append(set(call.body))
        return served_script(answers, OPENAI)(call)

    with Server(script, kind=LLAMA_CPP, models=(MODEL,)) as server:
        remote = client(server, saved, model={"name": MODEL, "scores": False})
        with pytest.warns(GennerWarning, match="W841"):
            remote(make_docs(remote)[0])
    assert "structured_outputs" in server.rejected[0]
    assert json.dumps(sorted(refused[0])).count("grammar") == 0


def weight(seed, output, char):
    """The probability that a model of characters gives to the next one, up to a
    factor. Any number from 0.1 to 1.1, which depends on the output so far."""
    return 0.1 + random.Random(f"{seed} {output} {char}").random()


def characters(text):
    return tuple(map(ord, text))


class GreedyServer:
    """Writes the most likely output of a random model of characters that the grammar of
    a request allows.

    seed (int): Selects the model.

    starts (list[TokenIds]): The prompts that are no continuation of another one.
    prompts (list[TokenPrompt]): All prompts.
    """

    def __init__(self, seed):
        self.seed = seed
        self.starts = []
        self.prompts = []

    def complete(self, prompts, server=None):
        return [self.respond(prompt) for prompt in prompts]

    def respond(self, prompt):
        text = prompt.ids.text
        known = [each for each in self.starts if text.startswith(each.text)]
        if not known:
            self.starts.append(prompt.ids)
            known = [prompt.ids]
        self.prompts.append(prompt)
        written = text[len(known[0].text) :]
        rules = gbnf_reader.read_rules(prompt.grammar)
        stacks = gbnf_reader.start(rules)
        output, logprobs, alternatives = "", [], []
        while chars := sorted(gbnf_reader.legal(stacks) - {""}):
            weights = {c: weight(self.seed, written + output, c) for c in chars}
            total = sum(weights.values())
            best = max(chars, key=weights.get)
            top = {c: math.log(w / total) for c, w in weights.items()}
            logprobs.append(top[best])
            alternatives.append(top)
            output += best
            stacks = gbnf_reader.step(rules, stacks, best)
        answer = Answer(output, list(output), logprobs, alternatives)
        return ParsedResponse(output, logprobs=answer.completion())


def decode_characters(grammar, seed):
    """Greedy decoding under the automaton, with the same model of characters."""
    state, output, factors = grammar.start(), "", []
    while not state.finished:
        chars = sorted(map(chr, state.choices))
        weights = {c: weight(seed, output, c) for c in chars}
        best = max(chars, key=weights.get)
        factors.append(weights[best] / sum(weights.values()))
        output += best
        state = state.advance(ord(best))
    scores = [math.prod(factors[step] for step in span.steps) for span in state.spans]
    return output, state.spans, scores


@pytest.mark.parametrize("format", ["inline_bracketed", "inline_xml"])
def test_outputs_are_those_of_the_automaton(tiny_base, tmp_path, format, monkeypatch):
    """The grammar allows more than the automaton. The server is asked again for the
    rest of an output that leaves the automaton, with the same result as if it followed
    the automaton."""
    nlp = pipeline(tiny_base("llama"), format=format, max_depth=3)
    nlp.to_disk(tmp_path / "model")
    texts = [["Maria", "of", "Porto"], ["See", "[", "3", "|", "ORG]"], ["one"]]
    fmt, asked = get_format(format), 0
    with Server() as server:
        settings = {"server": VLLM, "keep_answers": True}
        remote = client(
            server, tmp_path / "model", format=format, model=settings, max_depth=3
        )
    for seed in range(12):
        greedy = GreedyServer(seed)
        monkeypatch.setattr(
            RemoteClient, "complete", lambda self, *rest, g=greedy: g.complete(*rest)
        )
        docs = list(remote.pipe(make_docs(remote, texts)))
        for doc, words in zip(docs, texts, strict=True):
            source = make_source(words, [True] * len(words), characters)
            grammar = make_grammars(fmt, LABELS, characters, 3)(source)
            output, spans, scores = decode_characters(grammar, seed)
            group = doc.spans["sc"]
            assert group.attrs["answer"] == output
            assert group.attrs["status"] == "ok"
            expected = {
                (span.start, span.end, LABELS[span.label]): score
                for span, score in zip(spans, scores, strict=True)
            }
            values = dict(zip(found(doc), group.attrs["scores"], strict=True))
            assert values == pytest.approx(expected)
        asked += len(greedy.prompts) - len(texts)
        for prompt in greedy.prompts:
            first = next(
                start
                for start in greedy.starts
                if prompt.ids.text.startswith(start.text)
            )
            # The ids after the first prompt are those that the local decoder writes.
            assert prompt.ids[: len(first)] == first
            tokenizer = component(nlp).lm.tokenizer
            rest = tokenizer.decode(prompt.ids[len(first) :])
            assert first.text + rest == prompt.ids.text
    assert asked >= 5


def test_grammars_that_a_server_ignores(export):
    """It is asked once more, and the repetition is reported."""

    def script(call):
        return Respond("Maria lives in[[ Porto | GPE] | GPE] .")

    with Server(script, kind=VLLM, models=(LORA,)) as server:
        remote = client(server, export, model={"scores": False})
        doc = remote(Doc(remote.vocab, words=TEXTS[1][0].split()))
        calls = len(server.calls)
    assert calls == 2
    assert found(doc) == [(3, 4, "GPE")]
    [issue] = doc.spans["sc"].attrs["issues"]
    assert issue["code"] == "duplicate"
