"""What steps cost and how many are still to come: a running estimate that nothing but numbers goes into.

The wall time of a step is taken as log-normal around

    log t = level + more(kind) + slope * log n + fresh * [a model reads the trace for the first time]

`level` is the time of a step by the draft alone, `more` what verification or writing by the target adds, `n` the
number of candidates. The six numbers have a Gaussian belief, which every observed step moves by Kalman's equations:
`level` wanders (a machine gets busy), the others hardly do. So a machine that slows down under one kind of step is
known to be slow for the others too, and what was never seen is a guess that knows how uncertain it is.

How many steps a solution has is counted, older solutions less and less.
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
    """What is done in a step."""

    NO_CONTEXT = "alone"
    """The draft writes, nobody verifies."""
    REWARDED = "rewarded"
    """The draft writes, the PRM verifies."""
    VERIFIED = "verified"
    """The draft writes, the PRM and the target verify."""
    TARGET = "target"
    """The target writes, the PRM verifies."""


ROLES = {
    Kind.NO_CONTEXT: frozenset({Role.DRAFT}),
    Kind.REWARDED: frozenset({Role.DRAFT, Role.PRM}),
    Kind.VERIFIED: frozenset(Role),
    Kind.TARGET: frozenset({Role.TARGET, Role.PRM}),
}
"""Who takes part."""
_PRIOR = {"level": (-1.6, 2.0), "rewarded": (0.4, 0.3), "verified": (0.9, 0.4), "target": (1.7, 0.6)} | {
    "slope": (0.15, 0.05),
    "fresh": (0.4, 0.2),
}
"""Mean and standard deviation before anything is seen: steps of 0.2 s, within a factor of fifty or so."""
_WANDER = np.diag([0.08, 0.005, 0.005, 0.005, 0.0005, 0.005]) ** 2
"""Variance that each observed step adds."""
_SPREAD = 0.3
"""Standard deviation of the log of a step's time around its expectation."""
_SHORTEST_S = 1e-6
"""Clocks are not finer than that, and a step may be known already."""
LONGEST = 64
"""Steps beyond this are not told apart."""
_MEMORY = 64.0
"""Solutions that the counts of steps remember."""


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    rows: list[list[float]] = matrix.tolist()
    return tuple(tuple(row) for row in rows)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The belief at one moment; immutable, so that a solve has one that no other solve changes.

    Attributes:
        mean: [6] level, rewarded, verified, target (nats), slope, fresh.
        covariance: [6][6].
        lengths: [LONGEST] weight of the solutions that had 1, 2, ... steps.
        rewrites: share of draft steps that the target had to write again, in [0, 1].
    """

    mean: tuple[float, ...] = tuple(mean for mean, _ in _PRIOR.values())
    covariance: tuple[tuple[float, ...], ...] = _rows(np.diag([sd**2 for _, sd in _PRIOR.values()]))
    lengths: tuple[float, ...] = tuple(0.1 * 0.9**k for k in range(LONGEST))
    rewrites: float = 0.1

    def seen(self, kind: Kind, n: int, fresh: bool, seconds: float) -> Estimate:
        """The belief after one more step of `n` candidates, which took `seconds` >= 0.

        `fresh`: a model that was new to the solve took part.
        """
        h, mean = _design(kind, n, fresh), np.array(self.mean)
        before = np.array(self.covariance) + _WANDER
        variance = float(h @ before @ h) + _SPREAD**2
        gain = before @ h / variance
        # A step far from anything foreseen says that something happened, not how much.
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

        `rewrites`: the share of its draft steps that were written again; None where that says nothing.
        """
        kept = 1.0 - 1.0 / _MEMORY
        lengths = [kept * weight for weight in self.lengths]
        lengths[min(steps, LONGEST) - 1] += 1.0
        share = self.rewrites if rewrites is None else kept * self.rewrites + (1.0 - kept) * rewrites
        return replace(self, lengths=tuple(lengths), rewrites=share)

    def left(self, done: int, quantile: float) -> int:
        """Steps that a solution with `done` steps still takes, >= 1: this `quantile` of those that have more."""
        beyond = list(accumulate(self.lengths[min(done, LONGEST - 1) :]))
        return 1 + bisect_left(beyond, quantile * beyond[-1])

    def seconds(self, kind: Kind, n: int, steps: int = 1, fresh: bool = False) -> float:
        """Wall time to expect of so many steps; `fresh`: a model that is new to the solve takes part.

        The mean of the belief: what is hardly known is expected to take long.
        """
        h, mean, covariance = _design(kind, n, False), np.array(self.mean), np.array(self.covariance)
        opening = math.exp(self.mean[5]) if fresh else 1.0
        return (steps - 1 + opening) * math.exp(float(h @ mean) + (float(h @ covariance @ h) + _SPREAD**2) / 2)


def _design(kind: Kind, n: int, fresh: bool) -> Floats:
    """[6] what each of the six numbers counts for."""
    more = [float(kind is one) for one in (Kind.REWARDED, Kind.VERIFIED, Kind.TARGET)]
    return np.array([1.0, *more, math.log(n), float(fresh)])
