"""The test server rejects every request that is not of the protocol."""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from server import KEY, MODEL, Server

MESSAGES = [{"role": "user", "content": "a"}]
CHAT = {"model": MODEL, "messages": MESSAGES}


def send(url, content=None, **headers):
    """Send a POST request, or a GET request if there is no content."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(url, content, headers)) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def post(server, body, path="/chat/completions", **headers):
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    content = json.dumps(body).encode()
    return send(server.url + path, content, Content_Type="application/json", **headers)


def test_valid_requests():
    with Server() as server:
        body = {**CHAT, "temperature": 0, "stop": ["x"], "seed": 1}
        status, chat = post(server, body)
        assert status == 200
        assert chat["choices"][0]["message"]["content"] == "answer to a"
        body = {"model": MODEL, "prompt": "a", "logprobs": 5, "max_tokens": 1}
        _, completion = post(server, body, "/completions")
        assert completion["choices"][0]["text"] == "answer to a"
        assert server.rejected == [] and len(server.calls) == 2


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"messages": MESSAGES},
        {"model": MODEL},
        {"model": 3, "messages": MESSAGES},
        {"model": MODEL, "messages": []},
        {"model": MODEL, "messages": [{"role": "user"}]},
        {"model": MODEL, "messages": [{"role": "me", "content": "a"}]},
        {"model": MODEL, "messages": [{"role": "user", "content": None}]},
        {**CHAT, "prompt": "a"},
        {**CHAT, "temperature": "0"},
        {**CHAT, "temperature": 3},
        {**CHAT, "max_tokens": 0},
        {**CHAT, "max_tokens": 1.5},
        {**CHAT, "max_tokens": 1, "max_completion_tokens": 1},
        {**CHAT, "max_tokens": None},
        {**CHAT, "logprobs": 5},
        {**CHAT, "top_logprobs": 5},
        {**CHAT, "logprobs": True, "top_logprobs": 21},
        {**CHAT, "stop": []},
        {**CHAT, "cache": None},
        {**CHAT, "response_format": {"type": "json_schema"}},
        {
            **CHAT,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a b", "strict": True, "schema": {}},
            },
        },
    ],
)
def test_invalid_requests(body):
    with Server() as server:
        status, response = post(server, body)
        assert status == 400
        error = response["error"]
        assert error["message"] and error["type"] == "invalid_request_error"
        assert len(server.rejected) == 1 and server.calls == []


def test_invalid_calls():
    with Server() as server:
        assert post(server, CHAT, "/chat")[0] == 404
        assert post(server, CHAT, Authorization="x")[0] == 401
        assert post(server, {**CHAT, "model": "other"})[0] == 404
        url = server.url + "/chat/completions"
        assert send(url)[0] == 405
        authorization = f"Bearer {KEY}"
        assert send(url, b"{}", Authorization=authorization)[0] == 400
        json_type = {"Content_Type": "application/json"}
        assert send(url, b"{", Authorization=authorization, **json_type)[0] == 400
        assert len(server.rejected) == 6 and server.calls == []
    with Server(key=None) as server:
        assert post(server, CHAT)[0] == 401
