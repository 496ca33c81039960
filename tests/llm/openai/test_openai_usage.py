"""The usage of the components of a pipeline."""

import spacy
import spacy_llm.tasks  # noqa: F401
from remote_cases import TEXT
from server import MODEL, Server

from spacy_genner.llm.openai.usage import Usage, usage_of

NAME = "spacy-genner.OpenAICompatible.v1"


def test_usage_of_both_factories():
    with Server(lambda call: TEXT, key=None) as server:
        known = {"name": MODEL, "base_url": server.url, "api_key_env": None}
        task = {"@llm_tasks": "spacy-genner.SpanCat.v1", "labels": ["GPE"]}
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        priced = {"@llm_models": NAME, **known, "prices": {"input": 1.0, "output": 2.0}}
        nlp.add_pipe(
            "llm", config={"task": task, "model": {**priced, "context_length": 4096}}
        )
        model = {"@architectures": NAME, **known}
        nlp.add_pipe("generative_ner", config={"labels": ["GPE"], "model": model})
        assert usage_of(nlp) == {"llm": Usage(cost=0.0), "generative_ner": Usage()}
        nlp(TEXT)
        usage = usage_of(nlp)
    one = Usage(requests=1, prompt_tokens=10, completion_tokens=2)
    assert usage["generative_ner"] == one
    assert usage["llm"].requests == 1 and usage["llm"].cost == 14e-6


def test_pipeline_without_a_remote_model():
    assert usage_of(spacy.blank("en")) == {}
