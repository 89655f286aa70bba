"""The line of solves: so many at a time, so many waiting, clients in turn.

Everything here runs on one event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

FIRST_GUESS_S = 1.0
"""Seconds that a solve is taken to last until one has ended."""
WEIGHT = 0.2
"""Of the last solve in the running mean."""


class Full(Exception):
    """There is no room in the line; `retry_after_s` (whole seconds, >= 1) is when there should be."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"full, try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Closed(Exception):
    """The server is shutting down."""


class Line:
    """Who solves now and who waits.

    A client that asks for much does not keep others waiting: whenever a solve ends, the next client in
    turn goes on with its oldest request.

    Attributes:
        at_a_time: solves that run together, >= 1.
        room: solves that may wait beside them, >= 0.
        closed: whether the server is shutting down.
    """

    def __init__(self, at_a_time: int, room: int) -> None:
        self.at_a_time, self.room = at_a_time, room
        self.running = 0
        self._waiting: dict[str, deque[Place]] = {}
        self._mean_s = FIRST_GUESS_S
        self.closed = False

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self, client: str, wanted: int) -> list[Place]:
        """Places for `wanted` solves (>= 1) of a client, all or none.

        Raises:
            Full: there are not so many.
            Closed: there will be none.
        """
        if self.closed:
            raise Closed
        free = self.at_a_time - self.running
        if wanted > free + self.room - self.waiting:
            raise Full(self._wait_s(wanted))
        places = [Place(self, client) for _ in range(wanted)]
        self._waiting.setdefault(client, deque()).extend(places)
        self._go_on()
        return places

    def close(self) -> None:
        """Send everyone away who waits; those who run go on."""
        self.closed = True
        for places in self._waiting.values():
            for place in places:
                place.turn_away()
        self._waiting.clear()

    def left(self, place: Place, ran_s: float | None) -> None:
        """A place is given back, after a solve of `ran_s` seconds or, for None, without one."""
        if ran_s is None:
            if place in (places := self._waiting.get(place.client, deque())):
                places.remove(place)
                if not places:
                    del self._waiting[place.client]
            return
        self.running -= 1
        self._mean_s += WEIGHT * (ran_s - self._mean_s)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self.running < self.at_a_time:
            client = next(iter(self._waiting))
            places = self._waiting.pop(client)
            place = places.popleft()
            if places:
                self._waiting[client] = places  # behind the others
            self.running += 1
            place.call()

    def _wait_s(self, wanted: int) -> int:
        """Until so many more have room, if solves go on as they did."""
        excess = self.waiting + self.running + wanted - self.at_a_time - self.room
        return max(1, math.ceil(max(1, excess) / self.at_a_time * self._mean_s))


class Place:
    """One solve's place in the line: `await reached()`, and `leave()` whatever happens."""

    def __init__(self, line: Line, client: str) -> None:
        self.client = client
        self._line = line
        self._turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._left = False

    async def reached(self, within_s: float | None = None) -> None:
        """Wait for one's turn.

        Raises:
            Closed: there will be none.
            TimeoutError: it did not come within so many seconds; None for as long as it takes.
            asyncio.CancelledError: `leave` came first.
        """
        await asyncio.wait({self._turn}, timeout=within_s)
        if not self._turn.done():
            raise TimeoutError
        self._turn.result()

    def call(self) -> None:
        """It is this one's turn."""
        self._turn.set_result(time.perf_counter())

    def turn_away(self) -> None:
        """There will be no turn."""
        self._turn.set_exception(Closed())
        self._turn.exception()  # whoever waits hears of it; where nobody does, that is no error
        self._left = True

    def leave(self) -> None:
        """Give the place back, waiting or running; again is nothing."""
        if self._left:
            return
        self._left = True
        if self._turn.done():
            self._line.left(self, time.perf_counter() - self._turn.result())
        else:
            self._turn.cancel()
            self._line.left(self, None)
