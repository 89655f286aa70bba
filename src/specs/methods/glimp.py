"""GlimpRouter: the draft's uncertainty of a step's first token decides who writes it (Zeng et al., arXiv 2601.05110).

    H = - sum_i p_i log p_i        p: the draft's 20 most likely next tokens, their probabilities scaled to sum to 1

H is in nats, at temperature 1 and without top_p or other filters, whatever the solve samples at. If it is at least
`tau`, the target writes the step, otherwise the draft; nothing is verified or written again. The answer after the
thinking is the target's. Where models do not think, every step passes the gate; that is ours.

Model calls a step: inside the thinking one draft pass over the last step, and one sample of the draft or of the target;
in the answer one sample of the target.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.types import Accept, Capability, Glimpse, Phase, Propose, Role, SamplingParams, Trace
from specs.types.checks import at_least, check_fields

TOP = 20
"""The tokens that the entropy takes in."""


@dataclass(frozen=True, slots=True)
class Glimp:
    """GlimpRouter: steps whose first token the draft is uncertain of go to the target.

    Attributes:
        tau: entropy of the first token, in nats, from which on the target writes the step; 0 leaves every step to the
            target, and anything above log(20) = 3.0 to the draft.

    Examples:
        glimp:tau=0.9
    """

    tau: float = 1.0
    name = "glimp"
    roles = frozenset({Role.DRAFT, Role.TARGET})
    needs = frozenset({Capability.ENTROPIES})

    def __post_init__(self) -> None:
        check_fields(self, tau=at_least(0))

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        """See `specs.methods.Method`."""
        trace = Trace.start(question, sampling.thinks)
        while True:
            writer = Role.TARGET
            if trace.phase is Phase.THINKING or not sampling.thinks:
                entropy: float = yield Glimpse(trace, TOP)
                writer = Role.TARGET if entropy >= self.tau else Role.DRAFT
            proposal = yield Propose(writer, trace, 1, frozenset(), sampling)
            if finish := (yield Accept(choose_best([0.0]))):
                return finish
            trace = trace.extend(proposal.candidates[0], writer)
