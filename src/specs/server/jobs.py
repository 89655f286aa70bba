"""The server's solves: each waits its turn, runs in a thread, and reports its events to its request.

The thread never waits for the client that reads the answer, so a slow client holds up no solve. `cancel` ends
a solve, waiting or running; engines stop within one token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from starlette.requests import ClientDisconnect

from specs.config import Limits, SolveConfig
from specs.decoding.latency_model import LatencyModel
from specs.decoding.stream import Stream, start, stream
from specs.engines.protocol import Models
from specs.errors import described
from specs.methods import Method
from specs.server.access_log import log, log_event
from specs.server.errors import DEFECT, Refused
from specs.server.metrics import Metrics
from specs.server.output import Output, ThinkingOutput
from specs.server.queue import NeverFits, QueueClosed, QueueFull, QueuePlace, SolveQueue
from specs.server.request_parsing import SolveRequest, remaining_limits
from specs.server.turns import FairThread, TooMany
from specs.types import Finish, Result, SamplingParams, StepRecord

TRIAL_QUESTION = "Tom has 4 nuts. Then he finds 3 nuts. How many nuts does Tom have now?"
"""The question that a server solves when it starts."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """The method has accepted or rejected a step; `text` and `thinking` are the new parts of answer and thinking."""

    record: StepRecord
    text: str
    thinking: str


@dataclass(frozen=True, slots=True)
class SolveEnded:
    """A solve has ended.

    Attributes:
        text, thinking: the rest of the answer and of the thinking.
        stopped: whether a stop string of the request ended it.
        queue_s: seconds from the arrival of the request to the start of the solve.
    """

    result: Result
    text: str
    thinking: str
    stopped: bool
    queue_s: float


@dataclass(frozen=True, slots=True)
class SolveFailed:
    """A solve has ended without an answer."""

    refusal: Refused


SolveEvent = StepDone | SolveEnded | SolveFailed
OnEvent = Callable[[SolveEvent], None]


class SolveJob:
    """One solve of a request. It calls `on_event` on the event loop, at the end with `SolveEnded` or `SolveFailed`."""

    def __init__(
        self, request: SolveRequest, place: QueuePlace, on_event: OnEvent, runner: JobRunner, arrived_s: float
    ) -> None:
        self.request = request
        self._place, self._on_event, self._runner = place, on_event, runner
        self._stream: Stream | None = None
        self._arrived_s = arrived_s
        self._cancelled = False

    def cancel(self) -> None:
        """End the solve within one token, or before it starts."""
        self._cancelled = True
        if self._stream is not None:
            self._stream.cancel()
        else:
            self._place.leave()

    async def run(self) -> None:
        """Wait for the turn, solve, and report the last event."""
        try:
            self._on_event(await self._solve())
        except QueueClosed:
            self._on_event(SolveFailed(shutting_down()))
        except QueueFull as full:
            self._runner.metrics.rejected.labels("queue").inc()
            self._on_event(SolveFailed(queue_full(full)))
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
            self._on_event(SolveFailed(Refused(499, "the request was cancelled")))
        except KeyboardInterrupt:
            raise
        except BaseException:
            # A bug here or in a library (a panic in Rust is not an Exception): the client gets an error, the log
            # gets the traceback, and other solves continue.
            log.exception("defect", extra={"fields": {"model": self.request.model}})
            self._on_event(SolveFailed(Refused(500, DEFECT)))
        finally:
            self._place.leave()

    async def _solve(self) -> SolveEnded | SolveFailed:
        request = self.request
        left = remaining_limits(request.config.limits, time.perf_counter() - self._arrived_s)
        if left is None:
            return self._deadline_passed()
        try:
            await self._place.wait_for_turn(left.deadline_s)
        except TimeoutError:
            return self._deadline_passed()
        if self._cancelled:  # after the turn came, before this ran
            raise asyncio.CancelledError
        queue_s = time.perf_counter() - self._arrived_s
        limits = remaining_limits(request.config.limits, queue_s)
        if limits is None:
            return self._deadline_passed()
        self._stream = start(
            request.question,
            self._runner.models,
            replace(request.config, limits=limits),
            request.thinking,
            chat=request.chat,
            latency_model=self._runner.latency_model,
        )
        output = Output(request.stop)
        thinking = ThinkingOutput(request.thinking)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(
            self._runner.solve_threads, self._run_steps, self._stream, output, thinking, loop
        )
        self._runner.metrics.record_solve(request.model, result, queue_s)
        if result.finish_reason is Finish.ERROR:
            return SolveFailed(Refused(502, f"an engine failed: {result.error}", code="engine_error"))
        return SolveEnded(result, output.end(result), thinking.end(result), output.stopped, queue_s)

    def _deadline_passed(self) -> SolveFailed:
        self._runner.metrics.rejected.labels("deadline").inc()
        return SolveFailed(Refused(503, "the deadline passed in the queue", code="deadline", retry_after_s=1))

    def _run_steps(
        self, solve_stream: Stream, output: Output, thinking: ThinkingOutput, loop: asyncio.AbstractEventLoop
    ) -> Result:
        """Run the solve; called in a thread of its own."""
        for record in solve_stream:
            loop.call_soon_threadsafe(self._on_event, StepDone(record, output.feed(record), thinking.feed(record)))
            if output.stopped:
                solve_stream.cancel()
        return solve_stream.result


class JobRunner:
    """Runs all solves of a server.

    Attributes:
        solve_threads: one thread per solve that may run.
        parse_thread: requests are parsed one at a time, because tokenizing a long text takes much memory, which a
            thread then keeps. A client may have as many in it as the queue has places.
    """

    def __init__(self, models: Models, queue: SolveQueue, metrics: Metrics) -> None:
        self.models, self.queue, self.metrics = models, queue, metrics
        self.latency_model = LatencyModel()
        self.solve_threads = ThreadPoolExecutor(queue.max_running, thread_name_prefix="specs-solve")
        self.parse_thread = FairThread(queue.max_running + queue.max_waiting, "specs-read")
        self._jobs: dict[asyncio.Task[None], SolveJob] = {}

    def solve_trial_question(self, method: Method, sampling: SamplingParams) -> None:
        """Solve a short question, to log failures before the first request and to measure speed for deadlines.

        A failure does not end the server: the engine may recover, and methods that do not use it still work.
        """
        config = SolveConfig(method, sampling, Limits(max_tokens=100))
        trial = stream(TRIAL_QUESTION, self.models, config, latency_model=self.latency_model)
        try:
            failure = trial.result.error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            log.exception("defect")
            failure = described(error)
        if failure is not None:
            log_event("trial failed", logging.WARNING, error=failure)

    async def parse(
        self, client: str, gone: Callable[[], Awaitable[bool]], call: Callable[[], list[SolveRequest]]
    ) -> list[SolveRequest]:
        """What `call` returns, which parses a request of a client, when it is the client's turn.

        Raises:
            Refused: the client has too many requests in the server, or what `call` raises.
            ClientDisconnect: the client has gone.
        """
        try:
            found = await self.parse_thread.run(client, gone, call)
        except TooMany:
            self.metrics.rejected.labels("queue").inc()
            raise queue_full(QueueFull(self.queue.retry_after_s(1))) from None
        if found is None:
            raise ClientDisconnect
        return found

    def start(
        self,
        requests: Sequence[SolveRequest],
        client: str,
        on_event: Callable[[int, SolveEvent], None],
        arrived_s: float,
    ) -> list[SolveJob]:
        """Start the solves of a request; `on_event` gets (solve_idx, event).

        Args:
            arrived_s: when the request arrived (`time.perf_counter`); deadlines count from there.

        Raises:
            Refused: the queue has not enough free slots, or the server is shutting down.
        """
        try:
            places = self.queue.reserve(client, len(requests))
        except QueueFull as full:
            self.metrics.rejected.labels("queue").inc()
            raise queue_full(full) from None
        except NeverFits:
            places_there = self.queue.max_running + self.queue.max_waiting
            raise Refused(
                400, f"n: this request asks for {len(requests)} solves, and the server takes {places_there} at a time",
                param="n",
            ) from None  # fmt: skip
        except QueueClosed:
            raise shutting_down() from None
        jobs = [
            SolveJob(request, place, lambda event, solve_idx=solve_idx: on_event(solve_idx, event), self, arrived_s)
            for solve_idx, (request, place) in enumerate(zip(requests, places, strict=True))
        ]
        for job in jobs:
            task = asyncio.get_running_loop().create_task(job.run())
            self._jobs[task] = job
            task.add_done_callback(self._jobs.pop)
        return jobs

    def close(self) -> None:
        """Refuse waiting and new solves; running ones continue."""
        self.queue.close()

    def cancel(self) -> None:
        """End the running solves; each answers with what it has so far."""
        for job in list(self._jobs.values()):
            job.cancel()


def queue_full(full: QueueFull) -> Refused:
    return Refused(
        429, f"the queue is full; try again in {full.retry_after_s} s", code="queue_full",
        retry_after_s=full.retry_after_s,
    )  # fmt: skip


def shutting_down() -> Refused:
    return Refused(503, "the server is shutting down", code="shutting_down", retry_after_s=5)
