"""Validation of requests of the OpenAI protocol."""

import json
import re
from collections.abc import Callable
from typing import Any

# The kinds of servers, which differ in the parameters of completions. The real ones
# ignore what they do not know.
OPENAI, VLLM, LLAMA_CPP, TEXT_ONLY = "openai", "vllm", "llama.cpp", "text only"


def fault(kind: str, body: Any, server: str = OPENAI) -> str | None:
    """RETURNS (str | None): The fault of a request."""
    if not isinstance(body, dict):
        return "the body is no object"
    prompt = {"chat": "messages", "completion": "prompt"}[kind]
    for key in ("model", prompt):
        if key not in body:
            return f"you must provide a {key} parameter"
    checks = {**_CHECKS, prompt: _PROMPTS[kind], "logprobs": _LOGPROBS[kind]}
    if kind == "completion":
        checks.update(_COMPLETIONS[server])
    if kind == "chat":
        checks["top_logprobs"] = lambda value: _whole(value) and 0 <= value <= 20
    for key, value in body.items():
        if key not in checks:
            return f"Unrecognized request argument supplied: {key}"
        if not checks[key](value):
            return f"Invalid value for '{key}': {json.dumps(value)[:80]}"
    if "top_logprobs" in body and body.get("logprobs") is not True:
        return "'top_logprobs' needs 'logprobs'"
    if "max_tokens" in body and "max_completion_tokens" in body:
        return "'max_tokens' and 'max_completion_tokens' exclude each other"
    if "response_format" in body:
        return response_format_fault(body["response_format"])
    return None


def response_format_fault(value: Any) -> str | None:
    """RETURNS (str | None): The fault of a value of `response_format`."""
    where = "Invalid 'response_format'"
    if isinstance(value, dict) and value.get("type") == "json_object":
        # The form of llama-cpp-python. OpenAI allows no schema here.
        wrong = schema_fault(value.get("schema"))
        keys = set(value) == {"type", "schema"}
        return (wrong and f"{where}: {wrong}") if keys else f"{where}: keys"
    if not isinstance(value, dict) or set(value) != {"type", "json_schema"}:
        return f"{where}: keys"
    named = value["json_schema"]
    if value["type"] != "json_schema" or not isinstance(named, dict):
        return f"{where}: type"
    if set(named) != {"name", "strict", "schema"} or named["strict"] is not True:
        return f"{where}: 'strict' is not true"
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(named["name"])):
        return f"{where}: name"
    if named["schema"].get("type") != "object":
        return f"{where}: the schema must be of the type 'object'"
    wrong = schema_fault(named["schema"])
    return wrong and f"{where}: {wrong}"


def schema_fault(schema: Any) -> str | None:
    """RETURNS (str | None): The fault of a schema for strict outputs."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    allowed = {
        "object": {"type", "properties", "required", "additionalProperties"},
        "array": {"type", "items"},
        "string": {"type", "enum"},
        "integer": {"type"},
    }
    if kind not in allowed or not set(schema) <= allowed[kind]:
        return f"not a schema: {schema!r}"
    if kind == "array":
        return schema_fault(schema.get("items"))
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            return "an object without properties"
        if schema.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be false"
        if schema.get("required") != list(properties):
            return "'required' is required to hold every key"
        faults = (schema_fault(value) for value in properties.values())
        return next((wrong for wrong in faults if wrong), None)
    if "enum" in schema:
        words = schema["enum"]
        if not isinstance(words, list) or not words or len(set(words)) < len(words):
            return f"'enum' is {words!r}"
        if not all(isinstance(word, str) for word in words):
            return f"'enum' is {words!r}"
    return None


def _whole(value: Any) -> bool:
    return type(value) is int


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(message, dict)
            and set(message) == {"role", "content"}
            and message["role"] in ("system", "user", "assistant")
            and isinstance(message["content"], str)
            for message in value
        )
    )


def _are_stops(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 4
        and all(isinstance(stop, str) and stop for stop in value)
    )


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_whole, value))


def _is_grammar(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("root ::= ")


def _is_structure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"grammar"}
        and _is_grammar(value["grammar"])
    )


_PROMPTS = {"chat": _are_messages, "completion": lambda value: isinstance(value, str)}
_LOGPROBS = {
    "chat": lambda value: type(value) is bool,
    "completion": lambda value: _whole(value) and 0 <= value <= 5,
}
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str),
    "temperature": lambda value: _number(value) and 0 <= value <= 2,
    "max_tokens": lambda value: _whole(value) and value >= 1,
    "max_completion_tokens": lambda value: _whole(value) and value >= 1,
    "response_format": lambda value: True,
    "stop": _are_stops,
    "seed": _whole,
    "top_p": lambda value: _number(value) and 0 < value <= 1,
}
# What each kind of server takes in addition to OpenAI's parameters, or instead.
_COMPLETIONS: dict[str, dict[str, Callable[[Any], bool]]] = {
    OPENAI: {},
    VLLM: {
        "prompt": _are_ids,
        "structured_outputs": _is_structure,
        "stop_token_ids": _are_ids,
        "logprobs": lambda value: _whole(value) and 0 <= value <= 20,
    },
    LLAMA_CPP: {
        "prompt": _are_ids,
        "grammar": _is_grammar,
        "repeat_penalty": lambda value: value == 1.0,
    },
    TEXT_ONLY: {},
}
