"""Requests over HTTP: one try each, with an end in time and in size."""

import asyncio
import json
from typing import Any, NamedTuple

from ...errors import Errors
from .secret import Secret
from .settings import RemoteSettings

# More than any answer has; a server may go on for ever.
MOST_BYTES = 32 * 1024 * 1024


class Response(NamedTuple):
    """A response in whole.

    status (int): Its HTTP status.
    headers (Dict[str, str]): Its headers, with small letters.
    content (bytes): Its body.
    """

    status: int
    headers: dict[str, str]
    content: bytes


class CutError(Exception):
    """A try that got no whole response; the message says why."""


class Connection:
    """Connections to a server, for use in one event loop.

    settings (RemoteSettings): The settings.
    secret (Secret): The key.
    RAISES (ImportError): httpx is missing.
    """

    def __init__(self, settings: RemoteSettings, secret: Secret):
        try:
            import httpx
        except ImportError:
            raise ImportError(Errors.G707) from None
        self._httpx = httpx
        self._settings = settings
        self._secret = secret
        self._client: Any = None

    async def post(self, body: dict[str, Any]) -> Response:
        """Send a request.

        body (Dict[str, Any]): What it says.
        RETURNS (Response): The response, whatever its status.
        RAISES (CutError): There is none, or not all of it, in time.
        """
        timeout = self._settings.timeout
        try:
            # The time-outs of httpx are for each read; a server that sends a byte now
            # and then would never reach them.
            return await asyncio.wait_for(self._post(body), timeout)
        except (asyncio.TimeoutError, self._httpx.TimeoutException):
            reason = f"no whole response within {timeout:g} seconds"
        except CutError:
            raise
        except Exception as error:
            # Whatever goes wrong below: one question must not take the others along.
            said = self._secret.scrubbed(str(error) or "connection cut")
            reason = f"{type(error).__name__}: {said}"
        # Outside of the handler: the error of httpx holds the request with the key.
        raise CutError(reason)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, body: dict[str, Any]) -> Response:
        if self._client is None:
            # Made where it is used, for it belongs to the event loop.
            self._client = self._httpx.AsyncClient(
                timeout=None,
                limits=self._httpx.Limits(
                    max_connections=self._settings.max_concurrent
                ),
            )
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._secret.header:
            headers["Authorization"] = self._secret.header
        url = f"{self._settings.base_url}/{self._settings.path}"
        content = json.dumps(body).encode()
        async with self._client.stream(
            "POST", url, content=content, headers=headers
        ) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise CutError(f"the response has more than {MOST_BYTES} bytes")
        named = {key.lower(): value for key, value in response.headers.items()}
        return Response(response.status_code, named, b"".join(parts))
