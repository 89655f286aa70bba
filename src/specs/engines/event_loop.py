"""The event loop of this process, in a thread of its own; sessions are synchronous and hand it their coroutines.

While a session waits it calls `check_stop`, and cancels its coroutine if the solve must end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Iterable
from functools import cache
from typing import Any, TypeVar

from specs.engines.protocol import CheckStop

T = TypeVar("T")

POLL_S = 0.05
"""Seconds between two calls of `check_stop` while a session waits."""


class _Thread:
    """The loop, created on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="specs-loop", daemon=True).start()
            return self._loop


_thread = cache(_Thread)


def submit(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Run a coroutine on the loop; cancelling the future cancels it."""
    return asyncio.run_coroutine_threadsafe(work, _thread().loop)


async def as_coroutine(future: concurrent.futures.Future[T]) -> T:
    """A future of `submit` as a coroutine; cancelling one cancels the other."""
    return await asyncio.wrap_future(future)


def wait(work: Coroutine[Any, Any, T], check_stop: CheckStop) -> T:
    """Run a coroutine on the loop and wait for it; cancel it if `check_stop` raises."""
    future = submit(work)
    try:
        while not concurrent.futures.wait([future], POLL_S).done:
            check_stop()
        return future.result()
    finally:
        future.cancel()


async def gather(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at the same time; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
