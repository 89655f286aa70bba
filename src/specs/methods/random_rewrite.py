"""A control for SPECS: what is rewriting worth if a coin decides which steps are rewritten?

Everything else is as in `specs`: n draft candidates, soft verification by PRM and target, a rewrite by the target.
(`random-switch` lets a coin decide who writes the next step, and never rewrites one.)

Model calls a step: as `specs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specs.methods.specs import Specs
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Capability, Decision, Propose, Role
from specs.types.checks import UNIT, at_least, check_fields


@dataclass(frozen=True, slots=True)
class RandomRewrite(Policy):
    """Control for SPECS: a coin, not the merit, decides which steps are rewritten.

    Attributes:
        n: candidates a step.
        beta: inverse temperature of soft verification.
        rewrite_share: chance of a draft step to be rewritten.

    Examples:
        random-rewrite:rewrite_share=0.2
    """

    n: int = 8
    beta: float = 20.0
    rewrite_share: float = 0.1
    name = "random-rewrite"
    roles = frozenset(Role)
    needs = frozenset({Capability.LOG_PROBABILITIES})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=at_least(0), rewrite_share=UNIT)

    @property
    def _specs(self) -> Specs:
        return Specs(self.n, self.beta, accept_weight=0.0)

    def propose(self, step: Step) -> Propose:
        return self._specs.propose(step)

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        return self._specs.unread(step, candidates)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return self._specs.choose(step, candidates)

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return decision.chosen is not None and step.draw("accept").uniform() >= self.rewrite_share
