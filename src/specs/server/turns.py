"""One thread for all clients, in which each client's calls wait for one another but for no other client's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


class TooMany(Exception):
    """The client has as many calls waiting as it may have."""


class FairThread:
    """Runs calls in one thread. Clients take turns: at most one call of each is in the thread's own queue.

    Attributes:
        max_waiting: calls of one client at the same time, >= 1.
    """

    def __init__(self, max_waiting: int, name: str) -> None:
        self.max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._locks: dict[str, asyncio.Lock] = {}
        self._calls: dict[str, int] = {}

    async def run(self, client: str, gone: Callable[[], Awaitable[bool]], call: Callable[[], Answer]) -> Answer | None:
        """What `call` returns; None without a call if `gone` says, once it is the client's turn, that nobody waits.

        Raises:
            TooMany: the client has `max_waiting` calls already.
        """
        if self._calls.get(client, 0) >= self.max_waiting:
            raise TooMany
        self._calls[client] = self._calls.get(client, 0) + 1
        try:
            async with self._locks.setdefault(client, asyncio.Lock()):
                if await gone():
                    return None
                return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client], self._locks[client]
