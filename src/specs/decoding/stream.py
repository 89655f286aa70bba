"""Run a solve, step by step.

    stream(question, models, method)       -> iterate StepRecords, then read `.result`
    astream(question, models, method)      -> the same for asyncio

Both drive the same state machine (`specs.decoding`) and differ only in how they run engine calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from specs.core.text import readable
from specs.decoding.clock import Call, Done, timed
from specs.decoding.latency_model import Pace
from specs.decoding.limits import Limits
from specs.decoding.loop import Machine, Solve
from specs.engines.protocol import Models
from specs.errors import InputError, SpecsError
from specs.methods import Method
from specs.types import ALONE, Chat, Law, Result, StepRecord


class _Running:
    """What both streams share: cancelling, and one turn of the machine."""

    def __init__(self, solve: Solve, pace: Pace | None) -> None:
        self._solve = solve
        self._pace = pace
        self._result: Result | None = None

    def cancel(self) -> None:
        """End the solve within a token; what was accepted so far is the result."""
        self._solve.cancelled.set()

    def _turn(self, machine: Machine, reply: list[Done] | Exception | None) -> list[Call] | StepRecord | None:
        """What the machine wants next; None once it is done and the result stands."""
        try:
            return machine.throw(reply) if isinstance(reply, Exception) else machine.send(reply)
        except StopIteration as stop:
            self._result = stop.value
            if self._pace is not None:
                self._pace.learn(stop.value)
            return None


class Stream(_Running):
    """A running solve: iterate over its steps as they are accepted, then read `result`."""

    @property
    def result(self) -> Result:
        """The finished solve; runs what is left of it."""
        for _ in self:
            pass
        assert self._result is not None
        return self._result

    def __iter__(self) -> Iterator[StepRecord]:
        if self._result is not None:
            return
        machine = self._solve.machine()
        # Two calls at most run at the same time: target and PRM scoring. One runs in this thread.
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


class AsyncStream(_Running):
    """`Stream` for asyncio: engine calls run in threads, cancelling the task cancels the solve."""

    @property
    def result(self) -> Result | None:
        """The finished solve; None before the iteration has ended."""
        return self._result

    async def __aiter__(self) -> AsyncIterator[StepRecord]:
        machine = self._solve.machine()
        item = self._turn(machine, None)
        while item is not None:
            reply: list[Done] | Exception | None = None
            if isinstance(item, StepRecord):
                yield item
            else:
                try:
                    reply = list(await asyncio.gather(*(asyncio.to_thread(timed, call) for call in item)))
                except asyncio.CancelledError:
                    self.cancel()
                    raise
                except (SpecsError, MemoryError) as failure:
                    reply = failure
            item = self._turn(machine, reply)


def stream(
    question: str,
    models: Models,
    method: Method,
    *,
    law: Law | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    chat: Chat = ALONE,
    pace: Pace | None = None,
) -> Stream:
    """Start a solve; see `Stream`. Raises `InputError` if the method lacks a model.

    With a `pace`, which learns from it, the solve is planned for its deadline; without one it is cut there.
    """
    return Stream(_new(question, models, method, law, limits, seed, chat, pace), pace)


def astream(
    question: str,
    models: Models,
    method: Method,
    *,
    law: Law | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    chat: Chat = ALONE,
    pace: Pace | None = None,
) -> AsyncStream:
    """`stream` for asyncio."""
    return AsyncStream(_new(question, models, method, law, limits, seed, chat, pace), pace)


def _new(
    question: str,
    models: Models,
    method: Method,
    law: Law | None,
    limits: Limits | None,
    seed: int,
    chat: Chat,
    pace: Pace | None,
) -> Solve:
    if not question.strip():
        raise InputError("the question is empty; say what is to be solved")
    question = readable(question)  # what models read, and what results can be written with
    chat = replace(chat, before=tuple(replace(turn, content=readable(turn.content)) for turn in chat.before))
    law, limits = law or Law(), limits or Limits()
    models.require(method, law)
    if pace is not None:
        method = pace.timed(method, law, limits)
    return Solve(question, models, method, law, limits, seed, threading.Event(), chat)
