"""The queue of solves: a few run at a time, a limited number wait, and clients take turns.

All methods run on one event loop, so the queue needs no locks.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

FIRST_GUESS_S = 1.0
"""Assumed seconds of a solve until the first one has ended."""
MAX_RETRY_AFTER_S = 60.0
"""Longest time after which a client is told to come back."""
WEIGHT = 0.2
"""Weight of the newest solve in the running mean of solve times."""


class QueueFull(Exception):
    """The queue has not enough free slots; try again in `retry_after_s` (whole seconds, >= 1)."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"full, try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class NeverFits(Exception):
    """More solves than the queue has places, even when it is empty."""


class QueueClosed(Exception):
    """The server is shutting down."""


class SolveQueue:
    """Decides which solves run and which wait.

    Clients take turns: when a solve ends, the next client's oldest request starts. So a client with many
    requests does not hold up the others. When no place is free, the newest solve of the client that waits with the
    most gives way, if that client would still wait with more than the new one.

    Attributes:
        max_running: solves that may run at the same time, >= 1.
        max_waiting: solves that may wait beside them, >= 0.
        running: solves that run now.
        closed: whether the server is shutting down.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running, self.max_waiting = max_running, max_waiting
        self.running = 0
        self._waiting: dict[str, deque[QueuePlace]] = {}
        self._mean_s = FIRST_GUESS_S
        self._promised = 0.0
        self.closed = False

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def reserve(self, client: str, count: int) -> list[QueuePlace]:
        """Reserve places for `count` solves (>= 1) of a client, all or none.

        Raises:
            QueueFull: not enough free slots.
            NeverFits: `count` is more than the queue ever holds.
            QueueClosed: the server is shutting down.
        """
        if self.closed:
            raise QueueClosed
        if count > self.max_running + self.max_waiting:
            raise NeverFits
        missing = count - (self.max_running - self.running) - (self.max_waiting - self.waiting)
        if missing > 0 and not self._make_room(client, count, missing):
            raise QueueFull(self.retry_after_s(count))
        places = [QueuePlace(self, client) for _ in range(count)]
        self._waiting.setdefault(client, deque()).extend(places)
        self._start_next()
        return places

    def _make_room(self, client: str, count: int, missing: int) -> bool:
        """Turn away `missing` waiting solves, each the newest of the client with the most; returns whether it did."""
        mine = len(self._waiting.get(client, ())) + count
        held = {name: len(places) for name, places in self._waiting.items() if name != client}
        giving: list[str] = []
        for _ in range(missing):
            most = max(held, key=lambda name: held[name], default=None)
            if most is None or held[most] <= mine:
                return False
            held[most] -= 1
            giving.append(most)
        for name in giving:
            place = self._waiting[name].pop()
            if not self._waiting[name]:
                del self._waiting[name]
            place.refuse(QueueFull(self.retry_after_s(1)))
        return True

    def close(self) -> None:
        """Refuse all waiting solves and all new ones; running solves continue."""
        self.closed = True
        for places in self._waiting.values():
            for place in places:
                place.refuse(QueueClosed())
        self._waiting.clear()

    def release(self, place: QueuePlace, solve_s: float | None) -> None:
        """Free a place after a solve of `solve_s` seconds, or, if None, before its solve started."""
        if solve_s is None:
            if place in (places := self._waiting.get(place.client, deque())):
                places.remove(place)
                if not places:
                    del self._waiting[place.client]
            return
        self.running -= 1
        self._mean_s += WEIGHT * (solve_s - self._mean_s)
        self._start_next()

    def _start_next(self) -> None:
        while self._waiting and self.running < self.max_running:
            client = next(iter(self._waiting))
            places = self._waiting.pop(client)
            place = places.popleft()
            if places:
                self._waiting[client] = places  # behind the other clients
            self.running += 1
            place.start()

    def retry_after_s(self, count: int) -> int:
        """Seconds until `count` slots should be free, judging by the solves so far.

        Clients that were told to come back earlier come first: each gets a time of its own, so that they do not all
        come back at once.
        """
        now = time.perf_counter()
        excess = max(1, self.waiting + self.running + count - self.max_running - self.max_waiting)
        first = now + excess / self.max_running * self._mean_s
        self._promised = max(first, self._promised + count / self.max_running * self._mean_s)
        return max(1, math.ceil(min(self._promised, now + MAX_RETRY_AFTER_S) - now))


class QueuePlace:
    """One solve's place in the queue: `await wait_for_turn()`, and call `leave()` in every case."""

    def __init__(self, queue: SolveQueue, client: str) -> None:
        self.client = client
        self._queue = queue
        self._turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._released = False

    async def wait_for_turn(self, timeout_s: float | None = None) -> None:
        """Wait until this solve may run.

        Raises:
            QueueClosed: the server is shutting down.
            QueueFull: another client needed the place, and this one waited with the most solves.
            TimeoutError: the turn did not come within `timeout_s` seconds; None waits as long as it takes.
            asyncio.CancelledError: `leave` was called first.
        """
        await asyncio.wait({self._turn}, timeout=timeout_s)
        if not self._turn.done():
            raise TimeoutError
        self._turn.result()

    def start(self) -> None:
        """Let the solve run."""
        self._turn.set_result(time.perf_counter())

    def refuse(self, reason: QueueClosed | QueueFull) -> None:
        """End the wait with an exception."""
        self._turn.set_exception(reason)
        self._turn.exception()  # mark it as retrieved, or asyncio logs an error if nobody waits
        self._released = True

    def leave(self) -> None:
        """Give the place back, waiting or running; idempotent."""
        if self._released:
            return
        self._released = True
        if self._turn.done():
            self._queue.release(self, time.perf_counter() - self._turn.result())
        else:
            self._turn.cancel()
            self._queue.release(self, None)
