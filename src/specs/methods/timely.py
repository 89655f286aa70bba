"""SPECS against the clock: as wide as the time that remains allows, in every step.

Before each step a running estimate (`specs.core.pacing`) says what it would take to write the rest of the
solution one way or another, and the widest way that there is time for is taken:

1. as configured: n candidates, verified by the PRM and the target; with n / 2, n / 4, ..., 1 candidates;
2. two candidates, verified by the PRM alone, while there is time to write the bad ones again;
3. n, n / 2, ..., 2 candidates, verified by the PRM alone;
4. one candidate, unverified: the draft closes the solution as fast as it can.

A step that is the target's to write, it writes if the draft can still close after that; else the draft's stays.
What each step took moves the estimate for the steps after it. With time enough this is `specs`, token for token.

Model calls a step: at most those of `specs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from specs.core.keys import Key
from specs.core.pacing import ROLES, Estimate, Kind
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.methods.specs import Specs
from specs.types import Accept, Finish, Law, Proposal, Propose, Role, Trace

_MORE_STEPS = 0.75
"""Quantile of the steps that remain, which time is kept for."""
_AIM = 0.5
"""Share of the overtime that is planned with."""
_RESERVE = 2.0
"""Time is kept for so many times the rewrites that are usual."""
_FEW = 2
"""Candidates that the PRM alone verifies while there is time to rewrite the bad ones."""
_OVERTIME = 0.5
"""Overtime is a usual step, but not more than this share of the deadline."""


class Way(NamedTuple):
    """How the draft writes a step.

    Attributes:
        rewrites: whether time is kept for the target to write steps again.
    """

    kind: Kind
    n: int
    rewrites: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """What a solve under way knows of its time.

    Attributes:
        remaining_s: seconds until the deadline; negative beyond it.
        estimate: of what steps take, as those of this solve have moved it.
        done: accepted steps.
        used: models that have taken part.
    """

    remaining_s: float
    estimate: Estimate
    done: int = 0
    used: frozenset[Role] = frozenset()

    def left(self, done: int) -> int:
        """Steps to count on behind the first `done`."""
        return self.estimate.left(done, _MORE_STEPS)

    def needed(self, kind: Kind, n: int, steps: int = 1) -> float:
        """Seconds that so many steps of a kind take."""
        return self.estimate.seconds(kind, n, steps, not ROLES[kind] <= self.used)

    def after(self, kind: Kind, n: int, remaining_s: float | None) -> Moment:
        """The moment of the reply to a proposal, which says what remains; None where there is no deadline."""
        used = self.used | ROLES[kind]
        if remaining_s is None:
            return replace(self, used=used)
        estimate = self.estimate.seen(kind, n, used != self.used, self.remaining_s - remaining_s)
        return replace(self, remaining_s=remaining_s, estimate=estimate, used=used)


@dataclass(frozen=True, slots=True)
class Timely(Specs):
    """`specs` with a deadline.

    Attributes:
        deadline_s: seconds that the whole solve has; a step under way then has the time of one usual step more.
        estimate: of what steps take.
    """

    deadline_s: float = math.inf
    estimate: Estimate = field(default_factory=Estimate)

    def __post_init__(self) -> None:
        Specs.__post_init__(self)
        if not self.deadline_s > 0:
            raise ValueError(f"a deadline is a positive number of seconds, not {self.deadline_s}")

    def overtime_s(self, estimate: Estimate) -> float:
        """Seconds beyond the deadline that a step may take: those of a usual one, before this solve or by now."""
        usual_s = (one.seconds(*self.ways[0][:2]) for one in (self.estimate, estimate))
        return min(*usual_s, _OVERTIME * self.deadline_s)

    @property
    def ways(self) -> list[Way]:
        """How the draft may write a step, the widest first."""
        full = Kind.VERIFIED if self.score == "tilted" else Kind.REWARDED
        few = min(self.n, _FEW)
        return [
            *(Way(full, n, True) for n in _halved(self.n)),
            Way(Kind.REWARDED, few, True),
            *(Way(Kind.REWARDED, n, False) for n in _halved(self.n) if n >= few),
            Way(Kind.ALONE, 1, False),
        ]

    def way(self, now: Moment) -> Way:
        """The widest way to write this step and all later ones in the time that remains."""
        left, room = now.left(now.done), self._room(now)
        rewrites = min(1.0, _RESERVE * now.estimate.rewrites * left)
        for way in self.ways[:-1]:
            needed = now.needed(way.kind, way.n, left)
            if way.rewrites:
                needed += rewrites * now.needed(Kind.TARGET, way.n)
            if needed <= room:
                return way
        return self.ways[-1]

    def target_n(self, now: Moment, n: int) -> int | None:
        """Candidates of the target for this step, up to `n`; None if the draft could not even close after one.

        More than one leave time to go on with as many.
        """
        left, room, after = now.left(now.done + 1), self._room(now), replace(now, used=frozenset(Role))
        for fewer in _halved(n):
            rest = (self.ways[0].kind, fewer) if fewer > 1 else (Kind.ALONE, 1)
            if now.needed(Kind.TARGET, fewer) + after.needed(*rest, left) <= room:
                return fewer
        return None

    def _room(self, now: Moment) -> float:
        return now.remaining_s + _AIM * self.overtime_s(now.estimate)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace, writer, now = Trace(question), Role(self.start), Moment(self.deadline_s, self.estimate)
        hurried = False
        while True:
            now = replace(now, done=len(trace.steps))
            kind, n, _ = self.way(now)
            if writer is Role.TARGET:
                target_n = self.target_n(now, self.n)
                writer, kind, n = (Role.DRAFT, kind, n) if target_n is None else (writer, Kind.TARGET, target_n)
                hurried |= target_n != self.n
            else:
                hurried |= (kind, n) != self.ways[0][:2]
            at, select = self._narrowed(kind, n), key.fold("select", trace.token_ids)
            overtime_s = self.overtime_s(now.estimate)
            request = at._request(writer, trace, law, select)
            if kind is Kind.ALONE:
                request = Propose(writer, trace, 1, frozenset(), law)
            proposal: Proposal = yield replace(request, overtime_s=overtime_s)
            now = now.after(kind, n, proposal.remaining_s)
            decision = choose_best([0.0]) if kind is Kind.ALONE else at._choose(proposal.candidates, select)
            if kind is not Kind.ALONE and writer is Role.DRAFT and at._rejected(trace, proposal.candidates, decision):
                target_n = self.target_n(now, n)
                hurried |= target_n != self.n
                if target_n is None and decision.chosen is None:
                    target_n = 1  # there is no step to keep
                if target_n is not None:
                    yield Accept(decision, keep=False)
                    writer, kind, select = Role.TARGET, Kind.TARGET, key.fold("select", trace.token_ids, attempt=1)
                    at = self._narrowed(kind, target_n)
                    request = at._request(writer, trace, law, select, attempt=1)
                    proposal = yield replace(request, overtime_s=overtime_s)
                    now = now.after(kind, target_n, proposal.remaining_s)
                    decision = at._choose(proposal.candidates, select)
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                return Finish.NO_SUPPORT
            if finish := (yield Accept(decision)):
                return Finish.DEADLINE if hurried and finish in (Finish.ANSWER, Finish.END_OF_TEXT) else finish
            step = proposal.candidates[decision.chosen]
            good = kind is Kind.ALONE or at._good(trace, step)
            trace = trace.extend(step, writer)
            writer = at._next_writer(good, key.fold("switch", trace.token_ids))

    def _narrowed(self, kind: Kind, n: int) -> Timely:
        """This configuration with `n` candidates, scored by those who verify."""
        return replace(self, n=n, score="raw" if kind is Kind.REWARDED else self.score)


def _halved(n: int) -> Iterator[int]:
    """n, n / 2, ..., 1."""
    while n:
        yield n
        n //= 2
