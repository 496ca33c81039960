"""The key of a server: from the environment into the header, and nowhere else."""

import os
import re

from ...errors import Errors
from .settings import RemoteSettings

HIDDEN = "(hidden)"
# A message may show part of a key. Shorter parts than this say nothing of it.
_PART = 8
_SENDABLE = re.compile(r"[!-~]+")


class Secret:
    """A key that shows itself only where it is asked for by name.

    value (str): The key; empty for a server that asks for none.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        # A copy that leaves the process has no key.
        return Secret, ("",)

    @property
    def header(self) -> str:
        """What the header says, empty where there is no key."""
        return f"Bearer {self._value}" if self._value else ""

    def scrubbed(self, text: str) -> str:
        """Hide the key, and any long part of it.

        text (str): What someone else wrote.
        RETURNS (str): The same without the key.
        """
        key = self._value
        if not key:
            return text
        if len(key) <= _PART:
            # A short one may be part of any word: "x" for a server that wants some key.
            return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", HIDDEN, text)
        parts = {key[i : i + _PART] for i in range(len(key) - _PART + 1)}
        shown: list[str] = []
        end = 0
        for at in range(len(text) - _PART + 1):
            if text[at : at + _PART] not in parts:
                continue
            if at > end or not shown:
                shown += [text[end:at], HIDDEN]
            end = at + _PART
        return "".join(shown) + text[end:]


def read_secret(settings: RemoteSettings) -> Secret:
    """Read the key from the environment.

    settings (RemoteSettings): The settings, which name its variable.
    RETURNS (Secret): The key.
    RAISES (ValueError): The variable is not set, or holds no key.
    """
    env = settings.api_key_env
    if env is None:
        return Secret("")
    value = os.environ.get(env, "").strip()
    if not value:
        raise ValueError(Errors.G705.format(env=env, url=settings.base_url))
    if not _SENDABLE.fullmatch(value):
        raise ValueError(Errors.G706.format(env=env))
    return Secret(value)
