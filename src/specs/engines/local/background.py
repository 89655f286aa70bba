"""Work of one session in a thread, beside other calls of the solve."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

POOL = ThreadPoolExecutor(64, thread_name_prefix="specs")
"""For all solves; work that it has not come to when it is wanted is done by whoever wants it."""


class Beside:
    """What one session has begun. With `on` false nothing is ever begun."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._begun: tuple[Future[None], Callable[[], None]] | None = None

    def start(self, work: Callable[[], None]) -> Future[None] | None:
        """Begin `work`, which nothing else of the session runs beside (`join`)."""
        if not self._on:
            return None
        future = POOL.submit(work)
        self._begun = future, work
        return future

    def join(self) -> None:
        """Wait until it has ended; raises what it raised."""
        begun, self._begun = self._begun, None
        if begun is None:
            return
        future, work = begun
        if future.cancel():
            work()
        else:
            future.result()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
