"""Compares a model of the time of a step with measurements on this machine.

    python -m research.benchmarks.cost [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. The machine: how fast one core reads weights and multiplies matrices (as `research.cost_suite.limits` measures it).
2. A pass of each bundled model over r new tokens after `PREFIX`, with its floor: the longer of reading
   all weights once and of doing all multiplications.
3. A step by the draft (D) and by the target (B): the sum of its passes, and measured in solves.
4. Time of a step relative to `beam` when the draft writes a share of the steps, from 0 to 1: predicted from D and
   B, and measured.

docs/performance.md explains the model. Medians of passes, means of steps; JSON last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from research.benchmarks.bundled import WARM_UP, arguments, finish, solve
from research.benchmarks.light_backend import PREFIX, prefixed
from research.cost_suite.limits import product_rate, read_rate, seconds, weight_work
from specs import load
from specs.engines.local.onnx.backend import LightBackend
from specs.engines.protocol import Models
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.types import Role, StepRecord

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
REPEATS = 40


def a_pass(backend: LightBackend, rows: int) -> float:
    """Median seconds of a pass over `rows` tokens, each of which follows the prefix directly."""
    cache, ids, wanted = prefixed(backend), np.arange(rows) + 100, np.arange(rows)
    visible = np.ones((rows, PREFIX + rows), bool)
    visible[:, PREFIX:] = np.eye(rows, dtype=bool)
    found = []
    for _ in range(REPEATS + 3):
        found.append(seconds(lambda: backend.forward(cache, ids, np.full(rows, PREFIX), visible, wanted)))
        backend.keep(cache, PREFIX, np.array([], np.int64))
    return float(np.median(found[3:]))


def floor(backend: LightBackend, rows: int, core: dict[str, float]) -> float:
    """Least seconds for the weight matrices alone: the longer of reading them once and of all multiplications."""
    flops, size = weight_work(backend.shape, backend.width, rows, rows)
    return max(size / core["bytes_per_s"], flops / core["flops_per_s"])


def at(found: dict[int, float], rows: float) -> float:
    """Seconds of a pass over any number of rows, interpolated between the measured numbers `found`."""
    return float(np.interp(rows, list(found), list(found.values())))


def solved(models: Models, method: Method, tier: str, seed: int) -> list[StepRecord]:
    """All steps but the first."""
    return [record for record in solve(models, method, tier, seed).steps if record.step_idx]


def wall(records: Sequence[StepRecord]) -> float:
    """Mean seconds of a step, without the slowest percent."""
    found = np.sort([record.seconds.wall for record in records])
    return float(found[: max(1, round(0.99 * len(found)))].mean())


def shape(records: Sequence[StepRecord]) -> dict[str, float]:
    """Means over steps: passes of the writer, rows of such a pass, and verified tokens."""
    rounds, rows, verified = [], [], []
    for record in records:
        paths = {candidate.token_ids for candidate in record.candidates}
        beginnings = {path[:k] for path in paths for k in range(1, len(path))}
        rounds.append(max(map(len, paths)))
        rows.append((1 + len(beginnings)) / rounds[-1])
        verified.append(len(beginnings))
    return {"passes": float(np.mean(rounds)), "rows": float(np.mean(rows)), "verified": float(np.mean(verified))}


def main() -> None:
    args = arguments(__doc__, 40)
    models = load()
    backends = {role: cast(LightBackend, cast(Any, getattr(models, role)).backend) for role in Role}
    seeds = range(args.problem_seed, args.problem_seed + args.limit)
    core = {"bytes_per_s": read_rate(4 * backends[Role.TARGET].parameters), "flops_per_s": product_rate()}
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "prefix": PREFIX, "core": core, "passes": {}}
    times = {}
    for role, backend in backends.items():
        times[role] = {rows: a_pass(backend, rows) for rows in ROWS}
        record["passes"][role] = {
            rows: {
                "seconds": round(found, 6),
                "floor": round(floor(backend, rows, core), 6),
            }
            for rows, found in times[role].items()
        }

    for seed in seeds[:WARM_UP]:
        solve(models, Specs(verify="all"), args.tier, seed)
    ways = {share: Specs(draft_share=share, accept_weight=0.0, verify="all") for share in SHARES}
    found: dict[float | str, list[StepRecord]] = {"beam": [], **{share: [] for share in SHARES}}
    for seed in seeds:  # in turn
        found["beam"] += solved(models, Beam(), args.tier, seed)
        for share, method in ways.items():
            found[share] += solved(models, method, args.tier, seed)
    draft, beam = found[1.0], found["beam"]
    d, b = shape(draft), shape(beam)
    q, p, r = (times[role] for role in (Role.DRAFT, Role.TARGET, Role.PRM))
    record["step"] = {
        "draft": {
            **d,
            "from_passes": d["passes"] * at(q, d["rows"]) + max(at(p, d["verified"]), at(r, d["verified"])),
            "measured": wall(draft),
        },
        "beam": {**b, "from_passes": b["passes"] * at(p, b["rows"]) + at(r, b["verified"]), "measured": wall(beam)},
    }
    record["shares"] = []
    for share in SHARES:
        written = np.mean([one.writer is Role.DRAFT for one in found[share]])
        predicted = written * wall(draft) / wall(beam) + 1 - written
        measured = wall(found[share]) / wall(beam)
        record["shares"].append(
            {"asked": share, "draft_share": round(float(written), 3), "predicted": round(float(predicted), 3),
             "measured": round(measured, 3)}
        )  # fmt: skip
    finish(record, args.out)


if __name__ == "__main__":
    main()
