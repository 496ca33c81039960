"""The tasks in spacy-llm: entry points, annotations, serialization and cache."""

import pickle

import pytest
import spacy
import spacy_llm.tasks  # noqa: F401
import srsly
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy_llm.registry import registry
from task_cases import LABELS, NESTED, OUTPUT, TEXT, codes, found, llm_pipeline, status

from spacy_genner.errors import GennerWarning
from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.messages import Completion, Prompt

TASKS = ["spacy-genner.NER.v1", "spacy-genner.SpanCat.v1"]


def task_of(nlp):
    return nlp.get_pipe("llm").task


def model_of(nlp):
    return nlp.get_pipe("llm")._model


def make_task(task="spacy-genner.SpanCat.v1", **settings):
    return registry.llm_tasks.get(task)(**{"labels": LABELS, **settings})


def prompt_of(task, text=TEXT):
    [(prompts, _)] = task.generate_prompts([spacy.blank("en")(text)])
    [prompt] = prompts
    return prompt


@pytest.mark.parametrize("task", TASKS)
def test_tasks_are_registered(task):
    assert make_task(task).labels == tuple(LABELS)
    nlp = llm_pipeline(OUTPUT, task)
    assert nlp.get_pipe("llm").labels == tuple(LABELS)
    doc = nlp(TEXT)
    assert found(doc) == NESTED and status(doc) == "ok"
    assert list(doc.spans["sc"].attrs["scores"]) == [1.0] * 3


def test_only_ner_sets_entities():
    entities = [(0, 1, "GPE"), (3, 6, "ORG")]
    for task, expected in zip(TASKS, (entities, []), strict=True):
        doc = llm_pipeline(OUTPUT, task)(TEXT)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == expected
    doc = llm_pipeline(OUTPUT, TASKS[0], set_ents="inner", spans_key="x")(TEXT)
    assert [(e.start, e.label_) for e in doc.ents] == [(0, "GPE"), (5, "GPE")]
    assert found(doc, "x") == NESTED and "sc" not in doc.spans


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_are_parsed(task, name):
    spans = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]
    completion = get_format(name).render(TEXT, spans, LABELS)
    doc = llm_pipeline(completion, task, format=name)(TEXT)
    assert found(doc) == NESTED and status(doc) == "ok"


@pytest.fixture
def note_extension():
    Doc.set_extension("genner_note", default=None)
    yield
    Doc.remove_extension("genner_note")


def test_the_document_itself_is_annotated(note_extension):
    nlp = llm_pipeline(OUTPUT, TASKS[0])
    doc = nlp.make_doc(TEXT)
    doc._.genner_note = "kept"
    doc.user_data["own"] = 3
    doc[1].lemma_ = "host"
    doc.spans["other"] = [doc[0:2]]
    doc.ents = [Span(doc, 2, 4, "X")]
    annotated = nlp(doc)
    assert annotated is doc
    assert (doc._.genner_note, doc.user_data["own"]) == ("kept", 3)
    assert doc[1].lemma_ == "host" and len(doc.spans["other"]) == 1
    # An existing entity stays. Spans that overlap it are only in the group.
    assert [(e.start, e.label_) for e in doc.ents] == [(0, "GPE"), (2, "X"), (5, "GPE")]
    loaded = llm_pipeline(OUTPUT, TASKS[0], overwrite_ents=True)
    doc = loaded.make_doc(TEXT)
    doc.ents = [Span(doc, 2, 4, "X")]
    assert [e.label_ for e in loaded(doc).ents] == ["GPE", "ORG"]


def test_a_failed_completion_does_not_affect_others():
    texts = [TEXT, "It rains.", "Lisbon wins."]
    completions = {
        texts[0]: OUTPUT,
        texts[1]: Completion(error=TimeoutError("no answer in 30 s")),
        texts[2]: "[Lisbon | GPE] wins.",
    }
    nlp = llm_pipeline(lambda prompt: completions[prompt.subject.text], TASKS[0])
    with pytest.warns(GennerWarning, match=r"W730\] 1 of 3 .* no answer in 30 s"):
        docs = list(nlp.pipe(texts))
    assert [status(doc) for doc in docs] == ["ok", "failed", "ok"]
    assert [len(doc.spans["sc"]) for doc in docs] == [3, 0, 1]
    [issue] = docs[1].spans["sc"].attrs["issues"]
    position = {"start": 0, "end": 3, "within": "tokens"}
    assert issue == {"code": "failed", "message": "no answer in 30 s", **position}
    assert docs[1].ents == ()


@pytest.mark.parametrize(
    "completion, code", [(None, "G736"), (["no", "text"], "G736"), ({"a": 1}, "G736")]
)
def test_completions_must_be_strings(completion, code):
    nlp = llm_pipeline(lambda prompt: completion)
    with pytest.warns(GennerWarning, match=code):
        assert status(nlp(TEXT)) == "failed"


def test_a_model_that_returns_too_few_completions():
    task = make_task()
    docs = list(spacy.blank("en").pipe([TEXT, TEXT]))
    shards = [shards for _, shards in task.generate_prompts(docs)]
    with pytest.warns(GennerWarning, match="2 of 2.*G735"):
        list(task.parse_responses(shards, [[OUTPUT, OUTPUT]]))
    assert [status(doc) for doc in docs] == ["failed", "failed"]


def test_shards_of_another_task():
    task = make_task()
    doc, other = spacy.blank("en").pipe([TEXT, TEXT])
    [annotated] = task.parse_responses([[doc]], [[OUTPUT]])
    assert annotated is doc and found(doc) == NESTED
    with pytest.raises(ValueError, match="G738"):
        task.parse_responses([[doc, other]], [[OUTPUT, OUTPUT]])


def test_a_blank_document_has_no_prompt():
    nlp = llm_pipeline(OUTPUT)
    docs = list(nlp.pipe(["", " \n ", TEXT]))
    assert [len(prompts) for prompts in model_of(nlp).prompts] == [0, 0, 1]
    assert [status(doc) for doc in docs] == ["ok"] * 3
    assert [len(doc.spans["sc"]) for doc in docs] == [0, 0, 3]


def test_a_model_of_spacy_llm():
    nlp = spacy.blank("en")
    task = {"@llm_tasks": TASKS[1], "labels": "ORG, GPE"}
    nlp.add_pipe(
        "llm", config={"task": task, "model": {"@llm_models": "spacy.NoOp.v1"}}
    )
    with pytest.warns(GennerWarning, match="the answer is empty"):
        docs = list(nlp.pipe([TEXT, " "]))
    assert [status(doc) for doc in docs] == ["failed", "ok"]


@pytest.mark.parametrize("completion", [OUTPUT, f"Sure. {OUTPUT}"])
def test_raw_completions_are_kept_on_request(completion):
    doc = llm_pipeline(completion, keep_raw=True)(TEXT)
    assert doc.spans["sc"].attrs["answer"] == completion
    assert "answer" not in llm_pipeline(completion)(TEXT).spans["sc"].attrs


def test_prompts_carry_text_and_layout():
    prompt = prompt_of(make_task(label_definitions={"GPE": "a city"}))
    assert isinstance(prompt, Prompt)
    assert prompt.subject.text == TEXT
    assert prompt.layout.labels == tuple(LABELS)
    assert str(prompt) == prompt.layout.render(TEXT)
    assert "[entity | LABEL]" in prompt and "- GPE: a city" in prompt
    assert prompt.count(TEXT) == 1
    loaded = pickle.loads(pickle.dumps(prompt))
    assert (loaded, loaded.subject) == (prompt, prompt.subject)


def test_a_custom_template():
    template = (
        "{{ labels | map(attribute='name') | join('/') }} as {{ format }}, "
        "{{ examples | length }} examples\n{{ text }}"
    )
    examples = [{"text": "Porto", "spans": [{"start": 0, "end": 5, "label": "GPE"}]}]
    task = make_task(template=template, examples=examples)
    assert prompt_of(task) == f"ORG/GPE as inline_bracketed, 1 examples\n{TEXT}"
    assert task.prompt_template.endswith("{{ text }}")
    with pytest.raises(ValueError, match="G109"):
        make_task(template="{{ text }} {{ ''.__class__.__mro__ }}")
    with pytest.raises(ValueError, match="G110"):
        make_task(template="no text")
    compact = make_task(template="compact", readings=2)
    assert prompt_of(compact).count(TEXT) == 2


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"labels": ["A", "A"]}, "G421"),
        ({"labels": ["A|B"]}, "G003"),
        ({"labels": [1]}, "G732"),
        ({"labels": {"A": "b"}}, "G732"),
        ({"label_definitions": {"X": "y"}}, "G731"),
        ({"label_definitions": ["X"]}, "G732"),
        ({"format": "yaml"}, "G005"),
        ({"spans_key": ""}, "G732"),
        ({"readings": 3}, "G104"),
        ({"keep_raw": "yes"}, "G407"),
        ({"examples": "file.json"}, "G732"),
    ],
)
def test_invalid_settings(settings, code):
    with pytest.raises(ValueError, match=code):
        make_task(**settings)


def test_labels_as_a_string_and_from_definitions():
    assert make_task(labels=" ORG , GPE,").labels == ("ORG", "GPE")
    task = make_task(labels="", label_definitions={"GPE": "a city"})
    assert task.labels == ("GPE",) and task.label_definitions == {"GPE": "a city"}


def test_labels_are_added_and_cleared():
    nlp = llm_pipeline(OUTPUT)
    pipe = nlp.get_pipe("llm")
    assert pipe.add_label("GPE") == 0
    assert pipe.add_label("PERSON", "somebody") == 1
    assert pipe.labels == ("ORG", "GPE", "PERSON")
    assert "PERSON: somebody" in prompt_of(pipe.task)
    pipe.clear()
    with pytest.raises(ValueError, match="G730"):
        nlp(TEXT)


def example(nlp, key="sc"):
    reference = nlp.make_doc(TEXT)
    reference.spans[key] = [Span(reference, *span) for span in NESTED]
    return Example(nlp.make_doc(TEXT), reference)


@pytest.mark.parametrize("task", TASKS)
def test_initialize_collects_labels_and_examples(task):
    nlp = llm_pipeline(OUTPUT, task, labels="")
    nlp.config["initialize"]["components"]["llm"] = {"n_prompt_examples": 1}
    nlp.initialize(lambda: [example(nlp), example(nlp)])
    assert nlp.get_pipe("llm").labels == ("GPE", "ORG")
    prompt = prompt_of(task_of(nlp), "It rains.")
    assert prompt.count(OUTPUT) == 1
    assert found(nlp(TEXT)) == NESTED


def test_initialize_collects_labels_from_entities_without_a_group():
    nlp = llm_pipeline(OUTPUT, TASKS[0], labels="")
    reference = nlp.make_doc(TEXT)
    reference.ents = [Span(reference, 0, 1, "CITY")]
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), reference)])
    assert nlp.get_pipe("llm").labels == ("CITY",)


def test_initialize_keeps_the_labels_of_the_config():
    nlp = llm_pipeline(OUTPUT, label_definitions={"GPE": "a city"})
    nlp.initialize(lambda: [example(nlp)])
    assert task_of(nlp).labels == ("ORG", "GPE")
    nlp.config["initialize"]["components"]["llm"] = {"labels": ["GPE", "X"]}
    nlp.initialize(lambda: [example(nlp)])
    assert task_of(nlp).labels == ("GPE", "X")
    assert task_of(nlp).label_definitions == {"GPE": "a city"}


def test_saved_and_loaded(tmp_path):
    nlp = llm_pipeline(OUTPUT, TASKS[0], labels="")
    nlp.config["initialize"]["components"]["llm"] = {"n_prompt_examples": 1}
    nlp.initialize(lambda: [example(nlp)])
    nlp.get_pipe("llm").add_label("PERSON", "somebody, or two")
    prompt = prompt_of(task_of(nlp))
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert prompt_of(task_of(loaded)) == prompt
    assert found(loaded(TEXT)) == NESTED
    other = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert prompt_of(task_of(other)) == prompt
    task = task_of(loaded)
    task.set_cfg(task.get_cfg())
    assert prompt_of(task) == prompt
    with pytest.raises(ValueError, match="G737"):
        task.set_cfg({"labels": 3})


def test_scores():
    nlp = llm_pipeline("[Lisbon | GPE] hosts the University of Lisbon.", TASKS[0])
    reference = nlp.make_doc(TEXT)
    reference.spans["sc"] = [Span(reference, *span) for span in NESTED]
    reference.ents = [Span(reference, 0, 1, "GPE"), Span(reference, 3, 6, "ORG")]
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), reference)])
    assert scores["ents_p"] == 1 and scores["ents_r"] == 0.5
    assert scores["spans_sc_r"] == pytest.approx(1 / 3)
    assert scores["spans_sc_nested_r"] == 0
    spans = llm_pipeline(OUTPUT).evaluate([example(nlp)])
    assert spans["spans_sc_f"] == 1 and "ents_f" not in spans
    scorer = {"@scorers": "spacy-genner.span_scorer.v1"}
    assert (
        llm_pipeline(OUTPUT, scorer=scorer).evaluate([example(nlp)])["spans_sc_f"] == 1
    )


def test_the_cache_of_spacy_llm(tmp_path):
    cache = {"@llm_misc": "spacy.BatchCache.v1", "batch_size": 1}
    cache |= {"path": str(tmp_path / "cache"), "max_batches_in_mem": 2}
    nlp = llm_pipeline(f"Sure. {OUTPUT}", TASKS[0], component={"cache": cache})
    first = nlp(TEXT)
    second = nlp(TEXT)
    assert len(model_of(nlp).prompts) == 1
    assert found(second) == found(first) == NESTED
    assert status(second) == "repaired" and codes(second) == ["extra_text"]
    assert [e.label_ for e in second.ents] == ["GPE", "ORG"]
    # The cache is not used for another prompt.
    with pytest.raises(ValueError, match="template"):
        llm_pipeline(OUTPUT, TASKS[0], labels=["X"], component={"cache": cache})


def test_prompts_and_completions_are_saved_with_save_io():
    nlp = llm_pipeline(OUTPUT, component={"save_io": True})
    docs = list(nlp.pipe([TEXT, "Lisbon hosts the University of Lisbon."]))
    for doc in docs:
        io = doc.user_data["llm_io"]["llm"]
        assert io["response"] == [OUTPUT]
        assert TEXT in io["prompt"][0] and type(io["prompt"][0]) is str


@pytest.mark.parametrize("task", TASKS)
def test_few_shot_examples_from_a_file(task, tmp_path):
    path = tmp_path / "examples.json"
    srsly.write_json(
        path,
        [
            {
                "text": TEXT,
                "spans": [
                    {"text": "Lisbon", "is_entity": True, "label": "GPE"},
                    {"text": "hosts", "is_entity": False, "label": "==NONE=="},
                    {"text": "University of Lisbon", "is_entity": True, "label": "ORG"},
                    {"text": "Lisbon", "is_entity": True, "label": "GPE"},
                ],
            }
        ],
    )
    reader = {"@misc": "spacy.FewShotReader.v1", "path": str(path)}
    nlp = llm_pipeline(OUTPUT, task, examples=reader)
    assert found(nlp(TEXT)) == NESTED
    [[prompt]] = model_of(nlp).prompts
    assert prompt.count(OUTPUT) == 1
