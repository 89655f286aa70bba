"""SPECS without a reward model: the target's log-ratio alone.

Per step n draft candidates, one drawn from softmax(log p - log q): self-normalised importance
sampling of the target's next step. Nothing says when to defer, so the target writes only where no
candidate has support.

Model calls a step: n draft samples, one target pass; without support also n target samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_soft, log_ratio
from specs.methods import Flow, check_n
from specs.types import Accept, Law, Propose, Role, Trace


@dataclass(frozen=True, slots=True)
class PrmFree:
    """`n` candidates a step, >= 1."""

    n: int = 8
    name = "prm-free"
    roles = frozenset({Role.DRAFT, Role.TARGET})

    def __post_init__(self) -> None:
        check_n(self.n)

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer = Role.DRAFT
            proposal = yield Propose(writer, trace, self.n, frozenset({Role.TARGET}), law)
            ratios = [log_ratio(candidate) for candidate in proposal.candidates]
            decision = choose_soft(ratios, key.fold("select", trace.token_ids).uniform())
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, self.n, frozenset(), law, attempt=1)
                ratios = [log_ratio(candidate) for candidate in proposal.candidates]
                decision = choose_soft(ratios, key.fold("select", trace.token_ids, attempt=1).uniform())
            if finish := (yield Accept(decision)):
                return finish
            assert decision.chosen is not None
            trace = trace.extend(proposal.candidates[decision.chosen], writer)
