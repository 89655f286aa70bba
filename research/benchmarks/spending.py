"""Compares tau set by a share of rewritten steps with tau set by a search.

    python research/benchmarks/spending.py --limit 150 --runs runs/spending --out research/records/spending.json

See "Setting tau without a search" in docs/method.md. Both values come from tuning problems (from problem
seed 2,100,000 on). The search solves them with every tau of a grid and takes the one that is most often
right (of equals the quickest). The rule reads, from the default's solves of the same problems, the values
that tau is compared with. On fresh problems (from 2,200,000 on) both values, the default and `beam` take
turns, problem by problem. Bundled trio, light engine. The runs are folders of `specs eval`, so the same
command continues after a stop. Prints JSON last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs import load
from specs.cli.progress import Shown
from specs.config import Limits
from specs.core.statistics import clustered_mean_interval, median_ratio_interval, paired_difference
from specs.engines.protocol import Models
from specs.eval.datasets import load_problems
from specs.eval.environment import environment
from specs.eval.grid import GridPoint
from specs.eval.rows import Row
from specs.eval.runner import Plan, solve_all
from specs.eval.spending import tau_for_share
from specs.eval.store import RunFolder
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.traces.codec import read_traces
from specs.traces.schema import write_json
from specs.types import Role, SamplingParams

TUNING_SEED, FRESH_SEED = 2_100_000, 2_200_000
GRID = (0.5, 0.6, 0.7, 0.8, 0.9)
SHARES = (0.05, 0.1, 0.2)
LAW, LIMITS = SamplingParams(temperature=0.7), Limits()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=150, help="tuning problems, and fresh problems, of each tier")
    parser.add_argument("--tiers", default="medium,hard")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    found: dict[str, Any] = {"limit": args.limit, "tuning_seed": TUNING_SEED, "fresh_seed": FRESH_SEED}
    found["environment"] = environment()
    for tier in args.tiers.split(","):
        tuning = args.runs / f"{tier}-tuning"
        rows = _solve(models, tier, TUNING_SEED, args.limit, {f"tau {tau}": Specs(tau=tau) for tau in GRID}, tuning)
        searched = max(GRID, key=lambda tau: _worth(rows[f"tau {tau}"]))
        usual = [
            one for _, one in read_traces(tuning / "traces.jsonl.gz") if one.settings["method"]["tau"] == Specs().tau
        ]
        taus = {"default": Specs().tau, "searched": searched}
        taus |= {f"share {share:.0%}": tau_for_share(usual, share) for share in SHARES}
        methods = {name: Specs(tau=tau) for name, tau in taus.items()}
        fresh = _solve(models, tier, FRESH_SEED, args.limit, {"beam": Beam(), **methods}, args.runs / f"{tier}-fresh")
        found[tier] = {
            "tuning": {name: dict(zip(("accuracy", "latency_s"), _mean(of), strict=True)) for name, of in rows.items()},
            "fresh": {name: {"tau": taus.get(name), **_found(name, fresh)} for name in fresh},
        }
    if args.out is not None:
        write_json(args.out, found)
    print(json.dumps(found))


def _solve(
    models: Models, tier: str, first: int, limit: int, methods: dict[str, Specs | Beam], path: Path
) -> dict[str, list[Row]]:
    """Solve `limit` problems from problem seed `first` on; returns the rows of each method by problem order."""
    problems = load_problems(f"bundled:{tier}", first, limit)
    plan = Plan(problems, [GridPoint(name, method) for name, method in methods.items()], LAW, LIMITS)
    configuration = plan.configuration(f"bundled:{tier}", dict.fromkeys(Role, "bundled"))
    with RunFolder(path, {**configuration, "problem_seed": first}, plan.settings) as folder:
        folder.begin(
            {
                "limit": limit,
                "seeds": 1,
                "command": "python -m research.benchmarks.spending",
                "environment": environment(),
            }
        )
        interrupted = solve_all(plan, models, folder, Shown())
        folder.end(interrupted)
        if interrupted:
            raise SystemExit("interrupted; the same command continues from there")
    return {
        name: [folder.by_key[problem.id, name, method.n, plan.seed] for problem in problems]
        for name, method in methods.items()
    }


def _mean(rows: Sequence[Row]) -> tuple[float, float]:
    """Share of right answers and mean seconds."""
    return sum(row.correct is True for row in rows) / len(rows), sum(row.latency_s for row in rows) / len(rows)


def _worth(rows: Sequence[Row]) -> tuple[float, float]:
    """The quantity that the search maximises: accuracy, then speed."""
    accuracy, seconds = _mean(rows)
    return accuracy, -seconds


def _found(name: str, rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Results of a method on the fresh problems, alone and compared with `beam` and the searched tau."""
    ours, ids = rows[name], [row.problem_id for row in rows[name]]
    right = {other: [float(row.correct is True) for row in rows[other]] for other in rows}
    drafted = [(step, row.problem_id) for row in ours for step in row.trail if step["writer"] == Role.DRAFT]
    spent = [float(not step["accepted"]) for step, _ in drafted]
    value = {
        "accuracy": sum(right[name]) / len(ids),
        "accuracy_interval": list(clustered_mean_interval(right[name], ids)),
        "spent": sum(spent) / len(spent) if spent else None,
        "spent_interval": list(clustered_mean_interval(spent, [owner for _, owner in drafted])) if spent else None,
        "latency_s": _mean(ours)[1],
    }
    for other in ("beam", "searched"):
        if name not in ("beam", other):
            minus = paired_difference(right[name], right[other], ids)
            ratio = median_ratio_interval([row.latency_s for row in ours], [row.latency_s for row in rows[other]])
            value[f"minus_{other}"] = [minus.mean, minus.low, minus.high]
            value[f"latency_ratio_to_{other}"] = [ratio.median, ratio.low, ratio.high]
    return value


if __name__ == "__main__":
    main()
