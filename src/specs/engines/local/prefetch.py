"""Prefetch: a session samples a step in the background before the method requests it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from specs.engines.local.background import POOL
from specs.engines.protocol import CheckStop, Sample, TokenCounts


class Dropped(Exception):
    """The caller has dropped the step."""


class BackgroundPrefetch:
    """A call of `sample` in a thread; nothing else may use its session until the caller takes or drops the step.

    Attributes:
        started, ended: times of `time.perf_counter`; `ended` is None while it samples.
    """

    def __init__(
        self,
        sample: Callable[[CheckStop], Sequence[Sample]],
        check_stop: CheckStop,
        counts: TokenCounts,
        forget: Callable[[], object],
    ) -> None:
        """`forget` returns the session to its state before the sample, if the caller drops it."""
        self._sample, self._check_stop, self._counts, self._forget = sample, check_stop, counts, forget
        self._processed_before = counts.processed
        self._dropped = threading.Event()
        self.started = time.perf_counter()
        self.ended: float | None = None
        self._future: Future[Sequence[Sample]] = POOL.submit(self._run)

    def take(self) -> Sequence[Sample]:
        """Return the samples."""
        if self._future.cancel():  # no thread has started it
            return self._sample(self._check_stop)
        return self._future.result()

    def drop(self) -> None:
        """Stop sampling and count the token positions computed so far as speculated."""
        self._dropped.set()
        if not self._future.cancel():
            wait([self._future])
            self._forget()
        self._counts.speculated += self._counts.processed - self._processed_before

    def _run(self) -> Sequence[Sample]:
        try:
            return self._sample(self._check_dropped)
        except Dropped:
            return ()
        finally:
            self.ended = time.perf_counter()

    def _check_dropped(self) -> None:
        if self._dropped.is_set():
            raise Dropped
        self._check_stop()
