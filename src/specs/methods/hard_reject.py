"""Hard rejection of whole steps: what soft verification replaces.

One draft step `y` stays with probability min(1, p(y|c) / q(y|c)); otherwise the target writes the
step. No PRM. The step then has the law min(p, q) + (1 - sum min(p, q)) p, which lies nearer to `p`
than the draft does but is not `p`: token-level speculative decoding draws its replacement from
the residual, and the residual over whole steps cannot be sampled.

Model calls a step: one draft sample and one target pass; a rejected step adds one target sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, log_ratio
from specs.methods import Flow
from specs.types import Accept, Law, Propose, Role, Trace


@dataclass(frozen=True, slots=True)
class HardReject:
    """No options: the two models decide alone."""

    name = "hard-reject"
    roles = frozenset({Role.DRAFT, Role.TARGET})

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer = Role.DRAFT
            proposal = yield Propose(writer, trace, 1, frozenset({Role.TARGET}), law)
            ratio = log_ratio(proposal.candidates[0])
            decision = choose_best([ratio])
            # uniform() lies in [0, 1), so a step to which the target gives nothing never stays.
            if not key.fold("accept", trace.token_ids).uniform() < math.exp(min(0.0, ratio)):
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, 1, frozenset(), law, attempt=1)
                decision = choose_best([0.0])
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[0], writer)
