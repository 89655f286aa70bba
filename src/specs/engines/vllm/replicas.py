"""Several servers of one model. A solve stays with one of them, and moves to the next one if it fails."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from specs.engines.vllm.client import Refused
from specs.engines.vllm.server import Facts, Server
from specs.errors import EngineError, InputError

T = TypeVar("T")

REST_S = 10.0
"""Seconds for which new solves avoid a server that has failed."""


class Replicas:
    """The servers of one role.

    Attributes:
        servers: all servers, at least one.
        facts: the properties that all of them share.
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        """Raise `InputError` unless all servers serve the same model in the same way (`Facts`)."""
        self.servers = tuple(servers)
        self.facts: Facts = servers[0].facts
        for server in servers[1:]:
            if server.facts != self.facts:
                differs = _difference(self.facts, server.facts)
                urls = f"{servers[0].client.url} and {server.client.url}"
                raise InputError(f"{urls} are not alike ({differs}); serve the same model with the same flags")
        self._turn = itertools.count()
        self._failed: dict[Server, float] = {}

    @property
    def name(self) -> str:
        return f"{','.join(server.client.url for server in self.servers)}#{self.facts.model}"

    def next(self) -> ServerFailover:
        """The servers for a new solve: the next one in turn first, unless it has just failed."""
        now = time.monotonic()
        well = [one for one in self.servers if now - self._failed.get(one, -REST_S) >= REST_S] or self.servers
        first = well[next(self._turn) % len(well)]
        return ServerFailover([first, *(one for one in self.servers if one is not first)], self._failed)


class ServerFailover:
    """The server of one solve, and the servers that replace it if it fails."""

    def __init__(self, servers: list[Server], failed: dict[Server, float]) -> None:
        self._servers, self._failed = servers, failed

    async def send(self, request: Callable[[Server], Coroutine[Any, Any, T]]) -> T:
        """The answer to a request, which must be safe to repeat.

        Raises:
            EngineError: no server answers the request, or one refuses it.
        """
        while True:
            server = self._servers[0]
            try:
                return await request(server)
            except Refused:
                raise
            except EngineError:
                self._failed[server] = time.monotonic()
                # Concurrent requests fail together; the first of them moves the solve to the next server.
                if self._servers[0] is server:
                    if len(self._servers) == 1:
                        raise
                    del self._servers[0]


def _difference(one: Facts, other: Facts) -> str:
    return ", ".join(
        f"{name} {getattr(one, name)} and {getattr(other, name)}"
        for name in one.__slots__
        if getattr(one, name) != getattr(other, name)
    )
