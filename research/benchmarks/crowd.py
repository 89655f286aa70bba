"""Deadlines when many solves run at once on models in this process.

    python -m research.benchmarks.crowd [--tier medium] [--solves 40] [--runs 3] [--out FILE]

The deadline is the median latency of the default `specs` on as many earlier problems, one at a time. Then the same
problems are solved with it one at a time, with as many at a time as there are cores, and all at once; the three ways
take turns for each run, and each run has problems of its own. A row has the share of solves that ended within the
deadline plus the mean step of solves alone, and how late solves were. JSON last.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.bundled import finish
from research.benchmarks.deadlines import share_of
from specs import load, solve_many
from specs.bundled.problems import generate
from specs.config import configure
from specs.core.statistics import percentiles
from specs.decoding.latency_model import LatencyModel
from specs.decoding.threads import cores
from specs.types import Result

SEED = 3_600_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="medium")
    parser.add_argument("--solves", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models, latency_model = load(), LatencyModel()

    def solved(run: int, concurrency: int, deadline_s: float | None) -> list[Result]:
        places = range(SEED + run * args.solves, SEED + (run + 1) * args.solves)
        questions = [generate(args.tier, place).question for place in places]
        config = configure("specs", deadline_s=deadline_s)
        found = solve_many(questions, models, config, concurrency=concurrency, latency_model=latency_model)
        return [result for _, result in found]

    usual = solved(0, 1, None)
    deadline_s = float(np.median([result.latency_s for result in usual]))
    step_s = float(np.mean([record.seconds.wall for result in usual for record in result.steps]))
    ways = {"one at a time": 1, "as many as cores": cores(), "all at once": args.solves}
    results: dict[str, list[Result]] = {way: [] for way in ways}
    for run in range(args.runs):
        for way in list(ways) if run % 2 else reversed(ways):
            results[way] += solved(1 + run, ways[way], deadline_s)
    rows = {way: summary(found, deadline_s, step_s) for way, found in results.items()}
    for way, row in rows.items():
        print(f"{way:17} {row}")
    facts = {"tier": args.tier, "solves": args.solves, "runs": args.runs, "cores": cores(), "problem_seed": SEED}
    finish({**facts, "deadline_s": round(deadline_s, 4), "step_s": round(step_s, 4), "ways": rows}, args.out)


def summary(found: list[Result], deadline_s: float, step_s: float) -> dict[str, Any]:
    """How many solves ended in time, how many seconds late they were (0 if not), and how many say why."""
    late = [max(0.0, result.latency_s - deadline_s) for result in found]
    in_time = [float(each <= step_s) for each in late]
    median, p95 = percentiles(late, (50, 95))
    return {
        "in_time": share_of(in_time),
        "late_p50_s": round(median, 4),
        "late_p95_s": round(p95, 4),
        "late_max_s": round(max(late), 4),
        "answered": sum(result.answer is not None for result in found),
        "noted": sum(any("solves shared" in note for note in result.notes) for result in found),
        "solves": len(found),
    }


if __name__ == "__main__":
    main()
