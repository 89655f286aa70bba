"""Plain sampling from one model, without a PRM; step by step, so that a caller sees each step as it ends.

Model calls a step: one sample of the writer.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs.core.keys import Key
from specs.core.selection import choose_best
from specs.methods import Flow
from specs.types import Accept, Propose, Role, SamplingParams, Trace
from specs.types.checks import check_fields


@dataclass(frozen=True, slots=True)
class Single:
    """One sample of one model, step by step.

    Attributes:
        writer: the model that writes; fixed by the method's name.

    Names:
        target: One sample of the target alone
        draft: One sample of the draft alone
    """

    writer: Role = Role.TARGET

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        return str(self.writer)

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset({self.writer})

    def solve(self, question: str, sampling: SamplingParams, key: Key) -> Flow:
        return written_by(self.writer, Trace.start(question, sampling.thinks), sampling)


def written_by(writer: Role, trace: Trace, sampling: SamplingParams, speculate: int = 0) -> Flow:
    """Let one model write the rest of a trace; `speculate` is that of `Propose`."""
    while True:
        proposal = yield Propose(writer, trace, 1, frozenset(), sampling, speculate=speculate)
        if finish := (yield Accept(choose_best([0.0]))):
            return finish
        trace = trace.extend(proposal.candidates[0], writer)
