"""A model of what a step costs on this machine, and the same measured.

    python -m bench.cost [--tier hard] [--limit N] [--problem-seed SEED] [--out FILE]

1. The machine: how fast one core reads weights and multiplies matrices (numpy).
2. A pass of each bundled model over r new tokens behind `PREFIX`, beside its floor: the longer of reading
   all weights once and of doing all multiplications.
3. A step by the draft (D) and by the target (B), put together from passes and measured in solves.
4. Steps per second when the draft writes a share of the steps, from 0 to 1: predicted from D and B, measured.

docs/performance.md explains the model. Medians, with 10th and 90th percentiles where there is spread; JSON last.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from specs import load
from specs.bundled.problems import generate
from specs.drive import stream
from specs.engine import Models
from specs.methods import Method
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.models.light import LightBackend
from specs.record import write_json
from specs.types import Law, Role, StepPolicy, StepRecord

LAW = Law(0.7, 1.0, StepPolicy(max_tokens=64))
PREFIX, ROWS = 150, (1, 2, 4, 8, 16, 32, 64, 128)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
REPEATS = 40


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of `work`, warmed up."""
    for _ in range(3):
        work()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return float(np.median(found))


def machine(parameters: int) -> dict[str, float]:
    """One core: bytes a second of weights as large as the target's, and operations a second."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(parameters // 512, 512)).astype(np.float32)
    one, many = (rng.normal(size=(512, k)).astype(np.float32) for k in (1, 256))
    return {
        "bytes_per_s": weights.nbytes / seconds(lambda: weights @ one),
        "flops_per_s": 2.0 * weights.size * 256 / seconds(lambda: weights @ many),
    }


def a_pass(backend: LightBackend, rows: int) -> float:
    """Seconds of a pass over `rows` tokens that all follow the prefix."""
    cache, ids = backend.cache(), np.random.default_rng(0).integers(6, 700, PREFIX + rows)
    backend.forward(cache, ids[:PREFIX], np.arange(PREFIX), None, np.array([PREFIX - 1]))
    visible = np.ones((rows, PREFIX + rows), bool)
    visible[:, PREFIX:] = np.eye(rows, dtype=bool)

    def once() -> None:
        backend.forward(cache, ids[PREFIX:], np.full(rows, PREFIX), visible, np.arange(rows))
        backend.keep(cache, PREFIX, np.array([], np.int64))

    return seconds(once)


def at(found: dict[int, float], rows: float) -> float:
    """Seconds of a pass over any number of rows, between those that were measured."""
    return float(np.interp(rows, list(found), list(found.values())))


def solved(models: Models, method: Method, tier: str, seeds: Sequence[int]) -> list[StepRecord]:
    """All steps but the first of each solve."""
    records: list[StepRecord] = []
    for seed in seeds:
        result = stream(generate(tier, seed).question, models, method, law=LAW, seed=0).result
        if result.error is not None:
            raise SystemExit(f"a solve failed: {result.error}")
        records += [record for record in result.steps if record.step_idx]
    return records


def wall(records: Sequence[StepRecord]) -> float:
    """Mean seconds of a step, the first percent of the slowest left out."""
    found = np.sort([record.seconds.wall for record in records])
    return float(found[: max(1, round(0.99 * len(found)))].mean())


def shape(records: Sequence[StepRecord]) -> dict[str, float]:
    """Of a mean step: passes of its writer, rows of a pass, and tokens that are verified."""
    rounds, rows, verified = [], [], []
    for record in records:
        paths = {candidate.token_ids for candidate in record.candidates}
        beginnings = {path[:k] for path in paths for k in range(1, len(path))}
        rounds.append(max(map(len, paths)))
        rows.append((1 + len(beginnings)) / rounds[-1])
        verified.append(len(beginnings))
    return {"passes": float(np.mean(rounds)), "rows": float(np.mean(rows)), "verified": float(np.mean(verified))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", default="hard")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--problem-seed", type=int, default=1_022_500)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    models = load()
    backends = {role: cast(LightBackend, cast(Any, getattr(models, role)).backend) for role in Role}
    seeds = range(args.problem_seed, args.problem_seed + args.limit)
    core = machine(backends[Role.TARGET].parameters)
    record: dict[str, Any] = {"tier": args.tier, "problems": args.limit, "prefix": PREFIX, "core": core, "passes": {}}
    times = {}
    for role, backend in backends.items():
        times[role] = {rows: a_pass(backend, rows) for rows in ROWS}
        record["passes"][role] = {
            rows: {
                "seconds": round(found, 6),
                "floor": round(max(4 * backend.parameters / core["bytes_per_s"],
                                   2.0 * backend.parameters * rows / core["flops_per_s"]), 6),
            }
            for rows, found in times[role].items()
        }  # fmt: skip

    solved(models, Specs(), args.tier, seeds[:2])
    ways = {share: Specs(draft_share=share, switch_on="step") for share in SHARES}
    found: dict[float | str, list[StepRecord]] = {"beam": [], **{share: [] for share in SHARES}}
    for seed in seeds:  # in turn
        found["beam"] += solved(models, Beam(), args.tier, [seed])
        for share, method in ways.items():
            found[share] += solved(models, method, args.tier, [seed])
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
    if args.out is not None:
        write_json(args.out, record, indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
