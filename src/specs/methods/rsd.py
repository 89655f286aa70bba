"""RSD: reward-guided speculative decoding (Liao et al., arXiv 2501.19324).

One draft step; kept if the PRM rewards it with at least `tau`, otherwise thrown away and written
by the target. `start="target"` lets the target write the first step, as SPECS does.

Model calls a step: one draft sample and one PRM pass; a rejected step adds one target sample.
A first step by the target is that one sample alone.
"""

from __future__ import annotations

import math
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
            writer = Role(self.start) if not trace.steps else Role.DRAFT
            if writer is Role.DRAFT:
                proposal = yield Propose(Role.DRAFT, trace, 1, frozenset({Role.PRM}), law)
                reward = proposal.candidates[0].reward
                decision = choose_best([math.nan if reward is None else reward])
                if reward is None or not reward >= self.tau:
                    yield Accept(decision, keep=False)
                    writer = Role.TARGET
            if writer is Role.TARGET:
                # A rewrite takes fresh randomness, a first step does not.
                attempt = int(bool(trace.steps) or self.start == "draft")
                proposal = yield Propose(Role.TARGET, trace, 1, frozenset(), law, attempt)
                decision = choose_best([0.0])
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[0], writer)
