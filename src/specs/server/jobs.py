"""Solves of the server: each waits its turn, runs in a thread, and tells its request what happens.

The thread never waits for whoever reads the answer, so a slow reader holds nobody up. A solve is given up
by `cancel`, waiting or running; engines stop within a token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from specs.config import Limits, SolveConfig
from specs.decoding.latency_model import Pace
from specs.decoding.stream import Stream, stream
from specs.engines.protocol import Models
from specs.errors import described
from specs.methods import Method
from specs.server.access_log import log, say
from specs.server.errors import DEFECT, Refused
from specs.server.metrics import Meters
from specs.server.output import Output
from specs.server.queue import Closed, Full, Line, Place
from specs.server.request_parsing import Asked, within
from specs.types import Finish, Law, Result, StepRecord

TRIAL = "Tom has 4 nuts. Then he finds 3 nuts. How many nuts does Tom have now?"
"""The question that a server begins with."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step has been accepted or thrown away; `text` is what the answer grew by."""

    record: StepRecord
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A solve has ended.

    Attributes:
        text: the rest of the answer.
        stopped: by a stop string of the request.
    """

    result: Result
    text: str
    stopped: bool
    queue_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A solve has ended without an answer."""

    refusal: Refused


Event = Step | Ended | Failed
Hear = Callable[[Event], None]


class Job:
    """One solve of a request. `hear` is told of its events on the event loop, `Ended` or `Failed` last."""

    def __init__(self, asked: Asked, place: Place, hear: Hear, solves: Solves) -> None:
        self.asked = asked
        self._place, self._hear, self._solves = place, hear, solves
        self._running: Stream | None = None
        self._began = time.perf_counter()
        self._given_up = False

    def cancel(self) -> None:
        """End it within a token, or before it has begun."""
        self._given_up = True
        if self._running is not None:
            self._running.cancel()
        else:
            self._place.leave()

    async def run(self) -> None:
        """From the line to the last event."""
        try:
            self._hear(await self._solved())
        except Closed:
            self._hear(Failed(shutting_down()))
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            self._hear(Failed(Refused(499, "the request was given up")))
        except KeyboardInterrupt:
            raise
        except BaseException:
            # A defect of ours or of a library (a panic in Rust is not an Exception): the client gets an error, the log
            # the traceback, and other solves continue.
            log.exception("defect", extra={"said": {"model": self.asked.model}})
            self._hear(Failed(Refused(500, DEFECT)))
        finally:
            self._place.leave()

    async def _solved(self) -> Ended | Failed:
        asked = self.asked
        try:
            await self._place.reached(asked.config.limits.deadline_s)
        except TimeoutError:
            return self._late()
        if self._given_up:  # between the turn and now
            raise asyncio.CancelledError
        queue_s = time.perf_counter() - self._began
        limits = within(asked.config.limits, queue_s)
        if limits is None:
            return self._late()
        self._running = stream(
            asked.question,
            self._solves.models,
            replace(asked.config, limits=limits),
            chat=asked.chat,
            pace=self._solves.pace,
        )
        output = Output(asked.stop)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._solves.threads, self._step_by_step, self._running, output, loop)
        self._solves.meters.solved(asked.model, result, queue_s)
        if result.finish_reason is Finish.ERROR:
            return Failed(Refused(502, f"an engine failed: {result.error}", code="engine_error"))
        return Ended(result, output.end(result), output.stopped, queue_s)

    def _late(self) -> Failed:
        self._solves.meters.rejected.labels("deadline").inc()
        return Failed(Refused(503, "the deadline passed in the queue", code="deadline", retry_after_s=1))

    def _step_by_step(self, running: Stream, output: Output, loop: asyncio.AbstractEventLoop) -> Result:
        """In a thread of its own."""
        for record in running:
            loop.call_soon_threadsafe(self._hear, Step(record, output.feed(record)))
            if output.stopped:
                running.cancel()
        return running.result


class Solves:
    """All solves of a server."""

    def __init__(self, models: Models, line: Line, meters: Meters) -> None:
        self.models, self.line, self.meters = models, line, meters
        self.pace = Pace()
        self.threads = ThreadPoolExecutor(line.at_a_time, thread_name_prefix="specs-solve")
        self.reading = ThreadPoolExecutor(1, thread_name_prefix="specs-read")
        """For requests, one at a time: to tokenize a long text takes much memory, which a thread then keeps."""
        self._jobs: dict[asyncio.Task[None], Job] = {}

    def try_out(self, method: Method, law: Law) -> None:
        """Solve a short question, so that a failure is logged before the first request, and deadlines have a pace.

        An engine that fails here may have recovered when it is needed, and methods that do not use it still work.
        """
        config = SolveConfig(method, law, Limits(max_tokens=100))
        trial = stream(TRIAL, self.models, config, pace=self.pace)
        try:
            failure = trial.result.error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            log.exception("defect")
            failure = described(error)
        if failure is not None:
            say("trial failed", logging.WARNING, error=failure)

    def begin(self, asked: Sequence[Asked], client: str, hear: Callable[[int, Event], None]) -> list[Job]:
        """Begin the solves of a request; `hear` gets the number of the solve with each event.

        Raises:
            Refused: there is no room for them, or the server is shutting down.
        """
        try:
            places = self.line.take(client, len(asked))
        except Full as full:
            self.meters.rejected.labels("queue").inc()
            raise Refused(
                429, f"the queue is full; try again in {full.retry_after_s} s", code="queue_full",
                retry_after_s=full.retry_after_s,
            ) from None  # fmt: skip
        except Closed:
            raise shutting_down() from None
        jobs = [
            Job(one, place, lambda event, k=k: hear(k, event), self)
            for k, (one, place) in enumerate(zip(asked, places, strict=True))
        ]
        for job in jobs:
            task = asyncio.get_running_loop().create_task(job.run())
            self._jobs[task] = job
            task.add_done_callback(self._jobs.pop)
        return jobs

    def close(self) -> None:
        """No new solves: whoever waits is sent away, whoever runs goes on."""
        self.line.close()

    def cancel(self) -> None:
        """End those that run; what they have so far is their answer."""
        for job in list(self._jobs.values()):
            job.cancel()


def shutting_down() -> Refused:
    return Refused(503, "the server is shutting down", code="shutting_down", retry_after_s=5)
