"""`spacy-genner.LocalLM.v1`: constrained completions for the project's tasks, and free
generation for other prompts."""

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

# The outputs of a base with random weights do not end.
pytestmark = pytest.mark.filterwarnings("ignore:.*W732")
TEXTS = [
    "Lisbon hosts the University of Lisbon .",
    "Maria lives in Porto .",
    "It rains .",
    "<eos> is [ five | characters ] .",
]
# Seeds of random weights that predict spans.
SEEDS = {"grouped_json": 1}
PROMPTS = ["Maria lives in Lisbon.", "The", "Labels: ORG, GPE\nText: <eos>", "In 1995"]


def local_lm(base, **settings):
    return LocalLM(str(base), **{"dtype": "float32", "device": "cpu", **settings})


def make_prompt(text, **layout):
    layout = {"labels": tuple(LABELS), "readings": 1, **layout}
    prompt_layout = PromptLayout(**layout)
    words = tuple(text.split())
    spaces = (True,) * (len(words) - 1) + (False,)
    subject = PromptText(words, spaces)
    return Prompt(prompt_layout.render(text), subject, prompt_layout)


def complete(model, prompts):
    """The completions of documents with one prompt each."""
    return [completion for [completion] in model([[prompt] for prompt in prompts])]


def llm_pipeline(base, task="spacy-genner.SpanCat.v1", labels=LABELS, **settings):
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


def test_the_model_is_registered(tiny_base):
    assert registry.llm_models.get("spacy-genner.LocalLM.v1") is LocalLM
    doc = llm_pipeline(tiny_base("llama"))(TEXTS[0])
    assert doc.spans["sc"].attrs["status"] == "ok"


@pytest.mark.parametrize("name", FORMATS)
def test_completions_are_those_of_the_component(tiny_base, name):
    base = tiny_base("gemma3", seed=SEEDS.get(name, 0))
    nlp = pipeline(base, model__lora=None, format=name)
    model = local_lm(base)
    # The instruction of the component for a model without an adapter.
    layout = {"format": name, "instruction": INSTRUCTIONS[name]}
    completions = complete(model, [make_prompt(text, **layout) for text in TEXTS])
    fmt = get_format(name)
    for text, completion in zip(TEXTS, completions, strict=True):
        doc = nlp(make_doc(nlp, text))
        spans = [
            (span.start_char, span.end_char, span.label_) for span in doc.spans["sc"]
        ]
        assert [tuple(span) for span, _ in sorted_spans(completion, fmt, text)] == spans
        expected = doc.spans["sc"].attrs["scores"]
        scores = [score for _, score in sorted_spans(completion, fmt, text)]
        assert scores == pytest.approx(list(expected), rel=1e-4)
        assert completion.error is None
        predicted = [span for span, _ in completion.scored]
        assert completion == fmt.render(text, predicted, LABELS)
    assert any(completion.scored for completion in completions)


def sorted_spans(completion, fmt, text):
    order = {label: i for i, label in enumerate(LABELS)}
    return sorted(
        completion.scored, key=lambda s: (s[0].start, -s[0].end, order[s[0].label])
    )


def test_a_saved_component_gives_the_same_results(tiny_base, tmp_path):
    base = tiny_base("llama")
    tuned = trained_pipeline(base)
    tuned.to_disk(tmp_path / "saved")
    folder = str(tmp_path / "saved" / "generative_ner")
    # The prompt and the format of the component override those of the task.
    nlp = llm_pipeline(base, adapter=folder)
    for text in TEXTS[:3]:
        expected = result(tuned(make_doc(tuned, text)))
        assert result(nlp(make_doc(nlp, text))) == expected
    assert found(nlp(make_doc(nlp, TEXTS[0]))) == [(0, 1, "GPE"), (3, 6, "ORG")]
    # Without the grammar it completes the prompt as well.
    free = llm_pipeline(base, adapter=folder, constrained=False)
    assert len(free.get_pipe("llm")._model.answers([make_prompt(TEXTS[0])])) == 1
    fewer = llm_pipeline(base, labels=["GPE"], adapter=folder)
    assert found(fewer(make_doc(fewer, TEXTS[0]))) == [(0, 1, "GPE")]


@pytest.mark.parametrize("name", ["inline_xml", "occurrence_json"])
def test_a_saved_component_without_an_adapter_has_its_own_prompt(
    tiny_base, tmp_path, name
):
    base = tiny_base("gemma3")
    own = pipeline(base, model__lora=None, format=name, readings=2)
    own.to_disk(tmp_path / "saved")
    nlp = llm_pipeline(base, adapter=str(tmp_path / "saved" / "generative_ner"))
    rows = [result(own(make_doc(own, text))) for text in TEXTS]
    assert [result(nlp(make_doc(nlp, text)))[:2] for text in TEXTS] == [
        row[:2] for row in rows
    ]
    assert any(spans for spans, _, _ in rows)


def test_the_labels_of_a_task_must_be_those_of_the_saved_component(tiny_base, tmp_path):
    tuned = trained_pipeline(tiny_base("llama"))
    tuned.to_disk(tmp_path / "saved")
    folder = str(tmp_path / "saved" / "generative_ner")
    nlp = llm_pipeline(tiny_base("llama"), labels=["GPE", "X"], adapter=folder)
    with pytest.warns(GennerWarning, match="G743"):
        assert nlp(TEXTS[0]).spans["sc"].attrs["status"] == "failed"
    other = local_lm(tiny_base("llama", seed=1), adapter=folder)
    with pytest.raises(ValueError, match="G742"):
        complete(other, [make_prompt(TEXTS[0])])


def test_an_adapter_of_peft(tiny_base, tmp_path):
    base = tiny_base("llama")
    tuned = trained_pipeline(base)
    component(tuned).lm.save(tmp_path / "adapter")
    model = local_lm(base, adapter=str(tmp_path / "adapter"))
    # The prompt has the layout that the adapter was trained with.
    [completion] = complete(model, [make_prompt(TEXTS[0])])
    assert completion == "[Lisbon | GPE] hosts the [University of Lisbon | ORG] ."
    with pytest.raises(ValueError, match="G250"):
        complete(local_lm(base, adapter=str(tmp_path)), ["x"])


def reference_completion(base, prompt, room, **chat):
    """The completion of a prompt by `generate` of transformers."""
    model = local_lm(base, **chat)
    generator = model._generators()[1]
    network = model.lm.decoding_network()
    ids = torch.tensor([generator.ids(prompt)])
    generated = network.generate(ids, max_new_tokens=room, do_sample=False)
    completion = generated[0, ids.shape[1] :]
    return model.lm.tokenizer.decode(completion, skip_special_tokens=True)


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen2"])
@pytest.mark.parametrize("batch_tokens", [1, 64, 2048])
def test_free_generation_is_that_of_transformers(tiny_base, family, batch_tokens):
    base = tiny_base(family)
    model = local_lm(base, max_new_tokens=12, batch_tokens=batch_tokens)
    expected = [reference_completion(base, prompt, 12) for prompt in PROMPTS]
    assert [str(completion) for completion in complete(model, PROMPTS)] == expected
    assert len(set(expected)) > 1


def test_sampling_settings_of_a_base_are_ignored(tiny_base, tmp_path):
    folder = tmp_path / "sampling"
    copytree(tiny_base("llama"), folder)
    file = folder / "generation_config.json"
    own = json.loads(file.read_text(encoding="utf8"))
    sampling = {"do_sample": True, "temperature": 0.6, "top_k": 3, "top_p": 0.5}
    sampling |= {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1}
    file.write_text(json.dumps({**own, **sampling, "eos_token_id": [1, 7]}))
    settings = {"max_new_tokens": 30}
    model = local_lm(folder, **settings)
    expected = complete(local_lm(tiny_base("llama"), **settings), PROMPTS)
    generator = model._generators()[1]
    assert generator._end_ids(model.lm.base.model) == [1, 7]
    stop = model.lm.tokenizer.decode([7])
    for generated, whole in zip(complete(model, PROMPTS), expected, strict=True):
        assert whole.startswith(generated)
        assert generated == whole or whole[len(generated) :].startswith(stop)


def test_a_completion_ends_at_the_end_token(tiny_base):
    model = local_lm(tiny_base("llama"), max_new_tokens=12)
    generator = model._generators()[1]
    eos = model.lm.tokenizer.eos_token_id
    letter = generator.encode("a")[0]
    end_ids = generator._end_ids(model.lm.base.model)
    assert generator._text([letter, eos, letter], end_ids) == "a"
    assert eos in end_ids


@pytest.mark.parametrize("prompt", [PROMPTS[0], make_prompt(TEXTS[0])])
def test_a_truncated_completion_gives_one_warning(tiny_base, prompt, monkeypatch):
    model = local_lm(tiny_base("llama"), max_new_tokens=5, constrained=False)
    match = "W732.*5 tokens.*'max_new_tokens'"
    with pytest.warns(GennerWarning, match=match) as caught:
        complete(model, [prompt] * 3)
        complete(model, [prompt])
    assert len(caught) == 1
    # A complete one gives no warning, even if its end token is the last that fits.
    model = local_lm(tiny_base("llama"), max_new_tokens=5, constrained=False)
    generator = model._generators()[1]
    last = model.lm.tokenizer(complete(model, [prompt])[0])["input_ids"][-1]
    monkeypatch.setattr(generator, "_warned_of_cut", False)
    monkeypatch.setattr(generator, "_end_ids", lambda network: [last])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        complete(model, [prompt])


def test_the_context_length_truncates_a_completion(tiny_base):
    generator = local_lm(tiny_base("llama"))._generators()[1]
    length = len(generator.ids(PROMPTS[0])) + 3
    model = local_lm(tiny_base("llama"), context_length=length)
    with pytest.warns(GennerWarning, match="W732.*3 tokens.*'context_length'"):
        complete(model, PROMPTS[:1])


def test_prompts_of_tasks_and_other_prompts_in_one_batch(tiny_base):
    model = local_lm(tiny_base("llama"), max_new_tokens=8)
    task_prompts = [make_prompt(text) for text in TEXTS]
    alone = [*complete(model, task_prompts), *complete(model, PROMPTS)]
    mixed = [p for pair in zip(task_prompts, PROMPTS, strict=True) for p in pair]
    nested = list(model([mixed[:3], [], mixed[3:]]))
    assert [len(each) for each in nested] == [3, 0, 5]
    flat = [str(completion) for each in nested for completion in each]
    assert flat[::2] == [str(completion) for completion in alone[:4]]
    assert flat[1::2] == [str(completion) for completion in alone[4:]]
    assert list(model([])) == [] and list(model([[], []])) == [[], []]


def test_prompts_of_tasks_without_the_grammar(tiny_base):
    base = tiny_base("llama")
    prompt = make_prompt(TEXTS[0])
    model = local_lm(base, constrained=False, max_new_tokens=9)
    [completion] = complete(model, [prompt])
    assert completion.scored is None
    assert str(completion) == reference_completion(base, str(prompt), 9)


def test_control_tokens_in_a_text_are_plain_text(tiny_base):
    model = local_lm(tiny_base("llama"))
    generator = model._generators()[1]
    control = set(model.lm.tokenizer.all_special_ids)
    ids = generator.ids("<eos><pad>")
    assert control.isdisjoint(ids[1:]) and ids[0] == model.lm.tokenizer.bos_token_id
    [completion] = complete(model, [make_prompt("<eos> <bos> is")])
    assert completion.error is None and completion.count("<eos>") == 1


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


def test_only_the_chat_template_adds_control_tokens(chat_base):
    model = local_lm(chat_base)
    tokenizer = model.lm.tokenizer
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    generator = model._generators()[1]
    ids = generator.ids("Say <eos>")
    assert tokenizer.decode(ids) == "<bos><unk>user: Say <eos><eos><unk>answer: "
    assert (ids[0], ids.count(bos), ids.count(eos)) == (bos, 1, 1)
    plain = local_lm(chat_base, chat=False)._generators()[1].ids("Say <eos>")
    assert tokenizer.decode(plain) == "<bos>Say <eos>" and eos not in plain
    # Without an adapter, prompts of tasks are turns of a chat as well.
    [turn] = complete(model, [make_prompt(TEXTS[0])])
    [bare] = complete(local_lm(chat_base, chat=False), [make_prompt(TEXTS[0])])
    assert dict(turn.scored) != dict(bare.scored)


def test_chat_without_a_chat_template(tiny_base):
    with pytest.raises(ValueError, match="G745"):
        complete(local_lm(tiny_base("llama"), chat=True), ["x"])


@pytest.mark.parametrize("chat", [True, "auto"])
def test_automatic_chat_follows_the_training_of_the_adapter(chat_base, tmp_path, chat):
    tuned = trained_pipeline(chat_base)
    component(tuned).lm.save(tmp_path / "adapter")
    model = local_lm(chat_base, adapter=str(tmp_path / "adapter"), chat=chat)
    [completion] = complete(model, [make_prompt(TEXTS[0])])
    right = completion == "[Lisbon | GPE] hosts the [University of Lisbon | ORG] ."
    assert right == (chat == "auto")


def test_a_prompt_that_is_too_long_does_not_affect_others(tiny_base):
    model = local_lm(tiny_base("llama"), max_new_tokens=4)
    long = "Lisbon " * 3000
    prompts = [*PROMPTS, long, make_prompt(long.strip()), make_prompt(TEXTS[0]), 3]
    with pytest.warns(GennerWarning, match="W731.*2 of 6 .*G741"):
        completions = complete(model, prompts)
    assert all(isinstance(completion, Completion) for completion in completions)
    failed = [index for index, completion in enumerate(completions) if completion.error]
    assert failed == [4, 5, 7]
    assert "1024" in str(completions[4].error) and "G741" in str(completions[5].error)
    assert "G744" in str(completions[7].error)
    expected = complete(model, PROMPTS)
    assert [str(a) for a in completions[:4]] == [str(a) for a in expected]
    assert completions[6] == complete(model, [make_prompt(TEXTS[0])])[0]


def test_prompts_are_completed_one_by_one_after_a_failure(tiny_base, monkeypatch):
    model = local_lm(tiny_base("llama"), max_new_tokens=4)
    right = complete(model, [make_prompt(text) for text in TEXTS])
    plain = DraftDecoder.decode

    def decode(self, engine, tasks):
        if any("Maria" in task.grammar.source.text for task in tasks):
            raise MemoryError("too much")
        return plain(self, engine, tasks)

    monkeypatch.setattr(DraftDecoder, "decode", decode)
    completions = complete(model, [make_prompt(text) for text in TEXTS])
    assert [str(a) for a in completions[2:]] == [str(a) for a in right[2:]]
    assert completions[0] == right[0] and isinstance(completions[1].error, MemoryError)
    generator = model._generators()[1]
    generate = generator._generate

    def fail(batch):
        if any(prompt.number == 1 for prompt in batch):
            raise MemoryError("too much")
        return generate(batch)

    monkeypatch.setattr(generator, "_generate", fail)
    with pytest.warns(GennerWarning, match="1 of 4 .*too much"):
        completions = complete(model, PROMPTS)
    assert [bool(each.error) for each in completions] == [False, True, False, False]
    assert all(completions[index] for index in (0, 2, 3))


def test_a_layout_without_room_does_not_affect_others(tiny_base):
    model = local_lm(tiny_base("llama"))
    wide = make_prompt(TEXTS[0], definitions={"ORG": "far too much " * 500})
    completions = complete(model, [wide, make_prompt(TEXTS[0])])
    assert "G405" in str(completions[0].error) and completions[1].error is None


def test_batches_with_several_layouts(tiny_base):
    model = local_lm(tiny_base("llama"))
    prompts = [
        make_prompt(TEXTS[index % 3], definitions={"ORG": f"firm {index % 6}"})
        for index in range(12)
    ]
    together = complete(model, prompts)
    alone = [complete(model, [each])[0] for each in prompts]
    assert [a.scored for a in together] == [a.scored for a in alone]
    assert len(model._generators()[0]._predictors) <= 4


def test_demonstrations_have_token_aligned_markup():
    text = "the University of Porto, in Porto"
    output = "the [University of [Porto | GPE] | ORG], in [Porto | GPE]"
    layout = PromptLayout(tuple(LABELS), demonstrations=((text, output),))
    [shown] = token_aligned_layout(layout).demonstrations
    aligned = "the[ University of[ Porto | GPE] | ORG], in[ Porto | GPE]"
    assert shown == (text, aligned)
    grouped = PromptLayout(("A",), format="grouped_json", demonstrations=(("a", "{}"),))
    assert token_aligned_layout(grouped) is grouped


def test_context_length(tiny_base):
    base = tiny_base("llama")
    model = local_lm(base)
    assert model.context_length == 1024
    assert not model.lm.is_loaded
    assert model.context_length.count("Lisbon") == len(
        model._generators()[1].encode("Lisbon")
    )
    assert model.lm.is_loaded
    # With the setting, the base need not be available.
    assert local_lm("nobody/nothing", context_length=77).context_length == 77
    small = local_lm(base, context_length=40)
    [completion] = complete(small, [make_prompt(TEXTS[0])])
    assert "40" in str(completion.error) and "G741" in str(completion.error)


def test_a_long_document_is_cut_into_windows(tiny_base):
    nlp = llm_pipeline(tiny_base("llama"), context_length=300)
    doc = nlp("Lisbon hosts the University of Porto and " * 12 + "more.")
    # Spans of neighbouring windows may cross.
    assert doc.spans["sc"].attrs["status"] in ("windowed", "repaired")
    assert {i["code"] for i in doc.spans["sc"].attrs["issues"]} <= {"crossing"}
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp("Lisbon hosts the University of Porto . " * 12)
    assert doc.spans["sc"].attrs["status"] == "ok"


def test_tasks_of_spacy_llm(tiny_base):
    for task in ("spacy.NER.v3", "spacy.TextCat.v3", "spacy.SpanCat.v2"):
        nlp = llm_pipeline(tiny_base("llama"), task, labels="A,B", max_new_tokens=6)
        docs = list(nlp.pipe(["Maria lives in Lisbon.", "It rains."]))
        assert [doc.text for doc in docs] == ["Maria lives in Lisbon.", "It rains."]


def test_pickled_and_copied(tiny_base):
    model = local_lm(tiny_base("llama"), max_new_tokens=5)
    prompts = [make_prompt(TEXTS[0]), *PROMPTS]
    expected = complete(model, prompts)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert not other.lm.is_loaded and other.max_new_tokens == 5
        assert complete(other, prompts) == expected


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
def test_invalid_settings(settings, code):
    with pytest.raises(ValueError, match=code):
        LocalLM(**{"name": "a/b", **settings})


def test_a_missing_base():
    with pytest.raises(ValueError, match="G202"):
        llm_pipeline("/no/such/folder")
    nlp = llm_pipeline("/no/such/folder", context_length=100)
    with pytest.raises(ValueError, match="G202"):
        nlp(TEXTS[0])
