"""SPECS with a deadline: each step has as many candidates and verifiers as the remaining time allows.

Before each step a running estimate (`specs.core.latency`) predicts how long the rest of the solution would take in
each of these ways, and the method takes the first that fits into the remaining time:

1. as configured, verified by the PRM and the target, with n candidates; then with n / 2, n / 4, ..., 1;
2. two candidates, verified by the PRM alone;
3. n, n / 2, ..., 2 candidates, verified by the PRM alone, without time for rewrites;
4. one candidate, unverified: the draft completes the solution as fast as it can.

Ways 1 and 2 must also leave time for the target to rewrite the expected number of bad steps.

If the target is to write a step, it does so only if the draft can still complete the solution afterwards; otherwise
the draft's step stays. The measured time of each step updates the estimate for the later ones. With enough time this
is `specs`, token for token.

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
"""Quantile of the number of remaining steps that is planned for."""
_AIM = 0.5
"""Share of the overtime that counts as available when a step is planned."""
_RESERVE = 2.0
"""Time is kept for this many times the usual number of rewrites."""
_FEW = 2
"""Most candidates if the PRM alone verifies and time is kept for rewrites."""
_OVERTIME = 0.5
"""The overtime is the time of a usual step, but at most this share of the deadline."""


class Way(NamedTuple):
    """How the draft writes a step.

    Attributes:
        kind: who verifies the step.
        n: number of candidates.
        rewrites: whether time is kept for the target to rewrite steps.
    """

    kind: Kind
    n: int
    rewrites: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """What a running solve knows about its time.

    Attributes:
        remaining_s: seconds until the deadline; negative after it.
        estimate: the estimate of step times, updated by the steps of this solve.
        done: number of accepted steps.
        used: roles that have taken part so far.
    """

    remaining_s: float
    estimate: Estimate
    done: int = 0
    used: frozenset[Role] = frozenset()

    def left(self, done: int) -> int:
        """Number of further steps to plan for after the first `done`."""
        return self.estimate.left(done, _MORE_STEPS)

    def needed(self, kind: Kind, n: int, steps: int = 1) -> float:
        """Expected seconds of `steps` steps of a kind."""
        return self.estimate.seconds(kind, n, steps, not ROLES[kind] <= self.used)

    def after(self, kind: Kind, n: int, remaining_s: float | None) -> Moment:
        """The moment after a step of `n` candidates; `remaining_s` is None without a deadline."""
        used = self.used | ROLES[kind]
        if remaining_s is None:
            return replace(self, used=used)
        estimate = self.estimate.seen(kind, n, used != self.used, self.remaining_s - remaining_s)
        return replace(self, remaining_s=remaining_s, estimate=estimate, used=used)


@dataclass(frozen=True, slots=True)
class Deadline:
    """`specs` with a deadline, as a method.

    Attributes:
        policy: the method to follow while there is enough time.
        deadline_s: seconds for the whole solve, > 0; a step under way at the deadline may run for the overtime
            (`overtime_s`) more.
        estimate: the estimate of step times before this solve.
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
        """The policy's options and the estimate of step times, as traces record them."""
        return {**asdict(self.policy), "estimate": asdict(self.estimate)}

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        """See `specs.methods.Method`."""
        return self.policy.solve(question, sampling, key, AgainstTheClock(self))

    def overtime_s(self, estimate: Estimate) -> float:
        """Seconds beyond the deadline that a step may take: those of a usual step, at most `_OVERTIME` of the deadline.

        The usual step is the shorter one of those that `self.estimate` and `estimate` expect.
        """
        usual_s = (one.seconds(*self.ways[0][:2]) for one in (self.estimate, estimate))
        return min(*usual_s, _OVERTIME * self.deadline_s)

    @property
    def ways(self) -> list[Way]:
        """The ways in which the draft may write a step, in order of preference."""
        full = Kind.VERIFIED if self.policy.scored else Kind.REWARDED
        few = min(self.policy.n, _FEW)
        return [
            *(Way(full, n, True) for n in _halved(self.policy.n)),
            Way(Kind.REWARDED, few, True),
            *(Way(Kind.REWARDED, n, False) for n in _halved(self.policy.n) if n >= few),
            Way(Kind.UNVERIFIED, 1, False),
        ]

    def way(self, now: Moment) -> Way:
        """The first way in which this step and all later ones fit into the remaining time; the last if none does."""
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
        """Number of the target's candidates for this step, at most `n`; None if the target has no time for one.

        With more than one, there is time for the later steps to have as many; with one, for the draft to complete
        the solution alone.
        """
        left, room, after = now.left(now.done + 1), self._room(now), replace(now, used=frozenset(Role))
        for fewer in _halved(n):
            rest = (self.ways[0].kind, fewer) if fewer > 1 else (Kind.UNVERIFIED, 1)
            if now.needed(Kind.TARGET, fewer) + after.needed(*rest, left) <= room:
                return fewer
        return None

    def _room(self, now: Moment) -> float:
        return now.remaining_s + _AIM * self.overtime_s(now.estimate)


class AgainstTheClock:
    """The `Schedule` of a deadline: narrows steps to what the remaining time allows."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._now = Moment(deadline.deadline_s, deadline.estimate)
        self._asked = deadline.ways[0][:2]
        """Kind and number of candidates of the last request."""
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
            n = 1  # no draft step has support, so the target must write
        return None if n is None else (self._narrowed(Kind.TARGET, n), step.rewritten())

    def replied(self, proposal: Proposal) -> None:
        self._now = self._now.after(*self._asked, proposal.remaining_s)

    def ends(self, finish: Finish) -> Finish:
        return Finish.DEADLINE if self._hurried and finish in (Finish.ANSWER, Finish.END_OF_TEXT) else finish

    def _narrowed(self, kind: Kind, n: int) -> Policy:
        """The policy with `n` candidates and the verifiers of `kind`."""
        self._asked = kind, n
        policy = self._deadline.policy
        unscored = {"select_weight": 0.0, "accept_weight": 0.0} if kind is Kind.REWARDED else {}
        narrowed = replace(policy, n=n, **unscored)
        return Hurried(narrowed, kind is Kind.UNVERIFIED, self._overtime_s)


@dataclass(frozen=True, slots=True)
class Hurried(Policy):
    """A policy whose steps may run `overtime_s` seconds beyond the deadline.

    Attributes:
        alone: whether the draft writes one candidate, unverified.
    """

    policy: Specs
    alone: bool
    overtime_s: float

    def propose(self, step: Step) -> Propose:
        alone = Propose(Role.DRAFT, step.trace, 1, frozenset(), step.sampling)
        return replace(alone if self.alone else self.policy.propose(step), overtime_s=self.overtime_s)

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        return () if self.alone else self.policy.unread(step, candidates)

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
