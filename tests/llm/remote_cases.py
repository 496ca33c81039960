"""Helpers for the tests of the remote client."""

import asyncio
import random
from typing import Any

from server import MODEL, Server

from spacy_genner.llm.messages import Prompt, PromptText
from spacy_genner.llm.openai.client import RemoteClient
from spacy_genner.llm.openai.retry import Clock
from spacy_genner.llm.openai.settings import RemoteSettings
from spacy_genner.prompts import PromptLayout

ENV = "SPACY_GENNER_TEST_KEY"
LABELS = ("ORG", "GPE")
TEXT = "Lisbon hosts the University of Lisbon."
# Answers for the text above in the JSON formats.
ANSWERS = {
    "grouped_json": '{"ORG": ["University of Lisbon"], "GPE": ["Lisbon", "Lisbon"]}',
    "occurrence_json": '[{"text": "Lisbon", "label": "GPE", "occurrence_index": 1}]',
    "offset_json": '[{"text": "Lisbon", "label": "GPE", "start": 0, "end": 6}]',
}


class FakeTime:
    """A clock whose sleeps return immediately and are recorded."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []
        self._random = random.Random(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(
            self.sleep,
            lambda: self.seconds,
            lambda: self.seconds,
            self._random.random,
        )


def make_client(
    server: Server | str, time: FakeTime | None = None, **settings: Any
) -> RemoteClient:
    """A client for a server. It does not really wait."""
    url = server if isinstance(server, str) else server.url
    config = {"name": MODEL, "base_url": url, "api_key_env": ENV, "timeout": 20.0}
    return RemoteClient(
        RemoteSettings(**{**config, **settings}),
        (time or FakeTime()).clock,
    )


def sample_prompt(
    text: str = TEXT, format: str = "inline_bracketed", labels: Any = LABELS
) -> Prompt:
    """A prompt for a text."""
    words = tuple(text.split(" "))
    spaces = (True,) * (len(words) - 1) + (False,)
    layout = PromptLayout(tuple(labels), format=format)
    return Prompt(layout.render(text), PromptText(words, spaces), layout)
