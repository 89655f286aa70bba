"""HTTP to a model server: requests that can be cancelled, a health check while they run, and errors that name the fix.

All servers share the event loop of `specs.engines.event_loop`. Cancelling a request closes its connection, and the
server stops working on it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from specs.errors import EngineError

if TYPE_CHECKING:  # engines in this process need no HTTP
    import httpx2

HEALTH_S = 2.0
"""Seconds between two health checks of a server that owes an answer; a check may take five times as long."""
MISSES = 3
"""Consecutive health checks that must fail before the only server of a model counts as dead."""
MISSES_OF_REPLICA = 1
"""The same for one of several servers: moving to another one costs only a prefix that is not in its cache."""
AT_A_TIME = 256
"""The most requests that a server gets at the same time, so that its backlog of connections holds them. Others wait."""
PAUSES_S = (0.2, 1.0)
"""Seconds before a request without an answer is sent again; each pause is scaled by a random factor in [0.5, 1.5]."""
ANOTHER_DTYPE = "serve it with another dtype (vllm serve --dtype float32), or see its log"
"""What to do about a served model that overflows."""
_NOT_FINITE = "Out of range float values are not JSON compliant"
"""Python's message for NaN or infinity in an answer, which vLLM passes on."""


class _Network:
    """The connections of this process, created on first use."""

    def __init__(self) -> None:
        import httpx2

        # This module has its own timeouts: a server may be silent for a long time while it computes.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
        self.http = httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=5.0), limits=limits)


_network = cache(_Network)


class Refused(EngineError):
    """The server answered with an error; `status` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def by_any_server(self) -> bool:
        """Whether the request is at fault: not if the server fails (500), or serves something else by now (404)."""
        return self.status < 500 and self.status != 404


class _Busy(EngineError):
    """The server did not answer the request, so it can be sent again."""


class Client:
    """One server.

    Attributes:
        url: base address, without a slash at its end.
        failed_at: when it last failed, on the clock of `time.monotonic`; None if it has answered since.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 120.0, misses: int = MISSES) -> None:
        """`timeout_s` is the longest that one request may take; after `misses` failed health checks it ends earlier."""
        self.url = url.rstrip("/")
        self.failed_at: float | None = None
        self._timeout_s, self._misses = timeout_s, misses
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._owed = 0
        self._health_task: asyncio.Task[str] | None = None
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    async def get(self, path: str) -> httpx2.Response:
        return await self._guarded(self._request("GET", path, None))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that the server answers with.

        The client repeats requests if the server is busy or breaks off, so they must be safe to repeat.

        Raises:
            Refused: an HTTP error, with the server's own message.
            EngineError: the server is unreachable, dead or silent for too long, or answers with something other than
                JSON or with numbers that are not finite.
        """
        async with self._slots:
            response = await self._post_with_retries(path, body)
        try:
            answer: Any = response.json()
        except ValueError:
            raise EngineError(f"{self.url}{path} answered with something that is not JSON; is it vLLM?") from None
        if not isinstance(answer, dict):
            raise EngineError(f"{self.url}{path} answered with something other than a JSON object; is it vLLM?")
        return cast(dict[str, Any], answer)

    async def _post_with_retries(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        """The response to a request, which is sent again if the server does not answer it."""
        for pause in PAUSES_S:
            try:
                return await self._guarded(self._request("POST", path, body))
            except _Busy:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        return await self._guarded(self._request("POST", path, body))

    async def _guarded(self, work: Coroutine[Any, Any, httpx2.Response]) -> httpx2.Response:
        """The response, unless the server dies or takes too long."""
        request = asyncio.ensure_future(work)
        self._owed += 1
        # One health check runs, however many answers the server owes.
        if self._health_task is None or self._health_task.done():
            self._health_task = asyncio.ensure_future(self._watch_health())
        health_task = self._health_task
        try:
            await asyncio.wait({request, health_task}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return request.result()
            if health_task.done():
                raise EngineError(f"{self.url} fails its health checks ({health_task.result()}); see its log")
            raise EngineError(f"{self.url} gave no answer within {self._timeout_s:g} s; raise timeout or see its log")
        finally:
            self._owed -= 1
            # If a deadline cuts the request off, the health check goes on, to find out whether the server hangs.
            if request.done() and not self._owed:
                health_task.cancel()
                self._health_task = None
            request.cancel()

    async def _watch_health(self) -> str:
        """Return why the server counts as dead, or nothing once it owes no answer and is healthy."""
        misses, reason = 0, ""
        while misses < self._misses:
            await asyncio.sleep(HEALTH_S)
            reason = await self._health()
            misses = misses + 1 if reason else 0
            if not reason and not self._owed:
                return ""
        self.failed_at = time.monotonic()
        return reason

    async def _health(self) -> str:
        """Why the server is not healthy; nothing if it is."""
        import httpx2

        try:
            answer = await _network().http.get(f"{self.url}/health", timeout=5 * HEALTH_S)
        except httpx2.HTTPError as error:
            return _reason(error)
        return "" if answer.is_success else f"health {answer.status_code}"

    async def _request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Response:
        import httpx2

        try:
            response = await _network().http.request(method, f"{self.url}{path}", json=body, headers=self._headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Busy(f"{self.url} cannot be reached ({_reason(error)}); is the server running there?") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise EngineError(f"{self.url} is not an address ({error}); give http://host:port") from None
        except httpx2.HTTPError as error:
            raise _Busy(f"{self.url} broke off its answer ({_reason(error)}); see its log") from None
        if response.status_code in (429, 503):
            raise _Busy(f"{self.url} takes no more requests ({response.status_code}); try fewer at a time")
        if response.status_code in (401, 403):
            raise Refused(f"{self.url}{path} refuses the API key ({response.status_code})", response.status_code)
        if not response.is_success:
            message = _message(response)
            if _NOT_FINITE in message:
                raise EngineError(f"{self.url}{path}: its model's numbers are not finite; {ANOTHER_DTYPE}")
            raise Refused(f"{self.url}{path}: {response.status_code}, {message}", response.status_code)
        return response


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _message(response: httpx2.Response) -> str:
    """The server's error message, on one line."""
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text
    return " ".join(str(message).split())[:300] or "no reason given"
