"""The HTTP interface of a server, as a FastAPI application.

A `Guard` around the application checks the token and the size of each request, reads
its body, and counts its response. The routes validate the content, and pass the texts
to the batcher of the model. Every error is JSON with a code and a message.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors import Errors
from ..io import has_lone_surrogate, parse_json
from .batcher import (
    FAILED,
    LOADING,
    READY,
    RETRY_SECONDS,
    STOPPED,
    NotAccepting,
    PendingRequest,
    QueueFull,
    RequestBatcher,
)
from .metrics import Metrics
from .models import Record, ServedModel, select_spans
from .schemas import (
    ANSWER,
    EXAMPLES,
    AnnotateRequest,
    AnnotateResponse,
    ErrorResponse,
    ModelList,
    Status,
)
from .settings import ServeSettings

# Without a token: checks of an orchestrator, and the description of the interface.
OPEN_PATHS = ("/health", "/ready", "/docs", "/openapi.json")
# The key of a request's deadline in its ASGI scope.
_DEADLINE = "genner.deadline"
_SHOWN = 40
CLIENT_CLOSED_REQUEST = 499

DESCRIPTION = """Annotates texts with nested spans.

`start` and `end` of a span count **characters** (Unicode code points, as Python does)
from 0; `end` is exclusive. JavaScript and Java count UTF-16 units instead, which differ
after an emoji: use `Array.from(text)` and `codePoints()`.

A text that fails has the status `failed`, with the reason under `error`; the other
texts of the request are annotated. Every other error has a code and a remedy:
`{"error": {"code": "G813", "message": "..."}}`.
"""


class ApiError(HTTPException):
    """An error with a code, as a response.

    status (HTTPStatus): The status of the response.
    message (str): A message of `Errors`.
    retry_after (int | None): The seconds after which to try again.
    """

    def __init__(
        self, status: HTTPStatus, message: str, retry_after: int | None = None
    ):
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(int(status), message, headers)


def _error_response(error: HTTPException, metrics: Metrics) -> JSONResponse:
    code, _, message = str(error.detail)[1:].partition("] ")
    metrics.count_error(code)
    return JSONResponse(
        {"error": {"code": code, "message": message}},
        status_code=error.status_code,
        headers=error.headers,
    )


class Service:
    """The models of a server with their batchers, and its state.

    models (Sequence[ServedModel]): The models. Their names differ.
    settings (ServeSettings): The settings.
    token (str | None): The token that clients send; None to serve everybody.

    metrics (Metrics): The metrics.
    active (int): The number of requests in progress.
    is_stopping (bool): Whether the server refuses further texts.
    stops_at (float): The time (`time.monotonic`) at which a server that stops fails
        the requests that are not finished.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        settings: ServeSettings,
        token: str | None = None,
    ):
        self.models = {model.name: model for model in models}
        self.settings = settings
        self.token = token
        self.metrics = Metrics()
        self.active = 0
        self.is_stopping = False
        self.stops_at = 0.0
        self.batchers: dict[str, RequestBatcher[Record]] = {}
        for name, model in self.models.items():
            batcher = self.batchers[name] = RequestBatcher[Record](
                model.annotate,
                name=f"genner-{name}",
                batch_size=settings.batch_size,
                max_wait=settings.max_wait_ms / 1000,
                queue_size=settings.queue_size,
                prepare=model.load,
                on_batch=partial(self.metrics.count_batch, name),
            )
            self.metrics.watch(name, batcher)
        self.metrics.watch_requests(lambda: self.active)

    @property
    def states(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): The state of each model."""
        return {name: batcher.state for name, batcher in self.batchers.items()}

    @property
    def state(self) -> str:
        """RETURNS (str): "ready" if all models are, otherwise "failed", "stopping" or
        "loading"."""
        states = set(self.states.values())
        if FAILED in states or not self.is_alive:
            return FAILED
        if self.is_stopping:
            return "stopping"
        return READY if states == {READY} else LOADING

    @property
    def is_alive(self) -> bool:
        """RETURNS (bool): Whether no thread of a model has ended unexpectedly."""
        return all(
            batcher.is_alive or batcher.state in (LOADING, STOPPED)
            for batcher in self.batchers.values()
        )

    @property
    def failure(self) -> Exception | None:
        """RETURNS (Exception | None): Why a model could not be loaded."""
        failures = (batcher.failure for batcher in self.batchers.values())
        return next((failure for failure in failures if failure is not None), None)

    @property
    def is_idle(self) -> bool:
        """RETURNS (bool): Whether there is neither a request nor a batch."""
        waiting = any(each.queued or each.running for each in self.batchers.values())
        return not self.active and not waiting

    def start(self) -> None:
        """Start to load the models."""
        for batcher in self.batchers.values():
            batcher.start()

    def stop(self) -> None:
        """Refuse further texts, and finish those that wait."""
        if not self.is_stopping:
            self.stops_at = time.monotonic() + self.settings.grace
        self.is_stopping = True
        for batcher in self.batchers.values():
            batcher.close()

    def abort(self) -> int:
        """Refuse further texts, and fail the requests that are not finished.

        RETURNS (int): The number of requests that failed.
        """
        self.is_stopping = True
        return sum(batcher.abort() for batcher in self.batchers.values())

    def choose_model(self, name: str | None) -> ServedModel:
        """Find the model of a request.

        name (str | None): Its name. None for the only model of the server.
        RETURNS (ServedModel): The model.
        RAISES (ApiError): There is no such model, or there are several.
        """
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name is None or name not in self.models:
            status, found = HTTPStatus.UNPROCESSABLE_ENTITY, "missing"
            if name is not None:
                status, found = HTTPStatus.NOT_FOUND, _shown(name)
            expected = ", ".join(map(repr, self.models))
            raise ApiError(status, Errors.G812.format(found=found, expected=expected))
        return self.models[name]

    def check(self, request: AnnotateRequest, model: ServedModel) -> None:
        """Check the texts and labels of a request.

        request (AnnotateRequest): The request.
        model (ServedModel): Its model.
        RAISES (ApiError): There are too many texts, a text is too long or is not valid
            Unicode, or a label is unknown.
        """
        settings, count = self.settings, len(request.texts)
        message = ""
        if count > settings.max_texts:
            message = Errors.G809.format(found=count, limit=settings.max_texts)
        for index, text in enumerate(request.texts if not message else ()):
            if len(text) > settings.max_chars:
                message = Errors.G810.format(
                    index=index, found=len(text), limit=settings.max_chars
                )
            elif has_lone_surrogate(text):
                reason = f"'texts.{index}' contains half of a character (a surrogate)"
                message = Errors.G808.format(reason=reason, expected="valid Unicode")
        unknown = sorted(set(request.labels or ()) - set(model.labels))
        if unknown and not message:
            message = Errors.G811.format(
                model=model.name,
                found=", ".join(_shown(label) for label in unknown[:5]),
                expected=", ".join(map(repr, model.labels)),
            )
        if message:
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message)

    async def annotate(
        self, request: AnnotateRequest, deadline: float, receive: Receive
    ) -> tuple[str, list[Record]]:
        """Annotate the texts of a request, together with those of other requests.

        request (AnnotateRequest): The request.
        deadline (float): The time (`time.monotonic`) at which it has to be finished.
        receive (Receive): Receives the message that the client has gone.
        RETURNS (tuple[str, list[Record]]): The name of the model, and the selected
            spans of each text, in order.
        RAISES (ApiError): The request can't be used, the queue is full, the server
            stops, or the time is over.
        RAISES (ClientDisconnect): The client has gone.
        """
        model = self.choose_model(request.model)
        self.check(request, model)
        batcher = self.batchers[model.name]
        try:
            pending = batcher.submit(request.texts, deadline)
            records = await self._wait(model.name, pending, receive)
        except QueueFull as error:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS, str(error), error.retry_after
            ) from None
        except NotAccepting as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE, str(error), error.retry_after
            ) from None
        for record in records:
            self.metrics.count_record(model.name, record)
        wanted = None if request.labels is None else set(request.labels)
        return model.name, [
            select_spans(record, wanted, request.min_score) for record in records
        ]

    async def _wait(
        self, name: str, pending: PendingRequest[Record], receive: Receive
    ) -> list[Record]:
        """Wait for the results, until the deadline or until the client has gone."""
        finished = asyncio.ensure_future(asyncio.wrap_future(pending.future))
        gone = asyncio.ensure_future(_until_disconnected(receive))
        try:
            left = max(pending.deadline - time.monotonic(), 0.0)
            await asyncio.wait(
                (finished, gone), timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if finished.done():
                return finished.result()
            if gone.done():
                raise ClientDisconnect
        finally:
            gone.cancel()
            if not finished.done():
                dropped = self.batchers[name].cancel(pending)
                self.metrics.count_dropped(name, dropped)
                finished.cancel()
        message = Errors.G814.format(
            limit=f"{self.settings.timeout:g}",
            dropped=pending.dropped,
            texts=len(pending.texts),
        )
        raise ApiError(HTTPStatus.GATEWAY_TIMEOUT, message)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Guard:
    """ASGI middleware: checks the token and the limits of a request, reads its body,
    and counts its response.

    app (ASGIApp): The application.
    service (Service): The service.
    """

    def __init__(self, app: ASGIApp, service: Service):
        self.app = app
        self.service = service
        # HTTP sends a header in Latin-1.
        token = service.token
        self._expected = None if token is None else f"bearer {token}".encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        service, started = self.service, time.monotonic()
        scope[_DEADLINE] = started + service.settings.timeout
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if service.is_stopping:
                    # The client should connect to another server.
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            await send(message)

        service.active += 1
        try:
            self._check_token(scope)
            body = await self._read_body(scope, receive)
            await self.app(scope, _replay(body, receive), send_counted)
        except ApiError as error:
            response = _error_response(error, service.metrics)
            await response(scope, receive, send_counted)
        except ClientDisconnect:
            # Nobody receives a response. nginx logs this status.
            status = CLIENT_CLOSED_REQUEST
        finally:
            service.active -= 1
            # Paths that somebody invents share a name, so that their number is limited.
            path = scope["path"] if scope["path"] in PATHS else "other"
            seconds = time.monotonic() - started
            service.metrics.count_request(path, status, seconds)

    def _check_token(self, scope: Scope) -> None:
        is_preflight = scope["method"] == "OPTIONS"
        if self._expected is None or scope["path"] in OPEN_PATHS or is_preflight:
            return
        found = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = found.partition(b" ")
        given = kind.lower() + b" " + token.strip()
        if not hmac.compare_digest(given, self._expected):
            raise ApiError(HTTPStatus.UNAUTHORIZED, Errors.G817)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body, within the limits of size, number and time."""
        settings = self.service.settings
        if scope["method"] == "POST" and self.service.active > settings.max_requests:
            message = Errors.G816.format(limit=settings.max_requests, seconds=1)
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, message, 1)
        announced = dict(scope["headers"]).get(b"content-length", b"0")[:20]
        self._check_size(int(announced) if announced.isdigit() else 0)
        try:
            return await asyncio.wait_for(
                self._receive_all(receive), scope[_DEADLINE] - time.monotonic()
            )
        except asyncio.TimeoutError:
            message = Errors.G805.format(limit=f"{settings.timeout:g}")
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT, message) from None

    async def _receive_all(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            self._check_size(len(body))
            if not message.get("more_body", False):
                return bytes(body)

    def _check_size(self, size: int) -> None:
        limit = self.service.settings.max_body
        if size > limit:
            message = Errors.G807.format(found=size, limit=limit)
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receive a body that has been read already, and then what follows."""
    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


class _JsonRequest(Request):
    """A request whose JSON is limited in depth, and whose errors have a code."""

    async def json(self) -> Any:
        try:
            return parse_json((await self.body()).decode("utf-8"))
        except ValueError as error:
            # Among them are the errors of JSON and of UTF-8.
            reason = f"its body is not JSON ({error})"
            message = Errors.G808.format(reason=reason, expected="a JSON object")
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message)


class _JsonRoute(APIRoute):
    """A route that parses its body with `_JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


def _errors(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The description of the errors of a route."""
    return {
        int(status): {"model": ErrorResponse, "description": DESCRIPTIONS[status]}
        for status in statuses
    }


DESCRIPTIONS = {
    HTTPStatus.UNAUTHORIZED: "The token is missing or wrong (G817).",
    HTTPStatus.NOT_FOUND: "The server has no such model (G812).",
    HTTPStatus.REQUEST_TIMEOUT: "The body was not received in time (G805).",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large (G807).",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The content of the request can't be used, such "
    "as too many texts or an unknown label (G808 to G812).",
    HTTPStatus.TOO_MANY_REQUESTS: "The queue is full. Retry-After has the seconds "
    "after which to try again (G813, G816).",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An error of the server (G819).",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server starts or stops (G815).",
    HTTPStatus.GATEWAY_TIMEOUT: "The time of the request is over (G814).",
}
PATHS = ("/annotate", "/models", "/metrics", *OPEN_PATHS)


def create_app(
    models: Sequence[ServedModel],
    settings: ServeSettings | None = None,
    token: str | None = None,
) -> FastAPI:
    """Create the application of a server. Its lifespan starts and stops the threads of
    the models.

    models (Sequence[ServedModel]): The models.
    settings (ServeSettings | None): The settings. Defaults to the default settings.
    token (str | None): The token that clients send; None to serve everybody.
    RETURNS (FastAPI): The application. `app.state.service` is its `Service`.
    """
    settings = ServeSettings() if settings is None else settings
    service = Service(models, settings, token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()
            threads = service.batchers.values()
            while any(each.is_alive for each in threads):
                if time.monotonic() > service.stops_at:
                    service.abort()
                    break
                await asyncio.sleep(0.01)

    app = FastAPI(
        title="spacy-genner",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        dependencies=[] if token is None else [Depends(HTTPBearer(auto_error=False))],
    )
    app.state.service = service
    app.router.route_class = _JsonRoute
    _add_error_handlers(app, service.metrics)
    _add_routes(app, service)
    # The last middleware is the outermost one: responses of the guard have the headers
    # of CORS, too.
    app.add_middleware(Guard, service=service)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    return app


def _add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    async def handle_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if not isinstance(error, ApiError):
            phrase = HTTPStatus(error.status_code).phrase
            message = Errors.G818.format(
                method=request.method,
                path=_shown(request.url.path),
                reason=phrase.lower(),
                expected=", ".join(PATHS),
            )
            error = HTTPException(error.status_code, message, error.headers)
        return _error_response(error, metrics)

    async def handle_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = error.errors()
        reason = "; ".join(map(_problem, problems[:3]))
        if len(problems) > 3:
            reason += f"; and {len(problems) - 3} more"
        expected = "a JSON object with 'texts', a list of strings, and optionally "
        expected += "'model', 'labels' and 'min_score', sent as application/json"
        message = Errors.G808.format(reason=reason, expected=expected)
        refused = ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message)
        return _error_response(refused, metrics)

    async def handle_bug(_: Request, error: Exception) -> Response:
        # Starlette raises the error again for the log.
        failed = ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, Errors.G819)
        return _error_response(failed, metrics)

    app.add_exception_handler(HTTPException, handle_http)
    app.add_exception_handler(RequestValidationError, handle_invalid)
    app.add_exception_handler(Exception, handle_bug)


def _problem(problem: dict[str, Any]) -> str:
    """A problem that pydantic found, with the place and the value."""
    place = ".".join(str(part) for part in problem["loc"][1:])
    reason = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] in ("missing", "extra_forbidden") and place:
        return f"'{place}': {reason}"
    where = f"'{place}'" if place else "the body"
    return f"{where} is {_shown(problem['input'])}: {reason}"


def _shown(value: Any) -> str:
    """The repr of a value of a client, cut and in ASCII."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/annotate",
        response_model=AnnotateResponse,
        summary="Annotate texts",
        responses={
            200: {"content": {"application/json": {"example": ANSWER}}},
            **_errors(*DESCRIPTIONS),
        },
    )
    async def annotate(
        body: Annotated[AnnotateRequest, Body(openapi_examples=EXAMPLES)],
        request: Request,
    ) -> Response:
        deadline = request.scope[_DEADLINE]
        name, records = await service.annotate(body, deadline, request.receive)
        content = {"model": name, "unit": "characters", "results": records}
        return JSONResponse(content)

    @app.get(
        "/models",
        response_model=ModelList,
        summary="List the models and their labels",
        responses=_errors(HTTPStatus.UNAUTHORIZED),
    )
    async def list_models() -> Response:
        states = service.states
        models = [
            {**model.describe(), "state": states[name]}
            for name, model in service.models.items()
        ]
        return JSONResponse({"models": models})

    @app.get(
        "/health",
        response_model=Status,
        summary="Whether the process works; otherwise restart it",
        responses={503: {"model": Status, "description": "A model has failed."}},
    )
    async def health() -> Response:
        state = service.state
        content = {"status": state, "models": service.states}
        return JSONResponse(content, 503 if state == FAILED else 200)

    @app.get(
        "/ready",
        response_model=Status,
        summary="Whether the server accepts texts",
        responses={503: {"model": Status, "description": "It loads or stops."}},
    )
    async def ready() -> Response:
        state = service.state
        content = {"status": state, "models": service.states}
        if state == READY:
            return JSONResponse(content)
        return JSONResponse(content, 503, {"Retry-After": str(RETRY_SECONDS)})

    @app.get(
        "/metrics",
        response_class=Response,
        summary="Metrics for Prometheus",
        responses=_errors(HTTPStatus.UNAUTHORIZED),
    )
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=Metrics.content_type)
