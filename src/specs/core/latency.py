"""A running estimate of how long a step takes and how many steps a solution still needs.

The wall time t of a step, in seconds, is modelled as log-normal around

    log t = level + more(kind) + slope * log n + fresh * [a model reads the trace for the first time]

`level` is the log time of a step by the draft alone, `more` what verification or writing by the target adds to it, `n`
the number of candidates. The belief about the six numbers (`more` has three) is Gaussian, and a Kalman filter updates
it with every observed step: `level` drifts (a machine gets busy), the others hardly do. So if one kind of step slows
down, the estimates for the other kinds slow down too, and a kind that was never observed has a wide uncertainty.

The distribution of the number of steps is a histogram of past solutions whose weights decay.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from specs.types import Role

Floats = NDArray[np.float64]


class Kind(StrEnum):
    """Who writes and who verifies a step."""

    UNVERIFIED = "alone"
    """The draft writes, nobody verifies."""
    REWARDED = "rewarded"
    """The draft writes, the PRM verifies."""
    VERIFIED = "verified"
    """The draft writes, the PRM and the target verify."""
    TARGET = "target"
    """The target writes, the PRM verifies."""


ROLES = {
    Kind.UNVERIFIED: frozenset({Role.DRAFT}),
    Kind.REWARDED: frozenset({Role.DRAFT, Role.PRM}),
    Kind.VERIFIED: frozenset(Role),
    Kind.TARGET: frozenset({Role.TARGET, Role.PRM}),
}
"""The models that take part in a step of each kind."""
_PRIOR = {"level": (-1.6, 2.0), "rewarded": (0.4, 0.3), "verified": (0.9, 0.4), "target": (1.7, 0.6)} | {
    "slope": (0.15, 0.05),
    "fresh": (0.4, 0.2),
}
"""Mean and standard deviation before any observation: steps of 0.2 s, within a factor of fifty or so."""
_WANDER = np.diag([0.08, 0.005, 0.005, 0.005, 0.0005, 0.005]) ** 2
"""Variance of the drift per observed step."""
_SPREAD = 0.3
"""Standard deviation of the log of a step's time around its expectation."""
_SHORTEST_S = 1e-6
"""Shortest time that counts: clocks are not finer, and a step that was prefetched may take no time."""
LONGEST = 64
"""Solutions with more steps than this count as having this many."""
_MEMORY = 64.0
"""The weight of a past solution falls to 1/e after this many further ones."""


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    rows: list[list[float]] = matrix.tolist()
    return tuple(tuple(row) for row in rows)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The belief at one moment; immutable, so that concurrent solves do not change each other's.

    Attributes:
        mean: [6] level, rewarded, verified, target, slope, fresh: the coefficients of log t.
        covariance: [6][6] of these numbers.
        lengths: [LONGEST] weights of the past solutions with 1, 2, ... steps.
        rewrites: share of draft steps that the target wrote again, in [0, 1].
    """

    mean: tuple[float, ...] = tuple(mean for mean, _ in _PRIOR.values())
    covariance: tuple[tuple[float, ...], ...] = _rows(np.diag([sd**2 for _, sd in _PRIOR.values()]))
    lengths: tuple[float, ...] = tuple(0.1 * 0.9**k for k in range(LONGEST))
    rewrites: float = 0.1

    def seen(self, kind: Kind, n: int, fresh: bool, seconds: float) -> Estimate:
        """The belief after one more step of `n` candidates, which took `seconds` >= 0.

        `fresh`: whether a model took part for the first time in the solve.
        """
        h, mean = _design(kind, n, fresh), np.array(self.mean)
        before = np.array(self.covariance) + _WANDER
        variance = float(h @ before @ h) + _SPREAD**2
        gain = before @ h / variance
        # An outlier counts as a deviation of three standard deviations.
        reach = 3.0 * math.sqrt(variance)
        surprise = float(np.clip(math.log(max(seconds, _SHORTEST_S)) - h @ mean, -reach, reach))
        after = before - np.outer(gain, h @ before)
        return replace(
            self,
            mean=tuple((mean + gain * surprise).tolist()),
            covariance=_rows((after + after.T) / 2),
        )

    def solved(self, steps: int, rewrites: float | None) -> Estimate:
        """The belief after one more whole solution of `steps` >= 1 steps.

        `rewrites`: the share of its draft steps that the target wrote again; None leaves that estimate unchanged.
        """
        kept = 1.0 - 1.0 / _MEMORY
        lengths = [kept * weight for weight in self.lengths]
        lengths[min(steps, LONGEST) - 1] += 1.0
        share = self.rewrites if rewrites is None else kept * self.rewrites + (1.0 - kept) * rewrites
        return replace(self, lengths=tuple(lengths), rewrites=share)

    def left(self, done: int, quantile: float) -> int:
        """Steps, >= 1, that a solution with `done` steps still takes: the `quantile` in [0, 1] of longer solutions."""
        beyond = list(accumulate(self.lengths[min(done, LONGEST - 1) :]))
        return 1 + bisect_left(beyond, quantile * beyond[-1])

    def seconds(self, kind: Kind, n: int, steps: int = 1, fresh: bool = False) -> float:
        """Expected wall time, in seconds, of `steps` steps; `fresh`: a model takes part for the first time.

        This is the mean of a log-normal, so an uncertain estimate is a long one.
        """
        h, mean, covariance = _design(kind, n, False), np.array(self.mean), np.array(self.covariance)
        opening = math.exp(self.mean[5]) if fresh else 1.0
        return (steps - 1 + opening) * math.exp(float(h @ mean) + (float(h @ covariance @ h) + _SPREAD**2) / 2)


def _design(kind: Kind, n: int, fresh: bool) -> Floats:
    """[6] the coefficient of each of the six numbers in log t."""
    more = [float(kind is one) for one in (Kind.REWARDED, Kind.VERIFIED, Kind.TARGET)]
    return np.array([1.0, *more, math.log(n), float(fresh)])
