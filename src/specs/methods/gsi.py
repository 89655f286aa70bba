"""GSI: guided speculative inference (Geuter et al., arXiv 2506.04118).

Per step n draft candidates, one drawn from softmax(beta r + log p - log q). It stays if its own
tilted reward r + (log p - log q) / beta is at least `threshold`; otherwise the target writes n
candidates and one is drawn from softmax(beta r).

Model calls a step: n draft samples, one target pass, one PRM pass; a rejected step adds n target
samples and one PRM pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from specs.core.keys import Key
from specs.core.selection import choose_soft, log_ratio
from specs.methods import Flow, check_n
from specs.types import Accept, Candidate, Decision, Finish, Law, Propose, Role, Trace


@dataclass(frozen=True, slots=True)
class Gsi:
    """Published defaults: `beta` 20, `threshold` 0.5; `n` candidates a step, >= 1.

    A `threshold` of -inf rejects nothing but steps without support.
    """

    n: int = 8
    beta: float = 20.0
    threshold: float = 0.5
    name = "gsi"
    roles = frozenset(Role)

    def __post_init__(self) -> None:
        check_n(self.n)
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta divides the log-ratio, so it is above 0 and finite, not {self.beta}")

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer, select = Role.DRAFT, key.fold("select", trace.token_ids)
            verify, ahead = frozenset({Role.PRM, Role.TARGET}), partial(self._expected, select)
            proposal = yield Propose(writer, trace, self.n, verify, law, lookahead=ahead)
            decision = self._choose(proposal.candidates, select)
            if not self._stays(decision):
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, self.n, frozenset({Role.PRM}), law, attempt=1)
                decision = self._choose(proposal.candidates, key.fold("select", trace.token_ids, attempt=1))
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                return Finish.NO_SUPPORT
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[decision.chosen], writer)

    def _choose(self, candidates: tuple[Candidate, ...], key: Key) -> Decision:
        return choose_soft([self._score(candidate) for candidate in candidates], key.uniform())

    def _stays(self, decision: Decision) -> bool:
        """Whether the draft candidate that was drawn is good enough."""
        return decision.chosen is not None and decision.scores[decision.chosen] >= self.beta * self.threshold

    def _expected(self, select: Key, candidates: tuple[Candidate, ...]) -> int | None:
        """The draft candidate that stays if the target agrees with the draft; none without rewards."""
        decision = self._choose(candidates, select)
        return decision.chosen if self._stays(decision) else None

    def _score(self, candidate: Candidate) -> float:
        """`beta r + log p - log q`; the ratio of a target step is 0."""
        return math.nan if candidate.reward is None else self.beta * candidate.reward + log_ratio(candidate)
