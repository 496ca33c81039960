"""Models behind a server that speaks the OpenAI protocol."""

from .client import RemoteClient
from .failures import RemoteError
from .odds import Odds
from .settings import RemoteSettings
from .usage import Usage

__all__ = ["Odds", "RemoteClient", "RemoteError", "RemoteSettings", "Usage"]
