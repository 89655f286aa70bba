"""SPECS without a reward model: the target's log-ratio alone.

In each step the draft writes n candidates, and one is drawn from softmax(log p - log q): self-normalised
importance sampling of the target's next step. Without a reward there is no rule for deferral, so the
target writes a step only if no candidate has support.

Model calls a step: n draft samples, one target pass; without support also n target samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specs.core.selection import choose_soft, log_ratio
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Capability, Decision, Propose, Role
from specs.types.checks import at_least, check_fields


@dataclass(frozen=True, slots=True)
class PrmFree(Policy):
    """SPECS without a PRM: a draft candidate, drawn by the target's log-ratio alone.

    Attributes:
        n: candidates a step.

    Examples:
        prm-free:n=16
    """

    n: int = 8
    name = "prm-free"
    roles = frozenset({Role.DRAFT, Role.TARGET})
    needs = frozenset({Capability.LOG_PROBABILITIES})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def propose(self, step: Step) -> Propose:
        verify = frozenset({Role.TARGET} if step.writer is Role.DRAFT else ())
        return Propose(step.writer, step.trace, self.n, verify, step.sampling, step.attempt)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_soft([log_ratio(candidate) for candidate in candidates], step.draw("select"))

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return decision.chosen is not None
