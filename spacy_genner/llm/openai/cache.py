"""The response cache: responses on disk, found by their requests."""

import hashlib
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from ...errors import Errors
from ...io import make_private_folder
from .protocol import ParsedResponse
from .settings import RemoteSettings

FILE = "answers.sqlite3"
# The version of the file's layout, stored in the file.
_VERSION = 1
# Seconds that a process waits for the lock of another one.
_LOCK_TIMEOUT = 60.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
)


class CacheError(Exception):
    """The cache can't be read or written. The message is one of `Errors`."""


def request_key(settings: RemoteSettings, body: dict[str, Any]) -> str:
    """Compute the key that a response is stored under.

    settings (RemoteSettings): The settings.
    body (dict[str, Any]): The request body, with model, prompt and parameters.
    RETURNS (str): The SHA-256 of address, call and body in hexadecimal digits.
    """
    content = json.dumps([settings.base_url, settings.path, body])
    return hashlib.sha256(content.encode()).hexdigest()


class ResponseCache:
    """Responses in an SQLite file, shared by threads and processes.

    The file holds a hash of each request and the parsed response. It holds no headers,
    no API keys and no failed requests.

    folder (str): The folder. It is created if it does not exist. Only the owner can
        read a new folder and a new file.
    RAISES (CacheError): The file is damaged or can't be opened.
    """

    def __init__(self, folder: str):
        self.path = Path(folder) / FILE
        self._lock = threading.Lock()
        try:
            make_private_folder(self.path.parent)
            # SQLite gives its other files the mode of this one.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                self.path, timeout=_LOCK_TIMEOUT, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(Errors.G723.format(path=self.path, reason=error)) from None
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def get(self, key: str) -> ParsedResponse | None:
        """Look up a response.

        key (str): The key of its request.
        RETURNS (ParsedResponse | None): The response, or None if there is none.
        RAISES (CacheError): The file is damaged or can't be read.
        """
        row = self._run("SELECT reply FROM answers WHERE key = ?", key)
        if row is None:
            return None
        try:
            # Rows of earlier versions have no list of dropped parameters.
            text, truncated, logprobs, prompt, completion, *more = json.loads(row[0])
            dropped = tuple(str(name) for names in more for name in names)
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from None
        if not isinstance(text, str) or not isinstance(truncated, bool):
            raise self._damaged("an answer is not a text")
        return ParsedResponse(text, truncated, logprobs, prompt, completion, dropped)

    def put(self, key: str, response: ParsedResponse) -> None:
        """Store a response.

        key (str): The key of its request.
        response (ParsedResponse): The response.
        RAISES (CacheError): The file is damaged or can't be written.
        """
        # Two processes may have sent the same request. Either response is valid.
        self._run(
            "INSERT OR REPLACE INTO answers VALUES (?, ?)", key, json.dumps(response)
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        # With a write-ahead log, readers and a writer don't block each other, if the
        # file system supports it.
        self._run("PRAGMA journal_mode = WAL")
        self._run("PRAGMA synchronous = NORMAL")
        version = self._run("PRAGMA user_version")
        if version not in ((0,), (_VERSION,)):
            raise self._damaged(f"its layout is {version}, expected {_VERSION}")
        if version == (0,):
            if self._run("SELECT name FROM sqlite_master") not in (None, ("answers",)):
                raise self._damaged("it is the file of another program")
            self._run(_TABLE)
            self._run(f"PRAGMA user_version = {_VERSION}")

    def _run(self, statement: str, *values: str) -> Any:
        try:
            with self._lock, self._connection:
                return self._connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError as error:
            raise CacheError(Errors.G723.format(path=self.path, reason=error)) from None
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def _damaged(self, reason: Any) -> CacheError:
        return CacheError(Errors.G722.format(path=self.path, reason=reason))
