"""Methods over whole solutions: best-of-n by the last PRM reward, majority votes, and votes weighted by reward.

`majority` is self-consistency (Wang et al., arXiv 2203.11171), `weighted-majority` the weighted vote
of Snell et al. (arXiv 2408.03314), `soft-best-of-n` the method of Verdun et al. (arXiv 2505.03156).
`adaptive-majority` stops when more votes cannot change the outcome; adaptive consistency (Aggarwal et
al., arXiv 2305.11860) stops earlier, when that has become unlikely.
Model calls: n whole samples of the target (`adaptive-majority`: n at most); all but the two majorities add one PRM
pass over them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from specs.core.answers import normal
from specs.core.keys import Key
from specs.core.selection import choose_best, choose_soft, rewards
from specs.core.votes import boxed, majority
from specs.methods import Flow
from specs.types import Accept, Finish, Proposal, Propose, Role, SamplingParams, Trace
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
    whole_solutions = True
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
    whole_solutions = True
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
    whole_solutions = True
    roles = frozenset({Role.TARGET})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        proposal = yield Propose(Role.TARGET, Trace(question), self.n, frozenset(), sampling, whole=True)
        votes = majority([boxed(candidate.text) for candidate in proposal.candidates])
        return (yield Accept(choose_best(votes)))


@dataclass(frozen=True, slots=True)
class AdaptiveMajority:
    """Self-consistency that stops once more samples could not change the vote.

    Attributes:
        n: samples at most, each a whole solution.
        batch: samples at a time.

    Examples:
        adaptive-majority:n=16:batch=4
    """

    n: int = 8
    batch: int = 2
    name = "adaptive-majority"
    whole_solutions = True
    roles = frozenset({Role.TARGET})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), batch=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        drawn: list[Proposal] = []
        texts: list[str] = []
        while len(texts) < self.n and not _settled(texts, self.n - len(texts)):
            size = min(self.batch, self.n - len(texts))
            attempt = len(drawn)
            drawn.append(
                (yield Propose(Role.TARGET, Trace(question), size, frozenset(), sampling, attempt, whole=True))
            )
            texts += [candidate.text for candidate in drawn[-1].candidates]
        votes = majority([boxed(text) for text in texts])
        winner, finish = max(range(len(votes)), key=lambda k: votes[k]), None
        for k, proposal in enumerate(drawn):
            own = choose_best(votes[k * self.batch : k * self.batch + len(proposal.candidates)])
            finish = (yield Accept(own, winner // self.batch == k, proposal)) or finish
        assert finish is not None  # a whole solution ends the solve
        return finish


def _settled(texts: Sequence[str], left: int) -> bool:
    """Whether `left` more votes cannot change the most frequent answer."""
    counts = Counter(normal(answer) for text in texts if (answer := boxed(text)) is not None)
    (_, first), (_, second) = (*counts.most_common(2), ("", 0), ("", 0))[:2]
    return first > second + left


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
    whole_solutions = True
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
