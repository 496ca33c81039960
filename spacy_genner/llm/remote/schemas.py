"""The JSON schemas of answers, and answers brought from their schema to the format.

Strict structured outputs want an object at the top, every key required and no other
allowed, so that a list of spans is wrapped in one.
"""

import json
from collections.abc import Sequence
from typing import Any

WRAPPER = "entities"
_PLACES = {"occurrence_json": ("occurrence_index",), "offset_json": ("start", "end")}


def answer_schema(format_name: str, labels: Sequence[str]) -> dict[str, Any] | None:
    """The schema of an answer.

    format_name (str): The output format.
    labels (Sequence[str]): The labels.
    RETURNS (Optional[Dict[str, Any]]): The schema; None for a format that is not JSON,
        and where there are no labels.
    """
    if not labels:
        return None
    if format_name == "grouped_json":
        texts = {"type": "array", "items": {"type": "string"}}
        return _object({label: texts for label in labels})
    if format_name not in _PLACES:
        return None
    entry = {
        "text": {"type": "string"},
        "label": {"type": "string", "enum": list(labels)},
        **{key: {"type": "integer"} for key in _PLACES[format_name]},
    }
    return _object({WRAPPER: {"type": "array", "items": _object(entry)}})


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """How a request asks for answers of a schema.

    schema (Dict[str, Any]): The schema.
    RETURNS (Dict[str, Any]): The value of `response_format`.
    """
    named = {"name": WRAPPER, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def as_json_object(asked: dict[str, Any]) -> dict[str, Any]:
    """How servers of llama.cpp's kind are asked for the same.

    asked (Dict[str, Any]): What `response_format` gave.
    RETURNS (Dict[str, Any]): The value of `response_format` there.
    """
    return {"type": "json_object", "schema": asked["json_schema"]["schema"]}


def unwrapped(written: str, schema: dict[str, Any]) -> str:
    """Write an answer that fits its schema as the format has it: without the wrapper,
    keys in their order, spaced as `json.dumps` does.

    written (str): The answer.
    schema (Dict[str, Any]): The schema that was asked for.
    RETURNS (str): The answer in its format; as it was where it does not fit, which is
        for the format's parser to report.
    """
    try:
        value = _arranged(json.loads(written, object_pairs_hook=_pairs), schema)
        if list(schema["properties"]) == [WRAPPER] and _is_list(schema, WRAPPER):
            value = value[WRAPPER]
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return written


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _is_list(schema: dict[str, Any], key: str) -> bool:
    # A label may be named as the wrapper is; its list holds strings.
    return bool(schema["properties"][key]["items"]["type"] == "object")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _arranged(value: Any, schema: dict[str, Any]) -> Any:
    kind = schema["type"]
    if kind == "object":
        keys = list(schema["properties"])
        if not isinstance(value, dict) or set(value) != set(keys):
            raise ValueError("other keys")
        return {key: _arranged(value[key], schema["properties"][key]) for key in keys}
    if kind == "array":
        if not isinstance(value, list):
            raise ValueError("no list")
        return [_arranged(item, schema["items"]) for item in value]
    expected = str if kind == "string" else int
    if type(value) is not expected:
        raise ValueError(f"no {kind}")
    return value
