"""The page, with Gradio: a tab to try pipelines and a tab to correct a corpus.

Gradio has the controls and the server. The drawing of spans and the correction are
scripts of the project's own (`static/`), which get values and never HTML: texts, labels
and messages become text nodes, so that a document can't contain anything that runs.
"""

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..errors import Errors
from ..formats import get_format
from ..io import expand_home, has_lone_surrogate
from .documents import read_texts
from .edits import TokenGrid
from .models import AppModel, Prediction, format_labels, parse_labels
from .parts import lead, span_view, token_texts
from .session import CorrectionSession, Training, default_output

# Set before Gradio is imported. The page asks no other machine for anything.
_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_NUM_WORKERS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
HOST = "127.0.0.1"
PORT = 7860
MAX_UPLOAD = "50mb"
# How many seconds a stopped server waits for running requests, and for the document
# that is scored. After twice the time it ends, whatever is running.
GRACE = 2.0
STATIC = Path(__file__).parent / "static"
# Gradio's own script and style are inline, and its templates are compiled. Nothing may
# be loaded from, or sent to, another address.
CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' "
    "blob:; style-src 'self' 'unsafe-inline'; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
NO_MODEL = "none"
EXAMPLE = (
    "Mara Quist left the University of Oslo for the Bergen office of Nordic Data Group."
)


class Workbench:
    """What a server knows: its pipelines, and the correction that is open.

    models (Sequence[AppModel]): The pipelines.
    blank (Language): The pipeline whose tokenizer is used without a model.
    format (str | None): The output format of the model to train. None for that of the
        model that suggests spans.
    """

    def __init__(
        self, models: Sequence[AppModel], blank: Language, format: str | None = None
    ):
        self.models = {model.name: model for model in models}
        self.blank = blank
        self.format = format
        self.session: CorrectionSession | None = None
        self._lock = threading.Lock()

    def open(
        self,
        corpus: str,
        output: str = "",
        order: str = "corpus",
        model: str = "",
        seed: int = 0,
    ) -> None:
        """Open a corpus to correct, and close the one that is open.

        corpus (str): The path of the corpus.
        output (str): The path of the file to write. Default: `NAME.corrected.jsonl`.
        order (str): The order of the documents.
        model (str): The name of the pipeline that suggests spans, or "".
        seed (int): The seed of the order "random".
        RAISES (ValueError): A file can't be used.
        """
        source = expand_home(corpus.strip())
        if not source.is_file():
            raise ValueError(Errors.G891.format(path=source))
        target = expand_home(output.strip()) if output.strip() else None
        chosen = self.models.get(model)
        with self._lock:
            if self.session is not None:
                self.session.close()
                self.session = None
            self.session = CorrectionSession(
                source,
                target or default_output(source),
                nlp=chosen.nlp if chosen else self.blank,
                format=self._format(chosen),
                labels=list(chosen.labels) if chosen else [],
                order=order,
                seed=seed,
                suggest=chosen.suggest if chosen else None,
                training=Training(chosen.name, chosen.adapter, chosen.spans_key)
                if chosen
                else None,
            )

    def _format(self, model: AppModel | None) -> Any:
        if self.format is not None:
            return get_format(self.format)
        return model.format if model else get_format("inline_bracketed")

    def close(self, timeout: float = 60.0) -> None:
        """Close the correction, so that others can continue it.

        timeout (float): How many seconds to wait for the document that a pipeline is
            scoring.
        """
        if self.session is not None:
            self.session.close(timeout)

    def correct(self, request: Any) -> dict[str, Any]:
        """Answer a request of the tab for corrections.

        request (dict[str, Any]): See `CorrectionSession.handle`. The action
            "open_corpus" has the arguments of `open`, and "commands" shows the commands
            for training.
        RETURNS (dict[str, Any]): The view of the session. `session` is False if no
            corpus is open.
        """
        if not isinstance(request, dict) or has_lone_surrogate(repr(request)):
            return self._closed(Errors.G897.format(found=type(request).__name__))
        error = ""
        if request.get("action") == "open_corpus":
            try:
                self.open(
                    str(request.get("corpus", "")),
                    str(request.get("output", "")),
                    str(request.get("order", "corpus")),
                    str(request.get("model", "")),
                )
            except (ValueError, OSError) as refused:
                error = str(refused)
            request = {**request, "action": "open"}
        session = self.session
        if session is None:
            return self._closed(error)
        if request.get("action") == "commands":
            return {"commands": session.commands()}
        view = session.handle(request)
        return {"session": True, **self._choices(), **view} | (
            {"error": error} if error else {}
        )

    def _closed(self, error: str) -> dict[str, Any]:
        return {"session": False, **self._choices(), "error": error, "message": ""}

    def _choices(self) -> dict[str, Any]:
        return {"models": list(self.models)}


def describe(
    predictions: Mapping[str, Prediction], min_score: float
) -> list[dict[str, Any]]:
    """Describe the annotations of a text by some pipelines, as the page draws them.

    predictions (Mapping[str, Prediction]): The annotation by each pipeline.
    min_score (float): Spans with a lower score are not shown.
    RETURNS (list[dict[str, Any]]): For each pipeline the tokens, the spans with the
        numbers of their first and last token, and the status with its issues.
    """
    shown = {
        name: [
            span
            for span in prediction.suggestion.spans
            if span.score is None or span.score >= min_score
        ]
        for name, prediction in predictions.items()
    }
    keys = [{span.key for span in spans} for spans in shown.values()]
    shared = set.intersection(*keys) if len(keys) > 1 else None
    panels = []
    for name, prediction in predictions.items():
        grid = TokenGrid(prediction.text, prediction.tokens)
        panels.append(
            {
                "title": name,
                "lead": lead(grid),
                "tokens": token_texts(grid, 0, len(grid)),
                "spans": [
                    {
                        **span_view(span, grid),
                        "state": "",
                        "alone": shared is not None and span.key not in shared,
                    }
                    for span in shown[name]
                    if len(grid)
                ],
                "hidden": len(prediction.suggestion.spans) - len(shown[name]),
                "status": prediction.suggestion.status,
                "issues": prediction.suggestion.issues,
                "seconds": round(prediction.seconds, 3),
            }
        )
    return panels


# The page


def build_page(workbench: Workbench) -> Any:
    """Build the page.

    workbench (Workbench): The pipelines and the correction.
    RETURNS (gradio.Blocks): The page.
    """
    import gradio as gr

    names = list(workbench.models)
    first = workbench.models[names[0]] if names else None
    choices = [(_short(name), name) for name in names]

    def correct(request: Any) -> dict[str, Any]:
        return workbench.correct(request)

    def label_fields(name: str) -> tuple[Any, Any]:
        """The labels of the chosen pipeline, and whether they can be edited."""
        model = workbench.models.get(name)
        if model is None:
            return gr.update(), gr.update()
        reason = model.why_labels_are_fixed()
        info = f"Fixed. {reason}" if reason else LABELS_INFO
        return gr.update(
            value=format_labels(model.labels), interactive=not reason, info=info
        ), gr.update(value=model.min_score)

    def run(
        text: str, name: str, other: str, labels: str, min_score: float
    ) -> tuple[Any, Any]:
        try:
            found = annotate(workbench, text, [name, other], labels)
        except (ValueError, OSError) as error:
            return {}, {"error": str(error), "panels": []}
        return found, drawn(found, min_score)

    def redraw(found: dict[str, Prediction], min_score: float) -> Any:
        # A failed run has left its message, which stays.
        return drawn(found, min_score) if found else gr.skip()

    def drawn(found: dict[str, Prediction], min_score: float) -> dict[str, Any]:
        labels = {
            label: None for name in found for label in workbench.models[name].labels
        }
        panels = describe(found, min_score)
        return {"error": "", "panels": panels, "labels": list(labels)}

    def open_file(path: str | None) -> tuple[Any, ...]:
        if path is None:
            return [], gr.update(visible=False), gr.update(), gr.skip()
        try:
            texts = read_texts(Path(path), workbench.blank.vocab)
            if not texts:
                raise ValueError(Errors.G896.format(path=Path(path).name))
        except (ValueError, OSError) as error:
            shown = {"error": str(error), "panels": []}
            return [], gr.update(visible=False), gr.update(), shown
        number = gr.update(value=1, maximum=max(len(texts), 2), visible=len(texts) > 1)
        return texts, number, texts[0], gr.skip()

    def choose_text(texts: list[str], number: float) -> Any:
        at = int(number or 1) - 1
        return texts[at] if 0 <= at < len(texts) else gr.skip()

    with gr.Blocks(
        title="spacy-genner", analytics_enabled=False, delete_cache=(3600, 86400)
    ) as page:
        found = gr.State({})
        texts = gr.State([])
        with gr.Tabs(selected="correct" if workbench.session else "try"):
            with gr.Tab("Try", id="try", elem_id="tab-try"):
                if not names:
                    gr.Markdown(
                        "No pipeline is loaded. Start the page with one to try it: "
                        "`genner app MODEL`"
                    )
                with gr.Row(equal_height=False):
                    with gr.Column(scale=3, min_width=300):
                        text = gr.Textbox(
                            EXAMPLE, label="Text", lines=5, max_lines=12, elem_id="text"
                        )
                        number = gr.Slider(
                            1,
                            2,
                            value=1,
                            step=1,
                            label="Text of the file",
                            visible=False,
                            elem_id="number",
                        )
                        with gr.Row():
                            run_button = gr.Button(
                                "Annotate",
                                variant="primary",
                                interactive=bool(names),
                                elem_id="run",
                            )
                            upload = gr.UploadButton(
                                "Open a file of texts",
                                file_types=[".txt", ".jsonl", ".spacy"],
                                type="filepath",
                                elem_id="upload",
                            )
                    with gr.Column(scale=2, min_width=300):
                        with gr.Row():
                            model = gr.Dropdown(
                                choices,
                                value=names[0] if names else None,
                                label="Pipeline",
                                min_width=220,
                                elem_id="model",
                            )
                            other = gr.Dropdown(
                                [NO_MODEL, *choices],
                                value=names[1] if len(names) > 1 else NO_MODEL,
                                label="Beside it",
                                min_width=220,
                                elem_id="other",
                            )
                        min_score = gr.Slider(
                            0,
                            1,
                            value=first.min_score if first else 0,
                            step=0.01,
                            label="Minimum score",
                            info="Filters the spans without a new run.",
                            elem_id="min-score",
                        )
                        reason = first.why_labels_are_fixed() if first else ""
                        labels = gr.Textbox(
                            format_labels(first.labels) if first else "",
                            label="Labels",
                            info=f"Fixed. {reason}" if reason else LABELS_INFO,
                            interactive=bool(first) and not reason,
                            lines=3,
                            max_lines=5,
                            elem_id="labels",
                        )
                drawing = gr.HTML(
                    {"error": "", "panels": []},
                    html_template="<div class='genner-viewer'></div>",
                    js_on_load=_script("viewer"),
                    apply_default_css=False,
                    elem_id="drawing",
                )
            with gr.Tab("Correct", id="correct", elem_id="tab-correct"):
                gr.HTML(
                    {},
                    html_template="<div class='genner-editor'></div>",
                    js_on_load=_script("editor"),
                    apply_default_css=False,
                    server_functions=[correct],
                    elem_id="editor",
                )
        arguments = [text, model, other, labels, min_score]
        outputs = [found, drawing]
        hidden: dict[str, Any] = {"api_visibility": "private"}
        run_button.click(run, arguments, outputs, **hidden)
        min_score.input(
            redraw,
            [found, min_score],
            drawing,
            show_progress="hidden",
            trigger_mode="always_last",
            **hidden,
        )
        model.change(label_fields, model, [labels, min_score], **hidden)
        upload.upload(open_file, upload, [texts, number, text, drawing], **hidden)
        number.change(
            choose_text,
            [texts, number],
            text,
            show_progress="hidden",
            trigger_mode="always_last",
            **hidden,
        ).then(run, arguments, outputs, **hidden)
    return page


LABELS_INFO = "One on each line, if you like with a definition: GPE: a city or country"


def annotate(
    workbench: Workbench, text: str, names: Sequence[str | None], labels: str
) -> dict[str, Prediction]:
    """Annotate a text with some pipelines.

    workbench (Workbench): The pipelines.
    text (str): The text.
    names (Sequence[str | None]): The names of the pipelines. Others are skipped.
    labels (str): The labels, as `parse_labels` reads them. Pipelines whose labels are
        fixed use their own, unless they are the first.
    RETURNS (dict[str, Prediction]): The annotation by each pipeline.
    RAISES (ValueError): A pipeline can't be loaded, or the labels are not valid.
    """
    found: dict[str, Prediction] = {}
    for name in names:
        model = workbench.models.get(name or "")
        if model is None or model.name in found:
            continue
        fixed = bool(model.why_labels_are_fixed())
        chosen = None if fixed or not labels.strip() else parse_labels(labels)
        # The pipe drops no text: a half of a character can't be encoded.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        [found[model.name]] = model.annotate([clean], chosen)
    return found


def _short(name: str) -> str:
    """RETURNS (str): The end of the path of a pipeline."""
    return name if len(name) <= 20 else "/".join(Path(name).parts[-2:])


def _script(name: str) -> str:
    return (
        f"import('/genner/{name}.js').then("
        "module => module.mount({element, props, watch, server}));"
    )


# The server


def build_app(workbench: Workbench) -> Any:
    """Build the application: the page, and the scripts that it loads.

    workbench (Workbench): The pipelines and the correction.
    RETURNS (fastapi.FastAPI): The application.
    RAISES (ValueError): Gradio is not installed.
    """
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    try:
        import gradio as gr
    except ImportError as error:
        raise ValueError(Errors.G880.format(name=error.name)) from error
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Set when the server stops: see `serve`.
    app.state.stopping = asyncio.Event()
    app.mount("/genner", StaticFiles(directory=STATIC))
    app.add_middleware(_PolicyMiddleware)
    app.add_middleware(_StoppingMiddleware, stopping=app.state.stopping)
    # A page of another site can't reach the server under a name of its own.
    app.add_middleware(
        TrustedHostMiddleware, allowed_hosts=[HOST, "localhost", "testserver"]
    )
    return gr.mount_gradio_app(
        app,
        build_page(workbench),
        "/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=MAX_UPLOAD,
        theme=gr.themes.Default(font=FONTS, font_mono=MONO_FONTS),
        css_paths=[STATIC / "page.css"],
    )


class _PolicyMiddleware:
    """Adds headers that keep the page on this server, and refuses requests that the
    page of another site sends.

    app (Any): The application.
    """

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]
        }
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin and origin.partition("://")[2] != host:
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"another origin"})
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [
                        *message["headers"],
                        (b"content-security-policy", CONTENT_POLICY.encode()),
                        (b"referrer-policy", b"no-referrer"),
                        (b"x-content-type-options", b"nosniff"),
                    ],
                }
            await send(message)

        await self.app(scope, receive, send_with_policy)


class _StoppingMiddleware:
    """Ends the streams of open pages when the server stops. A page keeps one open as
    long as it is shown, for which the server would wait.

    app (Any): The application.
    stopping (asyncio.Event): Set when the server stops.
    """

    def __init__(self, app: Any, stopping: asyncio.Event):
        self.app = app
        self.stopping = stopping

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def receive_or_stop() -> Any:
            # After the body of a request, only the end of its connection is received.
            waiting = [
                asyncio.ensure_future(receive()),
                asyncio.ensure_future(self.stopping.wait()),
            ]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                received = waiting[0]
                return received.result() if received.done() else _DISCONNECTED
            finally:
                for each in waiting:
                    each.cancel()

        await self.app(scope, receive_or_stop, send)


_DISCONNECTED = {"type": "http.disconnect"}


def bind(port: int) -> socket.socket:
    """Reserve a port of this machine, before models are loaded. A browser that opens
    the page too early waits for it.

    port (int): The port; 0 for any free one.
    RETURNS (socket.socket): The listening socket.
    RAISES (ValueError): The port can't be used.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(128)
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            Errors.G892.format(port=port, host=HOST, reason=reason)
        ) from error
    return found


def serve(app: Any, bound: socket.socket) -> None:
    """Run the server until it is interrupted. Each step of a correction is saved before
    its request ends, so a request that runs too long can be cut off.

    app (fastapi.FastAPI): The application.
    bound (socket.socket): The listening socket.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            app.state.stopping.set()
            # A model can't be interrupted, and a request that is cut off is no error.
            _end_after(2 * GRACE)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=round(GRACE)
    )
    # The server shuts down first, and then raises the interrupt again.
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[bound])


def _end_after(seconds: float) -> None:
    """End the process after some time, unless it has ended by then."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
