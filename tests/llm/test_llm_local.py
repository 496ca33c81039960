"""`spacy-genner.LocalLM.v1`: Questions under the grammar, other prompts freely."""

import copy
import json
import pickle
import warnings
from shutil import copytree

import pytest
import spacy
import spacy_llm.tasks  # noqa: F401
import torch
from component_cases import (
    LABELS,
    component,
    found,
    make_doc,
    pipeline,
    trained_pipeline,
)
from spacy_llm.registry import registry

from spacy_genner.decoding.decoder import DraftDecoder
from spacy_genner.errors import GennerWarning
from spacy_genner.formats import FORMATS, get_format
from spacy_genner.llm.local import LocalLM, token_aligned_layout
from spacy_genner.llm.messages import Completion, Prompt, PromptText
from spacy_genner.prompts import PromptLayout
from spacy_genner.prompts.layout import INSTRUCTIONS

# A base with random weights has no end.
pytestmark = pytest.mark.filterwarnings("ignore:.*W732")
TEXTS = [
    "Lisbon hosts the University of Lisbon .",
    "Maria lives in Porto .",
    "It rains .",
    "<eos> is [ five | characters ] .",
]
# Of these a base with random weights finds something.
SEEDS = {"grouped_json": 1}
PROMPTS = ["Maria lives in Lisbon.", "The", "Labels: ORG, GPE\nText: <eos>", "In 1995"]


def local(base, **settings):
    return LocalLM(str(base), **{"dtype": "float32", "device": "cpu", **settings})


def question(text, **layout):
    layout = {"labels": tuple(LABELS), "readings": 1, **layout}
    asked = PromptLayout(**layout)
    words = tuple(text.split())
    spaces = (True,) * (len(words) - 1) + (False,)
    return Prompt(asked.written(text), PromptText(words, spaces), asked)


def ask(model, prompts):
    """One prompt a document."""
    return [answer for [answer] in model([[prompt] for prompt in prompts])]


def piped(base, task="spacy-genner.SpanCat.v1", labels=LABELS, **settings):
    nlp = spacy.blank("en")
    model = {"@llm_models": "spacy-genner.LocalLM.v1", "name": str(base)}
    model |= {"dtype": "float32", "device": "cpu", **settings}
    config = {"task": {"@llm_tasks": task, "labels": labels}, "model": model}
    nlp.add_pipe("llm", config=config)
    return nlp


def result(doc):
    group = doc.spans["sc"]
    scores = [round(float(score), 5) for score in group.attrs["scores"]]
    return found(doc), scores, group.attrs["status"]


def test_the_model_is_found_by_name(tiny_base):
    assert registry.llm_models.get("spacy-genner.LocalLM.v1") is LocalLM
    doc = piped(tiny_base("llama"))(TEXTS[0])
    assert doc.spans["sc"].attrs["status"] == "ok"


@pytest.mark.parametrize("name", FORMATS)
def test_questions_are_answered_as_the_component_answers(tiny_base, name):
    base = tiny_base("gemma3", seed=SEEDS.get(name, 0))
    nlp = pipeline(base, model__lora=None, format=name)
    model = local(base)
    # As the component tells a model that is not tuned.
    layout = {"format": name, "instruction": INSTRUCTIONS[name]}
    answers = ask(model, [question(text, **layout) for text in TEXTS])
    fmt = get_format(name)
    for text, answer in zip(TEXTS, answers, strict=True):
        doc = nlp(make_doc(nlp, text))
        spans = [
            (span.start_char, span.end_char, span.label_) for span in doc.spans["sc"]
        ]
        assert [tuple(span) for span, _ in sorted_spans(answer, fmt, text)] == spans
        scores = dict(answer.scored)
        expected = doc.spans["sc"].attrs["scores"]
        got = [scores[span] for span, _ in sorted_spans(answer, fmt, text)]
        assert got == pytest.approx(list(expected), rel=1e-4)
        assert answer.error is None
        assert answer == fmt.render(text, [span for span, _ in answer.scored], LABELS)
    assert any(answer.scored for answer in answers)


def sorted_spans(answer, fmt, text):
    places = {label: i for i, label in enumerate(LABELS)}
    return sorted(
        answer.scored, key=lambda s: (s[0].start, -s[0].end, places[s[0].label])
    )


def test_a_tuned_component_answers_the_task_as_it_does_itself(tiny_base, tmp_path):
    base = tiny_base("llama")
    tuned = trained_pipeline(base)
    tuned.to_disk(tmp_path / "saved")
    folder = str(tmp_path / "saved" / "generative_ner")
    # The task's own prompt and format are others.
    nlp = piped(base, adapter=folder)
    for text in TEXTS[:3]:
        expected = result(tuned(make_doc(tuned, text)))
        assert result(nlp(make_doc(nlp, text))) == expected
    assert found(nlp(make_doc(nlp, TEXTS[0]))) == [(0, 1, "GPE"), (3, 6, "ORG")]
    # Freely, too: what it has learnt by heart is a copy with marks.
    free = piped(base, adapter=folder, constrained=False)
    assert len(free.get_pipe("llm")._model.answers([question(TEXTS[0])])) == 1
    fewer = piped(base, labels=["GPE"], adapter=folder)
    assert found(fewer(make_doc(fewer, TEXTS[0]))) == [(0, 1, "GPE")]


@pytest.mark.parametrize("name", ["inline_xml", "occurrence_json"])
def test_a_saved_component_without_an_adapter_brings_its_prompt(
    tiny_base, tmp_path, name
):
    base = tiny_base("gemma3")
    own = pipeline(base, model__lora=None, format=name, readings=2)
    own.to_disk(tmp_path / "saved")
    nlp = piped(base, adapter=str(tmp_path / "saved" / "generative_ner"))
    rows = [result(own(make_doc(own, text))) for text in TEXTS]
    assert [result(nlp(make_doc(nlp, text)))[:2] for text in TEXTS] == [
        row[:2] for row in rows
    ]
    assert any(spans for spans, _, _ in rows)


def test_a_tuned_component_is_asked_for_its_own_labels_only(tiny_base, tmp_path):
    tuned = trained_pipeline(tiny_base("llama"))
    tuned.to_disk(tmp_path / "saved")
    folder = str(tmp_path / "saved" / "generative_ner")
    nlp = piped(tiny_base("llama"), labels=["GPE", "X"], adapter=folder)
    with pytest.warns(GennerWarning, match="G743"):
        assert nlp(TEXTS[0]).spans["sc"].attrs["status"] == "failed"
    other = local(tiny_base("llama", seed=1), adapter=folder)
    with pytest.raises(ValueError, match="G742"):
        ask(other, [question(TEXTS[0])])


def test_an_adapter_as_peft_writes_it(tiny_base, tmp_path):
    base = tiny_base("llama")
    tuned = trained_pipeline(base)
    component(tuned).lm.save(tmp_path / "adapter")
    model = local(base, adapter=str(tmp_path / "adapter"))
    # In the layout that it was tuned on.
    [answer] = ask(model, [question(TEXTS[0])])
    assert answer == "[Lisbon | GPE] hosts the [University of Lisbon | ORG] ."
    with pytest.raises(ValueError, match="G250"):
        ask(local(base, adapter=str(tmp_path)), ["x"])


def generated(base, prompt, room, **chat):
    """What transformers' own loop makes of one prompt."""
    model = local(base, **chat)
    free = model._generators()[1]
    network = model.lm.decoding_network()
    ids = torch.tensor([free.ids(prompt)])
    made = network.generate(ids, max_new_tokens=room, do_sample=False)
    text = model.lm.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    return text


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen2"])
@pytest.mark.parametrize("batch_tokens", [1, 64, 2048])
def test_other_prompts_are_answered_freely(tiny_base, family, batch_tokens):
    base = tiny_base(family)
    model = local(base, max_new_tokens=12, batch_tokens=batch_tokens)
    expected = [generated(base, prompt, 12) for prompt in PROMPTS]
    assert [str(answer) for answer in ask(model, PROMPTS)] == expected
    assert len(set(expected)) > 1


def test_a_bases_settings_for_sampling_do_not_count(tiny_base, tmp_path):
    folder = tmp_path / "sampling"
    copytree(tiny_base("llama"), folder)
    file = folder / "generation_config.json"
    own = json.loads(file.read_text(encoding="utf8"))
    sampling = {"do_sample": True, "temperature": 0.6, "top_k": 3, "top_p": 0.5}
    sampling |= {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1}
    file.write_text(json.dumps({**own, **sampling, "eos_token_id": [1, 7]}))
    settings = {"max_new_tokens": 30}
    model = local(folder, **settings)
    expected = ask(local(tiny_base("llama"), **settings), PROMPTS)
    free = model._generators()[1]
    assert free._end_ids(model.lm.base.model) == [1, 7]
    stop = model.lm.tokenizer.decode([7])
    for made, whole in zip(ask(model, PROMPTS), expected, strict=True):
        assert whole.startswith(made)
        assert made == whole or whole[len(made) :].startswith(stop)


def test_an_answer_ends_where_the_model_ends_it(tiny_base):
    model = local(tiny_base("llama"), max_new_tokens=12)
    free = model._generators()[1]
    eos = model.lm.tokenizer.eos_token_id
    letter = free.encode("a")[0]
    assert free._text([letter, eos, letter], free._end_ids(model.lm.base.model)) == "a"
    assert eos in free._end_ids(model.lm.base.model)


@pytest.mark.parametrize("prompt", [PROMPTS[0], question(TEXTS[0])])
def test_an_answer_that_is_cut_is_told_once(tiny_base, prompt, monkeypatch):
    model = local(tiny_base("llama"), max_new_tokens=5, constrained=False)
    with pytest.warns(GennerWarning, match="W732.*5 tokens.*'max_new_tokens'") as told:
        ask(model, [prompt] * 3)
        ask(model, [prompt])
    assert len(told) == 1
    # One that ends does not tell, nor does it where the end is the last of its tokens.
    model = local(tiny_base("llama"), max_new_tokens=5, constrained=False)
    free = model._generators()[1]
    last = model.lm.tokenizer(ask(model, [prompt])[0])["input_ids"][-1]
    monkeypatch.setattr(free, "_warned_of_cut", False)
    monkeypatch.setattr(free, "_end_ids", lambda network: [last])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(model, [prompt])


def test_the_context_may_be_what_cuts(tiny_base):
    free = local(tiny_base("llama"))._generators()[1]
    length = len(free.ids(PROMPTS[0])) + 3
    model = local(tiny_base("llama"), context_length=length)
    with pytest.warns(GennerWarning, match="W732.*3 tokens.*'context_length'"):
        ask(model, PROMPTS[:1])


def test_questions_and_other_prompts_in_one_batch(tiny_base):
    model = local(tiny_base("llama"), max_new_tokens=8)
    questions = [question(text) for text in TEXTS]
    alone = [*ask(model, questions), *ask(model, PROMPTS)]
    mixed = [p for pair in zip(questions, PROMPTS, strict=True) for p in pair]
    nested = list(model([mixed[:3], [], mixed[3:]]))
    assert [len(each) for each in nested] == [3, 0, 5]
    flat = [str(answer) for each in nested for answer in each]
    assert flat[::2] == [str(answer) for answer in alone[:4]]
    assert flat[1::2] == [str(answer) for answer in alone[4:]]
    assert list(model([])) == [] and list(model([[], []])) == [[], []]


def test_without_the_grammar_a_question_is_a_prompt(tiny_base):
    base = tiny_base("llama")
    asked = question(TEXTS[0])
    [answer] = ask(local(base, constrained=False, max_new_tokens=9), [asked])
    assert answer.scored is None
    assert str(answer) == generated(base, str(asked), 9)


def test_text_is_data(tiny_base):
    model = local(tiny_base("llama"))
    free = model._generators()[1]
    control = set(model.lm.tokenizer.all_special_ids)
    ids = free.ids("<eos><pad>")
    assert control.isdisjoint(ids[1:]) and ids[0] == model.lm.tokenizer.bos_token_id
    [answer] = ask(model, [question("<eos> <bos> is")])
    assert answer.error is None and answer.count("<eos>") == 1


CHAT = (
    "{{ bos_token }}{% for m in messages %}<unk>{{ m.role }}: {{ m.content }}<eos>"
    "{% endfor %}{% if add_generation_prompt %}<unk>answer: {% endif %}"
)


@pytest.fixture
def chat_base(tiny_base, tmp_path):
    """A base with a chat template whose turns end with `<eos>`."""
    folder = tmp_path / "chat"
    copytree(tiny_base("llama"), folder)
    settings = folder / "tokenizer_config.json"
    config = json.loads(settings.read_text(encoding="utf8"))
    settings.write_text(json.dumps({**config, "chat_template": CHAT}))
    return folder


def test_a_chat_has_its_control_tokens_and_its_text_has_none(chat_base):
    model = local(chat_base)
    tokenizer = model.lm.tokenizer
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    free = model._generators()[1]
    ids = free.ids("Say <eos>")
    assert tokenizer.decode(ids) == "<bos><unk>user: Say <eos><eos><unk>answer: "
    assert (ids[0], ids.count(bos), ids.count(eos)) == (bos, 1, 1)
    plain = local(chat_base, chat=False)._generators()[1].ids("Say <eos>")
    assert tokenizer.decode(plain) == "<bos>Say <eos>" and eos not in plain
    # Questions are turns, too, where the model is not tuned on prompts without.
    [turn] = ask(model, [question(TEXTS[0])])
    [bare] = ask(local(chat_base, chat=False), [question(TEXTS[0])])
    assert dict(turn.scored) != dict(bare.scored)


def test_a_chat_is_asked_for_and_there_is_none(tiny_base):
    with pytest.raises(ValueError, match="G745"):
        ask(local(tiny_base("llama"), chat=True), ["x"])


@pytest.mark.parametrize("chat", [True, "auto"])
def test_an_adapter_is_asked_as_it_was_tuned(chat_base, tmp_path, chat):
    tuned = trained_pipeline(chat_base)
    component(tuned).lm.save(tmp_path / "adapter")
    model = local(chat_base, adapter=str(tmp_path / "adapter"), chat=chat)
    [answer] = ask(model, [question(TEXTS[0])])
    right = answer == "[Lisbon | GPE] hosts the [University of Lisbon | ORG] ."
    assert right == (chat == "auto")


def test_a_prompt_that_is_too_long_fails_alone(tiny_base):
    model = local(tiny_base("llama"), max_new_tokens=4)
    long = "Lisbon " * 3000
    prompts = [*PROMPTS, long, question(long.strip()), question(TEXTS[0]), 3]
    with pytest.warns(GennerWarning, match="W731.*2 of 6 .*G741"):
        answers = ask(model, prompts)
    assert all(isinstance(answer, Completion) for answer in answers)
    failed = [index for index, answer in enumerate(answers) if answer.error]
    assert failed == [4, 5, 7]
    assert "1024" in str(answers[4].error) and "G741" in str(answers[5].error)
    assert "G744" in str(answers[7].error)
    assert [str(a) for a in answers[:4]] == [str(a) for a in ask(model, PROMPTS)]
    assert answers[6] == ask(model, [question(TEXTS[0])])[0]


def test_what_fails_together_is_tried_alone(tiny_base, monkeypatch):
    model = local(tiny_base("llama"), max_new_tokens=4)
    right = ask(model, [question(text) for text in TEXTS])
    plain = DraftDecoder.decode

    def decode(self, engine, tasks):
        if any("Maria" in task.grammar.source.text for task in tasks):
            raise MemoryError("too much")
        return plain(self, engine, tasks)

    monkeypatch.setattr(DraftDecoder, "decode", decode)
    answers = ask(model, [question(text) for text in TEXTS])
    assert [str(a) for a in answers[2:]] == [str(a) for a in right[2:]]
    assert answers[0] == right[0] and isinstance(answers[1].error, MemoryError)
    free = model._generators()[1]
    generate = free._generate

    def fail(batch):
        if any(prompt.number == 1 for prompt in batch):
            raise MemoryError("too much")
        return generate(batch)

    monkeypatch.setattr(free, "_generate", fail)
    with pytest.warns(GennerWarning, match="1 of 4 .*too much"):
        written = ask(model, PROMPTS)
    assert [bool(answer.error) for answer in written] == [False, True, False, False]
    assert all(written[index] for index in (0, 2, 3))


def test_one_layout_that_cannot_be_asked_leaves_the_others(tiny_base):
    model = local(tiny_base("llama"))
    wide = question(TEXTS[0], definitions={"ORG": "far too much " * 500})
    answers = ask(model, [wide, question(TEXTS[0])])
    assert "G405" in str(answers[0].error) and answers[1].error is None


def test_layouts_take_turns(tiny_base):
    model = local(tiny_base("llama"))
    asked = [
        question(TEXTS[index % 3], definitions={"ORG": f"firm {index % 6}"})
        for index in range(12)
    ]
    together = ask(model, asked)
    alone = [ask(model, [each])[0] for each in asked]
    assert [a.scored for a in together] == [a.scored for a in alone]
    assert len(model._generators()[0]._predictors) <= 4


def test_demonstrations_look_as_outputs_do():
    text = "the University of Porto, in Porto"
    output = "the [University of [Porto | GPE] | ORG], in [Porto | GPE]"
    layout = PromptLayout(tuple(LABELS), demonstrations=((text, output),))
    [shown] = token_aligned_layout(layout).demonstrations
    own = "the[ University of[ Porto | GPE] | ORG], in[ Porto | GPE]"
    assert shown == (text, own)
    grouped = PromptLayout(("A",), format="grouped_json", demonstrations=(("a", "{}"),))
    assert token_aligned_layout(grouped) is grouped


def test_context_length(tiny_base):
    base = tiny_base("llama")
    model = local(base)
    assert model.context_length == 1024
    assert not model.lm.is_loaded
    assert model.context_length.count("Lisbon") == len(
        model._generators()[1].encode("Lisbon")
    )
    assert model.lm.is_loaded
    # Said in the config, the base need not be there.
    assert local("nobody/nothing", context_length=77).context_length == 77
    small = local(base, context_length=40)
    [answer] = ask(small, [question(TEXTS[0])])
    assert "40" in str(answer.error) and "G741" in str(answer.error)


def test_a_long_document_is_cut_to_what_the_model_holds(tiny_base):
    nlp = piped(tiny_base("llama"), context_length=300)
    doc = nlp("Lisbon hosts the University of Porto and " * 12 + "more.")
    # What neighbouring windows say of their overlap may cross.
    assert doc.spans["sc"].attrs["status"] in ("windowed", "repaired")
    assert {i["code"] for i in doc.spans["sc"].attrs["issues"]} <= {"crossing"}
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp("Lisbon hosts the University of Porto . " * 12)
    assert doc.spans["sc"].attrs["status"] == "ok"


def test_with_spacy_llms_own_tasks(tiny_base):
    for task in ("spacy.NER.v3", "spacy.TextCat.v3", "spacy.SpanCat.v2"):
        nlp = piped(tiny_base("llama"), task, labels="A,B", max_new_tokens=6)
        docs = list(nlp.pipe(["Maria lives in Lisbon.", "It rains."]))
        assert [doc.text for doc in docs] == ["Maria lives in Lisbon.", "It rains."]


def test_pickled_and_copied(tiny_base):
    model = local(tiny_base("llama"), max_new_tokens=5)
    asked = [question(TEXTS[0]), *PROMPTS]
    expected = ask(model, asked)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert not other.lm.is_loaded and other.max_new_tokens == 5
        assert ask(other, asked) == expected


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"batch_tokens": 0}, "G106"),
        ({"max_new_tokens": "x"}, "G106"),
        ({"max_depth": 0}, "G106"),
        ({"context_length": -1}, "G106"),
        ({"chat": "yes"}, "G740"),
        ({"constrained": "yes"}, "G407"),
        ({"dtype": "int8"}, "G230"),
        ({"device": "tpu"}, "G231"),
        ({"name": ""}, "G200"),
    ],
)
def test_settings_that_cannot_be_used(settings, code):
    with pytest.raises(ValueError, match=code):
        LocalLM(**{"name": "a/b", **settings})


def test_a_base_that_is_not_there():
    with pytest.raises(ValueError, match="G202"):
        piped("/no/such/folder")
    nlp = piped("/no/such/folder", context_length=100)
    with pytest.raises(ValueError, match="G202"):
        nlp(TEXTS[0])
