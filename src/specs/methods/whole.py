"""Methods over whole solutions: best-of-n by the final PRM reward, majority vote.

`majority` is self-consistency (Wang et al., arXiv 2203.11171). Model calls: n whole samples of
the target; best-of-n adds one PRM pass over them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best
from specs.core.votes import boxed, majority
from specs.methods import Flow
from specs.types import Accept, Finish, Law, Role, Rollout, Trace


@dataclass(frozen=True, slots=True)
class BestOfN:
    """The sample whose last step the PRM rewards most; `n` samples, >= 1."""

    n: int = 8
    name = "best-of-n"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        _check(self.n)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        proposal = yield Rollout(Role.TARGET, Trace(question), self.n, frozenset({Role.PRM}), law)
        decision = choose_best([math.nan if c.reward is None else c.reward for c in proposal.candidates])
        finish = yield Accept(decision, keep=decision.chosen is not None)
        return finish or Finish.NO_SUPPORT


@dataclass(frozen=True, slots=True)
class Majority:
    """The first sample with the most frequent answer; `n` samples, >= 1."""

    n: int = 8
    name = "majority"
    roles = frozenset({Role.TARGET})

    def __post_init__(self) -> None:
        _check(self.n)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        proposal = yield Rollout(Role.TARGET, Trace(question), self.n, frozenset(), law)
        votes = majority([boxed(candidate.text) for candidate in proposal.candidates])
        finish = yield Accept(choose_best(votes))
        return finish or Finish.END_OF_TEXT


def _check(n: int) -> None:
    if n < 1:
        raise ValueError(f"n is the number of samples, at least 1, not {n}")
