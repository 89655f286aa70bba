"""Effect of cutting stragglers off: on latency here, on the law of the choice, and on the answers.

    python -m research.benchmarks.stragglers [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. `specs` and `beam` without a cut and with `enough` of `SHARES` take turns, problem by problem. Ratios of
   latencies are paired: median over problems with its 95% bootstrap interval; differences of accuracy are
   paired too.
2. In the solves without a cut: tokens of a step's longest candidate, tokens of the longest candidate that would
   not be cut, and the probability of choosing a longer one. That probability is the total variation between
   the choice with the cut and the one without, given the candidates.

JSON last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, against, arguments, finish, in_turn, right
from specs import load
from specs.engines.local.stragglers import Stragglers
from specs.methods.registry import make
from specs.types import Result

METHODS = ("specs", "beam")
SHARES = (0.75, 0.5)


def cut(results: list[Result], share: float) -> dict[str, float]:
    """Means over steps: tokens of the longest candidate and of the longest uncut one, probability of those cut."""
    longest, room, mass = [], [], []
    for result in results:
        for step in result.steps:
            lengths = np.array([len(one.token_ids) for one in step.candidates])
            stragglers = Stragglers(len(lengths), 1, share)
            for length in lengths.tolist():
                stragglers.ended(0, length)
            limit = stragglers.room(0)
            longest.append(lengths.max())
            room.append(limit)
            mass.append(np.array(step.decision.probabilities)[lengths > limit].sum())
    found = {"tokens": np.mean(longest), "tokens_with_cut": np.mean(room), "probability_cut": np.mean(mass)}
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    args = arguments(__doc__, 150)
    laws = {1.0: LAW} | {share: replace(LAW, steps=replace(LAW.steps, enough=share)) for share in SHARES}
    solves = in_turn(load(), {(name, share): (make(name), laws[share]) for name in METHODS for share in laws}, args)
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "problem_seed": args.problem_seed}
    for name in METHODS:
        whole = solves[name, 1.0]
        record[name] = {"accuracy": round(float(np.mean(right(whole, args.tier, args.problem_seed))), 4)}
        for share in SHARES:
            record[name][str(share)] = against(solves[name, share], whole, args) | cut(whole, share)
    finish(record, args.out)


if __name__ == "__main__":
    main()
