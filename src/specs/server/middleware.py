"""Middleware before every route: request ids, API keys, rate and size limits, and one log line per request."""

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

from specs.server.access_log import log, log_event
from specs.server.errors import DEFECT, Refused, error_body
from specs.server.metrics import Metrics

MAX_TRACKED_CLIENTS = 10_000
"""Clients whose request rates are remembered."""
BODY_TIMEOUT_S = 30.0
"""Longest wait, in seconds, for the next part of a request's body."""
GUARDED_PREFIX = "/v1/"
"""Paths that need a key and count towards the rate limit."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOGGED_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
"""HTTP methods that the log names; any other method is a client's own words."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Which clients may use the API, and how much.

    Attributes:
        keys: API keys, any of which gives access to `/v1/`; if empty, everyone has access.
        per_minute: requests per minute and client; None for no limit.
        max_bytes: size limit of a request's body in bytes.
    """

    keys: tuple[str, ...] = ()
    per_minute: float | None = None
    max_bytes: int = 1 << 20


class RateLimiter:
    """Limits requests per client by a token bucket: it allows those of `burst_s` seconds at once, then the rate."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic, burst_s: float = 60.0) -> None:
        self._each_s = 60 / per_minute
        self._burst_s = burst_s
        self._clock = clock
        self._busy_until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Seconds until the client may send a request; 0 if it may now, and then the request is counted."""
        now = self._clock()
        until = max(self._busy_until.pop(client, now), now) + self._each_s
        late = until - now - max(self._burst_s, self._each_s)
        self._busy_until[client] = until if late <= 1e-9 else until - self._each_s
        if len(self._busy_until) > MAX_TRACKED_CLIENTS:
            self._busy_until.popitem(last=False)
        return late if late > 1e-9 else 0.0


class AccessMiddleware:
    """ASGI middleware that gives requests ids, admits or refuses them, limits their bodies, counts and logs them."""

    def __init__(self, app: ASGIApp, rules: AccessRules, metrics: Metrics) -> None:
        self._app, self._rules, self._metrics = app, rules, metrics
        self._keys = [key.encode() for key in rules.keys]
        self._rates = None if rules.per_minute is None else RateLimiter(rules.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, headers = time.perf_counter(), Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"
        log_fields: dict[str, Any] = {}
        scope.setdefault("state", {}).update(log_fields=log_fields, request_id=request_id, arrived_s=began)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                response_headers = MutableHeaders(scope=message)
                for name, value in {"X-Request-Id": request_id, **SAFE_HEADERS}.items():
                    response_headers.setdefault(name, value)
            await send(message)

        try:
            try:
                scope["state"]["client"] = self._admit(scope, headers)
                await self._app(scope, self._limited_body(receive, headers), answer)
            except Refused as refusal:
                if status:
                    raise
                await JSONResponse(refusal.body, refusal.status, refusal.headers)(scope, receive, answer)
        except ClientDisconnect:
            status = status or 499
        except Exception:  # a bug in the server
            log.exception("defect", extra={"fields": {"id": request_id}})
            if status:
                raise
            await JSONResponse(error_body(500, DEFECT), 500)(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.requests.labels(route, str(status or 499)).inc()
            peer = scope.get("client")
            method = scope["method"] if scope["method"] in LOGGED_METHODS else "other"
            log_event(
                "request", id=request_id, peer=peer[0] if peer else None, method=method, route=route,
                status=status or 499, seconds=round(time.perf_counter() - began, 6), **log_fields,
            )  # fmt: skip

    def _admit(self, scope: Scope, headers: Headers) -> str:
        """The client's name for rates and logs; raises `Refused` if it has no access."""
        peer = scope.get("client")
        client = peer[0] if peer else "unknown"
        if not scope["path"].startswith(GUARDED_PREFIX):
            return client
        if self._keys:
            client = self._client_of_key(headers)
        if self._rates is not None and (wait := self._rates.wait_s(client)):
            self._metrics.rejected.labels("rate").inc()
            raise Refused(
                429, f"more than {self._rules.per_minute:g} requests a minute; wait {math.ceil(wait)} s",
                code="rate_limit_exceeded", retry_after_s=math.ceil(wait),
            )  # fmt: skip
        return client

    def _client_of_key(self, headers: Headers) -> str:
        """The client's name, derived from its API key; raises `Refused` without a valid key."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        sent = key.strip(" \t").encode("latin-1")  # the bytes that the client sent; keys of files are UTF-8
        # Compare with every key, each in constant time, so that the duration reveals nothing about the keys.
        matches = [hmac.compare_digest(sent, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            self._metrics.rejected.labels("key").inc()
            raise Refused(401, "no valid API key; send one as 'Authorization: Bearer KEY'", code="invalid_api_key")
        return "key " + hashlib.sha256(sent).hexdigest()[:12]

    def _limited_body(self, receive: Receive, headers: Headers) -> Receive:
        """`receive`, but it raises `Refused` once the body is too large or too slow."""
        length, max_bytes = headers.get("content-length", ""), self._rules.max_bytes
        if length.isdecimal() and int(length[:20]) > max_bytes:
            raise self._too_large()
        seen, complete = 0, False

        async def part() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
            except TimeoutError:
                raise Refused(408, f"no part of the body arrived for {BODY_TIMEOUT_S:g} s; send it again") from None
            seen += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if seen > max_bytes:
                raise self._too_large()
            return message

        return part

    def _too_large(self) -> Refused:
        self._metrics.rejected.labels("size").inc()
        return Refused(413, f"the body is larger than {self._rules.max_bytes} bytes; send less", code="too_large")


class HostMiddleware:
    """ASGI middleware inside `AccessMiddleware`: refuses requests whose Host header names another server.

    This prevents DNS rebinding: a page of another site cannot read this server's answers by pointing its own
    name here.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """`names` are host names without ports; `*` allows any."""
        self._app, self._names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._names:
            called = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
            if called is None or called[1].lower() not in self._names:
                raise Refused(
                    400, "the Host header names another server; 'specs serve --allow-host NAME' allows it",
                    code="unknown_host",
                )  # fmt: skip
        await self._app(scope, receive, send)


def parse_keys(text: str) -> tuple[str, ...]:
    """API keys, one per line; blank lines and lines that start with # are skipped."""
    lines = map(str.strip, text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
