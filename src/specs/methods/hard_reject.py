"""Hard rejection of whole steps: what soft verification replaces.

The draft writes one step `y`, which stays with probability min(1, p(y|c) / q(y|c)); otherwise the
target writes the step. There is no PRM. The step then has the law min(p, q) + (1 - sum min(p, q)) p,
which is nearer to `p` than `q` is, but is not `p`: token-level speculative decoding draws the
replacement from the residual distribution, which cannot be sampled over whole steps.

Model calls a step: one draft sample and one target pass; a rejected step adds one target sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from specs.core.selection import choose_best, log_ratio
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Capability, Decision, Propose, Role


@dataclass(frozen=True, slots=True)
class HardReject(Policy):
    """Hard rejection: a draft step stays with probability min(1, p / q)."""

    name = "hard-reject"
    roles = frozenset({Role.DRAFT, Role.TARGET})
    needs = frozenset({Capability.LOG_PROBABILITIES})

    def propose(self, step: Step) -> Propose:
        verify = frozenset({Role.TARGET} if step.writer is Role.DRAFT else ())
        return Propose(step.writer, step.trace, 1, verify, step.sampling, step.attempt)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_best([log_ratio(candidates[0])])

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        # uniform() is in [0, 1), so a step to which the target gives probability 0 never stays.
        return step.draw("accept").uniform() < math.exp(min(0.0, decision.scores[0]))
