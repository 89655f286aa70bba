"""GSI: guided speculative inference (Geuter et al., arXiv 2506.04118).

In each step the draft writes n candidates, and one is drawn from softmax(beta r + log p - log q). It
stays if its tilted reward r + (log p - log q) / beta is at least `threshold`; otherwise the target
writes n candidates, and one is drawn from softmax(beta r).

Model calls a step: n draft samples, one target pass, one PRM pass; a rejected step adds n target
samples and one PRM pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from specs.core.selection import as_known, choose_soft, log_ratio, optimistic
from specs.methods.speculative import Policy, Step, next_unread
from specs.types import Candidate, Capability, Decision, Propose, Role
from specs.types.checks import above, at_least, check_fields


@dataclass(frozen=True, slots=True)
class Gsi(Policy):
    """GSI: draw a draft candidate by tilted reward; if that is low, the target rewrites.

    The defaults of `beta` and `threshold` are the published ones.

    Attributes:
        n: candidates a step.
        beta: inverse temperature of the draw.
        threshold: lowest tilted reward, r + (log p - log q) / beta, at which a draft step is kept; -inf rejects only
            steps without support.
        verify: as in `specs`: the target reads `all` draft candidates, as published, or only what the draw needs
            (`drawn`); the drawn candidate is the same.

    Examples:
        gsi:n=16:threshold=0.3
        gsi:verify=drawn
    """

    n: int = 8
    beta: float = 20.0
    threshold: float = 0.5
    verify: Literal["all", "drawn"] = "all"
    name = "gsi"
    roles = frozenset(Role)
    needs = frozenset({Capability.LOG_PROBABILITIES})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), beta=above(0))

    def propose(self, step: Step) -> Propose:
        if step.writer is Role.TARGET:
            return Propose(Role.TARGET, step.trace, self.n, frozenset({Role.PRM}), step.sampling, step.attempt)
        later = self.verify == "drawn"
        verify = frozenset({Role.PRM} if later else {Role.PRM, Role.TARGET})
        expected = partial(self._expected, step)
        return Propose(Role.DRAFT, step.trace, self.n, verify, step.sampling, score_later=later, lookahead=expected)

    def unread(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[int]:
        if step.writer is Role.TARGET or self.verify == "all":
            return ()
        return next_unread(step, candidates, partial(self._drawn, step))

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return as_known(self._drawn(step, optimistic(candidates)), candidates)

    def _drawn(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_soft([self._score(candidate) for candidate in candidates], step.draw("select"))

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return decision.chosen is not None and decision.scores[decision.chosen] >= self.beta * self.threshold

    def _expected(self, step: Step, candidates: tuple[Candidate, ...]) -> int | None:
        """The draft candidate that will be kept if p = q, for the prefetch; None without rewards."""
        decision = self._drawn(step, candidates)
        return decision.chosen if self.accepts(step, candidates, decision) else None

    def _score(self, candidate: Candidate) -> float:
        """`beta r + log p - log q`; the ratio of a target step is 0."""
        return math.nan if candidate.reward is None else self.beta * candidate.reward + log_ratio(candidate)
