"""RSD: reward-guided speculative decoding (Liao et al., arXiv 2501.19324).

One draft step; kept if the PRM rewards it with at least `tau`, otherwise thrown away and written
by the target. `start="target"` lets the target write the first step, as SPECS does.

Model calls a step: one draft sample and one PRM pass; a rejected step adds one target sample.
A first step by the target is that one sample alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from specs.core.keys import Key
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.types import Accept, Law, Propose, Role, Trace


@dataclass(frozen=True, slots=True)
class Rsd:
    """`tau`: reward from which a draft step is kept; 0.7 in the paper. `start`: writer of the first step."""

    tau: float = 0.7
    start: Literal["target", "draft"] = "draft"
    name = "rsd"
    roles = frozenset(Role)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer = Role.DRAFT if trace.steps else Role(self.start)
            verify = frozenset({Role.PRM} if writer is Role.DRAFT else ())
            proposal = yield Propose(writer, trace, 1, verify, law)
            reward = proposal.candidates[0].reward
            decision = choose_best([0.0 if reward is None else reward])
            if writer is Role.DRAFT and (reward is None or not reward >= self.tau):
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, 1, frozenset(), law, attempt=1)
                decision = choose_best([0.0])
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[0], writer)
