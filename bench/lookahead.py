"""What drafting ahead is worth on this machine: the same solves with it and without, and `beam` beside.

    python -m bench.lookahead [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

Ways take turns, a problem at a time. Ratios of latencies are paired: median over problems with its 95%
bootstrap interval. A step of the draft (accepted, not the first) is held against one of `beam`. JSON last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from specs import load
from specs.bundled.problems import generate
from specs.core.statistics import median_ratio_interval
from specs.drive import stream
from specs.methods.registry import make
from specs.models.light import LightBackend
from specs.models.local import LocalPolicy
from specs.record import write_json
from specs.types import Law, Result, Role, StepPolicy

LAW = Law(0.7, 1.0, StepPolicy(max_tokens=64))
WARM_UP = 2


def steps(result: Result) -> list[float]:
    """Seconds of every accepted step but the first that the method's usual writer has written."""
    usual = Role.TARGET if result.method == "beam" else Role.DRAFT
    return [r.seconds.wall for r in result.accepted if r.step_idx and r.writer is usual]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    draft = cast(LightBackend, cast(LocalPolicy, models.draft).backend)
    if not draft.beside:
        raise SystemExit("the draft leaves no core to spare here, so nothing is drafted ahead")
    ways = {"on": ("specs", True), "off": ("specs", False), "beam": ("beam", False)}
    latency: dict[str, list[float]] = {way: [] for way in ways}
    step: dict[str, list[float]] = {way: [] for way in ways}
    vain = drafted = 0
    for k in range(-WARM_UP, args.limit):
        question = generate(args.tier, args.problem_seed + k % args.limit).question
        for way in list(ways) if k % 2 else reversed(ways):
            name, draft.beside = ways[way]
            result = stream(question, models, make(name), law=LAW, seed=0).result
            if result.error is not None:
                raise SystemExit(f"a solve failed: {result.error}")
            if k >= 0:
                latency[way].append(result.latency_s)
                step[way] += steps(result)
                if way == "on":
                    vain += result.usage[Role.DRAFT].speculated
                    drafted += result.usage[Role.DRAFT].processed
    record: dict[str, Any] = {
        "tier": args.tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "latency_s": {way: round(float(np.mean(found)), 4) for way, found in latency.items()},
        "step_s": {way: round(float(np.mean(found)), 4) for way, found in step.items()},
        "step_over_beam": {way: round(float(np.mean(step[way]) / np.mean(step["beam"])), 3) for way in ("on", "off")},
        "drafted_in_vain": round(vain / drafted, 3),
    }
    for one, other in (("on", "off"), ("on", "beam"), ("off", "beam")):
        ratio = median_ratio_interval(latency[one], latency[other])
        means = float(np.sum(latency[one]) / np.sum(latency[other]))
        record[f"{one}/{other}"] = {
            **{name: round(value, 3) for name, value in ratio._asdict().items()},
            "of_means": round(means, 3),
        }
    if args.out is not None:
        write_json(args.out, record, indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
