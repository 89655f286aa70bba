"""Background work of one session, in a thread, while the solve calls other models."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

POOL = ThreadPoolExecutor(64, thread_name_prefix="specs")
"""The threads of all solves. A session that needs work which no thread has started does the work itself."""


class BackgroundTask:
    """At most one piece of work in flight for a session; if `enabled` is false, none ever starts."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._in_flight: tuple[Future[None], Callable[[], None]] | None = None

    def submit(self, work: Callable[[], None]) -> Future[None] | None:
        """Start `work`; the session must `join` before it computes anything else."""
        if not self.enabled:
            return None
        future = POOL.submit(work)
        self._in_flight = future, work
        return future

    def join(self) -> None:
        """Wait until the work has ended, and raise what it raised."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        future, work = in_flight
        if future.cancel():
            work()
        else:
            future.result()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
