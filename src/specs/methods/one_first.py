"""A beam search that samples one candidate first, and the others only if that one is not good enough.

A rival for methods with a draft: it saves where one sample of the target is good already, and needs no draft. The
threshold is that of `specs`: the share of the trace's reward that a step keeps, r / r_before.

Model calls a step: one sample of the target, one PRM pass; below `tau` n - 1 samples and one PRM pass more.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.methods import Flow
from specs.methods.accept import AcceptRule
from specs.types import Accept, Finish, Proposal, Propose, Role, SamplingParams, Trace
from specs.types.checks import UNIT, at_least, check_fields

RULE = AcceptRule("step")


@dataclass(frozen=True, slots=True)
class OneFirst:
    """PRM beam search that samples one candidate, and others only if it is poor.

    Attributes:
        n: candidates a step at most.
        tau: lowest share of the reward before a step, r / r_before, at which its first candidate stays at once.

    Examples:
        one-first:n=16:tau=0.9
    """

    n: int = 8
    tau: float = 0.8
    name = "one-first"
    roles = frozenset({Role.TARGET, Role.PRM})

    def __post_init__(self) -> None:
        check_fields(self, n=at_least(1), tau=UNIT)

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        trace = Trace.start(question, sampling.thinks)
        while True:
            tried: list[Proposal] = []
            for size in (1, self.n - 1):
                if size:
                    request = Propose(Role.TARGET, trace, size, frozenset({Role.PRM}), sampling, attempt=len(tried))
                    tried.append((yield request))
                if RULE.good_enough(tried[0].candidates[0], RULE.reward_before(trace), self.tau):
                    break
            best = choose_best(rewards([candidate for proposal in tried for candidate in proposal.candidates])).chosen
            finish = Finish.NO_SUPPORT if best is None else None
            for idx, proposal in enumerate(tried):
                decision = choose_best(rewards(proposal.candidates))
                stays = best is not None and (best > 0) == (idx > 0)
                finish = (yield Accept(decision, stays, proposal)) or finish
                if stays and decision.chosen is not None:
                    trace = trace.extend(proposal.candidates[decision.chosen], Role.TARGET)
            if finish:
                return finish
