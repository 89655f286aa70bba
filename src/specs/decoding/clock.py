"""Engine calls and the time that they take. Only this module reads the clock of a solve."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from specs.errors import SpecsError
from specs.types import Role, Seconds


@dataclass(frozen=True, slots=True)
class Call:
    """An engine call to be run; `phase` is the field of `Seconds` that it counts towards."""

    phase: str
    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A call that has ended: what it returned or raised, and when it ran, in seconds on the clock of `now`.

    Attributes:
        value: what it returned; None if it failed.
        failure: what it raised: an error of a model, or the end of the solve.
    """

    phase: str
    value: Any
    start: float
    end: float
    failure: SpecsError | MemoryError | None = None


def now() -> float:
    """Seconds on a monotonic clock; only differences have a meaning."""
    return time.perf_counter()


def timed(call: Call) -> Done:
    """Run a call and record when it ran, and how it failed if it did."""
    start = now()
    try:
        value = call.run()
    except (SpecsError, MemoryError) as failure:
        return Done(call.phase, None, start, now(), failure)
    return Done(call.phase, value, start, now())


def writing_phase(writer: Role) -> str:
    """The phase (field of `Seconds`) in which a writer generates."""
    return "draft" if writer is Role.DRAFT else "target_generate"


def covered_s(spans: Sequence[Done]) -> float:
    """Seconds covered by at least one span."""
    total, reach = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.start):
        total += max(0.0, span.end - max(span.start, reach))
        reach = max(reach, span.end)
    return total


class SolveClock:
    """The time of one solve, excluding the time that its caller takes between steps."""

    def __init__(self) -> None:
        self._start = self._step_start = now()
        self._paused_s = 0.0
        self.spans: list[Done] = []
        """Engine calls of the current step."""
        self.first_step_s: float | None = None
        """Seconds until the first step became final; None before that."""

    def elapsed_s(self) -> float:
        return now() - self._start - self._paused_s

    def run(self, calls: list[Call]) -> Generator[list[Call], list[Done], list[Any]]:
        """Have calls run at the same time, count their time towards the current step, and return their values.

        Raises:
            SpecsError, MemoryError: what the first call that failed has raised.
        """
        ended = yield calls
        self.spans += ended
        for done in ended:
            if done.failure is not None:
                raise done.failure
        return [done.value for done in ended]

    def stands(self) -> None:
        """Note that a step of the result is now final."""
        self.first_step_s = self.first_step_s or self.elapsed_s()

    def close_step(self, prefetched: Callable[[float, float], Done] | None) -> Seconds:
        """End the current step and return its busy seconds.

        Args:
            prefetched: returns the part of a prefetch that ran between two times; None if none is in flight.
        """
        end = now()
        if prefetched is not None:  # the rest of it belongs to the next step
            self.spans.append(prefetched(self._step_start, end))
        phases = ("draft", "target_generate", "target_score", "prm")
        busy = {phase: covered_s([span for span in self.spans if span.phase == phase]) for phase in phases}
        wall = end - self._step_start
        seconds = Seconds(**busy, wall=wall, orchestration=wall - covered_s(self.spans))
        self.spans = []
        return seconds

    def close_unfinished(self, prefetched: Callable[[float, float], Done] | None) -> Seconds:
        """The busy seconds since the last recorded step; all 0 if no model was busy. Arguments as of `close_step`."""
        rest = self.close_step(prefetched)
        return rest if rest.wall > rest.orchestration else Seconds()

    def handed_out(self, since: float) -> None:
        """Exclude the time from `since` to now, in which the caller had the step; the next step begins now."""
        self._step_start = now()
        self._paused_s += self._step_start - since
