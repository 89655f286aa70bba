"""Effect of look-ahead (prefetching) on latency on this machine: `specs` with it and without it, and `beam`.

    python -m research.benchmarks.lookahead [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

The three take turns, problem by problem. Ratios of latencies are paired: median over problems with its 95%
bootstrap interval. Steps of the draft (accepted, without the first) are compared with steps of `beam`.
`orchestration` is the share of the time in which no engine call ran. `parts` says where a solve's time goes:
milliseconds and steps a solve, by kind of step. JSON last.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from research.benchmarks.bundled import WARM_UP, arguments, finish, paired, solve
from specs import load
from specs.engines.local.models import LocalPolicy
from specs.engines.local.onnx.backend import LightBackend
from specs.methods.registry import make
from specs.types import Result, Role, StepRecord


def steps(result: Result) -> list[float]:
    """Seconds of every accepted step by the method's usual writer, without the first step."""
    usual = Role.TARGET if result.method == "beam" else Role.DRAFT
    return [r.seconds.wall for r in result.accepted if r.step_idx and r.writer is usual]


def kind(record: StepRecord) -> str:
    """The kind of a step: first, or its writer and whether it was rejected."""
    if not record.step_idx:
        return "first"
    return str(record.writer) if record.accepted else f"{record.writer}, rejected"


def parts(results: list[Result]) -> dict[str, dict[str, float]]:
    """Mean steps and milliseconds a solve, by kind of step; `rest` is the time outside all steps."""
    found: dict[str, list[float]] = {}
    for result in results:
        for record in result.steps:
            found.setdefault(kind(record), []).append(record.seconds.wall)
        found.setdefault("rest", []).append(result.latency_s - sum(record.seconds.wall for record in result.steps))
    return {
        name: {"steps": round(len(one) / len(results), 2), "ms": round(1e3 * sum(one) / len(results), 1)}
        for name, one in found.items()
    }


def main() -> None:
    args = arguments(__doc__, 60)
    models = load()
    draft = cast(LightBackend, cast(LocalPolicy, models.draft).backend)
    if not draft.concurrent_calls:
        raise SystemExit("there is no spare core here, so the draft cannot look ahead")
    ways = {"on": ("specs", draft.concurrent_calls), "off": ("specs", 0), "beam": ("beam", 0)}
    solves: dict[str, list[Result]] = {way: [] for way in ways}
    for k in range(-WARM_UP, args.limit):
        for way in list(ways) if k % 2 else reversed(ways):
            name, draft.concurrent_calls = ways[way]
            result = solve(models, make(name), args.tier, args.problem_seed + k % args.limit)
            if k >= 0:
                solves[way].append(result)
    latency = {way: [result.latency_s for result in found] for way, found in solves.items()}
    idle = {way: [result.seconds.orchestration for result in found] for way, found in solves.items()}
    step = {way: [seconds for result in found for seconds in steps(result)] for way, found in solves.items()}
    drafted = [result.usage[Role.DRAFT] for result in solves["on"]]
    record: dict[str, Any] = {
        "tier": args.tier,
        "problems": args.limit,
        "problem_seed": args.problem_seed,
        "latency_s": {way: round(float(np.mean(found)), 4) for way, found in latency.items()},
        "orchestration": {way: round(float(np.sum(idle[way]) / np.sum(latency[way])), 3) for way in ways},
        "step_s": {way: round(float(np.mean(found)), 4) for way, found in step.items()},
        "step_over_beam": {way: round(float(np.mean(step[way]) / np.mean(step["beam"])), 3) for way in ("on", "off")},
        "drafted_in_vain": round(sum(use.speculated for use in drafted) / sum(use.processed for use in drafted), 3),
        "parts": {way: parts(found) for way, found in solves.items()},
    }
    for one, other in (("on", "off"), ("on", "beam"), ("off", "beam")):
        record[f"{one}/{other}"] = paired(latency[one], latency[other])
    finish(record, args.out)


if __name__ == "__main__":
    main()
