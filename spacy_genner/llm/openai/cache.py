"""Completions cached on disk."""

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from ...errors import Errors
from .protocol import ParsedResponse
from .settings import RemoteSettings

FILE = "answers.sqlite3"
# Written into the file; another number is another layout.
_LAYOUT = 1
# Seconds that one process waits for another to have written.
_PATIENCE = 60.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
)


class CacheError(Exception):
    """The cache can't be read or written; the message is one of `Errors`."""


def request_key(settings: RemoteSettings, body: dict[str, Any]) -> str:
    """The key of a request's answer.

    settings (RemoteSettings): The settings.
    body (Dict[str, Any]): What the request says: model, prompt and all settings.
    RETURNS (str): The SHA-256, as hexadecimal digits, of address, call and body.
    """
    whole = json.dumps([settings.base_url, settings.path, body])
    return hashlib.sha256(whole.encode()).hexdigest()


class ResponseCache:
    """Answers in an SQLite file, for several threads and processes at a time.

    Of a request it holds the hash of address and body, of a response the answer: no
    header, no key of a server, no failure.

    folder (str): The folder; made where it is missing.
    RAISES (CacheError): The file is damaged, or can't be opened.
    """

    def __init__(self, folder: str):
        self.path = Path(folder) / FILE
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=_PATIENCE, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(Errors.G723.format(path=self.path, reason=error)) from None
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def get(self, key: str) -> ParsedResponse | None:
        """Look an answer up.

        key (str): That of its request.
        RETURNS (Optional[ParsedResponse]): The answer, if it is there.
        RAISES (CacheError): The file is damaged, or can't be read.
        """
        row = self._run("SELECT reply FROM answers WHERE key = ?", key)
        if row is None:
            return None
        try:
            # Earlier ones don't say what was conceded.
            text, truncated, logprobs, prompt, completion, *more = json.loads(row[0])
            conceded = tuple(str(key) for keys in more for key in keys)
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from None
        if not isinstance(text, str) or not isinstance(truncated, bool):
            raise self._damaged("an answer is no text")
        return ParsedResponse(text, truncated, logprobs, prompt, completion, conceded)

    def put(self, key: str, reply: ParsedResponse) -> None:
        """Keep an answer.

        key (str): That of its request.
        reply (ParsedResponse): The answer.
        RAISES (CacheError): The file is damaged, or can't be written.
        """
        # Two processes may have asked the same; both answers are right.
        self._run(
            "INSERT OR REPLACE INTO answers VALUES (?, ?)", key, json.dumps(reply)
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        # Readers and a writer don't wait for each other, where the file system can.
        self._run("PRAGMA journal_mode = WAL")
        self._run("PRAGMA synchronous = NORMAL")
        layout = self._run("PRAGMA user_version")
        if layout not in ((0,), (_LAYOUT,)):
            raise self._damaged(f"its layout is {layout}, expected {_LAYOUT}")
        if layout == (0,):
            if self._run("SELECT name FROM sqlite_master") not in (None, ("answers",)):
                raise self._damaged("it is the file of another program")
            self._run(_TABLE)
            self._run(f"PRAGMA user_version = {_LAYOUT}")

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
