"""Which weight of the log-ratio suits steps of a given length, and does a rule find it that needs no answers?

    python -m research.benchmarks.weight_by_length [--problems 120] [--out FILE]

`specs` solves problems of `hard` in steps of a fixed number of tokens or of several lines (`STEPS`), with each of
`WEIGHTS` as weight of the log-ratio in choice and acceptance. Within one length the length power a only rescales the
weight (w L^-a), so a = 0; how the best weight falls with L says which a would keep it the same.

Without answers, from the solves with weight 1 and over draft steps with two or more distinct candidates:

- `ess`: mean of ESS / n of the candidates weighed by (p / q)^w alone, and the largest weight that leaves one half;
- `bound`: mean of (1 - w) KL(p||q) + log{[(n - 1) Z(w) + Z(1 + w)] / n} with Z(w) = E_q (p / q)^w, a bound of how far
  the law of the chosen step is from the best law (docs/theory.md, statement 10), and the weight at which it is lowest.
  Expectations are means over the candidates of a step, so they are rough, and rougher the longer the steps.

Lengths that FILE already holds are not measured again. JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, finish, right, solve
from research.benchmarks.log_ratio_weight import ess_share, largest_weight, log_ratios
from specs import load
from specs.core.statistics import wilson
from specs.methods.specs import Specs
from specs.traces.schema import write_json
from specs.types import Result, StepPolicy

STEPS = {str(tokens): StepPolicy.chunks(tokens) for tokens in (10, 20, 40, 80)} | {
    f"{lines} line{'s' * (lines > 1)}": StepPolicy(None, rf"(?s)(?:.*?\n\n){{{lines}}}", 64 * lines)
    for lines in (1, 2, 4)
}
"""Ways to divide a solution into steps: tokens a step, or lines a step."""
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
FIRST_SEED = 2_990_000
FINE = np.geomspace(0.02, 1.0, 40)


def bound(steps: Sequence[Sequence[float]], weight: float) -> float:
    """The mean of the bound over steps, each given by the log-ratios of its candidates."""
    found: list[float] = []
    for ratios in steps:
        finite = np.array([ratio for ratio in ratios if np.isfinite(ratio)])
        n = len(ratios)
        kl = float(np.sum(np.exp(finite) * finite) / n)
        z, z_more = (float(np.sum(np.exp(power * finite)) / n) for power in (weight, 1 + weight))
        found.append((1 - weight) * kl + np.log(((n - 1) * z + z_more) / n))
    return float(np.mean(found))


def of_length(results: dict[float, list[Result]]) -> dict[str, Any]:
    """What the solves at one length say, by weight."""
    steps = log_ratios(results[1.0], 0.0)
    rows = {}
    for weight, solves in results.items():
        hits = right(solves, "hard", FIRST_SEED)
        low, high = wilson(sum(hits), len(hits))
        rows[f"{weight:g}"] = {
            "right": round(float(np.mean(hits)), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "draft_share": round(float(np.mean([solved.draft_share or 0.0 for solved in solves])), 3),
            "ess": round(ess_share(steps, weight), 3),
        }
    bounds = [bound(steps, float(weight)) for weight in FINE]
    sizes = [len(record.step.token_ids) for solved in results[1.0] for record in solved.accepted if record.step]
    return {
        "steps": len(steps),
        "tokens_a_step": round(float(np.mean(sizes)), 1),
        "by_weight": rows,
        "largest_weight_by_ess": round(largest_weight(steps), 3),
        "weight_by_bound": round(float(FINE[int(np.argmin(bounds))]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    record: dict[str, Any] = {"problems": args.problems, "problem_seed": FIRST_SEED, "lengths": {}}
    if args.out is not None and args.out.exists():
        found = json.loads(args.out.read_text(encoding="utf-8"))
        if {**found, "lengths": {}} != record:
            raise SystemExit(f"{args.out} holds other problems; give another file")
        record = found
    for length, policy in STEPS.items():
        if length in record["lengths"]:
            continue
        law = replace(LAW, steps=policy)
        results = {
            weight: [
                solve(models, Specs(select_weight=weight, accept_weight=weight, verify="all"), "hard", seed, law)
                for seed in range(FIRST_SEED, FIRST_SEED + args.problems)
            ]
            for weight in WEIGHTS
        }
        record["lengths"][length] = of_length(results)
        print(length, record["lengths"][length], file=sys.stderr, flush=True)
        if args.out is not None:
            write_json(args.out, record, indent=1)
    finish(record, args.out)


if __name__ == "__main__":
    main()
