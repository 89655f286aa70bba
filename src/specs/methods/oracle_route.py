"""Oracle routing by reward: an upper bound for all rules that choose the writer of a step.

In each step both models write n candidates, and the one with the highest reward stays; among equal
rewards the draft's. A rule that decides before the target has written cannot route better by that
reward (the oracle of Arbitrage, arXiv 2512.05033). Its latency is not comparable, since both models
write in every step.

Model calls a step: n draft samples, n target samples, two PRM passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.methods import Flow
from specs.types import Accept, Finish, Proposal, Propose, Role, SamplingParams, Trace
from specs.types.checks import at_least, check_fields


@dataclass(frozen=True, slots=True)
class OracleRoute:
    """Oracle routing, an upper bound: both models write, the highest reward is kept.

    Attributes:
        n: candidates of each model a step.

    Examples:
        oracle-route:n=4
    """

    n: int = 8
    name = "oracle-route"
    roles = frozenset(Role)

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        trace = Trace.start(question, sampling.thinks)
        while True:
            drafted: Proposal = yield Propose(Role.DRAFT, trace, self.n, frozenset({Role.PRM}), sampling)
            written: Proposal = yield Propose(Role.TARGET, trace, self.n, frozenset({Role.PRM}), sampling)
            best = choose_best(rewards((*drafted.candidates, *written.candidates))).chosen
            finish = Finish.NO_SUPPORT if best is None else None
            for writer, proposal in ((Role.DRAFT, drafted), (Role.TARGET, written)):
                decision = choose_best(rewards(proposal.candidates))
                stays = best is not None and (best < self.n) == (writer is Role.DRAFT)
                finish = (yield Accept(decision, stays, proposal)) or finish
                if stays and decision.chosen is not None:
                    trace = trace.extend(proposal.candidates[decision.chosen], writer)
            if finish:
                return finish
