"""Latency, core-seconds and FLOPs of `specs` against its rivals, in the same runs.

    taskset -c 0 python -m research.benchmarks.rivals [--tier hard] [--problems 24] [--runs 6] [--out FILE]

Every run solves the same problems with every method, problem by problem in changing order, under a sampling seed of
its own. The ratio of a run is one of means; intervals are Student's t over runs. Core-seconds are processor time of
this process. `taskset -c 0` gives all methods one core, `-c 0,1` two.

JSON last.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import LAW, LIMITS, WARM_UP, finish, t_interval
from specs import load
from specs.bundled.problems import generate
from specs.config import SolveConfig
from specs.decoding.stream import stream
from specs.engines.protocol import Models
from specs.eval.grading import correct
from specs.methods.registry import make
from specs.types.checks import OptionValue

RIVAL = "beam+speculation"
METHODS: tuple[tuple[str, dict[str, OptionValue]], ...] = (
    ("specs", {}),
    ("specs", {"verify": "all"}),
    ("specs", {"n": 4}),
    ("specs+speculation", {}),
    ("gsi", {"threshold": 0.7}),
    ("gsi", {"threshold": 0.7, "verify": "drawn"}),
    ("beam", {}),
    (RIVAL, {}),
)
FIRST_SEED = 2_970_000


@dataclass(frozen=True, slots=True)
class Solved:
    """What one solve took."""

    latency_s: float
    core_s: float
    flops: float | None
    right: bool
    phases: dict[str, float]
    """Busy seconds by phase."""


def solved(models: Models, config: SolveConfig, tier: str, seed: int) -> Solved:
    """Solve one problem."""
    problem, begun = generate(tier, seed), time.process_time()
    result = stream(problem.question, models, config).result
    core_s = time.process_time() - begun
    if result.error is not None:
        raise SystemExit(f"a solve failed: {result.error}")
    right = correct(result.answer, problem.answer) is True
    return Solved(result.latency_s, core_s, result.flops, right, asdict(result.seconds))


def interval(ratios: Sequence[float]) -> dict[str, float]:
    """The mean over runs with its 95% interval (Student's t)."""
    return {name: round(value, 3) for name, value in zip(("mean", "low", "high"), t_interval(ratios), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    methods = {":".join([name, *(f"{k}={v}" for k, v in own.items())]): make(name, **own) for name, own in METHODS}
    found: dict[str, list[list[Solved]]] = {name: [] for name in methods}
    for run in range(args.runs):
        rng = np.random.default_rng(run)
        configs = {name: SolveConfig(method, LAW, LIMITS, seed=run) for name, method in methods.items()}
        rows: dict[str, list[Solved]] = {name: [] for name in methods}
        for problem in range(-WARM_UP if run == 0 else 0, args.problems):
            for name in rng.permutation(list(methods)):
                one = solved(models, configs[name], args.tier, FIRST_SEED + problem)
                if problem >= 0:
                    rows[name].append(one)
        for name in methods:
            found[name].append(rows[name])
        print(f"run {run + 1} of {args.runs}", file=sys.stderr, flush=True)
    finish(record_of(found, args), args.out)


def record_of(found: dict[str, list[list[Solved]]], args: argparse.Namespace) -> dict[str, Any]:
    """The means of every method, and its ratios to `RIVAL` over runs."""

    def means(name: str, what: str) -> list[float]:
        return [float(np.mean([getattr(one, what) for one in run])) for run in found[name]]

    rows: dict[str, Any] = {}
    for name in found:
        rows[name] = {
            "right": round(float(np.mean(means(name, "right"))), 4),
            "latency_s": round(float(np.mean(means(name, "latency_s"))), 4),
            "phases_s": {
                phase: round(float(np.mean([one.phases[phase] for run in found[name] for one in run])), 4)
                for phase in found[name][0][0].phases
            },
            **{
                f"{what}_to_rival": interval(
                    [one / other for one, other in zip(means(name, what), means(RIVAL, what), strict=True)]
                )
                for what in ("latency_s", "core_s", "flops")
            },
        }
    return {
        "tier": args.tier,
        "problems": args.problems,
        "runs": args.runs,
        "problem_seed": FIRST_SEED,
        "cores": len(os.sched_getaffinity(0)),
        "rival": RIVAL,
        "methods": rows,
    }


if __name__ == "__main__":
    main()
