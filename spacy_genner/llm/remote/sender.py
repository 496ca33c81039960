"""A question sent until it is answered or fails for good."""

import asyncio
from typing import Any, NamedTuple

from ...errors import Errors
from .bodies import Request
from .concessions import Concessions, conceded
from .connection import Connection, CutError, Response
from .failures import (
    Failure,
    RemoteError,
    is_misnamed,
    is_too_long,
    judge,
    too_long_a_wait,
)
from .replies import (
    NoTextError,
    Refusal,
    Reply,
    UnreadableError,
    hidden_refusal,
    read_refusal,
    read_reply,
)
from .secret import Secret
from .settings import RemoteSettings
from .streak import Streak
from .usage import Meter
from .waits import Gate, Patience, Timing, asked_wait, spent_wait

# Seconds: the longest wait that a server may ask for; beyond it, a person decides.
_LONGEST_WAIT = 300.0
# Seconds: how long all wait at most where an answer says that nothing is left for now.
_LONGEST_PAUSE = 60.0
# Tokens: a guessed limit that is refused is halved down to this.
_LEAST_LIMIT = 128


class Outcome(NamedTuple):
    """What became of a question: one of the two is there.

    reply (Optional[Reply]): The answer.
    error (Optional[Exception]): Why there is none.
    """

    reply: Reply | None
    error: Exception | None = None


class Shared(NamedTuple):
    """What the calls of one client have in common.

    settings (RemoteSettings): The settings.
    timing (Timing): Time and chance.
    gate (Gate): Holds all back while the server asks for it.
    meter (Meter): Counts.
    concessions (Concessions): What the server has refused.
    """

    settings: RemoteSettings
    timing: Timing
    gate: Gate
    meter: Meter
    concessions: Concessions


class Sender:
    """Sends questions, some at a time, for use in one event loop.

    shared (Shared): What the calls of a client have in common.
    secret (Secret): The key.
    connection (Connection): The server.
    """

    def __init__(self, shared: Shared, secret: Secret, connection: Connection):
        self._shared = shared
        self._settings = shared.settings
        self._secret = secret
        self._connection = connection
        self._places = asyncio.Semaphore(self._settings.max_concurrent)
        self._stopped: RemoteError | None = None
        self._streak = Streak(shared.timing, self._settings.max_concurrent)

    async def send(self, request: Request) -> Outcome:
        """Send a question until it is answered or fails for good.

        request (Request): The question.
        RETURNS (Outcome): The answer, or why there is none.
        """
        async with self._places:
            # Where every question would fail, no other is sent.
            found = self._stopped or await self._answer(request)
        if isinstance(found, Reply):
            return Outcome(found)
        self._shared.meter.add(failures=1)
        return Outcome(None, found)

    async def _answer(self, request: Request) -> Reply | RemoteError:
        settings, timing, gate, meter, concessions = self._shared
        patience = Patience(timing, settings.max_tries)
        body, sends = request.body, 0
        while True:
            await gate.wait()
            if self._stopped is not None:
                return self._stopped
            sent = concessions.applied(body)
            meter.add(requests=1, retries=int(sends > 0))
            sends += 1
            headers, found = await self._try(sent)
            if isinstance(found, Reply):
                self._streak.end(answered=True)
                return found._replace(conceded=conceded(request.body, sent))
            limited = False
            if isinstance(found, Refusal):
                limited = found.status == 429
                other = self._conceded(request, body, sent, found)
                if other is not None:
                    body = other
                    continue
                found = judge(found, settings)
            if not found.again:
                return self._given(found)
            asked = asked_wait(headers, timing.now(), limited)
            if asked and asked > _LONGEST_WAIT:
                return self._given(too_long_a_wait(asked, found, settings))
            own = patience.failed(asked, limited, self._streak.failed())
            if patience.is_over:
                return self._exhausted(found, sends)
            if asked or limited:
                gate.close_for(asked or own)
                await gate.wait()
            if asked or not limited:
                # Not all at once when the gate opens.
                await timing.sleep(own)

    async def _try(
        self, sent: dict[str, Any]
    ) -> tuple[dict[str, str], Reply | Refusal | Failure]:
        try:
            response = await self._connection.post(sent)
        except CutError as cut:
            return {}, Failure(str(cut), again=True)
        refusal = None
        if not 200 <= response.status < 300:
            refusal = read_refusal(response.content)._replace(status=response.status)
        else:
            refusal = hidden_refusal(response.content)
        if refusal is not None:
            scrub = self._secret.scrubbed
            message, code = scrub(refusal.message), scrub(refusal.code)
            return response.headers, Refusal(message, code, refusal.status)
        pause = spent_wait(response.headers, self._shared.timing.now())
        if pause:
            self._shared.gate.close_for(min(pause, _LONGEST_PAUSE))
        return response.headers, self._read(response)

    def _conceded(
        self,
        request: Request,
        body: dict[str, Any],
        sent: dict[str, Any],
        refusal: Refusal,
    ) -> dict[str, Any] | None:
        """What to send in place of a refused request, if that may help."""
        if refusal.status not in (400, 422) and not is_misnamed(refusal):
            return None
        self._shared.concessions.learn(sent, refusal)
        if self._shared.concessions.applied(body) != sent:
            return body
        if not (request.guessed and "max_tokens" in body and is_too_long(refusal)):
            return None
        # The prompt fits, only not with all that its answer may have.
        if self._settings.call == "chat":
            return {key: body[key] for key in body if key != "max_tokens"}
        # Without a limit, a completion has 16 tokens at most servers.
        limit = body["max_tokens"] // 2
        return {**body, "max_tokens": limit} if limit >= _LEAST_LIMIT else None

    def _read(self, response: Response) -> Reply | Failure:
        kind = response.headers.get("content-type", "")
        try:
            reply = read_reply(response.content, kind)
        except UnreadableError as error:
            return Failure(self._secret.scrubbed(str(error)), again=True)
        except NoTextError as error:
            # It is paid for, too.
            self._shared.meter.add_tokens(*error.tokens)
            known = {"url": self._settings.base_url, "model": self._settings.name}
            if error.finish == "content_filter":
                return Failure(Errors.G720.format(**known))
            said = self._secret.scrubbed(error.said)
            finish = self._secret.scrubbed(error.finish)
            return Failure(Errors.G719.format(**known, finish=finish, said=said))
        self._shared.meter.add_tokens(reply.prompt_tokens, reply.completion_tokens)
        return reply

    def _given(self, failure: Failure) -> RemoteError:
        error = RemoteError(failure.reason)
        if failure.stops and not (failure.doubtful and self._streak.has_answered):
            self._stopped = error
        self._streak.end(answered=False)
        return error

    def _exhausted(self, failure: Failure, tries: int) -> RemoteError:
        known = {"url": self._settings.base_url, "reason": failure.reason}
        self._streak.given_up += 1
        if self._streak.is_hopeless:
            count = self._streak.given_up
            self._stopped = RemoteError(Errors.G718.format(**known, count=count))
        return RemoteError(Errors.G717.format(**known, tries=tries))
