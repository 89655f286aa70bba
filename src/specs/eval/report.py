"""What a run found: accuracy, latency and work of each method, and each against beam search."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specs.core.statistics import (
    clustered_mean_interval,
    mean_interval,
    median_ratio_interval,
    non_inferior,
    paired_difference,
    percentiles,
)
from specs.eval.cells import Setting, names
from specs.eval.rows import Row
from specs.types import Role, Seconds

REFERENCE = "beam"
"""Method that the others are held against."""
MARGIN = 0.02
"""Accuracy that "not worse" may lose: non-inferiority by the one-sided 95% lower bound."""


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of a run and how they were made.

    Attributes:
        configuration: `dataset`, `models` (name by role), `law`, `limits`, `seed`, ...
        settings: the configured methods, in the order of the report.
        limit: problems that were to be solved.
        repeats: sampling seeds of each problem and method.
        rows: finished solves.
        interrupted: whether some are missing because the run was stopped.
        one_machine: whether all solves were made on machines that are alike; otherwise latencies
            are not compared.
    """

    configuration: dict[str, Any]
    settings: tuple[Setting, ...]
    limit: int
    repeats: int
    rows: tuple[Row, ...]
    interrupted: bool = False
    one_machine: bool = True

    def by_name(self) -> dict[str, list[Row]]:
        """The rows of each setting by its name in the report."""
        called = names(self.settings)
        rows: dict[str, list[Row]] = {name: [] for name in called.values()}
        for row in self.rows:
            rows[called[row.method, row.n]].append(row)
        return rows

    def to_json(self) -> dict[str, Any]:
        """The report as plain values; what is not known is None.

        Failed solves (finish reason `error`, or an answer that could not be graded) are counted
        as `failed` and are part of nothing else. A method is compared with beam search of the
        same n if there is one, else with the only one (`reference`), over the solves of a
        problem and seed that neither failed. Per method: `seconds`, `latency_s`, `flops`,
        `tokens` and `steps_mean` are means a solve; `latency_s.per_step`, shares and
        `processed_over_minimum` are ratios of sums. All intervals are 95%, with problems, not
        solves, as what is independent.
        """
        seed: int = self.configuration["seed"]
        rows, called = self.by_name(), names(self.settings)
        widths = {setting.n for setting in self.settings if setting.n is not None}
        methods: dict[str, Any] = {}
        for setting in self.settings:
            name, reference = called[setting.key], self._reference(setting)
            beam = None if reference is None else called[reference.key]
            methods[name] = {
                "method": setting.method,
                "n": setting.n,
                "options": setting.options,
                **_alone(rows[name], seed),
                "reference": beam,
                **_against(rows[name], rows[beam] if beam else (), seed, self.one_machine),
            }
        return {
            **self.configuration,
            "n": widths.pop() if len(widths) == 1 else None,
            "limit": self.limit,
            "repeats": self.repeats,
            "interrupted": self.interrupted,
            "one_machine": self.one_machine,
            "methods": methods,
        }

    def _reference(self, setting: Setting) -> Setting | None:
        """The beam search that a setting is held against: of its own run, n and concurrency first."""
        beams = [one for one in self.settings if one.method == REFERENCE]
        beams = [one for one in beams if one.context == setting.context] or beams
        beams = [one for one in beams if one.concurrency == setting.concurrency] or beams
        alike = [one for one in beams if one.n == setting.n]
        return alike[0] if alike else beams[0] if len(beams) == 1 else None


def _alone(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """What a method did, whatever the others did."""
    good = [row for row in rows if row.correct is not None]
    errors = [row.error for row in rows if row.correct is None]
    counts = {"solves": len(good), "failed": len(errors), "first_error": errors[0] if errors else None}
    if not good:
        nothing = ("accuracy", "accuracy_interval", "latency_s", "processed_over_minimum", "orchestration_share",
                   "draft_share", "steps_mean", "tokens", "flops", "seconds")  # fmt: skip
        return {**counts, **dict.fromkeys(nothing)}
    right = [float(row.correct is True) for row in good]
    problems = [row.problem_id for row in good]
    latency = [row.latency_s for row in good]
    low, high = mean_interval(latency, problems, seed)
    p50, p95 = percentiles(latency, (50, 95))
    seconds = {phase: _mean([row.seconds[phase] for row in good]) for phase in Seconds.__slots__}
    used = [role for role in Role if all(role in row.usage for row in good)]
    return {
        **counts,
        "accuracy": _mean(right),
        "accuracy_interval": list(clustered_mean_interval(right, problems)),
        "latency_s": {
            "mean": _mean(latency),
            "interval": [low, high] if math.isfinite(low) else None,
            "p50": p50,
            "p95": p95,
            "per_step": _share(sum(latency), sum(row.steps for row in good)),
        },
        "processed_over_minimum": {str(role): _over_minimum(good, role) if role in used else None for role in Role},
        "orchestration_share": _share(seconds["orchestration"], seconds["wall"]),
        "draft_share": _share(sum(row.draft_steps for row in good), sum(row.steps for row in good)),
        "steps_mean": _mean([row.steps for row in good]),
        "tokens": {
            str(role): {
                kind: _mean([row.usage[role][kind] or 0 for row in good])
                for kind in ("processed", "speculated", "generated", "discarded")
            }
            for role in used
        },
        "flops": _mean([row.flops for row in good]),
        "seconds": seconds,
    }


def _against(rows: Sequence[Row], reference: Sequence[Row], seed: int, one_machine: bool) -> dict[str, Any]:
    """A method and beam search on the solves that both finished."""
    beam = {(row.problem_id, row.seed): row for row in reference if row.correct is not None}
    pairs = [
        (row, beam[row.problem_id, row.seed])
        for row in rows
        if row.correct is not None and (row.problem_id, row.seed) in beam
    ]
    if not pairs:
        return {"latency_ratio_to_beam": None, "accuracy_minus_beam": None}
    # Repeats of a problem are added up first, so that each problem has one ratio.
    ours: dict[str, float] = defaultdict(float)
    theirs: dict[str, float] = defaultdict(float)
    for row, other in pairs:
        ours[row.problem_id] += row.latency_s
        theirs[row.problem_id] += other.latency_s
    ratio = median_ratio_interval(list(ours.values()), list(theirs.values()), seed)
    difference = paired_difference(
        [float(row.correct is True) for row, _ in pairs],
        [float(other.correct is True) for _, other in pairs],
        [row.problem_id for row, _ in pairs],
        seed,
    )
    return {
        "latency_ratio_to_beam": {
            "median": ratio.median,
            **_bounds(low=ratio.low, high=ratio.high),
            "of_means": sum(ours.values()) / sum(theirs.values()),
        }
        if one_machine
        else None,
        "accuracy_minus_beam": {
            "mean": difference.mean,
            **_bounds(low=difference.low, high=difference.high, lower_bound_one_sided=difference.lower_bound),
            # One problem bounds nothing, so its p is no finding either.
            "p": difference.p if math.isfinite(difference.low) else None,
            "discordant_problems": difference.discordant,
            "not_worse_by_2_points": non_inferior(difference.lower_bound, MARGIN),
        },
    }


def _over_minimum(rows: Sequence[Row], role: Role) -> float | None:
    """Positions computed, those for guesses apart, over those that had to be; None where inexact."""
    processed, minimum = 0, 0
    for row in rows:
        fewest = row.usage[role]["minimum"]
        if fewest is None:
            return None
        use = row.usage[role]
        processed += (use["processed"] or 0) - (use["speculated"] or 0)
        minimum += fewest
    return _share(processed, minimum)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _bounds(**ends: float) -> dict[str, float | None]:
    """The ends of an interval; all None where one is infinite, since then there is no interval."""
    known = all(map(math.isfinite, ends.values()))
    return {name: end if known else None for name, end in ends.items()}
