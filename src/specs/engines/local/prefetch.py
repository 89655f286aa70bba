"""A step that is sampled before anyone is sure to ask for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from specs.engines.local.background import POOL
from specs.engines.protocol import Closed, Counts, Sample, Watch


class Dropped(Exception):
    """Nobody will ask for it."""


class Ahead:
    """A call of `sample` in a thread of its own; its session is used by nothing else until it is taken or dropped.

    Attributes:
        started, ended: on the clock of `time.perf_counter`; `ended` is None while it runs.
    """

    def __init__(
        self,
        sample: Callable[[Watch, Closed], Sequence[Sample]],
        watch: Watch,
        counts: Counts,
        forget: Callable[[], object],
    ) -> None:
        """`forget` brings the session back to where it was, after a sample that was dropped."""
        self._sample, self._watch, self._counts, self._forget = sample, watch, counts, forget
        self._before = counts.processed
        self._unwanted = threading.Event()
        self._lock = threading.Lock()
        self._closed: list[tuple[int, Sample]] = []
        self._listener: Closed | None = None
        self.started = time.perf_counter()
        self.ended: float | None = None
        self._future: Future[Sequence[Sample]] = POOL.submit(self._run)

    def take(self, closed: Closed) -> Sequence[Sample]:
        """What was asked for; `closed` hears of every candidate as of one that was sampled now."""
        if self._future.cancel():  # no thread has come to it
            return self._sample(self._watch, closed)
        with self._lock:
            self._listener = closed
            for one in self._closed:
                closed(*one)
        return self._future.result()

    def drop(self) -> None:
        """End it; the token positions that it has cost were speculated."""
        self._unwanted.set()
        if not self._future.cancel():
            wait([self._future])
            self._forget()
        self._counts.speculated += self._counts.processed - self._before

    def _run(self) -> Sequence[Sample]:
        try:
            return self._sample(self._wanted, self._hear)
        except Dropped:
            return ()
        finally:
            self.ended = time.perf_counter()

    def _wanted(self) -> None:
        if self._unwanted.is_set():
            raise Dropped
        self._watch()

    def _hear(self, trace_idx: int, sample: Sample) -> None:
        with self._lock:
            if self._listener is None:
                self._closed.append((trace_idx, sample))
            else:
                self._listener(trace_idx, sample)
