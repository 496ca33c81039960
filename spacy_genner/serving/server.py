"""The process of a server: its socket, its signals, and its end."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import uvicorn

from ..errors import Errors, Warnings, warn
from .app import Service, create_app
from .models import ServedModel
from .settings import ServeSettings

# How long responses that are finished may take to be sent when the server stops.
_SEND_SECONDS = 5
# Longer than clients keep idle connections. Otherwise the server may close one at the
# moment at which a client sends a request.
_KEEP_ALIVE_SECONDS = 75


def serve(
    models: Sequence[ServedModel],
    settings: ServeSettings,
    token: str | None = None,
    on_start: Callable[[str], Any] = lambda url: None,
) -> None:
    """Serve models until the process gets SIGTERM or SIGINT.

    The first signal stops the server gracefully: it refuses further texts with status
    503 and finishes the accepted ones. A second signal stops it at once.

    models (Sequence[ServedModel]): The models.
    settings (ServeSettings): The settings.
    token (str | None): The token that clients send; None to serve everybody.
    on_start (Callable[[str], Any]): Called with the address once the server listens.
    RAISES (ValueError): The server can't listen on the address, or a base model is not
        available.
    """
    listener = bind(settings)
    app = create_app(models, settings, token)
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        log_level=settings.log_level,
        access_log=settings.access_log,
        # The header with the name of the server is of no use to clients.
        server_header=False,
        timeout_graceful_shutdown=_SEND_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = GracefulServer(config, service)
    on_start(address_of(listener, settings.host))
    server.run(sockets=[listener])
    if service.failure is not None:
        raise service.failure
    if server.abandoned:
        warn(
            Warnings.W801.format(seconds=f"{settings.grace:g}", count=server.abandoned)
        )


def bind(settings: ServeSettings) -> socket.socket:
    """Open the socket of a server.

    settings (ServeSettings): The settings.
    RETURNS (socket.socket): The socket, which does not accept connections yet.
    RAISES (ValueError): The address can't be used.
    """
    host = settings.host.strip("[]")
    try:
        found = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                # A restarted server need not wait for the connections of the old one.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ValueError(
            Errors.G806.format(
                host=settings.host, port=settings.port, reason=error.strerror or error
            )
        ) from error
    return listener


def address_of(listener: socket.socket, host: str) -> str:
    """Write the address of a server.

    listener (socket.socket): Its socket.
    host (str): Its host.
    RETURNS (str): The URL, with the port that the socket has.
    """
    host = f"[{host}]" if ":" in host.strip("[]") and host[0] != "[" else host
    return f"http://{host}:{listener.getsockname()[1]}"


class GracefulServer(uvicorn.Server):
    """A server of uvicorn that finishes the accepted requests before it stops.

    uvicorn closes its socket at the first signal. This one still answers, so that
    clients get a status and a code, until all accepted requests are finished.

    config (uvicorn.Config): The settings of uvicorn.
    service (Service): The service.

    abandoned (int): The number of requests that failed because the time was over.
    """

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service
        self.abandoned = 0
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal. Signal handlers interrupt code that may hold a lock, so
        `on_tick` does the rest.

        sig (int): The signal.
        frame (FrameType | None): The interrupted frame.
        """
        self._signals += 1
        if self._signals > 1:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second.

        counter (int): The number of calls so far.
        RETURNS (bool): Whether to stop.
        """
        service = self.service
        if service.failure is not None:
            return True
        if self._signals and not service.is_stopping:
            service.stop()
        elif service.is_stopping and service.is_idle:
            return True
        elif service.is_stopping and time.monotonic() > service.stops_at:
            self.abandoned = service.abort()
            return True
        return await super().on_tick(counter)
