"""Prefetch: the writer samples the next step after the likely choice while the verifiers score the current step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specs.decoding.clock import Done, writing_phase
from specs.decoding.limits import finish_of
from specs.decoding.sampling_plan import SampleKey, SamplingPlan
from specs.engines.overlap import PrefetchedStep
from specs.engines.protocol import PolicySession
from specs.types import Candidate, Propose, Role


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A prefetched step, and the key of the sample that it can replace."""

    step: PrefetchedStep
    writer: Role
    key: SampleKey

    def span(self, start: float, end: float) -> Done:
        """The part of its run between two times."""
        ended = end if self.step.ended is None else self.step.ended
        return Done(writing_phase(self.writer), None, max(start, self.step.started), min(end, ended))


class Prefetch:
    """At most one prefetched step in flight."""

    def __init__(self, sessions: dict[Role, Any], sampling_plan: SamplingPlan) -> None:
        self._sessions, self._sampling_plan = sessions, sampling_plan
        self.in_flight: _InFlight | None = None

    @property
    def span(self) -> Callable[[float, float], Done] | None:
        """Returns the part of the step in flight that ran between two times; None if none is in flight."""
        return None if self.in_flight is None else self.in_flight.span

    def begin(self, request: Propose, candidates: Sequence[Candidate]) -> None:
        """If `request.lookahead` predicts which candidate will be chosen, start to sample the step after it."""
        if request.lookahead is None or self.in_flight is not None:
            return
        idx = request.lookahead(tuple(candidates))
        if idx is None:
            return
        likely = candidates[idx].token_ids
        grown = {c.token_ids: request.trace.extend(c, request.writer) for c in candidates}
        trace = grown.pop(likely)
        # If one candidate is a prefix of another, dropping the prefetched step would also drop tokens of the other.
        ends = finish_of(trace, self._sampling_plan.limits) or trace.phase is not request.trace.phase
        if ends or any(_begins(ids, likely) or _begins(likely, ids) for ids in grown):
            return
        following = replace(request, trace=trace, attempt=0)
        sampling, key = self._sampling_plan.params(following), self._sampling_plan.key(following, 0)
        session: PolicySession = self._sessions[request.writer]
        if session.overlap is None:
            return
        started = session.overlap.prefetch(trace, list(grown.values()), request.n, sampling, key)
        if started is not None:
            self.in_flight = _InFlight(started, request.writer, (request.n, sampling, [key], ()))

    def take(self, key: SampleKey) -> PrefetchedStep | None:
        """Return the prefetched step if it is for this sample; otherwise drop it and return None."""
        in_flight = self.in_flight
        if in_flight is None or in_flight.key != key:
            self.drop()
            return None
        self.in_flight = None
        return in_flight.step

    def drop(self) -> None:
        """Drop the prefetched step, if there is one."""
        if (in_flight := self.in_flight) is not None:
            self.in_flight = None
            in_flight.step.drop()


def _begins(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return other[: len(one)] == one
