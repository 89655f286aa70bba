"""Engine calls and the time that they take. This module alone reads the clock of a solve."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specs.types import Role, Seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One engine call; `phase` is a field of `Seconds`."""

    phase: str
    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A finished call: the `value` that it returned, and when it ran."""

    phase: str
    value: Any
    start: float
    end: float


def now() -> float:
    """Seconds on a clock without a defined start."""
    return time.perf_counter()


def timed(call: Call) -> Done:
    """Run a call."""
    start = now()
    value = call.run()
    return Done(call.phase, value, start, now())


def writing_phase(writer: Role) -> str:
    """The phase in which a writer generates."""
    return "draft" if writer is Role.DRAFT else "target_generate"


def covered_s(spans: Sequence[Done]) -> float:
    """Seconds covered by at least one span."""
    total, reach = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.start):
        total += max(0.0, span.end - max(span.start, reach))
        reach = max(reach, span.end)
    return total


class SolveClock:
    """The time of one solve, without the time that its caller takes between steps."""

    def __init__(self) -> None:
        self._start = self._step_start = now()
        self._paused_s = 0.0
        self.spans: list[Done] = []
        """Work for the current step."""
        self.first_step_s: float | None = None
        """When the first step became final."""

    def elapsed_s(self) -> float:
        return now() - self._start - self._paused_s

    def stands(self) -> None:
        """Note that a step of the final trace is final."""
        self.first_step_s = self.first_step_s or self.elapsed_s()

    def close_step(self, prefetched: Callable[[float, float], Done] | None) -> Seconds:
        """Busy seconds of the current step, which ends now; `prefetched` returns its share of a prefetched step."""
        end = now()
        if prefetched is not None:  # the rest of it belongs to the next step
            self.spans.append(prefetched(self._step_start, end))
        phases = ("draft", "target_generate", "target_score", "prm")
        busy = {phase: covered_s([span for span in self.spans if span.phase == phase]) for phase in phases}
        wall = end - self._step_start
        seconds = Seconds(**busy, wall=wall, orchestration=wall - covered_s(self.spans))
        self.spans = []
        return seconds

    def handed_out(self, since: float) -> None:
        """Note that the caller has had the step since `since`; the next step begins now."""
        self._step_start = now()
        self._paused_s += self._step_start - since
