"""The test server rejects every request that is not of the protocol."""

import httpx
import pytest
from server import KEY, MODEL, Server

MESSAGES = [{"role": "user", "content": "a"}]
CHAT = {"model": MODEL, "messages": MESSAGES}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def post(server, body, path="/chat/completions", **headers):
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    return httpx.post(server.url + path, json=body, headers=headers)


def test_valid_requests():
    with Server() as server:
        chat = post(server, {**CHAT, "temperature": 0, "stop": ["x"], "seed": 1})
        assert chat.status_code == 200
        assert chat.json()["choices"][0]["message"]["content"] == "answer to a"
        body = {"model": MODEL, "prompt": "a", "logprobs": 5, "max_tokens": 1}
        completion = post(server, body, "/completions")
        assert completion.json()["choices"][0]["text"] == "answer to a"
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
        response = post(server, body)
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["message"] and error["type"] == "invalid_request_error"
        assert len(server.rejected) == 1 and server.calls == []


def test_invalid_calls():
    with Server() as server:
        assert post(server, CHAT, "/chat").status_code == 404
        assert post(server, CHAT, Authorization="x").status_code == 401
        assert post(server, {**CHAT, "model": "other"}).status_code == 404
        url = server.url + "/chat/completions"
        assert httpx.get(url).status_code == 405
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx.post(url, content=b"{}", headers=headers).status_code == 400
        headers["Content-Type"] = "application/json"
        assert httpx.post(url, content=b"{", headers=headers).status_code == 400
        assert len(server.rejected) == 6 and server.calls == []
    with Server(key=None) as server:
        assert post(server, CHAT).status_code == 401
