"""The component with a remote model."""

import os

import pytest
import spacy
from component_cases import NAME, found, make_examples
from server import KEY, MODEL, Call, Fail, Respond, Server
from spacy.tokens import Doc, DocBin, Span

from spacy_genner.errors import GennerWarning
from spacy_genner.prompts.examples import Demonstration, NearestDemonstrations

TEXT = "Lisbon hosts the University of Lisbon."
OUTPUT = "[Lisbon | GPE] hosts the [University of [Lisbon | GPE] | ORG]."
SPANS = [(0, 1, "GPE"), (3, 6, "ORG"), (5, 6, "GPE")]
ENV = "SPACY_GENNER_TEST_KEY"


def text_of(call: Call) -> str:
    return call.prompt.rpartition("\nText:\n")[2].rpartition("\nMarked:")[0]


def script(call: Call):
    """Complete the prompt of one text, fail for others, and copy the rest."""
    if call.prompt.endswith("Answer:\n"):
        yes = "[University" not in call.prompt
        return Respond("yes" if yes else "no")
    text = text_of(call)
    if text == TEXT:
        return Respond(OUTPUT)
    if "bad" in text:
        return Fail(400, "this text is refused")
    if "garbage" in text:
        return Respond("I'm sorry, but I can't help with that.")
    return Respond(text)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(ENV, KEY)
    with Server(script) as running:
        yield running
    assert running.rejected == []


def remote(server, **changes):
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": MODEL,
        "base_url": server.url,
        "api_key_env": ENV,
        "max_tries": 2,
        **changes.pop("model", {}),
    }
    config = {"labels": ["ORG", "GPE"], "readings": 1, "model": model, **changes}
    nlp = spacy.blank("en")
    # The default block belongs to another architecture with other keys.
    nlp.add_pipe(NAME, config=config)
    return nlp


def test_documents_are_annotated(server):
    nlp = remote(server)
    doc = nlp(TEXT)
    assert found(doc) == SPANS
    attrs = doc.spans["sc"].attrs
    assert (attrs["status"], attrs["issues"]) == ("ok", [])
    assert list(attrs["scores"]) == [1.0] * 3 and "answer" not in attrs
    assert [ent.text for ent in doc.ents] == ["Lisbon", "University of Lisbon"]
    assert "in this way: [entity | LABEL]." in server.calls[0].prompt
    docs = list(nlp.pipe([TEXT, "It rains.", "", TEXT, "  "], batch_size=2))
    assert [len(doc.spans["sc"]) for doc in docs] == [3, 0, 0, 3, 0]
    assert [doc.text for doc in docs] == [TEXT, "It rains.", "", TEXT, "  "]


def test_documents_fail_individually(server):
    nlp = remote(server)
    seen = []
    nlp.set_error_handler(lambda name, pipe, docs, error: seen.append((docs, error)))
    texts = [TEXT, "a bad one", "some garbage here", "It rains."]
    docs = list(nlp.pipe(texts))
    statuses = [doc.spans["sc"].attrs["status"] for doc in docs]
    assert statuses == ["ok", "failed", "failed", "ok"]
    assert [[doc.text for doc in docs] for docs, _ in seen] == [[texts[1]], [texts[2]]]
    assert "text is refused" in str(seen[0][1])
    assert str(seen[1][1]).startswith("[G739]") and "sorry" in str(seen[1][1])
    assert "sorry" in docs[2].spans["sc"].attrs["issues"][0]["message"]
    with pytest.raises(Exception, match="text is refused"):
        remote(server)("a bad one")
    with pytest.raises(ValueError, match="G739"):
        remote(server)("some garbage here")


def test_a_document_whose_prompt_cannot_be_created(server, tmp_path):
    """A function of the user raises an error for one of three texts."""

    def embed(texts):
        if "bad" in texts[0]:
            raise KeyError("no embedding")
        return [[1.0, 2.0]] * len(texts)

    nlp = remote(server)
    pipe = nlp.get_pipe(NAME)
    pipe._selection = NearestDemonstrations(1, embed)
    pipe._set_state(demonstrations=[Demonstration("See Porto.", "See [Porto | GPE].")])
    seen = []
    nlp.set_error_handler(lambda name, pipe, docs, error: seen.append((docs, error)))
    docs = list(nlp.pipe([TEXT, "a bad one", "It rains."]))
    statuses = [doc.spans["sc"].attrs["status"] for doc in docs]
    assert statuses == ["ok", "failed", "ok"] and found(docs[0]) == SPANS
    [(failed, error)] = seen
    assert failed == [docs[1]] and "no embedding" in str(error)


@pytest.mark.parametrize("texts", [["", " "], ["\n"]])
def test_demonstrations_without_words(server, texts):
    nlp = remote(server)
    pipe = nlp.get_pipe(NAME)
    pipe._selection = NearestDemonstrations(1)
    pipe._set_state(demonstrations=[Demonstration(text, text) for text in texts])
    assert found(nlp(TEXT)) == SPANS


def test_shared_demonstrations_fit_the_context_length(server, tmp_path):
    nlp = remote(server, model={"context_length": 600, "system": "Be brief."})
    docs = [nlp.make_doc(f"See Lisbon, number {n}. " + "x " * 40) for n in range(50)]
    DocBin(docs=docs).to_disk(tmp_path / "shown.spacy")
    initialize = nlp.config["initialize"]["components"]
    initialize[NAME] = {"demonstrations": str(tmp_path / "shown.spacy")}
    with pytest.warns(GennerWarning, match=r"W402.* of 50 demonstrations"):
        nlp.initialize(lambda: make_examples(spacy.blank("en")))
    assert found(nlp(TEXT)) == SPANS
    assert 0 < server.calls[-1].prompt.count("See Lisbon") < 2 * 50
    # Texts are cut into windows that fit, too.
    doc = nlp(" ".join(f"word{number}" for number in range(300)))
    assert doc.spans["sc"].attrs["status"] == "windowed"
    assert max(len(call.prompt) // 3 for call in server.calls) < 600


def test_a_prompt_without_room_for_text(server):
    nlp = remote(server, model={"context_length": 20})
    with pytest.raises(ValueError, match="G405"):
        nlp(TEXT)


def test_completions_are_kept_on_request(server):
    doc = remote(server, model={"keep_answers": True})(TEXT)
    assert doc.spans["sc"].attrs["answer"] == OUTPUT
    loaded = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert loaded.spans["sc"].attrs["answer"] == OUTPUT


def test_each_sentence_has_its_own_prompt(server):
    nlp = remote(server)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(f"It rains. {TEXT}")
    # Both prompts are sent concurrently.
    assert sorted(map(text_of, server.calls)) == ["It rains.", TEXT]
    assert found(doc) == [(start + 3, end + 3, label) for start, end, label in SPANS]
    whole = remote(server, window={"unit": "doc"})
    assert found(whole(f"It rains. {TEXT}")) == []


def test_long_documents_are_cut_into_windows(server):
    nlp = remote(server, window={"unit": "doc", "max_tokens": 40, "overlap": 10})
    doc = nlp(" ".join([f"word{number}" for number in range(60)]))
    assert doc.spans["sc"].attrs["status"] == "windowed"
    assert len(server.calls) > 3


def test_saved_and_loaded(server, tmp_path):
    nlp = remote(server)
    nlp.initialize(lambda: make_examples(spacy.blank("en")))
    nlp.to_disk(tmp_path)
    saved = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert KEY.encode() not in saved and os.environ[ENV] == KEY
    assert not (tmp_path / NAME / "adapter").exists()
    assert found(spacy.load(tmp_path)(TEXT)) == SPANS
    assert found(remote(server).from_bytes(nlp.to_bytes())(TEXT)) == SPANS


def test_demonstrations_are_rendered_in_the_format(server, tmp_path):
    nlp = remote(
        server,
        demonstrations={"@misc": "spacy-genner.NearestDemonstrations.v1", "count": 1},
    )
    docs = []
    for text, spans in (("Porto is old.", [(0, 1)]), ("See Lisbon today.", [(1, 2)])):
        doc = nlp.make_doc(text)
        doc.spans["sc"] = [Span(doc, *span, "GPE") for span in spans]
        docs.append(doc)
    DocBin(docs=docs).to_disk(tmp_path / "shown.spacy")
    initialize = nlp.config["initialize"]["components"]
    initialize[NAME] = {"demonstrations": str(tmp_path / "shown.spacy")}
    nlp.initialize(lambda: make_examples(spacy.blank("en")))
    assert found(nlp(TEXT)) == SPANS
    prompt = server.calls[-1].prompt
    assert "\nText:\nSee Lisbon today.\nMarked:\nSee [Lisbon | GPE] today.\n" in prompt
    assert "Porto" not in prompt
    nlp("Is Porto old?")
    assert "[Porto | GPE] is old." in server.calls[-1].prompt


def test_nearest_demonstrations_fit_the_context_length(server, tmp_path):
    nlp = remote(
        server,
        demonstrations={"@misc": "spacy-genner.NearestDemonstrations.v1", "count": 9},
        model={"context_length": 250},
    )
    docs = [nlp.make_doc(f"See Lisbon, number {n}. " + "x " * 40) for n in range(9)]
    DocBin(docs=docs).to_disk(tmp_path / "shown.spacy")
    initialize = nlp.config["initialize"]["components"]
    initialize[NAME] = {"demonstrations": str(tmp_path / "shown.spacy")}
    nlp.initialize(lambda: make_examples(spacy.blank("en")))
    assert found(nlp(TEXT)) == SPANS
    assert 0 < server.calls[-1].prompt.count("See Lisbon") < 9


def test_self_verification(server):
    check_verified(server, verifier={"@misc": "spacy-genner.Verifier.v1"})


def test_without_probabilities_all_spans_are_verified(server):
    verifier = {"@misc": "spacy-genner.Verifier.v1", "below": 0.5}
    check_verified(server, verifier=verifier)


def check_verified(server, **changes):
    nlp = remote(server, **changes)
    doc = nlp(TEXT)
    assert found(doc) == [(0, 1, "GPE"), (5, 6, "GPE")]
    [issue] = doc.spans["sc"].attrs["issues"]
    assert (issue["code"], issue["start"], issue["end"]) == ("rejected", 3, 6)
    sent = [call.body for call in server.calls if call.prompt.endswith("Answer:\n")]
    assert len(sent) == 3 and all(body["logprobs"] for body in sent)


def test_a_remote_model_cannot_be_trained(server):
    nlp = remote(server)
    examples = make_examples(spacy.blank("en"))
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match=r"G427.*--teacher"):
        nlp.update(examples)
    with pytest.raises(ValueError, match="G425"):
        nlp.get_pipe(NAME).initialize(lambda: examples, adapter="somewhere")
    with pytest.raises(ValueError, match="G426"):
        nlp.get_pipe(NAME).model.predict([])


def test_a_missing_api_key(server, monkeypatch):
    monkeypatch.delenv(ENV)
    with pytest.raises(ValueError, match=ENV):
        remote(server)(TEXT)
    assert server.calls == []


def test_processes(server):
    nlp = remote(server)
    docs = list(nlp.pipe([TEXT, "It rains."] * 3, n_process=2, batch_size=2))
    assert [len(doc.spans["sc"]) for doc in docs] == [3, 0] * 3
