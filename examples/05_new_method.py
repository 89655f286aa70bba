"""A new method in 20 lines: keep a draft step if enough of the candidates agree on it, without a reward model.

python examples/05_new_method.py
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from specs import load, solve
from specs.bundled.problems import HELD_OUT_SEED, generate
from specs.core.selection import choose_best
from specs.methods.speculative import Policy, Step
from specs.types import Candidate, Decision, Propose, Role


@dataclass(frozen=True, slots=True)
class Agreement(Policy):
    n: int = 8
    share: float = 0.5
    name = "agreement"
    roles = frozenset({Role.DRAFT, Role.TARGET})

    def propose(self, step: Step) -> Propose:  # n draft steps, or one target step; no model scores them
        n = self.n if step.writer is Role.DRAFT else 1
        return Propose(step.writer, step.trace, n, frozenset(), step.sampling, step.attempt)

    def choose(self, step: Step, candidates: Sequence[Candidate]) -> Decision:  # the text drawn most often
        votes = Counter(candidate.text for candidate in candidates)
        return choose_best([votes[candidate.text] for candidate in candidates])

    # If not, the target rewrites the step.
    def accepts(self, step: Step, candidates: Sequence[Candidate], decision: Decision) -> bool:
        return decision.chosen is not None and decision.scores[decision.chosen] >= self.share * self.n


result = solve(generate("medium", HELD_OUT_SEED + 4).question, load(prm=None), Agreement(n=8, share=0.5))
for record in result.steps:
    print(f"{record.writer:>6}  {'kept' if record.accepted else 'rejected':8}  {record.text.strip()}")
print(f"answer: {result.answer}, {result.draft_share:.0%} of the steps by the draft")
