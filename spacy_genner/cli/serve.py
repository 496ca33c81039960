"""`genner serve`: annotate texts over HTTP."""

from importlib.util import find_spec
from typing import Annotated, Any

import typer

from ..errors import Errors
from ..serving.settings import (
    LOG_LEVELS,
    TOKEN_VARIABLE,
    VARIABLE_PREFIX,
    ServeSettings,
    check_access,
    read_token,
)
from ._util import Code, GpuId, SpansKey, app, choice, choose_gpu, reports_errors

# The modules of the extra.
REQUIRED = ("fastapi", "prometheus_client", "uvicorn")
DEFAULTS = ServeSettings()


def _variable(flag: str) -> str:
    """The environment variable of an option."""
    name = flag.partition("/")[0].removeprefix("--")
    return VARIABLE_PREFIX + name.replace("-", "_").upper()


def _option(flag: str, help: str, **settings: Any) -> Any:
    """An option that an environment variable can set, too."""
    return typer.Option(flag, envvar=_variable(flag), help=help, **settings)


@app.command("serve")
@reports_errors
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODEL...",
            help="Saved or installed pipelines, or those of the Hugging Face hub. "
            "Requests choose one by its name, by default the last part of its path.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str,
        _option(
            "--host",
            "The address to listen on. An address that other machines can reach "
            "requires a token.",
        ),
    ] = DEFAULTS.host,
    port: Annotated[
        int,
        _option("--port", "The port; 0 for any free one.", min=0, max=65535),
    ] = DEFAULTS.port,
    without_token: Annotated[
        bool,
        _option(
            "--without-token",
            "Serve other machines without a token.",
        ),
    ] = False,
    spans_key: SpansKey = None,
    batch_size: Annotated[
        int,
        _option(
            "--batch-size",
            "The maximum number of texts that a model processes together.",
            min=1,
        ),
    ] = DEFAULTS.batch_size,
    max_wait_ms: Annotated[
        float,
        _option(
            "--max-wait-ms",
            "The milliseconds that the first text of a batch waits for texts of other "
            "requests.",
            min=0,
            max=10_000,
        ),
    ] = DEFAULTS.max_wait_ms,
    queue_size: Annotated[
        int,
        _option(
            "--queue-size",
            "The maximum number of texts that wait for a model. Further requests get "
            "status 429.",
            min=1,
        ),
    ] = DEFAULTS.queue_size,
    max_texts: Annotated[
        int, _option("--max-texts", "The maximum number of texts in a request.", min=1)
    ] = DEFAULTS.max_texts,
    max_chars: Annotated[
        int,
        _option("--max-chars", "The maximum number of characters in a text.", min=1),
    ] = DEFAULTS.max_chars,
    max_body: Annotated[
        int, _option("--max-body", "The maximum size of a request in bytes.", min=1)
    ] = DEFAULTS.max_body,
    max_requests: Annotated[
        int,
        _option(
            "--max-requests", "The maximum number of requests at the same time.", min=1
        ),
    ] = DEFAULTS.max_requests,
    timeout: Annotated[
        float,
        _option("--timeout", "The seconds after which a request gets status 504."),
    ] = DEFAULTS.timeout,
    grace: Annotated[
        float,
        _option(
            "--grace",
            "The maximum number of seconds in which a stopping server finishes its "
            "requests.",
        ),
    ] = DEFAULTS.grace,
    cors_origin: Annotated[
        list[str] | None,
        _option(
            "--cors-origin",
            "An origin whose web pages may use the server, such as "
            "https://example.org. The option can be repeated.",
            metavar="ORIGIN",
            show_default=False,
        ),
    ] = None,
    merge: Annotated[
        bool,
        _option(
            "--merge/--no-merge",
            "Whether a model may keep a copy of the weights with its adapter merged "
            "in. With --no-merge, models on the same base share all of its weights, "
            "and decode more slowly.",
        ),
    ] = True,
    docs: Annotated[
        bool,
        _option(
            "--docs/--no-docs", "Whether to serve the page /docs and /openapi.json."
        ),
    ] = DEFAULTS.docs,
    access_log: Annotated[
        bool, _option("--access-log/--no-access-log", "Whether to log each request.")
    ] = DEFAULTS.access_log,
    log_level: Annotated[
        str,
        choice(
            "--log-level",
            allowed=LOG_LEVELS,
            envvar=_variable("--log-level"),
            help="The least severe messages to log.",
        ),
    ] = DEFAULTS.log_level,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Annotate texts over HTTP.

    POST /annotate takes {"texts": [...]} and optionally "model", "labels" and
    "min_score", and returns a record of each text, as 'annotate' writes it. Texts of
    concurrent requests are processed together. /docs describes the interface, /models
    lists the labels, /health and /ready are for orchestrators, and /metrics is for
    Prometheus.

    The server listens on this machine only. For other machines set --host, and the
    environment variable SPACY_GENNER_SERVE_TOKEN to a secret, which clients send as
    "Authorization: Bearer SECRET". SIGTERM stops the server after it has finished the
    accepted requests.

    \b
    Examples:
      python -m spacy genner serve training/demo/model-best
      python -m spacy genner serve genes=training/genia news=training/news --port 8080
      curl localhost:8000/annotate --json '{"texts": ["Maria lives in Porto."]}'
    """
    from spacy.cli._util import import_code

    for name in REQUIRED:
        if find_spec(name) is None:
            raise ValueError(Errors.G800.format(name=name))
    settings = ServeSettings(
        host=host,
        port=port,
        batch_size=batch_size,
        max_wait_ms=max_wait_ms,
        queue_size=queue_size,
        max_texts=max_texts,
        max_chars=max_chars,
        max_body=max_body,
        max_requests=max_requests,
        timeout=timeout,
        grace=grace,
        cors_origins=tuple(cors_origin or ()),
        docs=docs,
        access_log=access_log,
        log_level=log_level,
    )
    token = read_token()
    check_access(settings, token, without_token)
    import_code(code)
    choose_gpu(gpu_id)

    from ..serving.models import load_models
    from ..serving.server import serve as run

    served = load_models(models, spans_key, merge)
    names = ", ".join(model.name for model in served)

    def report(url: str) -> None:
        access = "" if token is None else f", with the token in {TOKEN_VARIABLE}"
        typer.echo(f"Serving {names} on {url}{access}. Stop with Ctrl+C.")

    run(served, settings, token, report)
