"""SPECS against the clock: as wide as the time that remains allows, in every step.

Before each step a running estimate (`specs.core.pacing`) says what it would take to write the rest of the solution
one way or another, and the widest way that fits is taken:

1. as configured: n candidates, verified by the PRM and the target;
2. the same with n / 2, n / 4, ..., 1 candidates;
3. one candidate, verified by the PRM alone;
4. one candidate, unverified: the draft closes the solution as fast as it can.

A step that the target is to write, again or at all, it writes with as many candidates as leave the draft time to close,
else the draft's stays. What each step took moves the estimate for those that follow. With time enough
this is `specs`, token for token.

Model calls a step: at most those of `specs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from specs.core.keys import Key
from specs.core.pacing import ROLES, Estimate, Kind
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.methods.specs import Specs
from specs.types import Accept, Finish, Law, Proposal, Propose, Role, Trace

_MORE_STEPS = 0.5
"""Quantile of the steps that remain, which time is kept for."""
_LONGER = 0.0
"""Standard deviations by which they are taken to be slower than expected."""
_SLACK = 0.5
_OVERTIME = 0.5
"""Overtime is a usual step, but not more than this share of the deadline."""


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

    def needed(self, kind: Kind, n: int, steps: int = 1) -> float:
        """Seconds that so many steps of a kind take, with some to spare."""
        return self.estimate.seconds(kind, n, steps, not ROLES[kind] <= self.used, _LONGER)

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

    @property
    def overtime_s(self) -> float:
        """Seconds beyond the deadline that the last step may take: those of a usual one."""
        return min(self.estimate.seconds(*self.widths[0]), _OVERTIME * self.deadline_s)

    @property
    def widths(self) -> list[tuple[Kind, int]]:
        """How the draft may write a step: what is done and with how many candidates, the widest first."""
        full = Kind.VERIFIED if self.score == "tilted" else Kind.REWARDED
        narrower = [(full, n) for n in _halved(self.n)]
        return [*narrower, *([(Kind.REWARDED, min(self.n, 2))] if full is Kind.VERIFIED else []), (Kind.ALONE, 1)]

    def width(self, now: Moment) -> tuple[Kind, int]:
        """The widest way to write this step and all later ones in the time that remains."""
        left = now.estimate.left(now.done, _MORE_STEPS)
        for kind, n in self.widths[:-1]:
            needed = now.needed(kind, n, left)
            if kind is Kind.VERIFIED or self.score == "raw":
                needed += now.estimate.rewrites * left * now.estimate.seconds(Kind.TARGET, n)
            if needed <= now.remaining_s:
                return kind, n
        return self.widths[-1]

    def target_n(self, now: Moment, n: int) -> int | None:
        """The most candidates, up to `n`, of the target for this step after which the draft can close; None if none."""
        closing = now.estimate.seconds(Kind.ALONE, 1, now.estimate.left(now.done + 1, _MORE_STEPS), False, _LONGER)
        room = now.remaining_s + _SLACK * self.overtime_s - closing
        fitting = (one for one in _halved(n) if now.needed(Kind.TARGET, one) <= room)
        return next(fitting, None)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace, writer, now = Trace(question), Role(self.start), Moment(self.deadline_s, self.estimate)
        hurried = False
        while True:
            now = replace(now, done=len(trace.steps))
            kind, n = self.width(now)
            if writer is Role.TARGET:
                target_n = self.target_n(now, self.n)
                writer, kind, n = (Role.DRAFT, kind, n) if target_n is None else (writer, Kind.TARGET, target_n)
                hurried |= target_n != self.n
            else:
                hurried |= (kind, n) != self.widths[0]
            at, select = self._narrowed(kind, n), key.fold("select", trace.token_ids)
            proposal: Proposal = yield at._asked(kind, writer, trace, law, select)
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
                    proposal = yield at._asked(kind, writer, trace, law, select, attempt=1)
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

    def _asked(self, kind: Kind, writer: Role, trace: Trace, law: Law, select: Key, attempt: int = 0) -> Propose:
        """The request for a step, with overtime."""
        if kind is Kind.ALONE:
            request = Propose(writer, trace, 1, frozenset(), law)
        else:
            request = self._request(writer, trace, law, select, attempt)
        return replace(request, overtime_s=self.overtime_s)


def _halved(n: int) -> Iterator[int]:
    """n, n / 2, ..., 1."""
    while n:
        yield n
        n //= 2
