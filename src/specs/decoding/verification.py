"""Verification: target and PRM score a step's candidates at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from specs.core.sampling import total_log_probability
from specs.decoding.clock import Call, Done, SolveClock, now
from specs.engines.overlap import PendingWork, PolicyOverlap, RewardOverlap
from specs.engines.protocol import CandidateGroup, PolicySession, RewardSession
from specs.types import Candidate, Capability, Propose, Role, SamplingParams


class Verification:
    """Scores the candidates of one solve."""

    def __init__(self, sessions: dict[Role, Any], clock: SolveClock, delimiter: str | None) -> None:
        """`delimiter` separates steps, for PRMs that need to know it."""
        self._sessions, self._clock, self._delimiter = sessions, clock, delimiter
        self._in_flight: list[PendingWork] = []
        """Background work of the solve."""

    def prefill(self, request: Propose, is_new: Callable[[Role], bool]) -> None:
        """Let new verifiers compute the prompt while the writer writes."""
        reads = Role.TARGET in request.verify or request.judge is not None or request.score_later
        target: PolicyOverlap | None = self._sessions[Role.TARGET].overlap if reads else None
        prm: RewardOverlap | None = self._sessions[Role.PRM].overlap if Role.PRM in request.verify else None
        if target is not None and is_new(Role.TARGET):
            self._note("target_score", target.prefill(request.traces[0]))
        if prm is not None and is_new(Role.PRM):
            self._note("prm", prm.prefill())

    def verify(
        self,
        request: Propose,
        candidates: list[Candidate],
        firsts: Sequence[int | None],
        sampling: SamplingParams,
        look_ahead: Callable[[Sequence[Candidate]], None],
    ) -> Generator[list[Call], list[Done], tuple[list[Candidate], list[CandidateGroup]]]:
        """Return the candidates with the scores of all verifiers, which run at the same time, and what was read.

        Args:
            firsts: for each candidate the index of the first one with the same trace and tokens, whose scores it
                shares; None if it is the first.
            look_ahead: called with the candidates when one verifier's scores arrive before the other's.
        """
        distinct = [idx for idx, first in enumerate(firsts) if first is None]
        drawn = _grouped(request, candidates, distinct)

        def scored(name: str, values: Sequence[Any]) -> list[Candidate]:
            value_of: dict[int, Any] = dict(zip(distinct, values, strict=True))
            return _with_scores(candidates, firsts, name, value_of, request.by_token)

        def with_look_ahead(name: str, call: Call) -> Call:
            def run() -> Any:
                values = call.run()
                pending.remove(name)
                if pending:
                    look_ahead(scored(name, values))
                return values

            return Call(call.phase, run)

        calls = self._calls(request, drawn, sampling)
        if request.writer is Role.DRAFT and Capability.LOG_PROBABILITIES in request.needs and _unscored(drawn):
            draft: PolicySession = self._sessions[Role.DRAFT]
            calls["log_q"] = Call("draft", lambda: draft.score(drawn, sampling))
        if calls:
            pending = list(calls)
            found = yield from self._clock.run([with_look_ahead(name, call) for name, call in calls.items()])
            for name, values in zip(calls, found, strict=True):
                candidates = scored(name, values)
        return candidates, drawn

    def score(
        self,
        request: Propose,
        candidates: Sequence[Candidate],
        indices: Sequence[int],
        sampling: SamplingParams,
        look_ahead: Callable[[Sequence[Candidate]], None],
    ) -> Generator[list[Call], list[Done], tuple[list[Candidate], list[CandidateGroup]]]:
        """Let the target read the candidates at `indices`.

        Returns the candidates, these and their duplicates with log-probabilities and unread ones with bounds
        (`Candidate.log_p_at_most`), and what was read.
        """
        read = sorted({idx if (first := candidates[idx].duplicates_of) is None else first for idx in indices})
        unread = [
            idx
            for idx, candidate in enumerate(candidates)
            if candidate.log_p is None and candidate.duplicates_of is None and idx not in read
        ]
        groups, others = (_grouped(request, candidates, some) for some in (read, unread))
        target: PolicySession = self._sessions[Role.TARGET]
        look_ahead(candidates)
        law = request.score_law or sampling.scored
        (found,) = yield from self._clock.run([Call("target_score", lambda: target.score(groups, law, others))])
        firsts = [candidate.duplicates_of for candidate in candidates]
        value_of = dict(zip((*read, *unread), found, strict=True))
        scored = _with_scores(candidates, firsts, "log_p", {idx: value_of[idx] for idx in read}, request.by_token)
        bounds = {idx: value_of[idx] for idx in unread}
        return _with_scores(scored, firsts, "log_p_at_most", bounds, request.by_token), groups

    def cancel(self) -> None:
        """Cancel the background work that is still running; finished work ignores it."""
        for future in self._in_flight:
            future.cancel()

    def _calls(self, request: Propose, groups: Sequence[CandidateGroup], sampling: SamplingParams) -> dict[str, Call]:
        """The calls that verify candidates, by the field of `Candidate` that each fills (`log_p`, `reward`)."""
        calls: dict[str, Call] = {}
        judge = request.judge
        if Role.TARGET in request.verify or judge is not None:
            target: PolicySession = self._sessions[Role.TARGET]
            if judge is None:
                law = request.score_law or sampling.scored
                calls["log_p"] = Call("target_score", lambda: target.score(groups, law))
            else:
                calls["reward"] = Call("target_score", lambda: target.judge(groups, judge))
        if Role.PRM in request.verify:
            prm: RewardSession = self._sessions[Role.PRM]
            calls["reward"] = Call("prm", lambda: prm.score(groups, self._delimiter))
        return calls

    def _note(self, phase: str, future: PendingWork | None) -> None:
        """Count the time of background work towards `phase`, and let `cancel` cancel it."""
        if future is not None:
            start, clock = now(), self._clock
            self._in_flight.append(future)

            def note(_: object) -> None:
                clock.spans.append(Done(phase, None, start, now()))

            future.add_done_callback(note)


def _unscored(groups: Sequence[CandidateGroup]) -> bool:
    """Whether the draft sampled without telling log-probabilities."""
    return any(candidate.log_q is None for _, candidates in groups for candidate in candidates)


def _grouped(request: Propose, candidates: Sequence[Candidate], indices: Sequence[int]) -> list[CandidateGroup]:
    """The candidates at `indices`, by the trace that they continue."""
    return [
        (trace, [candidates[idx] for idx in indices if idx // request.n == trace_idx])
        for trace_idx, trace in enumerate(request.traces)
    ]


def _with_scores(
    candidates: Sequence[Candidate],
    firsts: Sequence[int | None],
    name: str,
    value_of: Mapping[int, Any],
    by_token: bool,
) -> list[Candidate]:
    """The candidates with what a verifier answered about some of them; copies share the answer about the first."""
    owners = [idx if first is None else first for idx, first in enumerate(firsts)]
    return [
        _with_score(candidate, name, value_of[owner], by_token) if owner in value_of else candidate
        for owner, candidate in zip(owners, candidates, strict=True)
    ]


def _with_score(candidate: Candidate, name: str, value: Any, by_token: bool) -> Candidate:
    """The candidate with what a verifier answered: a reward or rating, or log-probabilities of tokens.

    These are of all tokens (`log_p`, `log_q`), or of the first ones only (`log_p_at_most`).
    """
    if name == "reward":
        return replace(candidate, reward=value)
    if name == "log_q":
        return replace(candidate, log_q=min(total_log_probability(value), 0.0))
    log_p = min(total_log_probability(value), 0.0)  # engines round
    if name == "log_p_at_most":
        return replace(candidate, log_p_at_most=log_p) if value else candidate
    return replace(candidate, log_p=log_p, log_p_at_most=None, log_p_by_token=tuple(value) if by_token else None)
