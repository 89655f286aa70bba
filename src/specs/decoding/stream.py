"""Run a solve, step by step.

stream(question, models, config)       iterate over StepRecords, then read `.result`
astream(question, models, config)      the same for asyncio; runs `stream` in a thread
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from specs.config import SolveConfig
from specs.core.text import readable
from specs.decoding.clock import Call, Done, timed
from specs.decoding.closing import thinking_of
from specs.decoding.latency_model import LatencyModel
from specs.decoding.loop import Machine, Solve
from specs.decoding.threads import Crowd, cores, sharing_cores, threads_for
from specs.engines.protocol import Models
from specs.errors import InputError
from specs.types import NO_CONTEXT, Chat, Result, StepRecord, Thinking
from specs.types.checks import check_value


class Stream:
    """A running solve: iterate over its steps as they are accepted, then read `result`.

    Leaving the iteration early cancels the solve. `with stream(...) as steps:` also cancels it if an exception leaves
    the block.
    """

    def __init__(self, solve: Solve, latency_model: LatencyModel | None) -> None:
        self._solve = solve
        self._latency_model = latency_model
        self._result: Result | None = None
        self._steps: weakref.ref[Generator[StepRecord]] | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()
        self._leave()

    def cancel(self) -> None:
        """End the solve within a token; what was accepted so far is the result."""
        self._solve.cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the solve has been told to end."""
        return self._solve.cancelled.is_set()

    @property
    def result(self) -> Result:
        """The finished solve.

        If the iteration has not begun, this runs the whole solve. If it was left early, this is what was accepted
        until then (`Finish.CANCELLED`).
        """
        self._leave()
        for _ in self:
            pass
        assert self._result is not None
        return self._result

    def __iter__(self) -> Generator[StepRecord]:
        steps = self._open() or self._run()
        self._steps = weakref.ref(steps)
        return steps

    def _open(self) -> Generator[StepRecord] | None:
        """The iteration that has begun and not ended, if somebody still holds it."""
        return self._steps() if self._steps is not None and self._result is None else None

    def _leave(self) -> None:
        """End an iteration that has begun."""
        if (steps := self._open()) is not None:
            steps.close()

    def _run(self) -> Generator[StepRecord]:
        if self._result is not None:
            return
        machine, left = self._solve.machine(), False
        # At most two calls run at the same time (target and PRM scoring), one of them in this thread.
        with sharing_cores(self._solve.models) as crowd, ThreadPoolExecutor(1) as pool:
            item = self._turn(machine, None)
            while item is not None:
                reply: list[Done] | None = None
                if isinstance(item, StepRecord):
                    if not left:
                        try:
                            yield item
                        except GeneratorExit:
                            self.cancel()
                            left = True
                else:
                    beside = [pool.submit(timed, call) for call in item[1:]]
                    reply = [timed(item[0]), *(future.result() for future in beside)]
                item = self._turn(machine, reply)
        self._note_lateness(crowd)

    def _note_lateness(self, crowd: Crowd) -> None:
        """Say in the result that it is late because too many solves shared the cores."""
        assert self._result is not None
        deadline_s = self._solve.config.limits.deadline_s
        late_s = 0.0 if deadline_s is None else self._result.latency_s - deadline_s
        if late_s > 0 and crowd.most > cores():
            note = f"{late_s:.2g} s after its deadline: {crowd.most} solves shared {cores()} cores"
            self._result = replace(self._result, notes=(*self._result.notes, note))

    def _turn(self, machine: Machine, reply: list[Done] | None) -> list[Call] | StepRecord | None:
        """What the machine yields next; None once it has returned, which sets the result."""
        try:
            return machine.send(reply)
        except StopIteration as stop:
            self._result = stop.value
            if self._latency_model is not None:
                self._latency_model.learn(stop.value)
            return None


class AsyncStream:
    """`Stream` for asyncio: the solve runs in a thread of the package, and leaving the iteration early cancels it.

    `async with astream(...) as steps:` waits at the end of the block until the thread has ended.
    """

    def __init__(self, running: Stream, threads: ThreadPoolExecutor) -> None:
        self._running = running
        self._threads = threads
        self._solving: Future[None] | None = None

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.cancel()
        if self._solving is not None and not self._solving.cancel():
            await asyncio.wait([asyncio.wrap_future(self._solving)])

    def cancel(self) -> None:
        """End the solve within a token; what was accepted so far is the result."""
        self._running.cancel()

    @property
    def result(self) -> Result:
        """The finished solve.

        If the iteration was left early, this is what was accepted until then (`Finish.CANCELLED`); outside
        `async with` this may wait for the token or request under way.

        Raises:
            InputError: the iteration has not begun, and running the whole solve here would block the event loop.
        """
        if self._solving is None:
            if not self._running.cancelled:
                raise InputError("the solve has not begun; iterate over its steps (`async for`) before you read result")
        elif not self._solving.done():
            self.cancel()
            if not self._solving.cancel():  # a thread has started it
                self._solving.exception()
        return self._running.result

    async def __aiter__(self) -> AsyncIterator[StepRecord]:
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[StepRecord | None] = asyncio.Queue()

        def hand_over(record: StepRecord | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits for the steps
                loop.call_soon_threadsafe(steps.put_nowait, record)

        def solve() -> None:
            for record in self._running:
                hand_over(record)

        self._solving = solving = self._threads.submit(solve)
        solving.add_done_callback(lambda _: hand_over(None))
        try:
            while (record := await steps.get()) is not None:
                yield record
            if not solving.cancelled():
                await asyncio.wrap_future(solving)
        finally:
            if not solving.done():
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
    models.require(config.method, config.sampling)
    thinking = thinking_of(models, config.method, config.sampling)
    return start(question, models, config, thinking, chat=chat, latency_model=latency_model)


def start(
    question: str,
    models: Models,
    config: SolveConfig,
    thinking: Thinking | None,
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
) -> Stream:
    """`stream` for a caller that has checked its arguments; `thinking` is what `thinking_of` says about them."""
    question = readable(question)  # text that models can read and files can hold
    before = tuple(replace(turn, content=readable(turn.content)) for turn in chat.before)
    chat = replace(chat, before=before, think=config.sampling.thinks)
    if latency_model is not None:
        timed = latency_model.timed(config.method, config.sampling, config.limits)
        config = replace(config, method=timed)
    return Stream(Solve(question, models, config, chat, thinking), latency_model)


def astream(
    question: str,
    models: Models,
    config: SolveConfig,
    *,
    chat: Chat = NO_CONTEXT,
    latency_model: LatencyModel | None = None,
) -> AsyncStream:
    """`stream` for asyncio."""
    running = stream(question, models, config, chat=chat, latency_model=latency_model)
    return AsyncStream(running, threads_for(models))
