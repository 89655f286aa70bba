"""Effect of leaving hopeless candidates unscored: on latency here, on the law of the choice, and on the answers.

    python -m research.benchmarks.hopeless [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. `specs` that scores all candidates and `specs` with `hopeless` of `MARGINS` nats take turns, problem by problem.
   Ratios of latencies are paired: median over problems with its 95% bootstrap interval; differences of accuracy are
   paired too.
2. In the solves that score all candidates: tokens that the target would score with and without the margin, and the
   probability of choosing a hopeless candidate. That is the total variation between the choice with the margin and
   the one without, given the candidates.

JSON last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, against, arguments, finish, in_turn, right
from specs import load
from specs.core.selection import hopeless
from specs.methods.specs import Specs
from specs.types import Candidate, Result, Role

MARGINS = (4.0, 2.0, 0.5)


def positions(candidates: Sequence[Candidate]) -> int:
    """Token positions that a target computes to score these: equal beginnings count once, last tokens not at all."""
    return len({one.token_ids[:k] for one in candidates for k in range(1, len(one.token_ids))})


def saved(results: list[Result], margin: float) -> dict[str, float]:
    """Means over draft steps: positions to score, those left with the margin, probability of hopeless candidates."""
    whole, left, mass = [], [], []
    for step in (step for result in results for step in result.steps if step.writer is Role.DRAFT):
        gone = hopeless(step.candidates, margin, Specs().beta)
        whole.append(positions(step.candidates))
        left.append(positions([one for k, one in enumerate(step.candidates) if k not in gone]))
        mass.append(sum(step.decision.probabilities[k] for k in gone))
    found = {"tokens": np.mean(whole), "tokens_left": np.mean(left), "probability_cut": np.mean(mass)}
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    args = arguments(__doc__, 150)
    solves = in_turn(load(), {margin: (Specs(hopeless=margin), LAW) for margin in (None, *MARGINS)}, args)
    whole = solves[None]
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "problem_seed": args.problem_seed}
    record["accuracy"] = round(float(np.mean(right(whole, args.tier, args.problem_seed))), 4)
    record |= {str(margin): against(solves[margin], whole, args) | saved(whole, margin) for margin in MARGINS}
    finish(record, args.out)


if __name__ == "__main__":
    main()
