"""JSON schemas of answers, and the conversion of such answers to their format."""

import json

import pytest
from remote_cases import ANSWERS, LABELS, TEXT, make_client, sample_prompt
from server import Server
from server_protocol import response_format_fault, schema_fault

from spacy_genner.formats import FORMATS, CharSpan, get_format
from spacy_genner.llm.openai.protocol import (
    answer_schema,
    response_format,
    unwrap_answer,
)

SPANS = [CharSpan(0, 6, "GPE"), CharSpan(17, 37, "ORG"), CharSpan(31, 37, "GPE")]
JSON_FORMATS = list(ANSWERS)


def fits(value, schema):
    kind = schema["type"]
    if kind == "object":
        properties = schema["properties"]
        return set(value) == set(properties) and all(
            fits(value[key], properties[key]) for key in properties
        )
    if kind == "array":
        return all(fits(item, schema["items"]) for item in value)
    if "enum" in schema and value not in schema["enum"]:
        return False
    return type(value) is {"string": str, "integer": int}[kind]


def wrapped(name, written):
    value = json.loads(written)
    return value if name == "grouped_json" else {"entities": value}


@pytest.mark.parametrize("labels", [LABELS, ("entities",), ("a b", "ü", "#", "text")])
@pytest.mark.parametrize("name", JSON_FORMATS)
def test_schemas_are_strict(name, labels):
    schema = answer_schema(name, labels)
    assert schema_fault(schema) is None
    assert response_format_fault(response_format(schema)) is None


def test_invalid_schemas_are_detected():
    good = answer_schema("grouped_json", LABELS)
    for change in (
        {"additionalProperties": True},
        {"required": ["ORG"]},
        {"properties": {}},
        {"minProperties": 1},
        {"type": "list"},
    ):
        assert schema_fault({**good, **change})


@pytest.mark.parametrize("name", JSON_FORMATS)
def test_rendered_answers_match_their_schema(name):
    schema = answer_schema(name, LABELS)
    written = get_format(name).render(TEXT, SPANS, LABELS)
    assert fits(wrapped(name, written), schema)
    assert not fits({"entities": [{"text": "x", "label": "PER"}]}, schema)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", JSON_FORMATS)
def test_unwrapped_answer_is_in_the_format(name, indent):
    schema = answer_schema(name, LABELS)
    written = get_format(name).render(TEXT, SPANS, LABELS)
    value = wrapped(name, written)
    # Some servers have another order of keys and escape more characters than needed.
    answer = json.dumps(value, indent=indent, sort_keys=True, separators=(",", ":"))
    assert answer != written
    assert unwrap_answer(answer, schema) == written
    assert get_format(name).parse(written, TEXT, LABELS).issues == []


def test_label_with_the_name_of_the_wrapper():
    schema = answer_schema("grouped_json", ["entities"])
    assert unwrap_answer('{"entities":["é"]}', schema) == '{"entities": ["é"]}'


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "prose",
        "[]",
        '[{"text": "Lisbon", "label": "GPE", "occurrence_index": 1}]',
        '{"entities": [{"text": "Lisb',
        '{"entities": {}}',
        '{"entities": [3]}',
        '{"entities": [{"text": "Lisbon", "label": "GPE"}]}',
        '{"entities": [{"text": "x", "label": "GPE", "occurrence_index": "1"}]}',
        '{"entities": [{"text": "x", "label": "GPE", "occurrence_index": true}]}',
        '{"entities": [], "entities": []}',
        '{"entities": [], "more": []}',
        '{"entities": [{"text": "x", "label": "GPE", "occurrence_index": NaN}]}',
        "[" * 100_000,
    ],
)
def test_answer_that_does_not_match_is_unchanged(answer):
    schema = answer_schema("occurrence_json", LABELS)
    assert unwrap_answer(answer, schema) == answer


def test_formats_without_a_schema():
    for name in set(FORMATS) - set(JSON_FORMATS):
        assert answer_schema(name, LABELS) is None
    for name in JSON_FORMATS:
        assert answer_schema(name, ()) is None


@pytest.mark.parametrize("name", FORMATS)
def test_client_requests_the_schema_of_the_format(name):
    written = get_format(name).render(TEXT, SPANS, LABELS)
    answer = (
        json.dumps(wrapped(name, written), indent=1) if name in ANSWERS else written
    )
    with Server(lambda call: answer, key=None) as server:
        client = make_client(server, api_key_env=None)
        assert client.answer([sample_prompt(format=name), "other"]) == [written, answer]
        sent = {call.prompt: call.body for call in server.calls}
        asked = sent[sample_prompt(format=name)].get("response_format")
        schema = answer_schema(name, LABELS)
        assert asked == (response_format(schema) if name in ANSWERS else None)
        assert "response_format" not in sent["other"]
        assert server.rejected == []

        client = make_client(server, api_key_env=None, structured=False)
        assert client.answer([sample_prompt(format=name)]) == [answer]
        assert "response_format" not in server.calls[-1].body
