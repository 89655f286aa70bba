"""RSD: reward-guided speculative decoding (Liao et al., arXiv 2501.19324).

The draft writes one step, which is kept if its reward is at least `tau`; otherwise the target writes
the step again. With `start="target"` the target writes the first step, as in the SPECS paper.

Model calls a step: one draft sample and one PRM pass; a rejected step adds one target sample.
A first step by the target is one target sample without a PRM pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from specs.core.selection import choose_best
from specs.methods.accept import BY_REWARD
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Decision, Propose, Role
from specs.types.checks import UNIT, check_fields


@dataclass(frozen=True, slots=True)
class Rsd(Policy):
    """RSD: one draft step, which the target writes again if its reward is below `tau`.

    Attributes:
        tau: lowest reward at which a draft step is kept; 0.7 in the paper.
        start: writer of the first step.

    Examples:
        rsd:tau=0.8
    """

    tau: float = 0.7
    start: Literal["target", "draft"] = "draft"
    name = "rsd"
    roles = frozenset(Role)

    def __post_init__(self) -> None:
        check_fields(self, tau=UNIT)

    def first_writer(self) -> Role:
        return Role(self.start)

    def propose(self, step: Step) -> Propose:
        verify = frozenset({Role.PRM} if step.writer is Role.DRAFT else ())
        return Propose(step.writer, step.trace, 1, verify, step.sampling, step.attempt)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_best([0.0 if candidate.reward is None else candidate.reward for candidate in candidates])

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return BY_REWARD.good_enough(candidates[0], 1.0, self.tau)
