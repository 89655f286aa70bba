"""All numbers of a study as plain values, for study.json, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research.study.analysis import methods, table_row, tables
from research.study.plan import GRIDS, START_DRAFT, TEST_SEED, TITLES, TUNING_SEED, Known, N, Run
from research.study.running import missing
from research.study.settings import tuned
from research.study.special import cost_ratio, drafted


def findings(runs: Sequence[Run], known: Known, scale: float, out: Path) -> dict[str, Any]:
    """The content of study.json; parts that were not run are left out."""
    parts: dict[str, Any] = {}
    for part in TITLES:
        tiers = {} if part in "gh" else tables(part, runs, out)
        own = {"g": weaker_models, "h": step_lengths}.get(part, lambda runs, out: {})(runs, out)
        if tiers or any(own.values()):
            parts[part] = {**({"tiers": tiers} if tiers else {}), **own}
    return {
        "scale": scale,
        "first_problem_seed": {"tuning": TUNING_SEED, "test": TEST_SEED},
        "sampling_seed": 0,
        "solves_missing": sum(missing(run, out) for run in runs if (out / run.path).exists()),
        "tuning": {label: found for label, found in tuned(out).items() if label in GRIDS},
        "draft_share_after_first_step": known.draft_share,
        "parts": parts,
    }


def weaker_models(runs: Sequence[Run], out: Path) -> dict[str, Any]:
    """Methods with each weaker model and with the unchanged trio, and their latency with a draft that costs more."""
    own = [run for run in runs if run.part == "g"]
    variants: dict[str, Any] = {}
    if own:
        keys = list(dict.fromkeys(point.setting.key for run in own for point in run.points))
        main = [run for run in runs if (run.part, run.tier, run.alone) == ("a", own[0].tier, False)]
        for name, made in (("as they are", main), *((run.name, [run]) for run in own)):
            if rows := methods(made, keys, out):
                variants[name] = [table_row(key, rows[key], None) for key in keys if key in rows]
    timed = [run for run in runs if run.part == "a" and run.alone] if own else []
    costs = {run.tier: found for run in timed if (found := cost_ratio(run, out, N))}
    return {"models": variants, "cost_ratio": costs}


def step_lengths(runs: Sequence[Run], out: Path) -> dict[str, Any]:
    """Weights and lengths of draft proposals for each length of steps, and for lines on the same problems."""
    own = [run for run in runs if run.part == "h"]
    made = {f"{run.law.steps.max_tokens} tokens": drafted(run, out, START_DRAFT, run.problems) for run in own}
    for run in runs if own else ():
        if run.path == f"b/{own[0].tier}":
            made["a line"] = drafted(run, out, START_DRAFT, own[0].problems)
    return {"steps": {name: found for name, found in made.items() if found}}
