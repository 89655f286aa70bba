"""The report of a run: accuracy, latency and work of each method, and each method compared with beam search."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specs.core.statistics import (
    Difference,
    Verdict,
    clustered_mean_interval,
    mean_interval,
    median_ratio_interval,
    non_inferior,
    paired_difference,
    percentiles,
)
from specs.eval.grid import Setting, names
from specs.eval.rows import Row
from specs.types import Role, Seconds, ThinkingEnd

REFERENCE = "beam"
"""The method that the others are compared with."""
MARGIN = 0.02
"""Margin of "not worse", 2 points of accuracy: non-inferiority by the one-sided 95% lower bound."""
BY_CONSTRUCTION = "the same by construction"
"""Verdict on a method that takes the same steps as the reference by construction, for any number of problems."""


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of a run and the conditions of the run.

    Attributes:
        configuration: `dataset`, `models` (name by role), `law`, `limits`, `seed`, ...
        settings: the configured methods, in the order of the report.
        limit: number of problems that the run asked for.
        repeats: number of sampling seeds per problem and method.
        rows: finished solves.
        interrupted: whether rows are missing because the run was stopped.
        one_machine: whether all solves ran on the same kind of machine; otherwise latencies are not compared.
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
        """The report as plain values; unknown values are None.

        `solves` counts all solves, `failed` those that ended with an error, `undecided` those whose
        answer could not be graded. Whether failed and undecided solves are right is unknown, so
        accuracies have two ends: `accuracy` counts them all as wrong, `accuracy_at_most` as right, and
        intervals cover both.

        `reference` is the beam search that a method is compared with: that of the same n, else the only one.
        The comparison covers the problems and seeds that both have; the two ends of the difference are
        `mean` and `mean_at_most`.

        Latency and work cover the solves that did not fail. `seconds`, `latency_s`, `flops`, `tokens`
        and `steps_mean` are means per solve; `latency_s.per_step`, shares and `processed_over_minimum`
        are ratios of sums. All intervals are 95%, with problems, not solves, as the independent units.
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
                **self._against(setting, rows[name], reference, rows[beam] if beam else ()),
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

    def _against(
        self, setting: Setting, rows: Sequence[Row], reference: Setting | None, theirs: Sequence[Row]
    ) -> dict[str, Any]:
        """A method compared with beam search, over the problems and seeds that both have."""
        beam = {(row.problem_id, row.seed): row for row in theirs}
        pairs = [(row, beam[row.problem_id, row.seed]) for row in rows if (row.problem_id, row.seed) in beam]
        nothing = {"latency_ratio_to_beam": None, "accuracy_minus_beam": None}
        if reference is None or not pairs:
            return nothing
        seed: int = self.configuration["seed"]
        ratio = _latency_ratio(pairs, seed) if self.one_machine else None
        if (found := accuracy_difference(pairs, seed)) is None:
            return {**nothing, "latency_ratio_to_beam": ratio}
        difference, at_most = found
        verdict = non_inferior(difference.lower_bound, MARGIN, difference.discordant)
        known = not any(one.correct is None for pair in pairs for one in pair)
        by_construction = known and not difference.discordant and _same_steps(setting, reference)
        minus = {
            "mean": difference.mean,
            "mean_at_most": at_most,
            **_bounds(low=difference.low, high=difference.high, lower_bound_one_sided=difference.lower_bound),
            # With one problem there is no bound, so there is no p either.
            "p": difference.p if math.isfinite(difference.low) else None,
            "discordant_problems": difference.discordant,
            "verdict": BY_CONSTRUCTION if by_construction else str(verdict),
            "not_worse_by_2_points": by_construction or verdict is Verdict.NOT_WORSE,
        }
        return {"latency_ratio_to_beam": ratio, "accuracy_minus_beam": minus}

    def _reference(self, setting: Setting) -> Setting | None:
        """The beam search to compare a setting with, preferably of the same run, n and concurrency."""
        beams = [beam for beam in self.settings if beam.method == REFERENCE]
        beams = [beam for beam in beams if beam.context == setting.context] or beams
        beams = [beam for beam in beams if beam.concurrency == setting.concurrency] or beams
        alike = [beam for beam in beams if beam.n == setting.n]
        return alike[0] if alike else beams[0] if len(beams) == 1 else None


def _thinking(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Mean tokens inside the thinking, and how often it ended in which way; None if no solve was thinking."""
    found = [row for row in rows if row.thinking_end is not None]
    if not found:
        return None
    ends = {str(end): _share(sum(row.thinking_end == end for row in found), len(found)) for end in ThinkingEnd}
    return {"tokens_mean": _mean([row.thinking_tokens or 0 for row in found]), "ends": ends}


def _alone(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """The results of one method by itself."""
    good = [row for row in rows if not row.failed]
    unknown = [row for row in rows if row.correct is None]
    counts = {
        "solves": len(rows),
        "failed": len(rows) - len(good),
        "undecided": len(unknown) - (len(rows) - len(good)),
        "first_error": unknown[0].error if unknown else None,
        **_accuracy(rows),
    }
    if not good:
        nothing = ("latency_s", "processed_over_minimum", "orchestration_share",
                   "draft_share", "steps_mean", "tokens", "flops", "seconds")  # fmt: skip
        return {**counts, **dict.fromkeys(nothing)}
    problems = [row.problem_id for row in good]
    latency = [row.latency_s for row in good]
    low, high = mean_interval(latency, problems, seed)
    p50, p95 = percentiles(latency, (50, 95))
    seconds = {phase: _mean([row.seconds[phase] for row in good]) for phase in Seconds.__slots__}
    used = [role for role in Role if all(role in row.usage for row in good)]
    return {
        **counts,
        "latency_s": {
            "mean": _mean(latency),
            "interval": [low, high] if math.isfinite(low) else None,
            "p50": p50,
            "p95": p95,
            "per_step": _share(sum(latency), sum(row.steps for row in good)),
        },
        "processed_over_minimum": {str(role): _over_minimum(good, role) if role in used else None for role in Role},
        "orchestration_share": _share(seconds["orchestration"], seconds["wall"]),
        **({} if (thinking := _thinking(good)) is None else {"thinking": thinking}),
        "draft_share": _share(sum(row.draft_steps for row in good), sum(row.steps for row in good)),
        "steps_mean": _mean([row.steps for row in good]),
        "tokens": {
            str(role): {
                kind: _mean([row.usage[role][kind] or 0 for row in good])
                for kind in ("processed", "speculated", "generated", "discarded")
            }
            for role in used
        },
        "flops": None if any(row.flops is None for row in good) else _mean([row.flops or 0.0 for row in good]),
        "seconds": seconds,
    }


def _accuracy(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares of right answers if every unknown solve is wrong and if every one is right, with one interval for both."""
    if all(row.correct is None for row in rows):
        return dict.fromkeys(("accuracy", "accuracy_at_most", "accuracy_interval"))
    problems = [row.problem_id for row in rows]
    least, most = (_right(rows, unknown) for unknown in (0.0, 1.0))
    low, high = clustered_mean_interval(least, problems).low, clustered_mean_interval(most, problems).high
    return {"accuracy": _mean(least), "accuracy_at_most": _mean(most), "accuracy_interval": [low, high]}


def accuracy_difference(pairs: Sequence[tuple[Row, Row]], seed: int = 0) -> tuple[Difference, float] | None:
    """Accuracy of the first rows of the pairs minus that of the second, and the largest possible mean difference.

    The mean and the lower ends assume the outcomes of unknown solves that are worst for the first, the largest mean and
    the upper end those that are best for it. None if no pair has two known outcomes.
    """
    known = [(ours, theirs) for ours, theirs in pairs if ours.correct is not None and theirs.correct is not None]
    if not known:
        return None
    ours, theirs = zip(*pairs, strict=True)
    problems = [row.problem_id for row in ours]
    if ours == theirs:  # a method compared with itself: unknown solves are the same on both sides
        least = most = paired_difference(_right(ours, 0.0), _right(theirs, 0.0), problems, seed)
    else:
        least = paired_difference(_right(ours, 0.0), _right(theirs, 1.0), problems, seed)
        most = paired_difference(_right(ours, 1.0), _right(theirs, 0.0), problems, seed)
    discordant = len({one.problem_id for one, other in known if one.correct is not other.correct})
    # If the two ends disagree about which is better, nothing is significant.
    p = max(least.p, most.p) if least == most or least.mean * most.mean > 0 else 1.0
    # A bootstrap interval may extend beyond -1 or 1; a difference of accuracies cannot.
    low, lower_bound, high = (_within(end) for end in (least.low, least.lower_bound, most.high))
    return Difference(least.mean, low, high, lower_bound, p, discordant), most.mean


def _within(end: float) -> float:
    return end if math.isinf(end) else min(1.0, max(-1.0, end))


def _right(rows: Sequence[Row], unknown: float) -> list[float]:
    return [unknown if row.correct is None else float(row.correct) for row in rows]


def _latency_ratio(pairs: Sequence[tuple[Row, Row]], seed: int) -> dict[str, float | None] | None:
    """The latency ratio over pairs in which neither solve failed; None if there are none."""
    # Repeats of a problem are added up first, so that each problem has one ratio.
    ours: dict[str, float] = defaultdict(float)
    theirs: dict[str, float] = defaultdict(float)
    for row, other in pairs:
        if not (row.failed or other.failed):
            ours[row.problem_id] += row.latency_s
            theirs[row.problem_id] += other.latency_s
    if not ours:
        return None
    ratio = median_ratio_interval(list(ours.values()), list(theirs.values()), seed)
    return {
        "median": ratio.median,
        **_bounds(low=ratio.low, high=ratio.high),
        "of_means": sum(ours.values()) / sum(theirs.values()),
    }


def _same_steps(setting: Setting, reference: Setting) -> bool:
    """Whether a method takes the reference's steps by construction: only token-level speculation may differ."""
    if setting.context != reference.context:  # other models, another law or other limits
        return False
    options = {name: value for name, value in setting.options.items() if name != "speculate"}
    return setting.method.removesuffix("+speculation") == reference.method and options == reference.options


def _over_minimum(rows: Sequence[Row], role: Role) -> float | None:
    """Positions computed, without speculated ones, over the minimum; None if the minimum is unknown (text scoring)."""
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
