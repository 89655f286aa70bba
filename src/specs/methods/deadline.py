"""SPECS against the clock: as wide as the time that remains allows, in every step.

Before each step a running estimate (`specs.core.latency`) says what it would take to write the rest of the
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from specs.core.keys import Key
from specs.core.latency import ROLES, Estimate, Kind
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.methods.specs import Specs
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Decision, Finish, Proposal, Propose, Role, SamplingParams, Trace
from specs.types.checks import POSITIVE, check_value

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
class Deadline:
    """`specs` with a deadline, as a method.

    Attributes:
        policy: as it is where there is time enough.
        deadline_s: seconds that the whole solve has; a step under way then has the time of one usual step more.
        estimate: of what steps take.
    """

    policy: Specs
    deadline_s: float = math.inf
    estimate: Estimate = field(default_factory=Estimate)

    def __post_init__(self) -> None:
        check_value("deadline_s", self.deadline_s, float, POSITIVE)

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def roles(self) -> frozenset[Role]:
        return self.policy.roles

    @property
    def settings(self) -> dict[str, Any]:
        """For the record: the policy's options, and what steps were expected to take."""
        return {**asdict(self.policy), "estimate": asdict(self.estimate)}

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        """See `specs.methods.Method`."""
        return self.policy.solve(question, sampling, key, AgainstTheClock(self))

    def overtime_s(self, estimate: Estimate) -> float:
        """Seconds beyond the deadline that a step may take: those of a usual one, before this solve or by now."""
        usual_s = (one.seconds(*self.ways[0][:2]) for one in (self.estimate, estimate))
        return min(*usual_s, _OVERTIME * self.deadline_s)

    @property
    def ways(self) -> list[Way]:
        """How the draft may write a step, the widest first."""
        full = Kind.VERIFIED if self.policy.score == "tilted" else Kind.REWARDED
        few = min(self.policy.n, _FEW)
        return [
            *(Way(full, n, True) for n in _halved(self.policy.n)),
            Way(Kind.REWARDED, few, True),
            *(Way(Kind.REWARDED, n, False) for n in _halved(self.policy.n) if n >= few),
            Way(Kind.NO_CONTEXT, 1, False),
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
            rest = (self.ways[0].kind, fewer) if fewer > 1 else (Kind.NO_CONTEXT, 1)
            if now.needed(Kind.TARGET, fewer) + after.needed(*rest, left) <= room:
                return fewer
        return None

    def _room(self, now: Moment) -> float:
        return now.remaining_s + _AIM * self.overtime_s(now.estimate)


class AgainstTheClock:
    """A `Schedule`: each step as wide as the time that remains allows."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._now = Moment(deadline.deadline_s, deadline.estimate)
        self._asked = deadline.ways[0][:2]
        """How the step at hand was asked for: kind and number of candidates."""
        self._overtime_s = 0.0
        self._hurried = False

    def plan(self, policy: Policy, step: Step) -> tuple[Policy, Step]:
        deadline = self._deadline
        self._now = now = replace(self._now, done=len(step.trace.steps))
        kind, n, _ = deadline.way(now)
        if step.writer is Role.TARGET:
            target_n = deadline.target_n(now, deadline.policy.n)
            self._hurried |= target_n != deadline.policy.n
            if target_n is None:
                step = replace(step, writer=Role.DRAFT)
            else:
                kind, n = Kind.TARGET, target_n
        else:
            self._hurried |= (kind, n) != deadline.ways[0][:2]
        self._overtime_s = deadline.overtime_s(now.estimate)
        return self._narrowed(kind, n), step

    def plan_rewrite(self, policy: Policy, step: Step, decision: Decision) -> tuple[Policy, Step] | None:
        n = self._deadline.target_n(self._now, self._asked[1])
        self._hurried |= n != self._asked[1]
        if n is None and decision.chosen is None:
            n = 1  # there is no step to keep
        return None if n is None else (self._narrowed(Kind.TARGET, n), step.rewritten())

    def replied(self, proposal: Proposal) -> None:
        self._now = self._now.after(*self._asked, proposal.remaining_s)

    def ends(self, finish: Finish) -> Finish:
        return Finish.DEADLINE if self._hurried and finish in (Finish.ANSWER, Finish.END_OF_TEXT) else finish

    def _narrowed(self, kind: Kind, n: int) -> Policy:
        """The policy with `n` candidates, scored by those who verify."""
        self._asked = kind, n
        policy = self._deadline.policy
        narrowed = replace(policy, n=n, score="raw" if kind is Kind.REWARDED else policy.score)
        return Hurried(narrowed, kind is Kind.NO_CONTEXT, self._overtime_s)


@dataclass(frozen=True, slots=True)
class Hurried(Policy):
    """A policy whose steps may run `overtime_s` beyond the deadline.

    `alone`: the draft writes one candidate, which nobody verifies.
    """

    policy: Specs
    alone: bool
    overtime_s: float

    def propose(self, step: Step) -> Propose:
        alone = Propose(Role.DRAFT, step.trace, 1, frozenset(), step.sampling)
        return replace(alone if self.alone else self.policy.propose(step), overtime_s=self.overtime_s)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_best([0.0]) if self.alone else self.policy.choose(step, candidates)

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return self.alone or self.policy.accepts(step, candidates, decision)

    def next_writer(self, step: Step, after: Trace) -> Role:
        return self.policy.writer_after(True, step, after) if self.alone else self.policy.next_writer(step, after)


def _halved(n: int) -> Iterator[int]:
    """n, n / 2, ..., 1."""
    while n:
        yield n
        n //= 2
