"""Prefetch: a server samples a step in the background before the method requests it."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from specs.engines.event_loop import as_coroutine, submit, wait
from specs.engines.protocol import CheckStop, Sample, TokenCounts


class RemotePrefetch:
    """Requests for one step, in the background.

    Attributes:
        started, ended: times of `time.perf_counter`; `ended` is None while the server samples.
    """

    def __init__(
        self,
        sampling: Coroutine[Any, Any, list[Sample]],
        own: TokenCounts,
        counts: TokenCounts,
        check_stop: CheckStop,
    ) -> None:
        """`sampling` counts its positions in `own`; they belong into `counts` once the step is taken or dropped."""
        self._own, self._counts, self._check_stop = own, counts, check_stop
        self.started = time.perf_counter()
        self.ended: float | None = None
        self._future: Future[list[Sample]] = submit(sampling)
        self._future.add_done_callback(self._end)

    def take(self) -> Sequence[Sample]:
        """Return the samples."""
        samples = wait(as_coroutine(self._future), self._check_stop)
        self._count()
        return samples

    def drop(self) -> None:
        """Break the requests off, and count the positions that the server has reported as speculated."""
        self._future.cancel()
        self._count()
        self._counts.speculated += self._own.processed

    def _count(self) -> None:
        self._counts.processed += self._own.processed
        self._counts.cached += self._own.cached

    def _end(self, _: object) -> None:
        self.ended = time.perf_counter()
