"""The prompts of the component: templates, demonstrations and chat."""

import json
import shutil

import pytest
import spacy
from component_cases import (
    NAME,
    TEXTS,
    component,
    make_doc,
    make_examples,
    overfit,
    pipeline,
    results,
)
from spacy.tokens import DocBin

from spacy_genner.errors import GennerWarning

NEAREST = "spacy-genner.NearestDemonstrations.v1"
CHAT = (
    "{% for m in messages %}<unk>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<unk>model\n{% endif %}"
)


def prompts(nlp, text):
    """The whole prompt of a text, decoded from its token ids."""
    pipe = component(nlp)
    encoder = pipe.predictor.encoder
    doc = make_doc(nlp, text)
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    prompt = encoder.prompt(encoder.source(words, spaces))
    return pipe.lm.tokenizer.decode([*encoder.prefix_ids, *prompt])


@pytest.fixture
def demonstrations(tmp_path):
    nlp = spacy.blank("en")
    path = tmp_path / "shown.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(nlp, TEXTS)]).to_disk(path)
    return path


@pytest.fixture
def chat_base(tiny_base, tmp_path):
    """A base with a chat template."""
    folder = tmp_path / "chat"
    shutil.copytree(tiny_base("llama"), folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": CHAT}))
    return folder


def test_demonstrations(tiny_base, tmp_path):
    path = tmp_path / "shown.spacy"
    nlp = pipeline(tiny_base("llama"))
    plain = results(nlp)
    shown = [example.reference for example in make_examples(nlp, TEXTS[:2])]
    DocBin(docs=shown).to_disk(path)
    nlp.config["initialize"]["components"][NAME] = {"demonstrations": str(path)}
    nlp.initialize(lambda: make_examples(nlp))
    predictor = component(nlp).predictor
    prefix = component(nlp).lm.tokenizer.decode(predictor.encoder.prefix_ids)
    text = shown[0][:].text
    output = "[Lisbon | GPE] hosts the[ University of Lisbon | ORG] ."
    assert f"\nText:\n{text}\nMarked:\n{output}\n" in prefix
    assert "\nMarked:\nMaria lives in[ Porto | GPE] .\n\nText:\n" in prefix
    # A demonstration is identical to the reference output of its spans.
    encoder = predictor.encoder
    source = encoder.source(text.split(), [True] * len(text.split()))
    ids = encoder.grammar(source).target([(0, 1, 1), (3, 6, 0)])
    assert component(nlp).lm.tokenizer.decode(ids) == output
    assert results(nlp) != plain
    # Demonstrations are saved.
    again = pipeline(tiny_base("llama")).from_bytes(nlp.to_bytes())
    assert results(again) == results(nlp)
    with pytest.raises(ValueError, match="G423.*nowhere"):
        component(nlp).initialize(
            lambda: make_examples(nlp), demonstrations="nowhere.spacy"
        )


def test_nearest_demonstrations(tiny_base, demonstrations, tmp_path):
    changes = {"demonstrations": {"@misc": NEAREST, "count": 1}}
    nlp = pipeline(tiny_base("llama"), **changes)
    initialize = nlp.config["initialize"]["components"]
    initialize[NAME] = {"demonstrations": str(demonstrations)}
    nlp.initialize(lambda: make_examples(nlp))
    prompt = prompts(nlp, "Maria lives in Lisbon .")
    assert (
        "\nMaria lives in Porto .\nMarked:\nMaria lives in[ Porto | GPE] .\n" in prompt
    )
    assert "It rains" not in prompt
    assert "\nIt rains .\nMarked:\nIt rains .\n" in prompts(nlp, "It rains today .")
    # A text is not its own demonstration, and each text of a batch has another one.
    overfit(nlp)
    assert results(nlp) == [
        (spans, scores, "ok", [], ents) for spans, scores, _, _, ents in results(nlp)
    ]
    alone = results(nlp)
    docs = list(nlp.pipe(make_doc(nlp, text) for text, _ in TEXTS))
    assert [doc.spans["sc"].attrs["status"] for doc in docs] == ["ok"] * len(docs)
    demonstrations.unlink()
    nlp.to_disk(tmp_path / "saved")
    assert results(spacy.load(tmp_path / "saved")) == alone
    assert results(pipeline(tiny_base("llama"), **changes).from_bytes(nlp.to_bytes()))


def test_demonstrations_beyond_the_context_length_are_dropped(tiny_base, tmp_path):
    nlp = pipeline(tiny_base("llama"))
    path = tmp_path / "long.spacy"
    words = [(f"Maria lives in Porto {'x ' * 100}.", [(3, 4, "GPE")])] * 9
    DocBin(docs=[eg.reference for eg in make_examples(nlp, words)]).to_disk(path)
    nlp.config["initialize"]["components"][NAME] = {"demonstrations": str(path)}
    with pytest.warns(GennerWarning, match=r"W402.* \d of 9 demonstrations"):
        nlp.initialize(lambda: make_examples(nlp))
    assert "\nMarked:\nMaria lives in[ Porto | GPE]" in prompts(nlp, "It rains .")
    assert [status for _, _, status, _, _ in results(nlp)] == ["ok"] * len(TEXTS)


def test_a_template_is_saved(tiny_base, tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("Mark {{ text }} as {{ labels[0].name }}: ", encoding="utf-8")
    block = {"template": str(path), "instruction": "unused", "chat": False}
    nlp = pipeline(tiny_base("llama"), prompt=block)
    overfit(nlp)
    assert "Mark It rains . as ORG: " in prompts(nlp, "It rains .")
    nlp.to_disk(tmp_path / "saved")
    path.unlink()
    loaded = spacy.load(tmp_path / "saved")
    assert results(loaded) == results(nlp)
    assert prompts(loaded, "It rains .") == prompts(nlp, "It rains .")
    with pytest.raises(ValueError, match="G108"):
        pipeline(tiny_base("llama"), prompt=block)("It rains .")


def test_a_template_is_checked_when_the_component_is_created(tiny_base, tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("nothing of the text", encoding="utf-8")
    with pytest.raises(ValueError, match="G110"):
        pipeline(tiny_base("llama"), prompt={"template": str(path)})


def test_a_state_of_version_1_is_loaded(tiny_base, tmp_path):
    nlp = pipeline(tiny_base("llama"))
    overfit(nlp)
    nlp.to_disk(tmp_path)
    path = tmp_path / NAME / "genner.json"
    state = json.loads(path.read_text())
    del state["prompt"]
    path.write_text(json.dumps({**state, "version": 1}))
    assert results(spacy.load(tmp_path)) == results(nlp)


def test_chat_is_automatic_for_a_model_without_an_adapter(chat_base):
    nlp = pipeline(chat_base, model__lora=None)
    chat = prompts(nlp, "It rains .")
    assert chat.startswith("<unk>user\nCopy the text")
    assert chat.endswith("Marked:\n<eos>\n<unk>model\n")
    assert prompts(nlp, "see <eos> .").count("<eos>") == 2
    assert [status for _, _, status, _, _ in results(nlp)] == ["ok"] * len(TEXTS)
    assert "[entity | LABEL]" in chat
    tuned = prompts(pipeline(chat_base), "It rains .")
    assert "[entity | LABEL]" not in tuned
    assert tuned.startswith("<bos>Copy") and "<unk>" not in tuned
    forced = prompts(pipeline(chat_base, prompt={"chat": True}), "It rains .")
    task = "Copy the text and mark every named entity in it"
    assert forced == chat.replace(f"{task}, in this way: [entity | LABEL].", f"{task}.")


def test_a_chat_is_trained_with_the_end_token_of_its_template(chat_base):
    nlp = pipeline(chat_base, prompt={"chat": True}, loss="lm")
    overfit(nlp, steps=3)
    pipe = component(nlp)
    sequence = pipe.target_builder.sequences(make_examples(nlp, TEXTS[3:]))[0]
    assert pipe.lm.tokenizer.eos_token_id in sequence.ids
    assert pipeline(chat_base, prompt={"chat": True}).from_bytes(nlp.to_bytes())


def test_chat_without_a_template(tiny_base):
    with pytest.raises(ValueError, match="G113.*chat template"):
        pipeline(tiny_base("llama"), prompt={"chat": True})("It rains .")
