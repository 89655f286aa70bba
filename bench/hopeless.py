"""What leaving hopeless candidates unscored is worth on this machine, and what it does to the law and to the answers.

    python -m bench.hopeless [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. `specs` in turn, a problem at a time, scoring all candidates and with `hopeless` of `MARGINS` nats. Ratios of
   latencies are paired: median over problems with its 95% bootstrap interval; differences of accuracy are paired
   too.
2. In the solves that score all: which share of the target's tokens the margin would save, and the probability of
   soft verification that lies on the hopeless. That is the total variation between the choice with the margin
   and the one without, given the candidates.

JSON last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.bundled import LAW, WARM_UP, arguments, finish, paired, solve
from specs import load
from specs.bundled.problems import generate
from specs.core.selection import tilt
from specs.core.statistics import paired_difference
from specs.eval.grading import correct
from specs.methods.specs import Specs
from specs.types import Candidate, Result, Role

MARGINS = (4.0, 2.0, 0.5)


def positions(candidates: list[Candidate]) -> int:
    """Tokens that a target reads to score these: what begins alike is read once, last tokens need no reading."""
    return len({one.token_ids[:k] for one in candidates for k in range(1, len(one.token_ids))})


def saved(results: list[Result], margin: float) -> dict[str, float]:
    """Means over draft steps: tokens to score, those left with the margin, probability of the hopeless."""
    whole, left, mass = [], [], []
    for step in (step for result in results for step in result.steps if step.writer is Role.DRAFT):
        tilts = np.array([tilt(one.reward or 0.0, Specs().beta) for one in step.candidates])
        gone = tilts < tilts.max() - margin
        whole.append(positions(list(step.candidates)))
        left.append(positions([one for one, lost in zip(step.candidates, gone, strict=True) if not lost]))
        mass.append(np.array(step.decision.probabilities)[gone].sum())
    found = {"tokens": np.mean(whole), "tokens_left": np.mean(left), "probability_cut": np.mean(mass)}
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    args = arguments(__doc__, 150)
    models = load()
    margins: list[float | None] = [None, *MARGINS]
    solves: dict[float | None, list[Result]] = {margin: [] for margin in margins}
    right: dict[float | None, list[float]] = {margin: [] for margin in margins}
    for k in range(-WARM_UP, args.limit):
        seed = args.problem_seed + k % args.limit
        for margin in margins if k % 2 else reversed(margins):
            result = solve(models, Specs(hopeless=margin), args.tier, seed, LAW)
            if k >= 0:
                solves[margin].append(result)
                right[margin].append(float(correct(result.answer, generate(args.tier, seed).answer) is True))
    latency = {margin: [result.latency_s for result in found] for margin, found in solves.items()}
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "problem_seed": args.problem_seed}
    record["accuracy"] = round(float(np.mean(right[None])), 4)
    for margin in MARGINS:
        difference = paired_difference(right[margin], right[None], range(args.limit))
        record[str(margin)] = {
            "latency": paired(latency[margin], latency[None]),
            "accuracy_minus": {key: round(value, 4) for key, value in difference._asdict().items()},
            **saved(solves[None], margin),
        }
    finish(record, args.out)


if __name__ == "__main__":
    main()
