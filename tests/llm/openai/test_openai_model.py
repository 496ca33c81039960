"""The remote model as a model of spacy-llm."""

import pickle
import subprocess
import sys
import warnings

import pytest
import spacy
from remote_cases import ENV, sample_prompt
from server import KEY, MODEL, Fail, Server
from spacy_llm.registry import registry
from spacy_llm.ty import ModelWithContextLength

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.messages import Completion
from spacy_genner.llm.openai.models import make_remote_model
from spacy_genner.llm.openai.retry import RemoteError

NAME = "spacy-genner.OpenAICompatible.v1"


def make_model(server, **settings):
    config = {"name": MODEL, "base_url": server.url, "api_key_env": ENV, "max_tries": 1}
    return registry.resolve({"model": {"@llm_models": NAME, **config, **settings}})[
        "model"
    ]


def bad_ones(call):
    return Fail(500, "it broke") if "bad" in call.prompt else call.prompt.upper()


def test_parts_stay_with_their_document():
    with Server(bad_ones) as server:
        model = make_model(server)
        prompts = [[], ["a"], iter(["b", "c", "d"]), [], [], ["e"], []]
        answers = list(model(prompts))
        assert answers == [[], ["A"], ["B", "C", "D"], [], [], ["E"], []]
        assert all(isinstance(a, Completion) for group in answers for a in group)
        assert model.usage.requests == 5
        assert list(model([])) == [] and list(model([[], []])) == [[], []]


def test_lazy():
    read = 0

    def prompts():
        nonlocal read
        for read in range(1, 10_000):
            yield [str(read)]

    with Server(bad_ones) as server:
        answers = iter(make_model(server, max_concurrent=1)(prompts()))
        assert read == 0 and server.calls == []
        assert next(answers) == ["1"]
        assert read <= 5
        answers.close()


def test_failed_prompt_of_a_task_of_the_project():
    with Server(bad_ones) as server:
        model = make_model(server)
        prompts = [["a"], [sample_prompt("bad"), sample_prompt("b")], ["c"]]
        answers = list(model(prompts))
        assert answers[0] == ["A"] and answers[2] == ["C"]
        bad, good = answers[1]
        assert bad == "" and "it broke" in str(bad.error)
        assert good and good.error is None


def test_failed_prompt_of_a_foreign_task(tmp_path):
    prompts = [["a"], ["bad 1", "b"], ["c"], ["bad 2"], ["d"]]
    with Server(bad_ones) as server:
        model = make_model(server, cache=str(tmp_path))
        answers = iter(model(prompts))
        assert next(answers) == ["A"]
        with pytest.raises(RemoteError, match="G724.*2 of 6 prompts.*it broke"):
            next(answers)
        assert len(server.calls) == 6
        server.script = lambda call: "now"
        again = list(model(prompts))
        assert again == [["A"], ["now", "B"], ["C"], ["now"], ["D"]]
        assert len(server.calls) == 8


def test_failed_prompt_of_a_foreign_task_without_strict():
    with Server(bad_ones) as server:
        model = make_model(server, strict=False)
        with pytest.warns(GennerWarning, match="W703.*1 of 3 prompts.*it broke"):
            assert list(model([["a"], ["bad", "b"]])) == [["A"], ["", "B"]]


def test_context_length():
    with Server() as server:
        assert not isinstance(make_model(server), ModelWithContextLength)
        model = make_model(server, context_length=4096)
        assert isinstance(model, ModelWithContextLength)
        assert model.context_length == 4096
        assert pickle.loads(pickle.dumps(model)).context_length == 4096


@pytest.mark.parametrize(
    "change, code",
    [
        ({"call": "talk"}, "G701"),
        ({"strict": "yes"}, "G701"),
        ({"base_url": "localhost"}, "G703"),
        ({"api_key_env": "sk-123"}, "G702"),
        ({"extra": {"n": 2}}, "G704"),
    ],
)
def test_settings_are_checked(change, code):
    with pytest.raises(ValueError, match=code):
        make_remote_model(**{"name": "gpt", **change})


def test_making_a_model_needs_no_key(monkeypatch):
    monkeypatch.delenv(ENV)
    with Server() as server:
        model = make_model(server)
        with pytest.raises(ValueError, match="G705"):
            list(model([["a"]]))


def pipeline(server, **settings):
    nlp = spacy.blank("en")
    config = {
        "task": {"@llm_tasks": "spacy.NER.v3", "labels": ["GPE"]},
        "model": {
            "@llm_models": NAME,
            "name": MODEL,
            "base_url": server.url,
            "api_key_env": ENV,
            "max_tries": 1,
            **settings,
        },
    }
    with warnings.catch_warnings():
        # A task that splits documents warns if it has no context length.
        warnings.filterwarnings("ignore", "Task supports sharding")
        nlp.add_pipe("llm", config=config)
    return nlp


def test_task_of_spacy_llm(tmp_path):
    answer = "1. Lisbon | True | GPE | is a city"
    with Server(lambda call: Fail(500) if "Paris" in call.prompt else answer) as server:
        nlp = pipeline(server, cache=str(tmp_path))
        docs = list(nlp.pipe(["We like Lisbon .", "Lisbon again ."]))
        assert [[e.text for e in doc.ents] for doc in docs] == [["Lisbon"]] * 2
        assert server.rejected == []

        failed = []
        nlp.set_error_handler(lambda name, pipe, docs, error: failed.append(error))
        list(nlp.pipe(["We like Lisbon .", "Paris ."]))
        assert "G724" in str(failed[0]) and "1 of 2" in str(failed[0])

        assert KEY not in nlp.config.to_str()
        nlp.to_disk(tmp_path / "saved")
        for path in (tmp_path / "saved").rglob("*"):
            if path.is_file():
                assert KEY.encode() not in path.read_bytes()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Task supports sharding")
            loaded = spacy.load(tmp_path / "saved")
        before = len(server.calls)
        assert [e.text for e in loaded("We like Lisbon .").ents] == ["Lisbon"]
        assert len(server.calls) == before


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_missing_openai_package():
    output = run(
        "import sys\n"
        "sys.modules['openai'] = None\n"
        "from spacy_genner.llm.openai.models import make_remote_model\n"
        "model = make_remote_model('gpt', api_key_env=None)\n"
        "try:\n"
        "    list(model([['a']]))\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert "[G707]" in output and "spacy-genner[llm]" in output


def test_making_a_pipeline_does_not_import_the_sdk():
    output = run(
        "import sys, spacy\n"
        "nlp = spacy.blank('en')\n"
        f"model = {{'@architectures': {NAME!r}, 'name': 'gpt'}}\n"
        "nlp.add_pipe('generative_ner', config={'labels': ['A'], 'model': model})\n"
        "print('openai' in sys.modules)\n"
    )
    assert output.strip() == "False"
