"""Are problems independent under one seed? `soft-best-of-n`, whose only own draw is its choice, over several seeds.

    python -m bench.independence --limit 300 --out docs/results/independence.json

Given the samples, the number of right answers is a sum of independent draws, so its expectation and its standard
deviation follow from the recorded probabilities. Each solve is decided twice: as it was, by the seed and the prompt,
and as version 0.1 would have, by the seed alone (a replay by rule 1, over the same samples). Bundled trio, light
engine. Prints JSON last.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np

from bench.bundled import LAW, arguments, finish
from specs import load
from specs.bundled.problems import generate
from specs.core.votes import boxed
from specs.drive import stream
from specs.eval.environment import environment
from specs.eval.grading import correct
from specs.methods.whole import SoftBestOfN
from specs.replay import replay

METHOD = SoftBestOfN(n=8)
SEEDS = 4


def main() -> None:
    args, models = arguments(__doc__, limit=300), load()
    rows = []
    for seed in range(SEEDS):
        counted = []
        for k in range(args.limit):
            problem = generate(args.tier, args.problem_seed + k)
            result = stream(problem.question, models, METHOD, law=LAW, seed=seed).result
            if result.error is not None:
                raise SystemExit(f"a solve failed: {result.error}")
            (record,), (before,) = result.steps, replay(replace(result, draws=1)).decisions
            right = np.array([correct(boxed(c.text), problem.answer) is True for c in record.candidates], float)
            expected = float(right @ np.array(record.decision.probabilities))
            counted.append([right[record.decision.chosen], right[before.chosen], expected, expected * (1 - expected)])
        ours, before, expected, variance = np.array(counted).sum(0)
        sd = math.sqrt(variance)
        rows.append({
            "seed": seed,
            "expected": round(expected / args.limit, 4),
            "sd": round(sd / args.limit, 4),
            "by_seed_and_prompt": {"right": round(ours / args.limit, 4), "z": round((ours - expected) / sd, 2)},
            "by_seed_alone": {"right": round(before / args.limit, 4), "z": round((before - expected) / sd, 2)},
        })  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    record = {
        "method": {"name": METHOD.name, "n": METHOD.n, "beta": METHOD.beta},
        "tier": args.tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "seeds": rows,
        "environment": environment(),
    }
    finish(record, args.out)


if __name__ == "__main__":
    main()
