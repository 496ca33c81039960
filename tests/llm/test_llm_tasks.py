"""The tasks within spacy-llm: entry points, what they write, saving, the cache."""

import pickle

import pytest
import spacy
import spacy_llm.tasks  # noqa: F401
import srsly
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy_llm.registry import registry
from task_cases import LABELS, MARKED, NESTED, TEXT, codes, found, status, told

from spacy_genner.errors import GennerWarning
from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.messages import Completion, Prompt

TASKS = ["spacy-genner.NER.v1", "spacy-genner.SpanCat.v1"]


def task_of(nlp):
    return nlp.get_pipe("llm").task


def model_of(nlp):
    return nlp.get_pipe("llm")._model


def make(task="spacy-genner.SpanCat.v1", **settings):
    return registry.llm_tasks.get(task)(**{"labels": LABELS, **settings})


def prompt_of(task, text=TEXT):
    [(prompts, _)] = task.generate_prompts([spacy.blank("en")(text)])
    [prompt] = prompts
    return prompt


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_found_by_name(task):
    assert make(task).labels == tuple(LABELS)
    nlp = told(MARKED, task)
    assert nlp.get_pipe("llm").labels == tuple(LABELS)
    doc = nlp(TEXT)
    assert found(doc) == NESTED and status(doc) == "ok"
    assert list(doc.spans["sc"].attrs["scores"]) == [1.0] * 3


def test_entities_are_those_of_ner_alone():
    entities = [(0, 1, "GPE"), (3, 6, "ORG")]
    for task, expected in zip(TASKS, (entities, []), strict=True):
        doc = told(MARKED, task)(TEXT)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == expected
    doc = told(MARKED, TASKS[0], set_ents="inner", spans_key="x")(TEXT)
    assert [(e.start, e.label_) for e in doc.ents] == [(0, "GPE"), (5, "GPE")]
    assert found(doc, "x") == NESTED and "sc" not in doc.spans


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FORMATS)
def test_all_formats(task, name):
    spans = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]
    answer = get_format(name).render(TEXT, spans, LABELS)
    doc = told(answer, task, format=name)(TEXT)
    assert found(doc) == NESTED and status(doc) == "ok"


@pytest.fixture
def note():
    Doc.set_extension("genner_note", default=None)
    yield
    Doc.remove_extension("genner_note")


def test_the_document_itself_is_annotated(note):
    nlp = told(MARKED, TASKS[0])
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
    # An earlier entity stays, and what overlaps it is in the group alone.
    assert [(e.start, e.label_) for e in doc.ents] == [(0, "GPE"), (2, "X"), (5, "GPE")]
    again = told(MARKED, TASKS[0], overwrite_ents=True)
    doc = again.make_doc(TEXT)
    doc.ents = [Span(doc, 2, 4, "X")]
    assert [e.label_ for e in again(doc).ents] == ["GPE", "ORG"]


def test_one_failed_answer_leaves_the_others():
    texts = [TEXT, "It rains.", "Lisbon wins."]
    answers = {
        texts[0]: MARKED,
        texts[1]: Completion(error=TimeoutError("no answer in 30 s")),
        texts[2]: "[Lisbon | GPE] wins.",
    }
    nlp = told(lambda prompt: answers[prompt.subject.text], TASKS[0])
    with pytest.warns(GennerWarning, match=r"W730\] 1 of 3 .* no answer in 30 s"):
        docs = list(nlp.pipe(texts))
    assert [status(doc) for doc in docs] == ["ok", "failed", "ok"]
    assert [len(doc.spans["sc"]) for doc in docs] == [3, 0, 1]
    [issue] = docs[1].spans["sc"].attrs["issues"]
    place = {"start": 0, "end": 3, "within": "tokens"}
    assert issue == {"code": "failed", "message": "no answer in 30 s", **place}
    assert docs[1].ents == ()


@pytest.mark.parametrize(
    "answer, code", [(None, "G736"), (["no", "text"], "G736"), ({"a": 1}, "G736")]
)
def test_an_answer_that_is_no_text(answer, code):
    nlp = told(lambda prompt: answer)
    with pytest.warns(GennerWarning, match=code):
        assert status(nlp(TEXT)) == "failed"


def test_a_model_that_loses_answers():
    task = make()
    docs = list(spacy.blank("en").pipe([TEXT, TEXT]))
    shards = [shards for _, shards in task.generate_prompts(docs)]
    with pytest.warns(GennerWarning, match="2 of 2.*G735"):
        list(task.parse_responses(shards, [[MARKED, MARKED]]))
    assert [status(doc) for doc in docs] == ["failed", "failed"]


def test_another_ones_shards():
    task = make()
    doc, other = spacy.blank("en").pipe([TEXT, TEXT])
    [annotated] = task.parse_responses([[doc]], [[MARKED]])
    assert annotated is doc and found(doc) == NESTED
    with pytest.raises(ValueError, match="G738"):
        task.parse_responses([[doc, other]], [[MARKED, MARKED]])


def test_a_blank_document_is_not_asked_about():
    nlp = told(MARKED)
    docs = list(nlp.pipe(["", " \n ", TEXT]))
    assert [len(prompts) for prompts in model_of(nlp).prompts] == [0, 0, 1]
    assert [status(doc) for doc in docs] == ["ok"] * 3
    assert [len(doc.spans["sc"]) for doc in docs] == [0, 0, 3]


def test_with_spacy_llms_own_model():
    nlp = spacy.blank("en")
    task = {"@llm_tasks": TASKS[1], "labels": "ORG, GPE"}
    nlp.add_pipe(
        "llm", config={"task": task, "model": {"@llm_models": "spacy.NoOp.v1"}}
    )
    with pytest.warns(GennerWarning, match="the answer is empty"):
        docs = list(nlp.pipe([TEXT, " "]))
    assert [status(doc) for doc in docs] == ["failed", "ok"]


@pytest.mark.parametrize("answer", [MARKED, f"Sure. {MARKED}"])
def test_the_raw_answer_is_kept_on_request(answer):
    assert told(answer, keep_raw=True)(TEXT).spans["sc"].attrs["answer"] == answer
    assert "answer" not in told(answer)(TEXT).spans["sc"].attrs


def test_a_prompt_is_a_question():
    prompt = prompt_of(make(label_definitions={"GPE": "a city"}))
    assert isinstance(prompt, Prompt)
    assert prompt.subject.text == TEXT
    assert prompt.layout.labels == tuple(LABELS)
    assert str(prompt) == prompt.layout.written(TEXT)
    assert "[entity | LABEL]" in prompt and "- GPE: a city" in prompt
    assert prompt.count(TEXT) == 1
    again = pickle.loads(pickle.dumps(prompt))
    assert (again, again.subject) == (prompt, prompt.subject)


def test_a_template_of_ones_own():
    template = (
        "{{ labels | map(attribute='name') | join('/') }} as {{ format }}, "
        "{{ examples | length }} examples\n{{ text }}"
    )
    examples = [{"text": "Porto", "spans": [{"start": 0, "end": 5, "label": "GPE"}]}]
    task = make(template=template, examples=examples)
    assert prompt_of(task) == f"ORG/GPE as inline_bracketed, 1 examples\n{TEXT}"
    assert task.prompt_template.endswith("{{ text }}")
    with pytest.raises(ValueError, match="G109"):
        make(template="{{ text }} {{ ''.__class__.__mro__ }}")
    with pytest.raises(ValueError, match="G110"):
        make(template="no text")
    compact = make(template="compact", readings=2)
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
def test_settings_that_cannot_be_used(settings, code):
    with pytest.raises(ValueError, match=code):
        make(**settings)


def test_labels_as_a_string_and_from_definitions():
    assert make(labels=" ORG , GPE,").labels == ("ORG", "GPE")
    task = make(labels="", label_definitions={"GPE": "a city"})
    assert task.labels == ("GPE",) and task.label_definitions == {"GPE": "a city"}


def test_labels_are_added_and_cleared():
    nlp = told(MARKED)
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
def test_initialize_takes_labels_and_examples_from_the_data(task):
    nlp = told(MARKED, task, labels="")
    nlp.config["initialize"]["components"]["llm"] = {"n_prompt_examples": 1}
    nlp.initialize(lambda: [example(nlp), example(nlp)])
    assert nlp.get_pipe("llm").labels == ("GPE", "ORG")
    prompt = prompt_of(task_of(nlp), "It rains.")
    assert prompt.count(MARKED) == 1
    assert found(nlp(TEXT)) == NESTED


def test_initialize_takes_entities_where_there_is_no_group():
    nlp = told(MARKED, TASKS[0], labels="")
    reference = nlp.make_doc(TEXT)
    reference.ents = [Span(reference, 0, 1, "CITY")]
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), reference)])
    assert nlp.get_pipe("llm").labels == ("CITY",)


def test_initialize_keeps_the_labels_of_the_config_and_takes_its_own():
    nlp = told(MARKED, label_definitions={"GPE": "a city"})
    nlp.initialize(lambda: [example(nlp)])
    assert task_of(nlp).labels == ("ORG", "GPE")
    nlp.config["initialize"]["components"]["llm"] = {"labels": ["GPE", "X"]}
    nlp.initialize(lambda: [example(nlp)])
    assert task_of(nlp).labels == ("GPE", "X")
    assert task_of(nlp).label_definitions == {"GPE": "a city"}


def test_saved_and_loaded(tmp_path):
    nlp = told(MARKED, TASKS[0], labels="")
    nlp.config["initialize"]["components"]["llm"] = {"n_prompt_examples": 1}
    nlp.initialize(lambda: [example(nlp)])
    nlp.get_pipe("llm").add_label("PERSON", "somebody, or two")
    prompt = prompt_of(task_of(nlp))
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert prompt_of(task_of(again)) == prompt
    assert found(again(TEXT)) == NESTED
    other = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert prompt_of(task_of(other)) == prompt
    task = task_of(again)
    task.set_cfg(task.get_cfg())
    assert prompt_of(task) == prompt
    with pytest.raises(ValueError, match="G737"):
        task.set_cfg({"labels": 3})


def test_scores():
    nlp = told("[Lisbon | GPE] hosts the University of Lisbon.", TASKS[0])
    reference = nlp.make_doc(TEXT)
    reference.spans["sc"] = [Span(reference, *span) for span in NESTED]
    reference.ents = [Span(reference, 0, 1, "GPE"), Span(reference, 3, 6, "ORG")]
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), reference)])
    assert scores["ents_p"] == 1 and scores["ents_r"] == 0.5
    assert scores["spans_sc_r"] == pytest.approx(1 / 3)
    assert scores["spans_sc_nested_r"] == 0
    spans = told(MARKED).evaluate([example(nlp)])
    assert spans["spans_sc_f"] == 1 and "ents_f" not in spans
    scorer = {"@scorers": "spacy-genner.span_scorer.v1"}
    assert told(MARKED, scorer=scorer).evaluate([example(nlp)])["spans_sc_f"] == 1


def test_with_spacy_llms_cache(tmp_path):
    cache = {"@llm_misc": "spacy.BatchCache.v1", "batch_size": 1}
    cache |= {"path": str(tmp_path / "cache"), "max_batches_in_mem": 2}
    nlp = told(f"Sure. {MARKED}", TASKS[0], component={"cache": cache})
    first = nlp(TEXT)
    second = nlp(TEXT)
    assert len(model_of(nlp).prompts) == 1
    assert found(second) == found(first) == NESTED
    assert status(second) == "repaired" and codes(second) == ["extra_text"]
    assert [e.label_ for e in second.ents] == ["GPE", "ORG"]
    # Documents of another prompt are not taken for these.
    with pytest.raises(ValueError, match="template"):
        told(MARKED, TASKS[0], labels=["X"], component={"cache": cache})


def test_with_save_io():
    nlp = told(MARKED, component={"save_io": True})
    docs = list(nlp.pipe([TEXT, "Lisbon hosts the University of Lisbon."]))
    for doc in docs:
        io = doc.user_data["llm_io"]["llm"]
        assert io["response"] == [MARKED]
        assert TEXT in io["prompt"][0] and type(io["prompt"][0]) is str


@pytest.mark.parametrize("task", TASKS)
def test_few_shot_examples_of_a_file(task, tmp_path):
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
    nlp = told(MARKED, task, examples=reader)
    assert found(nlp(TEXT)) == NESTED
    [[prompt]] = model_of(nlp).prompts
    assert prompt.count(MARKED) == 1
