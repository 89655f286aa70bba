"""What earlier runs of a study decide for later ones: the tuned settings and the draft shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from research.study.plan import GRIDS, Known, N, Run, main_table, tuning
from specs import api
from specs.bundled.problems import TIERS
from specs.core.statistics import paired_difference
from specs.eval.rows import Row
from specs.eval.store import RUN, read_run
from specs.methods import Method
from specs.types import Role

TWO_SIDED = 2 * 1.959964
"""Width of a 95% interval in standard errors."""


def rows_of(run: Run, out: Path) -> list[Row]:
    """Rows of the run's plan whose solve did not fail, by problem; empty if the run was not made."""
    path = out / run.path
    if not (path / RUN).exists():
        return []
    keys = {point.setting.key for point in run.points}
    rows = (row for row in read_run(path).rows.values() if row.correct is not None and (row.method, row.n) in keys)
    return sorted(rows, key=lambda row: row.problem_id)


def tuned(out: Path) -> dict[str, Any]:
    """By method: `tried`, the configurations with their results, and `chosen`, the index of one of them.

    Among the configurations whose paired difference from the best accuracy over both tiers is at most its
    standard error, the one with the fewest FLOPs is chosen. These FLOPs leave out tokens drafted ahead in
    vain, whose number depends on the machine's speed, so a repeated study chooses the same configuration.
    """
    found: dict[str, Any] = {}
    models = api.load()
    parameters = {role: getattr(models, role).parameters for role in Role}
    for label, grid in GRIDS.items():
        runs = [run for run in tuning(Known()) if run.name.endswith(label)]
        rows = [without_speculated(row, parameters) for run in runs for row in rows_of(run, out)]
        by_cell = [{row.problem_id: row for row in rows if row.method == f"{label} {k + 1}"} for k in range(len(grid))]
        if all(by_cell):
            found[label] = {"tried": [_tried(method, made) for method, made in zip(grid, by_cell, strict=True)],
                            "chosen": choose(by_cell)}  # fmt: skip
    return found


def without_speculated(row: Row, parameters: Mapping[Role, int]) -> Row:
    """The row as if nothing had been drafted ahead in vain."""
    spent = sum(2.0 * parameters[Role(role)] * (use["speculated"] or 0) for role, use in row.usage.items())
    return replace(row, flops=row.flops - spent)


def choose(by_cell: Sequence[Mapping[str, Row]]) -> int:
    """Index of the configuration that `tuned` chooses.

    Args:
        by_cell: for each configuration its rows by problem id.
    """
    best = max(range(len(by_cell)), key=lambda k: (_accuracy(by_cell[k]), -_flops(by_cell[k])))
    tied = [k for k in range(len(by_cell)) if k == best or _tied(by_cell[k], by_cell[best])]
    return min(tied, key=lambda k: _flops(by_cell[k]))


def _tied(one: Mapping[str, Row], best: Mapping[str, Row]) -> bool:
    shared = sorted(one.keys() & best.keys())
    if len(shared) < 2:
        return False
    ours, theirs = ([float(rows[problem].correct is True) for problem in shared] for rows in (one, best))
    difference = paired_difference(ours, theirs, shared)
    return difference.mean + (difference.high - difference.low) / TWO_SIDED >= 0


def _accuracy(rows: Mapping[str, Row]) -> float:
    return sum(row.correct is True for row in rows.values()) / len(rows)


def _flops(rows: Mapping[str, Row]) -> float:
    return sum(row.flops for row in rows.values()) / len(rows)


def _tried(method: Method, rows: Mapping[str, Row]) -> dict[str, Any]:
    varied = {name: getattr(method, name) for name in ("beta", "tau", "threshold") if hasattr(method, name)}
    return {**varied, "solves": len(rows), "accuracy": _accuracy(rows), "flops": _flops(rows)}


def draft_shares(known: Known, out: Path) -> dict[str, float]:
    """By tier, the share in [0, 1] of the accepted steps after the first one that the draft wrote under specs."""
    found: dict[str, float] = {}
    for tier in TIERS:
        rows = [
            row for run in main_table(known) if run.tier == tier for row in rows_of(run, out)
            if (row.method, row.n) == ("specs", N)
        ]  # fmt: skip
        later = sum(row.steps - 1 for row in rows)
        if later > 0:
            # The target writes the first step.
            found[tier] = sum(row.draft_steps for row in rows) / later
    return found
