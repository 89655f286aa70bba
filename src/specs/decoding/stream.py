"""Run a solve, step by step.

stream(question, models, config)       iterate over StepRecords, then read `.result`
astream(question, models, config)      the same for asyncio; runs `stream` in a thread
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from specs.config import SolveConfig
from specs.core.text import readable
from specs.decoding.clock import Call, Done, timed
from specs.decoding.latency_model import LatencyModel
from specs.decoding.loop import Machine, Solve
from specs.engines.protocol import Models
from specs.errors import InputError, SpecsError
from specs.types import NO_CONTEXT, Chat, Result, StepRecord
from specs.types.checks import check_value

_THREADS = ThreadPoolExecutor(64, thread_name_prefix="specs-solve")
"""Threads for solves under asyncio, separate from the executor that the caller's own work uses."""


class Stream:
    """A running solve: iterate over its steps as they are accepted, then read `result`."""

    def __init__(self, solve: Solve, latency_model: LatencyModel | None) -> None:
        self._solve = solve
        self._latency_model = latency_model
        self._result: Result | None = None

    def cancel(self) -> None:
        """End the solve within a token; what was accepted so far is the result."""
        self._solve.cancelled.set()

    @property
    def result(self) -> Result:
        """The finished solve; runs it to its end first."""
        for _ in self:
            pass
        assert self._result is not None
        return self._result

    def __iter__(self) -> Iterator[StepRecord]:
        if self._result is not None:
            return
        machine = self._solve.machine()
        # At most two calls run at the same time (target and PRM scoring), one of them in this thread.
        with ThreadPoolExecutor(1) as pool:
            item = self._turn(machine, None)
            while item is not None:
                reply: list[Done] | Exception | None = None
                if isinstance(item, StepRecord):
                    yield item
                else:
                    try:
                        beside = [pool.submit(timed, call) for call in item[1:]]
                        reply = [timed(item[0]), *(future.result() for future in beside)]
                    except (SpecsError, MemoryError) as failure:
                        reply = failure
                item = self._turn(machine, reply)

    def _turn(self, machine: Machine, reply: list[Done] | Exception | None) -> list[Call] | StepRecord | None:
        """What the machine yields next; None once it has returned, which sets the result."""
        try:
            return machine.throw(reply) if isinstance(reply, Exception) else machine.send(reply)
        except StopIteration as stop:
            self._result = stop.value
            if self._latency_model is not None:
                self._latency_model.learn(stop.value)
            return None


class AsyncStream:
    """`Stream` for asyncio: the solve runs in a thread, and leaving the iteration early cancels it."""

    def __init__(self, running: Stream) -> None:
        self._running = running
        self._ended = False

    def cancel(self) -> None:
        """End the solve within a token; what was accepted so far is the result."""
        self._running.cancel()

    @property
    def result(self) -> Result | None:
        """The finished solve; None before the iteration has ended."""
        return self._running.result if self._ended else None

    async def __aiter__(self) -> AsyncIterator[StepRecord]:
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[StepRecord | None] = asyncio.Queue()

        def solve() -> None:
            try:
                for record in self._running:
                    loop.call_soon_threadsafe(steps.put_nowait, record)
            finally:
                with suppress(RuntimeError):  # the loop is closed, so nobody waits for the steps
                    loop.call_soon_threadsafe(steps.put_nowait, None)

        solving = loop.run_in_executor(_THREADS, solve)
        try:
            while (record := await steps.get()) is not None:
                yield record
            await solving
            self._ended = True
        finally:
            if not self._ended:
                self.cancel()


def stream(
    question: str,
    models: Models,
    config: SolveConfig,
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
) -> Stream:
    """Start a solve; see `Stream`.

    With a `latency_model` the method is planned for the deadline, and the model learns from the solve; without one the
    deadline cuts the solve off.

    Raises:
        InputError: a model that the method needs is missing, or an argument is of a wrong type.
    """
    check_value("question", question, str)
    check_value("models", models, Models)
    check_value("config", config, SolveConfig)
    check_value("chat", chat, Chat)
    if not question.strip():
        raise InputError("question is empty; say what is to be solved")
    question = readable(question)  # text that models can read and files can hold
    chat = replace(chat, before=tuple(replace(turn, content=readable(turn.content)) for turn in chat.before))
    models.require(config.method, config.sampling)
    if latency_model is not None:
        timed = latency_model.timed(config.method, config.sampling, config.limits)
        config = replace(config, method=timed)
    return Stream(Solve(question, models, config, chat), latency_model)


def astream(
    question: str,
    models: Models,
    config: SolveConfig,
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
) -> AsyncStream:
    """`stream` for asyncio."""
    return AsyncStream(stream(question, models, config, chat=chat, latency_model=latency_model))
