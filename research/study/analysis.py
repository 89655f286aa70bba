"""Results of a study's runs, by `specs.eval`'s report.

Accuracies come from the runs that count right answers, seconds from those that ran alone on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from research.study.plan import N, Run
from research.study.running import plan_of
from specs.bundled.problems import TIERS
from specs.eval.aggregate import aggregate
from specs.eval.report import Report, accuracy_difference
from specs.eval.rows import Row
from specs.eval.store import RUN

Key = tuple[str, int | None]
"""Label of a method, and its n."""
BESIDE: dict[str, tuple[Key, ...]] = {
    "b": (("specs", N), ("rsd", None), ("beam", N)),
    "c": (("specs", N), ("target", None), ("beam-draft", N), ("beam", N)),
    "d": (("specs", N), ("draft", None), ("beam-draft", N), ("beam", N)),
    "e": (("specs", N), ("beam", N)),
    "f": tuple((label, n) for n in (4, 8, 16) for label in ("specs", "beam", "beam-draft")),
}
"""Methods of part a that the tables of other parts repeat."""
OF_ACCURACY = (
    "solves",
    "failed",
    "undecided",
    "accuracy",
    "accuracy_at_most",
    "accuracy_interval",
    "draft_share",
    "steps_mean",
    "flops",
)
OF_LATENCY = ("latency_s", "latency_ratio_to_beam", "seconds")


def tables(part: str, runs: Sequence[Run], out: Path) -> dict[str, list[dict[str, Any]]]:
    """By tier, a row for each method of a part and for each method that its table repeats (`BESIDE`).

    Args:
        runs: all runs of the study.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for tier in TIERS:
        own = [run for run in runs if (run.part, run.tier) == (part, tier)]
        if not own:
            continue
        main = [run for run in runs if (run.part, run.tier) == ("a", tier) and not run.alone]
        keys = [point.setting.key for run in own for point in run.points]
        keys = list(dict.fromkeys([*BESIDE.get(part, ()), *keys]))
        # All points of a curve over n must use the same problems.
        fewest = min(run.problems for run in own if not run.alone) if part == "f" else None
        counted = methods([run for run in (*main, *own) if not run.alone], keys, out, fewest)
        timed = methods([run for run in own if run.alone], keys, out)
        rows = [table_row(key, counted[key], timed.get(key)) for key in keys if key in counted]
        if rows:
            found[tier] = sorted(rows, key=lambda row: row["n"] or 0) if part in "af" else rows
    return found


def methods(
    runs: Sequence[Run], keys: Sequence[Key], out: Path, problems: int | None = None
) -> dict[Key, dict[str, Any]]:
    """The report on some runs, by method: each is compared with beam search and specs of its own n.

    Methods without n are compared with those of `N`, or of the smallest n if no run has `N`.

    Args:
        problems: only the first so many problems count; None for all.
    """
    folders = [path for run in runs if ((path := out / run.path) / RUN).exists()]
    if not folders:
        return {}
    report, _ = aggregate(folders)
    if problems is not None:
        first = {problem.id for problem in plan_of(replace(runs[0], problems=problems)).problems}
        report = replace(report, rows=tuple(row for row in report.rows if row.problem_id in first))
    settings = [one for one in report.settings if one.key in keys]
    widths = {one.n for one in settings if one.n is not None}
    at_home = N if N in widths or not widths else min(widths)
    found: dict[Key, dict[str, Any]] = {}
    for n in sorted(widths | {at_home}):
        chosen = tuple(one for one in settings if one.n in (None, n))
        rows = _rows(report, {one.key for one in chosen})
        part = replace(report, settings=chosen, rows=tuple(row for made in rows.values() for row in made))
        said = part.to_json()["methods"]
        for one in chosen:
            if one.n == n or n == at_home:
                versus = _minus(rows[one.key], rows.get(("specs", n), ()))
                found[one.key] = {**said[one.label], "accuracy_minus_specs": versus}
    return found


def _rows(report: Report, keys: set[Key]) -> dict[Key, list[Row]]:
    rows: dict[Key, list[Row]] = {key: [] for key in keys}
    for row in report.rows:
        if (row.method, row.n) in keys:
            rows[row.method, row.n].append(row)
    return rows


def _minus(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, Any] | None:
    """Paired difference in accuracy; None for a method and itself, or with too few shared problems for an interval."""
    there = {row.problem_id: row for row in others}
    pairs = [(row, there[row.problem_id]) for row in rows if row.problem_id in there]
    if rows is others or len(pairs) < 2 or (found := accuracy_difference(pairs)) is None:
        return None
    difference, at_most = found
    return {
        "mean": difference.mean, "mean_at_most": at_most, "low": difference.low, "high": difference.high,
        "p": difference.p, "discordant_problems": difference.discordant, "problems": len(pairs),
    }  # fmt: skip


def table_row(key: Key, counted: dict[str, Any], timed: dict[str, Any] | None) -> dict[str, Any]:
    """A method as one row: accuracy from `counted`, seconds from `timed` (None if the method was not timed)."""
    own_reference = counted["reference"] == key[0]
    return {
        "label": key[0],
        "n": key[1],
        "options": counted["options"],
        **{name: counted[name] for name in OF_ACCURACY},
        "accuracy_minus_beam": None if own_reference else counted["accuracy_minus_beam"],
        "accuracy_minus_specs": counted["accuracy_minus_specs"],
        "timed_solves": timed["solves"] if timed else None,
        **{name: timed[name] if timed else None for name in OF_LATENCY},
    }
