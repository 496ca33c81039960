"""What a server has refused, left out from then on."""

import threading
from typing import Any

from ...errors import Warnings
from .failures import names_schema
from .replies import Refusal
from .schemas import as_json_object
from .settings import AUTO, RemoteSettings

_FEWER_ALTERNATIVES = 5
# How structured outputs are asked for: as OpenAI has it, as llama.cpp's server in
# Python has it, or not at all.
_BY_SCHEMA, _BY_OBJECT, _NOT_ASKED = range(3)
# Without one of these an answer is another one than was asked for.
_NEEDED = ("response_format", "logprobs")


def conceded(body: dict[str, Any], sent: dict[str, Any]) -> tuple[str, ...]:
    """What an answer lacks because the server refuses it.

    body (Dict[str, Any]): What the request would say.
    sent (Dict[str, Any]): What it says.
    RETURNS (Tuple[str, ...]): The keys.
    """
    return tuple(key for key in _NEEDED if key in body and key not in sent)


class Concessions:
    """Requests as a server takes them, learned from what it refuses.

    settings (RemoteSettings): The settings.
    """

    def __init__(self, settings: RemoteSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._notes: list[str] = []
        self._schema = _BY_SCHEMA
        self._other_limit = False
        self._logprobs = 0
        self._told_of_logprobs = False

    def applied(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request as the server takes it, as far as is known.

        body (Dict[str, Any]): What it would say.
        RETURNS (Dict[str, Any]): What it says.
        """
        made = dict(body)
        if "response_format" in made and self._schema == _BY_OBJECT:
            made["response_format"] = as_json_object(made["response_format"])
        elif self._schema == _NOT_ASKED:
            made.pop("response_format", None)
        if self._other_limit and "max_tokens" in made:
            made["max_completion_tokens"] = made.pop("max_tokens")
        if self._logprobs and "logprobs" in made:
            if "top_logprobs" in made and self._logprobs == 1:
                made["top_logprobs"] = _FEWER_ALTERNATIVES
            else:
                made.pop("logprobs")
                made.pop("top_logprobs", None)
        return made

    def learn(self, sent: dict[str, Any], refusal: Refusal) -> None:
        """Take from a refusal what to leave out.

        sent (Dict[str, Any]): What the refused request said.
        refusal (Refusal): What the server says.
        """
        words = refusal.words
        with self._lock:
            if "max_tokens" in sent and "max_completion_tokens" in words:
                self._other_limit = True
            elif "logprobs" in sent and "logprob" in words:
                few = sent.get("top_logprobs", 0) <= _FEWER_ALTERNATIVES
                if few:
                    self._tell_of_logprobs(refusal.message)
                self._logprobs = 2 if few else max(self._logprobs, 1)
            elif "response_format" in sent and names_schema(refusal):
                self._learn_of_schemas(sent["response_format"], refusal)

    def _learn_of_schemas(self, asked: dict[str, Any], refusal: Refusal) -> None:
        # Several questions may be refused at once, each as it was asked.
        if asked["type"] == "json_schema" and "json_object" in refusal.words:
            self._schema = max(self._schema, _BY_OBJECT)
        elif self._settings.structured == AUTO:
            if self._schema != _NOT_ASKED:
                known = {"url": self._settings.base_url, "said": refusal.message}
                self._notes.append(Warnings.W700.format(**known))
            self._schema = _NOT_ASKED

    def read_without_logprobs(self) -> None:
        """Take from the cache that an answer has no probabilities."""
        with self._lock:
            self._tell_of_logprobs("an answer in the cache has none")

    def _tell_of_logprobs(self, said: str) -> None:
        if not self._told_of_logprobs:
            note = Warnings.W701.format(url=self._settings.base_url, said=said)
            self._notes.append(note)
        self._told_of_logprobs = True

    def note(self, message: str) -> None:
        """Keep a warning for the caller's thread.

        message (str): The warning.
        """
        with self._lock:
            self._notes.append(message)

    def take_notes(self) -> list[str]:
        """RETURNS (List[str]): The warnings since the last call."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes
