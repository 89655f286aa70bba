"""Which setting of each group is compared: chosen on the tuning problems, by the same rule for all.

Among the settings whose accuracy is at most one standard error (of the paired difference) below the best one's, the one
with the fewest FLOPs is chosen: accuracy within the noise of tuning, as cheap as possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.study import rows
from research.study.plan import CLAIMS, GROUPS, PER_DISCORDANCE, TUNING, Part, parts

Solves = Mapping[tuple[str, int], rows.Row]
"""Rows of one setting, by tier and problem seed."""


def by_setting(found: Sequence[rows.Row]) -> dict[str, dict[tuple[str, int], rows.Row]]:
    """Rows that are right or wrong, by setting."""
    cells: dict[str, dict[tuple[str, int], rows.Row]] = {}
    for row in found:
        if "error" not in row:
            cells.setdefault(row["method"], {})[row["tier"], row["problem"]] = row
    return cells


def difference(one: Solves, other: Solves) -> tuple[float, float]:
    """Difference in accuracy on the problems of both, and its standard error."""
    shared = sorted(one.keys() & other.keys())
    values = np.array([one[problem]["right"] - other[problem]["right"] for problem in shared], float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def mean(solves: Solves, what: str) -> float:
    return float(np.mean([row[what] for row in solves.values()]))


def choose(cells: Mapping[str, Solves]) -> str:
    """The setting that is compared, of those of one group."""
    best = max(cells, key=lambda one: (mean(cells[one], "right"), -mean(cells[one], "mflops")))
    tied = [one for one in cells if one == best or sum(difference(cells[one], cells[best])) >= 0]
    return min(tied, key=lambda one: mean(cells[one], "mflops"))


def chosen(found: Sequence[rows.Row] | None = None) -> dict[str, str]:
    """The chosen setting of each group whose settings have all been tried."""
    cells = by_setting(rows.read("tuning") if found is None else found)
    return {
        group: choose({one: cells[one] for one in settings})
        for group, settings in GROUPS.items()
        if all(one in cells for one in settings)
    }


def discordance(one: Solves, other: Solves) -> float:
    """The share of problems that one setting solves and the other does not."""
    shared = one.keys() & other.keys()
    return sum(one[problem]["right"] != other[problem]["right"] for problem in shared) / len(shared)


def pairs_needed(found: Sequence[rows.Row], settings: Mapping[str, str]) -> dict[str, int]:
    """For each of `CLAIMS`, the problems of `hard` that show a difference of 2 points from `specs`.

    Args:
        found: rows of the pilot.
    """
    cells = by_setting([row for row in found if row["tier"] == "hard"])
    ours = cells[settings["specs"]]
    return {group: round(PER_DISCORDANCE * discordance(ours, cells[settings[group]])) for group in CLAIMS}


def known_parts() -> dict[str, Part]:
    """The parts that can be solved now: all but tuning need what tuning chooses, and pairs need the pilot."""
    known, tuned, pilot = [TUNING], rows.read("tuning"), rows.read("main")
    if len(settings := chosen(tuned)) == len(GROUPS):
        mine = [row for row in tuned if row["method"] == settings["specs"] and "error" not in row]
        rewritten = sum(row["rewritten"] for row in mine)
        pairs = max(pairs_needed(pilot, settings).values()) if pilot else 0
        known += parts(settings, rewritten / (rewritten + sum(row["drafted"] for row in mine)), pairs)
    return {part.name: part for part in known if any(part.problems.values())}


def tried(found: Sequence[rows.Row] | None = None) -> list[dict[str, Any]]:
    """Every setting with its accuracy by tier and its FLOPs, in the order of the plan."""
    cells, winners = by_setting(rows.read("tuning") if found is None else found), chosen(found).values()
    return [
        {
            "group": group,
            "setting": one,
            "chosen": one in winners,
            "gflops": mean(cells[one], "mflops") / 1e3,
            "right": {
                tier: mean({place: row for place, row in cells[one].items() if place[0] == tier}, "right")
                for tier in sorted({place[0] for place in cells[one]})
            },
        }
        for group, settings in GROUPS.items()
        for one in settings
        if one in cells
    ]
