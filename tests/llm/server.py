"""A small server of the OpenAI protocol that rejects every invalid request.

A script, which is a function of the request, chooses the response to each valid one.
Invalid requests are rejected as by OpenAI and recorded in `rejected`.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from server_protocol import OPENAI, fault

MODEL = "test-model"
KEY = "sk-test-0123456789abcdefghij"
PATHS = {"/v1/chat/completions": "chat", "/v1/completions": "completion"}


@dataclass(frozen=True)
class Respond:
    """A response with an answer."""

    text: Any
    finish: Any = "stop"
    logprobs: Any = None
    usage: Any = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 2}
    )
    headers: dict[str, str] = field(default_factory=dict)
    refusal: str | None = None


@dataclass(frozen=True)
class Fail:
    """A response with an error."""

    status: int
    message: str = "no"
    code: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """A response with any content."""

    content: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """No response, until the server is closed."""


@dataclass(frozen=True)
class Drip:
    """A response that is sent byte by byte until the server is closed."""


@dataclass(frozen=True)
class Cut:
    """A response that is shorter than its content length."""

    text: str = "cut"


@dataclass(frozen=True)
class Call:
    """A valid request.

    `number` counts all of them from 1, `attempt` those with the same prompt.
    """

    kind: str
    body: dict[str, Any]
    prompt: str
    number: int
    attempt: int
    headers: dict[str, str]


Script = Callable[[Call], Any]


class Server:
    """The server; `with Server(script) as server` runs it."""

    def __init__(
        self,
        script: Script | None = None,
        key: str | None = KEY,
        kind: str = OPENAI,
        models: tuple[str, ...] = (MODEL,),
    ):
        self.kind = kind
        self.models = models
        self.script = script or (lambda call: Respond(f"answer to {call.prompt}"))
        self.key = key
        self.calls: list[Call] = []
        self.rejected: list[str] = []
        self.in_flight = self.max_in_flight = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._attempts: Counter[str] = Counter()
        self._http = _Threads(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.over.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def call(self, kind: str, body: dict[str, Any], headers: dict[str, str]) -> Call:
        prompt = body["messages"][-1]["content"] if kind == "chat" else body["prompt"]
        if isinstance(prompt, list):
            prompt = " ".join(map(str, prompt))
        with self.lock:
            self._attempts[prompt] += 1
            attempt = self._attempts[prompt]
            number = len(self.calls) + 1
            call = Call(kind, body, prompt, number, attempt, headers)
            self.calls.append(call)
        return call


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    # More connections than the default may be waiting.
    request_queue_size = 128
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise each small response waits until the previous one is acknowledged.
    disable_nagle_algorithm = True
    server: _Threads

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.in_flight += 1
            owner.max_in_flight = max(owner.max_in_flight, owner.in_flight)
        counted = True

        def leave() -> None:
            # Before the response, as the client may send the next request immediately.
            nonlocal counted
            with owner.lock:
                owner.in_flight -= counted
                counted = False

        try:
            self._respond(owner, leave)
        finally:
            leave()

    def do_GET(self) -> None:
        self._refuse(405, "only POST is allowed")

    do_PUT = do_DELETE = do_PATCH = do_GET

    def _respond(self, owner: Server, leave: Callable[[], None]) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = PATHS.get(self.path)
        if kind is None:
            return self._refuse(404, f"Invalid URL (POST {self.path})")
        sent = self.headers.get("Authorization")
        if sent != (f"Bearer {owner.key}" if owner.key else None):
            return self._refuse(401, f"Incorrect API key provided: {sent}.")
        if self.headers.get("Content-Type") != "application/json":
            return self._refuse(400, "the content type is not application/json")
        try:
            body = json.loads(raw)
        except ValueError:
            return self._refuse(400, "We could not parse the JSON body of your request")
        wrong = fault(kind, body, owner.kind)
        if wrong:
            return self._refuse(400, wrong)
        if body["model"] not in owner.models:
            message = f"The model `{body['model']}` does not exist"
            return self._refuse(404, message, "model_not_found")
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = owner.call(kind, body, headers)
        action = owner.script(call)
        if isinstance(action, str):
            action = Respond(action)
        if isinstance(action, (Hang, Drip)):
            return self._stall(owner, isinstance(action, Drip))
        leave()
        if isinstance(action, Fail):
            content = _error(action.message, action.code)
            return self._send(action.status, content, headers=action.headers)
        if isinstance(action, Raw):
            return self._send(
                action.status, action.content, action.content_type, action.headers
            )
        if isinstance(action, Cut):
            content = json.dumps(_response(call, Respond(action.text))).encode()
            self._send(200, content[: len(content) // 2], length=len(content))
            self.close_connection = True
            return None
        content = json.dumps(_response(call, action)).encode()
        return self._send(200, content, headers=action.headers)

    def _stall(self, owner: Server, dripping: bool) -> None:
        self.close_connection = True
        if dripping:
            self._send(200, b"", length=10_000)
        while not owner.over.wait(0.02):
            if dripping:
                self.wfile.write(b" ")
                self.wfile.flush()

    def _refuse(self, status: int, message: str, code: str | None = None) -> None:
        with self.server.owner.lock:
            self.server.owner.rejected.append(f"{status}: {message}")
        self._send(status, _error(message, code))

    def _send(
        self,
        status: int,
        content: bytes,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length or len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def _error(message: str, code: Any) -> bytes:
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }
    return json.dumps({"error": error}).encode()


def _response(call: Call, answer: Respond) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": answer.finish}
    if call.kind == "chat":
        choice["message"] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": answer.refusal,
        }
    else:
        choice["text"] = answer.text
    choice["logprobs"] = answer.logprobs
    named = {"chat": "chat.completion", "completion": "text_completion"}[call.kind]
    response = {
        "id": f"x-{call.number}",
        "object": named,
        "created": 0,
        "model": call.body["model"],
        "choices": [choice],
    }
    return response if answer.usage is None else {**response, "usage": answer.usage}
