"""SpecReason: speculative reasoning with the target as the judge (Pan et al., arXiv 2504.07891).

One draft step; the target is asked to rate it from 0 to 9 and answers with one token. From 7 on the
step is kept, otherwise the target writes it. As in the authors' code, an answer that is no digit
counts as 0. There is no PRM. The question's wording is ours; a target has to be able to answer it,
which the bundled one was not trained for.

Model calls a step: one draft sample and one target pass over the step and the question; a rejected
step adds one target sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best, rewards
from specs.methods import Flow
from specs.types import Accept, Judge, Law, Propose, Role, Trace

RATING = Judge(
    instruction="Is the last step of this solution right? Look only at whether its facts and its arithmetic are "
    "correct and whether it follows from the steps before, not at style or at how far it gets. "
    "Answer with one digit in \\boxed{}, from 0 for certainly wrong to 9 for certainly right.",
    opening="\\boxed{",
    labels=tuple("0123456789"),
)
KEPT = 7 / 9
"""A rating of 7, the threshold of SpecReason and SSR."""


@dataclass(frozen=True, slots=True)
class SpecReason:
    """`tau`: rating from which a draft step is kept, as a share of the highest."""

    tau: float = KEPT
    name = "specreason"
    roles = frozenset({Role.DRAFT, Role.TARGET})

    def solve(self, question: str, law: Law, key: Key) -> Flow:
        trace = Trace(question)
        while True:
            writer = Role.DRAFT
            proposal = yield Propose(writer, trace, 1, frozenset(), law, judge=RATING)
            decision = choose_best(rewards(proposal.candidates))
            if decision.scores[0] < self.tau:
                yield Accept(decision, keep=False)
                writer = Role.TARGET
                proposal = yield Propose(writer, trace, 1, frozenset(), law, attempt=1)
                decision = choose_best([0.0])
            if finish := (yield Accept(decision)):
                return finish
            trace = trace.extend(proposal.candidates[0], writer)
