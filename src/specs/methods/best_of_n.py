"""Methods over whole solutions: best-of-n by the last PRM reward, majority votes, and votes weighted by reward.

`majority` is self-consistency (Wang et al., arXiv 2203.11171), `weighted-majority` the weighted vote
of Snell et al. (arXiv 2408.03314), `soft-best-of-n` the method of Verdun et al. (arXiv 2505.03156).
Model calls: n whole samples of the target; all but `majority` add one PRM pass over them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, choose_soft, rewards
from specs.core.votes import boxed, majority
from specs.methods import Flow
from specs.types import Accept, Finish, Propose, Role, SamplingParams, Trace
from specs.types.checks import at_least, check_fields


@dataclass(frozen=True, slots=True)
class BestOfN:
    """Best of n: the target's sample whose last step the PRM rewards most.

    Attributes:
        n: samples, each a whole solution.

    Examples:
        best-of-n:n=16
    """

    n: int = 8
    name = "best-of-n"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        proposal = yield Propose(Role.TARGET, Trace(question), self.n, frozenset({Role.PRM}), sampling, whole=True)
        decision = choose_best(rewards(proposal.candidates))
        finish = yield Accept(decision, keep=decision.chosen is not None)
        return Finish.NO_SUPPORT if decision.chosen is None else finish


@dataclass(frozen=True, slots=True)
class SoftBestOfN:
    """Soft best of n: one of the target's samples, drawn from softmax(beta * reward).

    Attributes:
        n: samples, each a whole solution.
        beta: inverse temperature of the draw.

    Examples:
        soft-best-of-n:n=16:beta=8
    """

    n: int = 8
    beta: float = 32.0
    name = "soft-best-of-n"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=at_least(0))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        proposal = yield Propose(Role.TARGET, Trace(question), self.n, frozenset({Role.PRM}), sampling, whole=True)
        scores = [self.beta * reward for reward in rewards(proposal.candidates)]
        decision = choose_soft(scores, key.fold("select", ()))
        finish = yield Accept(decision, keep=decision.chosen is not None)
        return Finish.NO_SUPPORT if decision.chosen is None else finish


@dataclass(frozen=True, slots=True)
class Majority:
    """Self-consistency: the target's first sample with the most frequent answer.

    Attributes:
        n: samples, each a whole solution.

    Examples:
        majority:n=16
    """

    n: int = 8
    name = "majority"
    roles = frozenset({Role.TARGET})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        proposal = yield Propose(Role.TARGET, Trace(question), self.n, frozenset(), sampling, whole=True)
        votes = majority([boxed(candidate.text) for candidate in proposal.candidates])
        return (yield Accept(choose_best(votes)))


@dataclass(frozen=True, slots=True)
class WeightedMajority:
    """Weighted vote: the first sample whose answer has the largest sum of last rewards.

    Attributes:
        n: samples, each a whole solution.

    Examples:
        weighted-majority:n=16
    """

    n: int = 8
    name = "weighted-majority"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        proposal = yield Propose(Role.TARGET, Trace(question), self.n, frozenset({Role.PRM}), sampling, whole=True)
        final = rewards(proposal.candidates)
        weights = [0.0 if math.isnan(reward) else reward for reward in final]
        votes = majority([boxed(c.text) for c in proposal.candidates], weights)
        decision = choose_best([math.nan if math.isnan(r) else vote for r, vote in zip(final, votes, strict=True)])
        finish = yield Accept(decision, keep=decision.chosen is not None)
        return Finish.NO_SUPPORT if decision.chosen is None else finish
