"""Many solves at a time: each is yielded when it has ended, and only those that run are held in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from specs.config import SolveConfig
from specs.decoding.stream import Stream
from specs.errors import described
from specs.types import Finish, Result

Item = TypeVar("Item")
_log = logging.getLogger(__name__)


class Many(Generic[Item]):
    """Solves of many items, `concurrency` at a time.

    Items are taken one by one when there is a free place. `start` may give a result at once. A solve that raises an
    error is a result with that error, made by `failed`. Leaving the iteration cancels what still runs.
    """

    def __init__(
        self,
        items: Iterable[Item],
        start: Callable[[Item], Stream | Result],
        failed: Callable[[Item, str], Result],
        concurrency: int,
    ) -> None:
        self._waiting = iter(items)
        self._start, self._failed, self._concurrency = start, failed, concurrency
        self._running: dict[Future[Result], tuple[Item, Stream]] = {}
        self._stopped = threading.Event()

    def cancel(self) -> None:
        """Take no more items and cancel what runs, from any thread; the iteration then ends."""
        self._stopped.set()
        for _, solve in list(self._running.values()):
            solve.cancel()

    def __iter__(self) -> Iterator[tuple[Item, Result]]:
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="specs-many") as pool:
            try:
                yield from self._fill(pool)
                while self._running:
                    for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                        item, _ = self._running.pop(future)
                        yield from self._fill(pool)
                        if not self._stopped.is_set():
                            yield item, future.result()
            finally:
                self.cancel()

    def _fill(self, pool: ThreadPoolExecutor) -> Iterator[tuple[Item, Result]]:
        """Start solves until all places are taken; yields those that need not run."""
        while len(self._running) < self._concurrency and not self._stopped.is_set():
            try:
                item = next(self._waiting)
            except StopIteration:
                return
            solve = self._start(item)
            if isinstance(solve, Result):
                yield item, solve
            else:
                self._running[pool.submit(self._finish, item, solve)] = item, solve

    def _finish(self, item: Item, solve: Stream) -> Result:
        try:
            return solve.result
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A bug of ours or of a library (a panic in Rust is not an `Exception`) fails only this solve.
            _log.exception("a solve failed")
            return self._failed(item, f"{described(error)}; please report it with the traceback that was logged")


def failed(question: str, config: SolveConfig, error: str) -> Result:
    """The result of a solve that raised an error instead of returning one."""
    return Result(
        answer=None,
        text="",
        finish_reason=Finish.ERROR,
        method=config.method.name,
        question=question,
        steps=(),
        usage={},
        flops=0.0,
        latency_s=0.0,
        time_to_first_step_s=None,
        seed=config.seed,
        models={},
        prompt_token_ids={},
        settings=config.settings,
        error=error,
    )
