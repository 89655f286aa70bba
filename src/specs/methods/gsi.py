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
from specs.types import Accept, Candidate, Finish, Law, Propose, Role, Trace


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
        if not self.beta > 0:
            raise ValueError(f"beta divides the log-ratio, so it is above 0, not {self.beta}")

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer, select = Role.DRAFT, key.fold("select", trace.token_ids)
            verify, ahead = frozenset({Role.PRM, Role.TARGET}), partial(self._kept, select)
            proposal = yield Propose(writer, trace, self.n, verify, law, lookahead=ahead)
            scores = [self._score(candidate) for candidate in proposal.candidates]
            decision = choose_soft(scores, select.uniform())
            if self._kept(select, proposal.candidates) is None:
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, self.n, frozenset({Role.PRM}), law, attempt=1)
                scores = [self._score(candidate) for candidate in proposal.candidates]
                decision = choose_soft(scores, key.fold("select", trace.token_ids, attempt=1).uniform())
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                return Finish.NO_SUPPORT
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[decision.chosen], writer)

    def _kept(self, select: Key, candidates: tuple[Candidate, ...]) -> int | None:
        """The candidate that is drawn, if it stays; None without rewards."""
        scores = [self._score(candidate) for candidate in candidates]
        chosen = choose_soft(scores, select.uniform()).chosen
        return chosen if chosen is not None and scores[chosen] >= self.beta * self.threshold else None

    def _score(self, candidate: Candidate) -> float:
        """`beta r + log p - log q`; the ratio of a target step is 0."""
        return math.nan if candidate.reward is None else self.beta * candidate.reward + log_ratio(candidate)
