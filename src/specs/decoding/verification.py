"""Scoring the candidates of a step: by the target, by the PRM, at the same time, and as early as an engine can."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from specs.decoding.clock import Call, Done, SolveClock, now
from specs.engines.protocol import Closed, Group, PolicySession, RewardSession, Sample
from specs.types import Candidate, End, Law, Propose, Role


@dataclass(frozen=True, slots=True)
class Verified:
    """Candidates with their scores.

    Attributes:
        drawn: by trace, equal ones once.
        whole: of these, those that were not cut off.
        scored: of these, those whose log-probability the target was asked for.
    """

    candidates: list[Candidate]
    drawn: list[Group]
    whole: list[Group]
    scored: list[Group]


class Verification:
    """What verifies the steps of one solve."""

    def __init__(self, sessions: dict[Role, Any], clock: SolveClock, delimiter: str | None) -> None:
        """`delimiter`: of steps, for PRMs that need to know it."""
        self._sessions, self._clock, self._delimiter = sessions, clock, delimiter
        self._in_flight: list[Future[Any]] = []
        """Work on candidates of a step whose sampling has not ended."""

    def early(self, request: Propose, law: Law, is_new: Callable[[Role], bool]) -> Closed:
        """Has the verifiers start on each candidate as it closes; on the prompt, where that is new to them."""
        judge = request.judge
        target = self._sessions[Role.TARGET] if Role.TARGET in request.verify or judge is not None else None
        prm = self._sessions[Role.PRM] if Role.PRM in request.verify else None
        if target is not None and is_new(Role.TARGET):
            self._note("target_score", target.warm(request.traces[0]))
        if prm is not None and is_new(Role.PRM):
            self._note("prm", prm.warm())
        seen: set[tuple[int, tuple[int, ...]]] = set()

        def closed(trace_idx: int, sample: Sample) -> None:
            if (trace_idx, sample.token_ids) in seen:
                return
            seen.add((trace_idx, sample.token_ids))
            trace, candidate = request.traces[trace_idx], Candidate(sample.token_ids, sample.text, sample.end)
            if target is not None and request.hopeless is None:
                self._note("target_score", target.begin(trace, candidate, law, judge))
            if prm is not None:
                self._note("prm", prm.begin(trace, candidate, self._delimiter))

        return closed

    def verify(
        self,
        request: Propose,
        candidates: list[Candidate],
        firsts: Sequence[int | None],
        law: Law,
        look_ahead: Callable[[Sequence[Candidate]], None],
    ) -> Generator[list[Call], list[Done], Verified]:
        """The candidates with the scores of all verifiers, which work at the same time.

        Args:
            firsts: for each candidate the first one of the same trace and tokens before it. It has the same scores.
            look_ahead: called with the candidates each time scores arrive while others are pending.
        """
        distinct = [idx for idx, first in enumerate(firsts) if first is None]
        whole = [idx for idx in distinct if candidates[idx].end is not End.CUT]

        def grouped(indices: Sequence[int]) -> list[Group]:
            return [
                (trace, [candidates[idx] for idx in indices if idx // request.n == trace_idx])
                for trace_idx, trace in enumerate(request.traces)
            ]

        def scored(indices: Sequence[int], name: str, values: Sequence[float]) -> list[Candidate]:
            value_of: dict[int | None, float] = dict(zip(indices, values, strict=True))
            owners = [idx if first is None else first for idx, first in enumerate(firsts)]
            return [
                replace(c, **{name: value_of[idx]}) if idx in value_of else c
                for idx, c in zip(owners, candidates, strict=True)
            ]

        def looking(name: str, call: Call) -> Call:
            def run() -> Any:
                values = call.run()
                running.remove(name)
                if running:
                    look_ahead(scored(asked, name, values))
                return values

            return Call(call.phase, run)

        asked = whole
        calls = self._calls(request, grouped(asked), law)
        if hopeless := request.hopeless:
            finished = yield [calls["reward"]]
            self._clock.spans += finished
            candidates = scored(whole, "reward", finished[0].value)
            gone = hopeless(tuple(candidates))
            candidates = [replace(c, log_p=-math.inf) if idx in gone else c for idx, c in enumerate(candidates)]
            asked = [idx for idx in whole if idx not in gone]
            calls = {"log_p": self._calls(request, grouped(asked), law)["log_p"]}
            look_ahead(candidates)
        if calls:
            running = list(calls)
            finished = yield [looking(name, call) for name, call in calls.items()]
            self._clock.spans += finished
            for name, done in zip(calls, finished, strict=True):
                candidates = scored(asked, name, done.value)
            self._in_flight.clear()
        return Verified(candidates, grouped(distinct), grouped(whole), grouped(asked))

    def cancel(self) -> None:
        """Give up what has begun."""
        for future in self._in_flight:
            future.cancel()

    def _calls(self, request: Propose, groups: Sequence[Group], law: Law) -> dict[str, Call]:
        """The calls that verify candidates, by the field of a candidate that each one fills."""
        calls: dict[str, Call] = {}
        judge = request.judge
        if Role.TARGET in request.verify or judge is not None:
            target: PolicySession = self._sessions[Role.TARGET]
            if judge is None:
                calls["log_p"] = Call("target_score", lambda: target.log_probabilities(groups, law))
            else:
                calls["reward"] = Call("target_score", lambda: target.ratings(groups, judge))
        if Role.PRM in request.verify:
            prm: RewardSession = self._sessions[Role.PRM]
            calls["reward"] = Call("prm", lambda: prm.rewards(groups, self._delimiter))
        return calls

    def _note(self, phase: str, future: Future[Any] | None) -> None:
        """Keep work that has begun: its seconds count, and it ends with the solve."""
        if future is not None:
            start, clock = now(), self._clock
            self._in_flight.append(future)
            future.add_done_callback(lambda _: clock.spans.append(Done(phase, None, start, now())))
