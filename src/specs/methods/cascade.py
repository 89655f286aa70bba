"""A cascade by problem: the draft solves it, and the target searches only if the draft's best solution is poor.

The model cascades of FrugalGPT (Chen et al., arXiv 2305.05176), with the PRM as the judge.

Model calls: n whole samples of the draft, one PRM pass; below `tau` also those of `beam`.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.methods import Flow
from specs.methods.beam import Beam
from specs.types import Accept, Proposal, Propose, Role, SamplingParams, Trace
from specs.types.checks import UNIT, at_least, check_fields


@dataclass(frozen=True, slots=True)
class Cascade:
    """Cascade by problem: best of n by the draft, or `beam` if its reward is too low.

    Attributes:
        n: solutions of the draft, and candidates a step of the target.
        tau: lowest last reward at which the draft's solution is the answer.

    Examples:
        cascade:n=16:tau=0.9
    """

    n: int = 8
    tau: float = 0.8
    name = "cascade"
    whole_solutions = True
    roles = frozenset(Role)

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), tau=UNIT)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        request = Propose(Role.DRAFT, Trace(question), self.n, frozenset({Role.PRM}), sampling, whole=True)
        proposal: Proposal = yield request
        final = rewards(proposal.candidates)
        decision = choose_best(final)
        good = decision.chosen is not None and final[decision.chosen] >= self.tau
        finish = yield Accept(decision, keep=good)
        return finish if good else (yield from Beam(self.n).solve(question, sampling, key))
