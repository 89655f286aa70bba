"""Bounds how much a body may contain before it is parsed: while JSON is parsed, the server does nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from specs.server.errors import Refused

MAX_SEPARATORS = 20_000
"""Commas and colons outside strings: some 10,000 fields and list items, several times what a valid request has."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[,:]', re.DOTALL)


def refuse_crowded(body: bytes) -> None:
    """Raise `Refused` if a body has more than `MAX_SEPARATORS` commas and colons outside its strings."""
    if body.count(b",") + body.count(b":") <= MAX_SEPARATORS:
        return
    separators = 0
    for token in _TOKEN.finditer(body):
        separators += not token[0].startswith(b'"')
        if separators > MAX_SEPARATORS:
            raise Refused(400, f"the body has more than {MAX_SEPARATORS // 2:,} fields and list items; send fewer")


class _BoundedRequest(Request):
    async def json(self) -> Any:
        refuse_crowded(await self.body())
        return await super().json()


class BoundedRoute(APIRoute):
    """A route whose bodies are bounded by `refuse_crowded`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handler(_BoundedRequest(request.scope, request.receive))

        return bounded
