"""Picks a configuration from a small design of them, and predicts its accuracy and latency.

docs/calibrate.md explains the statistics in plain words. All configurations solve the same problems. The
intervals are simultaneous: they hold for all configurations at once, so they also hold for the picked one. The
best of many noisy estimates is too optimistic, and only a simultaneous interval allows for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specs.core.statistics import wilson
from specs.errors import InputError
from specs.eval.grid import GridPoint
from specs.eval.rows import Row
from specs.eval.spending import tau_for_share
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.types import Result

Floats = NDArray[np.float64]
Statistic = Literal["accuracy", "latency_ratio", "p95_s"]
LATENCIES: tuple[Statistic, ...] = ("latency_ratio", "p95_s")

SHARES = (0.02, 0.1, 0.3)
"""Shares of draft steps that the design's taus make the target rewrite."""
BETAS = (5.0, 80.0)
"""Betas tried besides the default one, at the middle tau."""
FEWEST = 20
"""Fewest problems for which estimates make sense."""
CONFIDENCE = 0.95
RESAMPLES = 2_000


def design(pilot: Iterable[Result], widths: Sequence[int]) -> list[GridPoint]:
    """The configurations to choose from, and `beam` at each width; the first point is the reference.

    Per width: three taus by two starts at the default beta, and two more betas. Different
    models' rewards have different scales, so the taus are derived from the share of steps that the target
    rewrites (`specs.eval.spending`).

    Args:
        pilot: solves of the default configuration.
        widths: distinct values of n; latencies are compared with `beam` at the first one.
    """
    solves = list(pilot)
    found = (float(f"{tau_for_share(solves, share):.3g}") for share in SHARES)
    # If the target's log-probability is part of it, the quantity compared with tau may lie outside [0, 1].
    taus = sorted({min(1.0, max(0.0, tau)) for tau in found})
    usual, middle = Specs(), taus[len(taus) // 2]
    points = [GridPoint("beam", Beam(n)) for n in widths]
    for n in widths:
        methods = [Specs(n, tau=tau, start=start) for tau, start in product(taus, ("target", "draft"))]
        methods += [Specs(n, beta, middle, start=usual.start) for beta in BETAS]
        points += [GridPoint(f"specs tau={m.tau:g} beta={m.beta:g} start={m.start}", m) for m in methods]
    return points


@dataclass(frozen=True, slots=True)
class Evidence:
    """Solves of the same P problems by K configurations.

    Attributes:
        right: [K, P] 1 where right, else 0.
        seconds: [K, P] latency, > 0.
        reference: [P] latency of the reference, > 0.
        dropped: problems left out because a solve failed.
    """

    right: Floats
    seconds: Floats
    reference: Floats
    dropped: int = 0

    @classmethod
    def of(cls, rows: Iterable[Row], points: Sequence[GridPoint]) -> Evidence:
        """The evidence in rows of one seed; the first point is the reference.

        Raises:
            InputError: fewer than `FEWEST` problems that all configurations solved.
        """
        by_problem: dict[str, dict[tuple[str, int | None], Row]] = {}
        for row in rows:
            by_problem.setdefault(row.problem_id, {})[row.method, row.n] = row
        keys = [point.setting.key for point in points]
        table = [[of[key] for key in keys] for of in by_problem.values()]
        good = [line for line in table if all(row.correct is not None for row in line)]
        if len(good) < FEWEST:
            failed = next((row.error for line in table for row in line if row.correct is None), None)
            raise InputError(
                f"only {len(good)} of {len(table)} problems were solved by all configurations, too few to tell "
                f"anything; give at least {FEWEST}{f' (first failure: {failed})' if failed else ''}"
            )
        right = np.array([[float(row.correct is True) for row in line] for line in good]).T
        seconds = np.array([[row.latency_s for row in line] for line in good]).T
        return cls(right, seconds, seconds[0], len(table) - len(good))


class Estimate(NamedTuple):
    """A value with an interval."""

    value: float
    low: float
    high: float


Estimates = list[dict[Statistic, Estimate]]
"""All statistics of each configuration."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal for a configuration: a latency ratio or p95 of at most `value`, or an accuracy of at least `value`."""

    statistic: Statistic
    value: float

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.statistic == "accuracy" else value <= self.value

    def worst(self, found: dict[Statistic, Estimate]) -> float:
        """The end of the interval that is worst for the goal."""
        estimate = found[self.statistic]
        return estimate.low if self.statistic == "accuracy" else estimate.high

    def __str__(self) -> str:
        return {
            "accuracy": f"accuracy of at least {100 * self.value:g}%",
            "latency_ratio": f"latency ratio of at most {self.value:g}",
            "p95_s": f"p95 latency of at most {self.value:g} s",
        }[self.statistic]


def values(evidence: Evidence) -> dict[Statistic, Floats]:
    """[K] values of each statistic: share of right answers, median latency ratio, seconds."""
    found = _observed_statistics(evidence)
    return {"accuracy": found[0], "latency_ratio": np.exp(found[1]), "p95_s": np.exp(found[2])}


def estimates(evidence: Evidence, future: int | None = None, seed: int = 0) -> Estimates:
    """Every statistic of every configuration, with intervals that hold for all configurations at once.

    Without `future` the intervals are for the true values; with it, for the values that `future`
    further problems will show, so they include those problems' own sampling error. The bootstrap draws
    problems with replacement, the same ones for all configurations. The common width is the 95% quantile of the
    largest error in units of its standard error (the max-t bootstrap of Romano and Wolf, 2005). Latencies are on a
    log scale, and accuracies get Wilson's interval at that width.
    """
    problems = evidence.right.shape[1]
    drawn = np.random.default_rng(seed)
    here = _observed_statistics(evidence)
    past = _statistics(evidence, drawn.integers(problems, size=(RESAMPLES, problems)))
    # A resample has the spread of P - 1 draws, not of P.
    errors = (past - here[..., None]) * math.sqrt(problems / (problems - 1))
    effective = float(problems)
    if future is not None:
        errors = _statistics(evidence, drawn.integers(problems, size=(RESAMPLES, future))) - here[..., None] - errors
        effective = problems * future / (problems + future)
    spread = errors.std(-1)
    steps = np.abs(errors) / np.where(spread > 0, spread, np.inf)[..., None]
    # [3] half widths in standard errors, the same for all configurations; never less than the half width for a
    # single configuration, since the bootstrap has no spread where all answers are right.
    widths = np.maximum(np.quantile(steps.max(1), CONFIDENCE, axis=-1), NormalDist().inv_cdf(0.5 + CONFIDENCE / 2))
    confidence = 2 * NormalDist().cdf(float(widths[0])) - 1
    made: Estimates = []
    for config_idx in range(len(evidence.right)):
        share, *logs = map(float, here[:, config_idx])
        low, high = wilson(share * effective, effective, confidence)
        if future is not None:
            # Round outward to shares that `future` problems can show.
            low, high = math.floor(low * future) / future, math.ceil(high * future) / future
        found: dict[Statistic, Estimate] = {"accuracy": Estimate(share, low, high)}
        for name, log, half in zip(LATENCIES, logs, (widths * spread[:, config_idx])[1:], strict=True):
            found[name] = Estimate(math.exp(log), math.exp(log - half), math.exp(log + half))
        made.append(found)
    return made


def _observed_statistics(evidence: Evidence) -> Floats:
    """[3, K] the statistics of the problems as they are."""
    problems: NDArray[np.int64] = np.arange(evidence.right.shape[1], dtype=np.int64)[None]
    return _statistics(evidence, problems)[:, :, 0]


def _statistics(evidence: Evidence, drawn: NDArray[np.int64]) -> Floats:
    """[3, K, B] accuracy, log of the median latency ratio, log of p95, of each of [B, P] drawn problems."""
    # Logs keep order, so a quantile's log is the quantile of logs, up to the step between two ranks.
    ratio, seconds = np.log(evidence.seconds / evidence.reference), np.log(evidence.seconds)
    found = np.empty((3, len(ratio), len(drawn)))
    for config_idx in range(len(ratio)):
        found[0, config_idx] = evidence.right[config_idx][drawn].mean(-1)
        found[1, config_idx] = np.median(ratio[config_idx][drawn], -1)
        found[2, config_idx] = np.quantile(seconds[config_idx][drawn], 0.95, axis=-1)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """The picked configuration.

    Attributes:
        idx: its index; if none meets the goal, the index of the one that comes nearest.
        met: whether its whole interval meets the goal.
        why: the reason in one line, without the configuration's name.
    """

    idx: int
    met: bool
    why: str


def pick(evidence: Evidence, found: Estimates, goal: Goal, allowed: Sequence[int]) -> Choice:
    """The best configuration for a goal, among those whose indices are `allowed`.

    A configuration meets the goal if its whole interval does. For an accuracy goal, the quickest of them wins.
    For a latency goal, the quickest of those wins whose accuracy is within one standard error (of the paired
    difference) of the most accurate one. The quickest has the lowest latency ratio.
    """
    meeting = [config_idx for config_idx in allowed if goal.met_by(goal.worst(found[config_idx]))]
    if not meeting:
        sign = -1 if goal.statistic == "accuracy" else 1
        nearest = min(allowed, key=lambda config_idx: sign * goal.worst(found[config_idx]))
        more = goal.met_by(found[nearest][goal.statistic].value)
        return Choice(
            nearest, False, "more problems (--limit) may show that it does" if more else "nor does its estimate"
        )
    count = f"{len(meeting)} of {len(allowed)} meet the goal by their whole interval"
    ratio, accuracy = (
        [found[config_idx][name].value for config_idx in range(len(found))] for name in ("latency_ratio", "accuracy")
    )
    if goal.statistic == "accuracy":
        return Choice(
            min(meeting, key=lambda config_idx: ratio[config_idx]), True, f"{count}, and it is the quickest of them"
        )
    best = max(meeting, key=lambda config_idx: (accuracy[config_idx], -ratio[config_idx]))
    lost = evidence.right[best] - evidence.right
    noise = lost.std(-1, ddof=1) / math.sqrt(lost.shape[-1])
    alike = [config_idx for config_idx in meeting if accuracy[best] - accuracy[config_idx] <= noise[config_idx]]
    idx = min(alike, key=lambda config_idx: ratio[config_idx])
    if idx == best:
        return Choice(idx, True, f"{count}, and it is most often right")
    top = f"{100 * accuracy[best]:.1f}%"
    return Choice(
        idx, True, f"{count}, and it is the quickest of {len(alike)} within a standard error of the best ({top})"
    )
