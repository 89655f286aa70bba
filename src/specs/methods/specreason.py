"""SpecReason: speculative reasoning with the target as the judge (Pan et al., arXiv 2504.07891).

The draft writes one step, and the target rates it from 0 to 9 with one token. A step rated 7 or higher
is kept, otherwise the target writes the step again. As in the authors' code, an answer that is no
digit counts as 0. There is no PRM. The wording of the question is ours. The target must be able to
answer it; the bundled target was not trained for that.

Inside the thinking the question is put as the authors' code puts it: the block of the trace stays
unclosed, the user asks in a turn of its own, and the target answers inside a new block whose first
words are given (docs/method.md). A step that closes the thinking is rated with its close, and a step
that the budget closes is rated without the text that closes it.

Model calls a step: one draft sample and one target pass over the step and the question; a rejected
step adds one target sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specs.core.selection import choose_best, rewards
from specs.methods.accept import BY_REWARD
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Capability, Decision, Judge, Propose, Role
from specs.types.checks import UNIT, check_fields

RATING = Judge(
    instruction="Is the last step of this solution right? Look only at whether its facts and its arithmetic are "
    "correct and whether it follows from the steps before, not at style or at how far it gets. "
    "Answer with one digit in \\boxed{}, from 0 for certainly wrong to 9 for certainly right.",
    opening="\\boxed{",
    labels=tuple("0123456789"),
    thought="From 0 to 9, the last step deserves ",
)
KEPT = 7 / 9
"""A rating of 7 as a share of the highest, 9: the threshold of SpecReason and SSR."""


@dataclass(frozen=True, slots=True)
class SpecReason(Policy):
    """SpecReason: the target rates each draft step and rewrites bad ones.

    Attributes:
        tau: lowest rating at which a draft step is kept, as a share of the highest rating, 9; 7/9 by default.

    Examples:
        specreason:tau=0.5
    """

    tau: float = KEPT
    name = "specreason"
    roles = frozenset({Role.DRAFT, Role.TARGET})
    needs = frozenset({Capability.RATINGS})

    def __post_init__(self) -> None:
        check_fields(self, tau=UNIT)

    def propose(self, step: Step) -> Propose:
        judge = RATING if step.writer is Role.DRAFT else None
        return Propose(step.writer, step.trace, 1, frozenset(), step.sampling, step.attempt, judge=judge)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:
        return choose_best(rewards(candidates) if step.writer is Role.DRAFT else [0.0])

    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return BY_REWARD.good_enough(candidates[0], 1.0, self.tau)
