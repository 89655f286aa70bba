"""What a benchmark found: accuracy, latency and work of each method, and each against beam search."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specs.core.statistics import (
    clustered_mean_interval,
    median_ratio_interval,
    non_inferior,
    paired_difference,
    percentiles,
)
from specs.eval.rows import Row
from specs.types import Role, Seconds

REFERENCE = "beam"
"""Method that the others are held against."""
MARGIN = 0.02
"""Accuracy that "not worse" may lose: non-inferiority by the one-sided 95% lower bound."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The rows of a benchmark and how they were made.

    Attributes:
        configuration: `dataset`, `models` (name by role), `methods` (options by name), `law`,
            `limits`, `seed`.
        limit: problems that were to be solved.
        repeats: solves of each problem by each method.
        rows: finished solves, in the order in which they were to be made.
        interrupted: whether some are missing because the run was stopped.
    """

    configuration: dict[str, Any]
    limit: int
    repeats: int
    rows: tuple[Row, ...]
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """The report as plain values; what is not known is None.

        Failed solves (finish reason `error`) are counted as `failed` and are part of nothing
        else; a comparison with beam search uses the solves of a problem and repeat that
        neither method failed. Per method: `seconds`, `latency_s`, `flops`, `tokens` and
        `steps_mean` are means a solve; shares and `processed_over_minimum` are ratios of sums.
        All intervals are 95%, with problems, not solves, as what is independent.
        """
        seed: int = self.configuration["seed"]
        options: dict[str, dict[str, Any]] = self.configuration["methods"]
        rows = {name: [row for row in self.rows if row.method == name] for name in options}
        widths = {chosen["n"] for chosen in options.values() if "n" in chosen}
        return {
            **self.configuration,
            "n": widths.pop() if len(widths) == 1 else None,
            "limit": self.limit,
            "repeats": self.repeats,
            "interrupted": self.interrupted,
            "methods": {
                name: {
                    "options": options[name],
                    **_alone(rows[name]),
                    **_against(rows[name], rows.get(REFERENCE), seed),
                }
                for name in options
            },
        }

    def table(self) -> str:
        """The report for people: one line a method, aligned."""
        found = self.to_json()
        lines: list[tuple[str, ...]] = [
            (
                "method",
                "accuracy %",
                "latency ms",
                "p95 ms",
                "latency / beam",
                "accuracy - beam",
                "draft %",
                "solves",
                "failed",
            )
        ]
        notes: list[str] = []
        for name, method in found["methods"].items():
            latency, ratio = method["latency_s"] or {}, method["latency_ratio_to_beam"] or {}
            low, high = method["accuracy_interval"] or (None, None)
            minus = method["accuracy_minus_beam"] or {}
            lines.append((
                name,
                _shown("{:.1f}", method["accuracy"], low, high, scale=100),
                _shown("{:.1f}", latency.get("mean"), scale=1000),
                _shown("{:.1f}", latency.get("p95"), scale=1000),
                _shown("{:.3f}", ratio.get("median"), ratio.get("low"), ratio.get("high")),
                _shown("{:+.1f}", minus.get("mean"), minus.get("low"), minus.get("high"), scale=100),
                _shown("{:.0f}", method["draft_share"], scale=100),
                str(method["solves"]),
                str(method["failed"]),
            ))  # fmt: skip
            if name != REFERENCE and minus:
                verdict = "not worse" if minus["not_worse_by_2_points"] else "not shown to be not worse"
                bound = _shown("{:+.1f}", minus["lower_bound_one_sided"], scale=100)
                notes.append(f"{name}: {verdict} than {REFERENCE} by {100 * MARGIN:.0f} points (lower bound {bound})")
            if method["failed"]:
                notes.append(f"{name} is judged without {method['failed']} failed solves: {method['first_error']}")
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        stopped = ", stopped early" if self.interrupted else ""
        title = f"{found['dataset']}: {self.limit} problems x {self.repeats}, seed {found['seed']}{stopped}"
        aligned = (
            line[0].ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
            for line in lines
        )
        return "\n".join([title, *aligned, *notes])


def _alone(rows: Sequence[Row]) -> dict[str, Any]:
    """What a method did, whatever the others did."""
    good = [row for row in rows if row.correct is not None]
    errors = [row.error for row in rows if row.correct is None]
    counts = {"solves": len(good), "failed": len(errors), "first_error": errors[0] if errors else None}
    if not good:
        nothing = ("accuracy", "accuracy_interval", "latency_s", "processed_over_minimum", "orchestration_share",
                   "draft_share", "steps_mean", "tokens", "flops", "seconds")  # fmt: skip
        return {**counts, **dict.fromkeys(nothing)}
    right = [float(row.correct is True) for row in good]
    latency = [row.latency_s for row in good]
    p50, p95 = percentiles(latency, (50, 95))
    seconds = {phase: _mean([row.seconds[phase] for row in good]) for phase in Seconds.__slots__}
    used = [role for role in Role if all(role in row.usage for row in good)]
    return {
        **counts,
        "accuracy": _mean(right),
        "accuracy_interval": list(clustered_mean_interval(right, [row.problem_id for row in good])),
        "latency_s": {"mean": _mean(latency), "p50": p50, "p95": p95},
        "processed_over_minimum": {str(role): _over_minimum(good, role) if role in used else None for role in Role},
        "orchestration_share": _share(seconds["orchestration"], seconds["wall"]),
        "draft_share": _share(sum(row.draft_steps for row in good), sum(row.steps for row in good)),
        "steps_mean": _mean([row.steps for row in good]),
        "tokens": {
            str(role): {
                kind: _mean([row.usage[role][kind] or 0 for row in good])
                for kind in ("processed", "generated", "discarded")
            }
            for role in used
        },
        "flops": _mean([row.flops for row in good]),
        "seconds": seconds,
    }


def _against(rows: Sequence[Row], reference: Sequence[Row] | None, seed: int) -> dict[str, Any]:
    """A method and beam search on the solves that both finished."""
    beam = {(row.problem_id, row.repeat): row for row in reference or () if row.correct is not None}
    pairs = [
        (row, beam[row.problem_id, row.repeat])
        for row in rows
        if row.correct is not None and (row.problem_id, row.repeat) in beam
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
        },
        "accuracy_minus_beam": {
            "mean": difference.mean,
            **_bounds(low=difference.low, high=difference.high, lower_bound_one_sided=difference.lower_bound),
            "discordant_problems": difference.discordant,
            "not_worse_by_2_points": non_inferior(difference.lower_bound, MARGIN),
        },
    }


def _over_minimum(rows: Sequence[Row], role: Role) -> float | None:
    """Positions computed over positions that had to be; None where that has no exact meaning."""
    processed, minimum = 0, 0
    for row in rows:
        fewest = row.usage[role]["minimum"]
        if fewest is None:
            return None
        processed, minimum = processed + (row.usage[role]["processed"] or 0), minimum + fewest
    return _share(processed, minimum)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _bounds(**ends: float) -> dict[str, float | None]:
    """The ends of an interval; all None where one is infinite, since then there is no interval."""
    known = all(map(math.isfinite, ends.values()))
    return {name: end if known else None for name, end in ends.items()}


def _shown(
    form: str, value: float | None, low: float | None = None, high: float | None = None, scale: float = 1
) -> str:
    """A number with its interval, where they are known."""
    if value is None:
        return "-"
    interval = "" if low is None or high is None else f" [{form.format(scale * low)}, {form.format(scale * high)}]"
    return form.format(scale * value) + interval
