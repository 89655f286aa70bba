"""Per-step best of n by PRM reward, one trace kept: the papers' "BS(B)" and "BS(S)".

Model calls a step: n samples of the writer, one PRM pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.methods import Flow
from specs.types import Accept, Finish, Law, Propose, Role, Trace


@dataclass(frozen=True, slots=True)
class Beam:
    """`beam` (writer target) and `beam-draft` (writer draft); `n` candidates a step, >= 1."""

    n: int = 8
    writer: Role = Role.TARGET

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is the number of candidates, at least 1, not {self.n}")

    @property
    def name(self) -> str:
        return "beam" if self.writer is Role.TARGET else "beam-draft"

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset({self.writer, Role.PRM})

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            proposal = yield Propose(self.writer, trace, self.n, frozenset({Role.PRM}), law)
            decision = choose_best(rewards(proposal.candidates))
            if decision.chosen is None:
                yield Accept(decision, keep=False)
                return Finish.NO_SUPPORT
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[decision.chosen], self.writer)
