"""Several servers of one model. A solve stays with one of them, and moves to another one if it fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from specs.engines.event_loop import submit
from specs.engines.vllm.client import MISSES, MISSES_OF_REPLICA, Refused
from specs.engines.vllm.facts import facts_of
from specs.engines.vllm.server import Facts, Server, client_of
from specs.errors import EngineError, InputError, SpecsError

T = TypeVar("T")

REST_S = 10.0
"""Seconds between two checks whether a server that has failed is back."""
_log = logging.getLogger(__name__)


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
                raise InputError(_unlike(servers[0].client.url, self.facts, server.client.url, server.facts))
        self._turn = itertools.count()

    @property
    def name(self) -> str:
        return f"{','.join(server.client.url for server in self.servers)}#{self.facts.model}"

    def next(self) -> ServerFailover:
        """The servers for a new solve: the next one in turn first, and those that have failed last."""
        for server in self.servers:
            failed_at = server.client.failed_at
            if len(self.servers) > 1 and failed_at is not None and time.monotonic() - failed_at >= REST_S:
                server.client.failed_at = time.monotonic()
                submit(self._check(server))
        well = [server for server in self.servers if server.client.failed_at is None] or self.servers
        first = well[next(self._turn) % len(well)]
        return ServerFailover([first, *(server for server in self.servers if server is not first)])

    async def _check(self, server: Server) -> None:
        """Let solves use a server again that has failed, if it is back and still serves the same model."""
        client = server.client
        try:
            facts = await facts_of(client, self.facts.model)
            if facts != self.facts:
                raise InputError(_unlike(client.url, facts, "the other replicas", self.facts))
        except SpecsError as error:
            client.failed_at = time.monotonic()
            _log.warning("replica is still out: %s", error)
        else:
            client.failed_at = None
            _log.warning("replica %s answers again", client.url)


class ServerFailover:
    """The server of one solve, and the servers that replace it if it fails."""

    def __init__(self, servers: list[Server]) -> None:
        self._servers = servers

    async def send(self, request: Callable[[Server], Coroutine[Any, Any, T]]) -> T:
        """The answer to a request, which must be safe to repeat. Each server gets it at most once.

        Raises:
            EngineError: no server answers the request, or one refuses it.
        """
        untried = list(self._servers)
        while True:
            self._servers.sort(key=lambda server: server.client.failed_at is not None)  # stable: the solve stays
            server = next(server for server in self._servers if server in untried)
            untried.remove(server)
            try:
                answer = await request(server)
            except EngineError as error:
                if isinstance(error, Refused) and error.by_any_server:
                    raise
                server.client.failed_at = time.monotonic()
                if not untried:
                    raise
                _log.warning("another replica takes over: %s", error)
            else:
                server.client.failed_at = None
                return answer


async def connect_replicas(urls: Sequence[str], api_key: str | None, timeout_s: float) -> Replicas:
    """Connect to all servers of one role (`specs.engines.vllm.server.connect`), of which one at least must answer.

    The others count as failed: solves use them once they answer.

    Raises:
        InputError: a server has no such model, or the servers are not alike.
        ModelError: the model states no context.
        EngineError: no server answers as vLLM does, or one refuses the API key.
    """
    misses = MISSES if len(urls) == 1 else MISSES_OF_REPLICA
    clients = [client_of(url, api_key, timeout_s, misses) for url in urls]
    found = await asyncio.gather(*(facts_of(*one) for one in clients), return_exceptions=True)
    failures = [one for one in found if isinstance(one, BaseException)]
    up = [one for one in found if not isinstance(one, BaseException)]
    for failure in failures:
        if not up or not isinstance(failure, EngineError) or (isinstance(failure, Refused) and failure.by_any_server):
            raise failure
    servers: list[Server] = []
    for (client, _), facts in zip(clients, found, strict=True):
        if isinstance(facts, BaseException):
            client.failed_at = time.monotonic()
            _log.warning("starting without a replica: %s", facts)
            facts = up[0]
        servers.append(Server(client, facts))
    return Replicas(servers)


def _unlike(one_url: str, one: Facts, other_url: str, other: Facts) -> str:
    differs = ", ".join(
        f"{name} {getattr(one, name)} and {getattr(other, name)}"
        for name in one.__slots__
        if getattr(one, name) != getattr(other, name)
    )
    return f"{one_url} and {other_url} are not alike ({differs}); serve the same model with the same flags"
