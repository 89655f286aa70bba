"""The next step, sampled while this one is verified, behind the candidate that will probably be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from specs.decoding.clock import Done, writing_phase
from specs.decoding.limits import finish_of
from specs.decoding.sampling import SampleKey, Sampling
from specs.engines.protocol import Ahead, PolicySession
from specs.types import Candidate, Propose, Role


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A step that was begun early, and what for."""

    call: Ahead
    writer: Role
    asked: SampleKey

    def span(self, start: float, end: float) -> Done:
        """What of it lies between two moments."""
        ended = end if self.call.ended is None else self.call.ended
        return Done(writing_phase(self.writer), None, max(start, self.call.started), min(end, ended))


class Prefetch:
    """At most one step in flight."""

    def __init__(self, sessions: dict[Role, Any], sampling: Sampling) -> None:
        self._sessions, self._sampling = sessions, sampling
        self.in_flight: _InFlight | None = None

    def begin(self, request: Propose, candidates: Sequence[Candidate]) -> None:
        """Begin the next step behind the candidate that will be chosen, as far as that can be told."""
        if request.lookahead is None:
            return
        idx = request.lookahead(tuple(candidates))
        if idx is None:
            return
        guess = candidates[idx].token_ids
        grown = {c.token_ids: request.trace.extend(c, request.writer) for c in candidates}
        trace = grown.pop(guess)
        # Of candidates that begin as another goes on, the engine would forget something.
        if finish_of(trace, self._sampling.limits) or any(_begins(ids, guess) or _begins(guess, ids) for ids in grown):
            return
        following = replace(request, trace=trace, attempt=0)
        law, key = self._sampling.law(following), self._sampling.key(following, 0)
        session: PolicySession = self._sessions[request.writer]
        started = session.ahead(trace, list(grown.values()), request.n, law, key)
        if started is not None:
            self.in_flight = _InFlight(started, request.writer, (request.n, law, [key], ()))

    def take(self, asked: SampleKey) -> Ahead | None:
        """What was begun for just this; drops what was begun for something else."""
        begun = self.in_flight
        if begun is None or begun.asked != asked:
            self.drop()
            return None
        self.in_flight = None
        return begun.call

    def drop(self) -> None:
        if (begun := self.in_flight) is not None:
            self.in_flight = None
            begun.call.drop()


def _begins(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return other[: len(one)] == one
