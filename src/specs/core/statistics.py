"""Intervals for accuracies, differences and ratios, in which repeats of a problem are not independent samples.

Rows that share a problem are correlated, so every function that may see repeats takes the
problem of each row as `clusters` and treats the clusters, not the rows, as independent.
Paired functions compare two methods row by row: row k of both is the same problem and repeat.
All bootstraps draw whole clusters with replacement and are seeded.

Sources: Wilson (1927) for the score interval; Korn and Graubard (1998) for putting an effective
sample size into an interval for proportions; Efron and Tibshirani (1993) for the percentile
bootstrap; Hesterberg (2015) for its widening by sqrt(G / (G - 1)); Davison and Hinkley (1997) for
the p-value and its two added ones; Piaggio et al. (2012) for non-inferiority by a one-sided bound.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FEWEST_DISCORDANT = 30
"""Problems on which two methods must differ before one can be called not worse."""
RESAMPLES = 10_000
_CHUNK = 1 << 21
"""Most resampled values in memory at once."""


class Verdict(StrEnum):
    """The result of a comparison with a margin."""

    NOT_WORSE = "not worse"
    NOT_SHOWN = "not shown to be not worse"
    TOO_FEW = "too few to tell"


class Interval(NamedTuple):
    """Two-sided confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """Mean of `a - b` with its uncertainty.

    Attributes:
        mean: mean of `a - b` over rows.
        low, high: two-sided 95% interval.
        lower_bound: one-sided 95% lower bound.
        p: two-sided p-value of the hypothesis that the mean is 0, in (0, 1].
        discordant: clusters in which `a` and `b` differ; with fewer than `FEWEST_DISCORDANT` the bootstrap
            interval is too narrow.
    """

    mean: float
    low: float
    high: float
    lower_bound: float
    p: float
    discordant: int


class Ratio(NamedTuple):
    """Median of paired ratios with its two-sided 95% interval."""

    median: float
    low: float
    high: float


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion.

    Args:
        successes: in [0, trials]; fractional where `trials` is an effective sample size.
        trials: >= 0; with none the interval is [0, 1].
        confidence: in (0, 1).
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes lie in [0, trials], not {successes} of {trials}")
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, pull = successes / trials, z * z / trials
    centre = (share + pull / 2) / (1 + pull)
    half = z / (1 + pull) * math.sqrt(share * (1 - share) / trials + pull / (4 * trials))
    # At 0 and at `trials` successes one end is exact; rounding must not move it.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if successes == trials else min(1.0, centre + half))


def clustered_mean_interval(values: ArrayLike, clusters: Sequence[Hashable], confidence: float = 0.95) -> Interval:
    """Wilson's interval for a mean of values in [0, 1], at the effective sample size of the clusters.

    The effective size is the number of rows divided by the design effect, which is the cluster-robust
    variance of the mean over the variance for independent rows, at least 1. If all values are equal,
    the rows of a cluster count as copies of each other. With one row per cluster this is Wilson's
    interval itself.

    Args:
        values: [R] in [0, 1], R >= 1; right or wrong, as 1 and 0.
        clusters: [R] the problem of each row.
    """
    rows = _rows(values, clusters)
    if rows.min() < 0 or rows.max() > 1:
        raise ValueError("values lie in [0, 1]")
    owner, groups = _owners(clusters)
    count, mean = len(rows), float(rows.mean())
    sizes = np.bincount(owner)
    copies = count**2 / float(np.square(sizes).sum())
    spread = mean * (1 - mean) / max(count - 1, 1)
    if groups == 1 or spread == 0:
        effective = copies
    else:
        deviations = np.bincount(owner, rows - mean)
        robust = groups / (groups - 1) * float(np.square(deviations).sum()) / count**2
        effective = count / max(1.0, robust / spread)
    return wilson(min(mean * effective, effective), effective, confidence)


def mean_interval(values: ArrayLike, clusters: Sequence[Hashable], seed: int = 0) -> Interval:
    """Two-sided 95% interval of a mean of any numbers, by a bootstrap over clusters.

    With a single cluster the spread is unknown and the interval unbounded.

    Args:
        values: [R] finite, R >= 1.
        clusters: [R] the problem of each row.
    """
    means = _resampled_means(_rows(values, clusters), clusters, seed)
    if means is None:
        return Interval(-math.inf, math.inf)
    low, high = percentiles(means, (2.5, 97.5))
    return Interval(low, high)


def paired_difference(a: ArrayLike, b: ArrayLike, clusters: Sequence[Hashable], seed: int = 0) -> Difference:
    """Mean of `a - b` over paired rows, by a bootstrap over clusters.

    With B resampled means m, p = 2 min(1 + #{m <= 0}, 1 + #{m >= 0}) / (B + 1), at most 1: the
    interval of confidence 1 - p just reaches 0. With a single cluster the spread is unknown: the
    interval is unbounded and p is 1.

    Args:
        a, b: [R] finite, R >= 1; row k of both is the same problem and repeat.
        clusters: [R] the problem of each row.
    """
    rows = _rows(a, clusters) - _rows(b, clusters)
    owner, _ = _owners(clusters)
    mean = float(rows.mean())
    discordant = int((np.bincount(owner, np.abs(rows)) > 0).sum())
    means = _resampled_means(rows, clusters, seed)
    if means is None:
        return Difference(mean, -math.inf, math.inf, -math.inf, 1.0, discordant)
    lower_bound, low, high = percentiles(means, (5.0, 2.5, 97.5))
    tail = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(mean, low, high, lower_bound, min(1.0, 2 * tail / (len(means) + 1)), discordant)


def non_inferior(lower_bound: float, margin: float, discordant: int) -> Verdict:
    """Whether "not worse by `margin` or more" holds: the one-sided lower bound of the difference is above -margin.

    With fewer than `FEWEST_DISCORDANT` discordant pairs the verdict is `TOO_FEW`: a bootstrap cannot show variation
    that the sample lacks.

    Args:
        lower_bound: as in `Difference`, in the unit of `margin`.
        margin: >= 0.
        discordant: pairs that differ, >= 0.
    """
    if not margin >= 0:
        raise ValueError(f"a margin is at least 0, not {margin}")
    if discordant < FEWEST_DISCORDANT:
        return Verdict.TOO_FEW
    return Verdict.NOT_WORSE if lower_bound > -margin else Verdict.NOT_SHOWN


def median_ratio_interval(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Ratio:
    """Median of `a / b` over independent pairs, by a bootstrap over pairs.

    With a single pair the spread is unknown and the interval is (0, inf).

    Args:
        a, b: [P] > 0, P >= 1; one entry per problem, repeats already averaged.
    """
    above, below = _rows(a, range(np.size(b))), _rows(b, range(np.size(a)))
    if above.min() <= 0 or below.min() <= 0:
        raise ValueError("ratios are taken of positive numbers")
    ratios = np.sort(above / below)
    median, pairs = float(np.median(ratios)), len(ratios)
    if pairs == 1:
        return Ratio(median, 0.0, math.inf)
    rng = np.random.default_rng(seed)
    # The ratios are sorted, so the middle indices of a resample are the indices of its middle values.
    middle = [(pairs - 1) // 2, pairs // 2]
    ranks = np.concatenate([np.partition(drawn, middle, -1)[:, middle] for drawn in _resamples(rng, pairs)])
    low, high = percentiles(ratios[ranks].mean(-1), (2.5, 97.5))
    return Ratio(median, low, high)


def percentiles(values: ArrayLike, shares: Sequence[float]) -> tuple[float, ...]:
    """Percentiles of `values` [R] at `shares` in [0, 100], linear between neighbours."""
    return tuple(float(value) for value in np.percentile(np.asarray(values, np.float64), shares))


def _rows(values: ArrayLike, clusters: Sequence[Hashable]) -> Floats:
    rows = np.asarray(values, np.float64)
    if rows.ndim != 1 or len(rows) == 0 or len(rows) != len(clusters):
        raise ValueError("rows and clusters must have the same length, at least 1")
    if not np.isfinite(rows).all():
        raise ValueError("rows are finite numbers")
    return rows


def _owners(clusters: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    """[R] cluster index of each row, and the number of clusters."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(cluster, len(index)) for cluster in clusters], np.int64), len(index)


def _resampled_means(rows: Floats, clusters: Sequence[Hashable], seed: int) -> Floats | None:
    """[RESAMPLES] means of resampled clusters, widened by sqrt(G / (G - 1)); None for a single cluster."""
    owner, groups = _owners(clusters)
    if groups == 1:
        return None
    sums, sizes = np.bincount(owner, rows), np.bincount(owner).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.concatenate([sums[drawn].sum(-1) / sizes[drawn].sum(-1) for drawn in _resamples(rng, groups)])
    # A bootstrap understates the variance of a mean of G clusters by the factor (G - 1) / G.
    return rows.mean() + (means - rows.mean()) * math.sqrt(groups / (groups - 1))


def _resamples(rng: np.random.Generator, groups: int) -> Iterator[NDArray[np.int32]]:
    """`RESAMPLES` rows of `groups` indices drawn with replacement, in blocks [<= chunk, groups]."""
    chunk = max(1, _CHUNK // groups)
    for start in range(0, RESAMPLES, chunk):
        yield rng.integers(groups, size=(min(chunk, RESAMPLES - start), groups), dtype=np.int32)
