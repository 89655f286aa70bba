"""Tests whether the draws of different problems are independent under one seed, with `soft-best-of-n`.

    python -m research.benchmarks.independence --limit 300 --out research/records/independence.json

The only draw of the method itself is the choice of the answer. If draws are independent, the expectation and the
standard deviation of the number of right answers follow from the choice probabilities, given the samples. Replays make
the choice of each solve twice over the same samples: keyed by seed and prompt (the current rule), and by the seed alone
(the first rule). Bundled trio, light engine. Prints JSON last.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np

from research.benchmarks.bundled import LAW, arguments, finish
from specs import load
from specs.bundled.problems import generate
from specs.config import SolveConfig
from specs.core.votes import boxed
from specs.decoding.stream import stream
from specs.eval.environment import environment
from specs.eval.grading import correct
from specs.methods.best_of_n import SoftBestOfN
from specs.traces.replay import replay
from specs.types import Result

METHOD = SoftBestOfN(n=8)
BETAS = (32.0, 8.0)
"""The default, and a smaller beta under which the choice is less certain."""
SEEDS = 4


def counts(result: Result, answer: str) -> list[list[float]]:
    """For each beta: right (1 or 0) by seed and prompt, right by the seed alone, probability of being right, and the
    variance of being right."""
    right = np.array([correct(boxed(c.text), answer) is True for c in result.steps[0].candidates], float)
    found = []
    for beta in BETAS:
        ours, before = (replay(replace(result, draws=rule), beta=beta).decisions[0] for rule in (2, 1))
        expected = float(right @ np.array(ours.probabilities))
        found.append([right[ours.chosen], right[before.chosen], expected, expected * (1 - expected)])
    return found


def z_of(off: float, sd: float) -> float | None:
    """The deviation `off` in units of `sd`; None if the standard deviation is 0."""
    return round(off / sd, 2) if sd else None


def main() -> None:
    args, models = arguments(__doc__, limit=300), load()
    rows = []
    for seed in range(SEEDS):
        counted = []
        for k in range(args.limit):
            problem = generate(args.tier, args.problem_seed + k)
            result = stream(problem.question, models, SolveConfig(METHOD, LAW, seed=seed)).result
            if result.error is not None:
                raise SystemExit(f"a solve failed: {result.error}")
            counted.append(counts(result, problem.answer))
        for beta, sums in zip(BETAS, np.array(counted).sum(0), strict=True):
            ours, before, expected, variance = map(float, sums)
            sd = math.sqrt(variance)
            rows.append({
                "beta": beta,
                "seed": seed,
                "expected": round(expected / args.limit, 4),
                "sd": round(sd / args.limit, 4),
                "by_seed_and_prompt": {"right": round(ours / args.limit, 4), "z": z_of(ours - expected, sd)},
                "by_seed_alone": {"right": round(before / args.limit, 4), "z": z_of(before - expected, sd)},
            })  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    record = {
        "method": {"name": METHOD.name, "n": METHOD.n},
        "tier": args.tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "seeds": rows,
        "environment": environment(),
    }
    finish(record, args.out)


if __name__ == "__main__":
    main()
