"""Choosing a configuration from a small design of them, and predicting what it will do.

The statistics in plain words: docs/calibrate.md. All configurations have solved the same problems.
Each interval here holds for all of them at once, so it holds for the one that is picked as well, however
it is picked: the best of many noisy estimates is too good, and only an interval that knows of the others
makes room for that.
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
from specs.eval.grid import Cell
from specs.eval.rows import Row
from specs.eval.spending import tau_for_share
from specs.methods.beam import Beam
from specs.methods.specs import Specs
from specs.types import Result

Floats = NDArray[np.float64]
Statistic = Literal["accuracy", "latency_ratio", "p95_s"]
LATENCIES: tuple[Statistic, ...] = ("latency_ratio", "p95_s")

SHARES = (0.02, 0.1, 0.3)
"""Shares of draft steps that the taus of the design hand to the target."""
BETAS = (5.0, 80.0)
"""Tried beside the default, at the middle tau."""
FEWEST = 20
"""Problems without which nothing can be said."""
CONFIDENCE = 0.95
RESAMPLES = 2_000


def design(pilot: Iterable[Result], widths: Sequence[int]) -> list[Cell]:
    """The configurations to choose from, and `beam` at each width; the first cell is the reference.

    Per width: three taus by two starts at the default beta, and two more betas. Rewards of different
    models are on different scales, so the taus are set by what they spend (`specs.eval.spending`).

    Args:
        pilot: solves of the default configuration.
        widths: different n; latencies are held against `beam` with the first.
    """
    solves = list(pilot)
    found = (float(f"{tau_for_share(solves, share):.3g}") for share in SHARES)
    # With the target's opinion in it, what tau is held against may lie outside of its range.
    taus = sorted({min(1.0, max(0.0, tau)) for tau in found})
    usual, middle = Specs(), taus[len(taus) // 2]
    cells = [Cell("beam", Beam(n)) for n in widths]
    for n in widths:
        methods = [Specs(n, tau=tau, start=start) for tau, start in product(taus, ("target", "draft"))]
        methods += [Specs(n, beta, middle, start=usual.start) for beta in BETAS]
        cells += [Cell(f"specs tau={m.tau:g} beta={m.beta:g} start={m.start}", m) for m in methods]
    return cells


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
    def of(cls, rows: Iterable[Row], cells: Sequence[Cell]) -> Evidence:
        """Of rows of one seed; the first cell is the reference.

        Raises:
            InputError: fewer than `FEWEST` problems that no configuration failed.
        """
        by_problem: dict[str, dict[tuple[str, int | None], Row]] = {}
        for row in rows:
            by_problem.setdefault(row.problem_id, {})[row.method, row.n] = row
        keys = [cell.setting.key for cell in cells]
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
"""Of each configuration, every statistic."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a configuration: a latency ratio or p95 of at most, or an accuracy of at least, `value`."""

    statistic: Statistic
    value: float

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.statistic == "accuracy" else value <= self.value

    def worst(self, found: dict[Statistic, Estimate]) -> float:
        """The end of the interval that meets the goal last."""
        one = found[self.statistic]
        return one.low if self.statistic == "accuracy" else one.high

    def __str__(self) -> str:
        return {
            "accuracy": f"accuracy of at least {100 * self.value:g}%",
            "latency_ratio": f"latency ratio of at most {self.value:g}",
            "p95_s": f"p95 latency of at most {self.value:g} s",
        }[self.statistic]


def values(evidence: Evidence) -> dict[Statistic, Floats]:
    """[K] values of each statistic: share of right answers, median latency ratio, seconds."""
    found = _statistics(evidence, np.arange(evidence.right.shape[1])[None])[:, :, 0]
    return {"accuracy": found[0], "latency_ratio": np.exp(found[1]), "p95_s": np.exp(found[2])}


def estimates(evidence: Evidence, future: int | None = None, seed: int = 0) -> Estimates:
    """Every statistic of every configuration, with intervals that hold for all configurations at once.

    Without `future` the intervals are for the true values; with it, for what `future` further problems
    will show, whose own luck is added. Problems are drawn with replacement, for all configurations
    alike; the width that fits all of them is the 95% quantile of the largest error in units of its
    standard error (the max-t bootstrap of Romano and Wolf, 2005). Latencies are put on a log scale for
    that, and accuracies get Wilson's interval at that width.
    """
    problems = evidence.right.shape[1]
    drawn = np.random.default_rng(seed)
    here = _statistics(evidence, np.arange(problems)[None])[:, :, 0]
    past = _statistics(evidence, drawn.integers(problems, size=(RESAMPLES, problems)))
    # A resample's spread is that of P - 1 draws, not of P.
    errors = (past - here[..., None]) * math.sqrt(problems / (problems - 1))
    effective = float(problems)
    if future is not None:
        errors = _statistics(evidence, drawn.integers(problems, size=(RESAMPLES, future))) - here[..., None] - errors
        effective = problems * future / (problems + future)
    spread = errors.std(-1)
    steps = np.abs(errors) / np.where(spread > 0, spread, np.inf)[..., None]
    # [3] half widths in standard errors, one for all configurations; never less than that for one alone,
    # which the bootstrap forgets where all answers are right.
    widths = np.maximum(np.quantile(steps.max(1), CONFIDENCE, axis=-1), NormalDist().inv_cdf(0.5 + CONFIDENCE / 2))
    confidence = 2 * NormalDist().cdf(float(widths[0])) - 1
    made: Estimates = []
    for k in range(len(evidence.right)):
        share, *logs = map(float, here[:, k])
        low, high = wilson(share * effective, effective, confidence)
        if future is not None:
            # Outward to shares that so many problems can show: with few of them all may be right.
            low, high = math.floor(low * future) / future, math.ceil(high * future) / future
        found: dict[Statistic, Estimate] = {"accuracy": Estimate(share, low, high)}
        for name, log, half in zip(LATENCIES, logs, (widths * spread[:, k])[1:], strict=True):
            found[name] = Estimate(math.exp(log), math.exp(log - half), math.exp(log + half))
        made.append(found)
    return made


def _statistics(evidence: Evidence, drawn: NDArray[np.int64]) -> Floats:
    """[3, K, B] accuracy, log of the median latency ratio, log of p95, of each of [B, P] drawn problems."""
    # Logs keep order, so a quantile's log is the quantile of logs, up to the step between two ranks.
    ratio, seconds = np.log(evidence.seconds / evidence.reference), np.log(evidence.seconds)
    found = np.empty((3, len(ratio), len(drawn)))
    for k in range(len(ratio)):
        found[0, k] = evidence.right[k][drawn].mean(-1)
        found[1, k] = np.median(ratio[k][drawn], -1)
        found[2, k] = np.quantile(seconds[k][drawn], 0.95, axis=-1)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What was picked.

    Attributes:
        idx: of the configuration; where none meets the goal, of the one that comes nearest.
        met: whether it meets the goal, by the end of its interval.
        why: in one line, without its name.
    """

    idx: int
    met: bool
    why: str


def pick(evidence: Evidence, found: Estimates, goal: Goal, allowed: Sequence[int]) -> Choice:
    """The configuration for a goal, of those `allowed`.

    A configuration meets the goal if its whole interval does. Under a latency goal the one that is most
    often right is wanted; of those that lose at most one standard error (of the paired difference) to
    it, the quickest is taken. Under an accuracy goal the quickest is. Quick is a low latency ratio.
    """
    meeting = [k for k in allowed if goal.met_by(goal.worst(found[k]))]
    if not meeting:
        sign = -1 if goal.statistic == "accuracy" else 1
        nearest = min(allowed, key=lambda k: sign * goal.worst(found[k]))
        more = goal.met_by(found[nearest][goal.statistic].value)
        return Choice(
            nearest, False, "more problems (--limit) may show that it does" if more else "nor does its estimate"
        )
    count = f"{len(meeting)} of {len(allowed)} meet the goal by their whole interval"
    ratio, accuracy = ([found[k][name].value for k in range(len(found))] for name in ("latency_ratio", "accuracy"))
    if goal.statistic == "accuracy":
        return Choice(min(meeting, key=lambda k: ratio[k]), True, f"{count}, and it is the quickest of them")
    best = max(meeting, key=lambda k: (accuracy[k], -ratio[k]))
    lost = evidence.right[best] - evidence.right
    noise = lost.std(-1, ddof=1) / math.sqrt(lost.shape[-1])
    alike = [k for k in meeting if accuracy[best] - accuracy[k] <= noise[k]]
    idx = min(alike, key=lambda k: ratio[k])
    if idx == best:
        return Choice(idx, True, f"{count}, and it is most often right")
    top = f"{100 * accuracy[best]:.1f}%"
    return Choice(
        idx, True, f"{count}, and it is the quickest of {len(alike)} within a standard error of the best ({top})"
    )
