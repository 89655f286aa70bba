"""What stands before every route: request ids, keys, rates, sizes, and the log line of each request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from specs.server.access_log import log, say
from specs.server.errors import DEFECT, Refused, error_body
from specs.server.metrics import Meters

CLIENTS = 10_000
"""Whose rates are remembered."""
BODY_S = 30.0
"""Seconds between two parts of a request's body, at most."""
GUARDED = "/v1/"
"""Where a key is asked for, and rates count."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
"""That the log names; others are a client's own words."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask, and how much.

    Attributes:
        keys: API keys, any of which opens `/v1/`; none for everyone.
        per_minute: requests of one client; None for no limit.
        max_bytes: of a request's body.
    """

    keys: tuple[str, ...] = ()
    per_minute: float | None = None
    max_bytes: int = 1 << 20


class Rates:
    """Requests by client: a minute's worth at once, then as many as the rate lets in (a token bucket)."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._each_s = 60 / per_minute
        self._room_s = 60.0
        self._clock = clock
        self._used_up: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Seconds until the client may ask; 0 where it may now, which counts."""
        now = self._clock()
        until = max(self._used_up.pop(client, now), now) + self._each_s
        late = until - now - max(self._room_s, self._each_s)
        self._used_up[client] = until if late <= 1e-9 else until - self._each_s
        if len(self._used_up) > CLIENTS:
            self._used_up.popitem(last=False)
        return late if late > 1e-9 else 0.0


class Guard:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, rules: Rules, meters: Meters) -> None:
        self._app, self._rules, self._meters = app, rules, meters
        self._keys = [key.encode() for key in rules.keys]
        self._rates = None if rules.per_minute is None else Rates(rules.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, headers = time.perf_counter(), Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"
        said: dict[str, Any] = {}
        scope.setdefault("state", {}).update(said=said, request_id=request_id)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                mine = MutableHeaders(scope=message)
                for name, value in {"X-Request-Id": request_id, **SAFE_HEADERS}.items():
                    mine.setdefault(name, value)
            await send(message)

        try:
            try:
                scope["state"]["client"] = self._let_in(scope, headers)
                await self._app(scope, self._measured(receive, headers), answer)
            except Refused as refusal:
                if status:
                    raise
                await JSONResponse(refusal.body, refusal.status, refusal.headers)(scope, receive, answer)
        except ClientDisconnect:
            status = status or 499
        except Exception:  # a defect of ours
            log.exception("defect", extra={"said": {"id": request_id}})
            if status:
                raise
            await JSONResponse(error_body(500, DEFECT), 500)(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._meters.requests.labels(route, str(status or 499)).inc()
            peer = scope.get("client")
            method = scope["method"] if scope["method"] in METHODS else "other"
            say(
                "request", id=request_id, peer=peer[0] if peer else None, method=method, route=route,
                status=status or 499, seconds=round(time.perf_counter() - began, 6), **said,
            )  # fmt: skip

    def _let_in(self, scope: Scope, headers: Headers) -> str:
        """Who asks; raises `Refused` where it may not."""
        peer = scope.get("client")
        client = peer[0] if peer else "unknown"
        if not scope["path"].startswith(GUARDED):
            return client
        if self._keys:
            client = self._key_of(headers)
        if self._rates is not None and (wait := self._rates.wait_s(client)):
            self._meters.rejected.labels("rate").inc()
            raise Refused(
                429, f"more than {self._rules.per_minute:g} requests a minute; wait {math.ceil(wait)} s",
                code="rate_limit_exceeded", retry_after_s=math.ceil(wait),
            )  # fmt: skip
        return client

    def _key_of(self, headers: Headers) -> str:
        """The client that a valid key stands for."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        sent = key.strip().encode("utf-8", "surrogateescape")
        # Every key is compared, and each in constant time: how long it takes tells nothing.
        matches = [hmac.compare_digest(sent, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            self._meters.rejected.labels("key").inc()
            raise Refused(401, "no valid API key; send one as 'Authorization: Bearer KEY'", code="invalid_api_key")
        return "key " + hashlib.sha256(sent).hexdigest()[:12]

    def _measured(self, receive: Receive, headers: Headers) -> Receive:
        """The body as it comes, refused once it is too large or too slow."""
        length, most = headers.get("content-length", ""), self._rules.max_bytes
        if length.isdecimal() and int(length[:20]) > most:
            raise self._too_large()
        seen, whole = 0, False

        async def part() -> Message:
            nonlocal seen, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), BODY_S)
            except TimeoutError:
                raise Refused(408, f"nothing of the body came for {BODY_S:g} s") from None
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > most:
                raise self._too_large()
            return message

        return part

    def _too_large(self) -> Refused:
        self._meters.rejected.labels("size").inc()
        return Refused(413, f"the body is larger than {self._rules.max_bytes} bytes; send less", code="too_large")


class Hosts:
    """ASGI middleware within `Guard`: who calls the server by a name that is not its own is refused.

    This keeps pages of other sites, whose names may be made to lead here, from reading its answers.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """`names` without ports; `*` for any."""
        self._app, self._names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._names:
            called = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
            if called is None or called[1].lower() not in self._names:
                raise Refused(400, "the Host header names another server; see --allow-host", code="unknown_host")
        await self._app(scope, receive, send)


def keys_of(text: str) -> tuple[str, ...]:
    """API keys, a line each; blank lines and lines that begin with # hold none."""
    lines = map(str.strip, text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
