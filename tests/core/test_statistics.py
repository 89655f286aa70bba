"""Laws of the intervals: coverage, clustering, pairing, and the false-alarm rate of a non-inferiority claim.

Simulations have fixed seeds; the stated odds are those of a correct implementation failing with a fresh seed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from specs.core.statistics import (
    Verdict,
    clustered_mean_interval,
    mean_interval,
    median_ratio_interval,
    non_inferior,
    paired_difference,
    percentiles,
    wilson,
)


def test_wilson_by_hand():
    # z = 1.959964: centre (p + z2/2n) / (1 + z2/n), half z/(1 + z2/n) sqrt(p(1-p)/n + z2/4n2)
    assert wilson(10, 20) == pytest.approx((0.299298, 0.700702), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 3.841459 / 13.841459), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("trials", [1, 7, 100])
def test_wilson_is_symmetric_and_exact_at_its_ends(trials):
    for successes in range(trials + 1):
        low, high = wilson(successes, trials)
        assert 0 <= low <= successes / trials <= high <= 1
        assert (1 - high, 1 - low) == pytest.approx(wilson(trials - successes, trials), abs=1e-12)
    assert wilson(0, trials).low == 0
    assert wilson(trials, trials).high == 1


def test_wilson_covers_as_stated():
    """Exact coverage without sampling: binomial probabilities summed, on a grid of proportions."""
    trials = 50
    masses = np.array([math.comb(trials, k) for k in range(trials + 1)], float)
    ends = np.array([wilson(k, trials) for k in range(trials + 1)])
    coverage = []
    for p in np.linspace(0.05, 0.95, 91):
        law = masses * p ** np.arange(trials + 1) * (1 - p) ** np.arange(trials, -1, -1)
        coverage.append(law[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum())
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.005)
    assert min(coverage) > 0.91


def test_a_higher_confidence_gives_a_wider_interval():
    assert wilson(10, 20, 0.5).low > wilson(10, 20).low > wilson(10, 20, 0.999).low


def test_with_one_row_a_cluster_the_interval_is_wilson_s():
    values = [1.0] * 7 + [0.0] * 4
    assert clustered_mean_interval(values, range(11)) == pytest.approx(wilson(7, 11))


def test_copies_of_a_row_do_not_narrow_the_interval():
    """Ten problems copied 5 times: the interval is never narrower than for ten rows, and at most 20% wider."""
    values, problems = np.array([1, 1, 1, 0, 1, 0, 1, 1, 0, 1.0]), list(range(10))
    once, copied = wilson(7, 10), clustered_mean_interval(values.repeat(5), np.repeat(problems, 5).tolist())
    assert copied.low <= once.low
    assert copied.high >= once.high
    assert copied.high - copied.low < 1.2 * (once.high - once.low)
    # without any spread, or with a single problem, the interval is exactly that of the uncopied rows
    assert clustered_mean_interval([1.0] * 15, [0, 1, 2] * 5) == pytest.approx(wilson(3, 3))
    assert clustered_mean_interval([1.0, 0.0], [4, 4]) == pytest.approx(wilson(0.5, 1))


def test_clustered_interval_covers_where_wilson_does_not():
    """60 problems of Beta(0.9, 0.6) difficulty, 4 repeats: coverage of 95% within 2.5% (fails 1 in 10,000 times)."""
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(60), 4).tolist()
    covered = naive = 0
    for _ in range(1500):
        easy = rng.beta(0.9, 0.6, 60)
        values = (rng.random((60, 4)) < easy[:, None]).astype(float).ravel()
        low, high = clustered_mean_interval(values, clusters)
        covered += low <= 0.6 <= high
        low, high = wilson(values.sum(), 240)
        naive += low <= 0.6 <= high
    assert covered / 1500 == pytest.approx(0.95, abs=0.025)
    assert naive / 1500 < 0.85


def test_difference_by_hand():
    """Two clusters with differences 1 and 0: a resample's mean is 0, 1/2 or 1 with odds 1:2:1, spread by sqrt(2)."""
    found = paired_difference([1.0, 1.0], [0.0, 1.0], ["x", "y"])
    wide = math.sqrt(2) / 2
    assert found == pytest.approx((0.5, 0.5 - wide, 0.5 + wide, 0.5 - wide, 0.5, 1), rel=0.05)


@pytest.mark.slow
def test_difference_covers_and_errs_as_stated():
    """True difference -5 points; 250 problems of which 16% (40) are discordant; 600 simulations.

    Coverage is 95% within 3.5%. The claim "not worse by 5 points", false by a hair, is made in 5% of the simulations
    within 4% (each bound fails about 1 in 10,000 times).
    """
    rng = np.random.default_rng(1)
    covered = false_alarms = 0
    for seed in range(600):
        differences = rng.choice([1.0, 0.0, -1.0], 250, p=[0.055, 0.84, 0.105])
        found = paired_difference(differences, np.zeros(250), range(250), seed)
        covered += found.low <= -0.05 <= found.high
        false_alarms += non_inferior(found.lower_bound, 0.05, found.discordant) is Verdict.NOT_WORSE
    assert covered / 600 == pytest.approx(0.95, abs=0.035)
    assert false_alarms / 600 == pytest.approx(0.05, abs=0.04)


def test_pairing_beats_not_pairing():
    """Two methods are right on nearly the same problems: pairing cancels the difficulty of problems."""
    rng = np.random.default_rng(5)
    easy = rng.random(300) < 0.6
    a, b = easy ^ (rng.random(300) < 0.04), easy ^ (rng.random(300) < 0.04)
    paired = paired_difference(a, b, range(300))
    unpaired = paired_difference(a, rng.permutation(b), range(300))
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_clustering_widens_a_difference():
    rng = np.random.default_rng(6)
    differences = np.repeat(rng.choice([1.0, 0.0, -1.0], 50), 4)
    rows = paired_difference(differences, np.zeros(200), range(200))
    problems = paired_difference(differences, np.zeros(200), np.repeat(np.arange(50), 4).tolist())
    assert problems.mean == rows.mean
    # with every row four times, the standard error doubles
    assert problems.high - problems.low == pytest.approx(2 * (rows.high - rows.low), rel=0.12)


def test_difference_is_antisymmetric_seeded_and_ordered():
    rng = np.random.default_rng(7)
    a, b, problems = rng.random(90), rng.random(90), [k % 30 for k in range(90)]
    found, swapped = paired_difference(a, b, problems, 4), paired_difference(b, a, problems, 4)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx((-found.mean, -found.high, -found.low))
    assert found.low < found.lower_bound < found.mean < found.high
    assert found == paired_difference(a, b, problems, 4)
    assert found != paired_difference(a, b, problems, 5)


def test_a_method_compared_with_itself():
    a = [1.0, 0.0, 1.0, 1.0]
    assert paired_difference(a, a, range(4)) == (0.0, 0.0, 0.0, 0.0, 1.0, 0)
    assert median_ratio_interval([2.0, 3.0, 5.0], [2.0, 3.0, 5.0]) == (1.0, 1.0, 1.0)


def test_one_problem_gives_no_bound():
    found = paired_difference([1.0, 1.0], [0.0, 1.0], ["x", "x"])
    assert found == (0.5, -math.inf, math.inf, -math.inf, 1.0, 1)
    assert mean_interval([1.0, 3.0], ["x", "x"]) == (-math.inf, math.inf)
    assert non_inferior(found.lower_bound, 1.0, found.discordant) is Verdict.TOO_FEW
    assert median_ratio_interval([3.0], [2.0]) == (1.5, 0.0, math.inf)


def test_non_inferior_is_strict_at_the_margin():
    assert non_inferior(-0.0199, 0.02, 30) is Verdict.NOT_WORSE
    assert non_inferior(-0.02, 0.02, 30) is Verdict.NOT_SHOWN
    with pytest.raises(ValueError, match="margin"):
        non_inferior(0.0, -0.01, 30)


def test_fewer_than_thirty_discordant_problems_give_no_verdict():
    """Two methods that never differ on four problems have a difference of exactly 0, which proves nothing."""
    alike = paired_difference(np.zeros(4), np.zeros(4), range(4))
    assert alike.lower_bound == 0
    assert non_inferior(alike.lower_bound, 0.02, alike.discordant) is Verdict.TOO_FEW
    for discordant in range(30):
        assert non_inferior(0.5, 0.02, discordant) is non_inferior(-0.5, 0.02, discordant) is Verdict.TOO_FEW


def test_median_ratio_by_hand():
    """Ratios 1 and 3: a resample's median is 1, 2 or 3 with odds 1:2:1."""
    assert median_ratio_interval([1.0, 6.0], [1.0, 2.0]) == (2.0, 1.0, 3.0)


@pytest.mark.slow
def test_median_ratio_covers_as_stated():
    """Log-normal ratios of median 1: coverage of 94% within 4.5% (fails 1 in 700 times).

    A bootstrap of a median covers slightly less than the nominal 95%.
    """
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(300):
        found = median_ratio_interval(np.exp(rng.normal(0, 0.5, 25)), np.ones(25), seed)
        covered += found.low <= 1 <= found.high
    assert covered / 300 == pytest.approx(0.94, abs=0.045)


def test_the_median_ratio_is_over_pairs():
    """Problems of very different cost, each 20% faster: paired, the ratio is exactly 0.8."""
    cost = np.geomspace(0.1, 100, 40)
    assert median_ratio_interval(0.8 * cost, cost) == pytest.approx((0.8, 0.8, 0.8))


def test_percentiles():
    assert percentiles([4.0, 1.0, 2.0, 3.0, 5.0], (0, 50, 95, 100)) == pytest.approx((1, 3, 4.8, 5))


def _correlated(rng, problems=60, repeats=3):
    """Outcomes of two methods on problems of different difficulty, and the problem of each row."""
    easy = rng.beta(0.9, 0.6, problems)
    a, b = ((rng.random((problems, repeats)) < share[:, None]).astype(float) for share in (easy, easy**1.3))
    return a.ravel(), b.ravel(), np.repeat(np.arange(problems), repeats).tolist()


def test_wilson_is_that_of_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    for successes, trials in ((0, 9), (3, 10), (57, 60), (1400, 2500)):
        for confidence in (0.9, 0.95):
            wanted = proportion_confint(successes, trials, 1 - confidence, method="wilson")
            assert wilson(successes, trials, confidence) == pytest.approx(wanted, abs=1e-6)


def test_clusters_weigh_as_in_cluster_robust_least_squares():
    """Wilson's interval at the effective size has the width of the cluster-robust standard error of a mean.

    statsmodels scales it by G/(G-1) (R-1)/(R-K); with a constant alone (K = 1) the second factor is 1.
    """
    import statsmodels.api as sm

    values, _, problems = _correlated(np.random.default_rng(11), problems=400)
    fit = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": np.array(problems)})
    error, low, high = fit.bse[0], *clustered_mean_interval(values, problems)
    assert (high - low) / 2 == pytest.approx(1.959964 * error, rel=0.01)
    # the bootstrap over clusters has the same spread, of means and of paired differences
    low, high = mean_interval(values, problems)
    assert (high - low) / 2 == pytest.approx(1.959964 * error, rel=0.03)
    a, b, _ = _correlated(np.random.default_rng(12), problems=400)
    fit = sm.OLS(a - b, np.ones(len(a))).fit(cov_type="cluster", cov_kwds={"groups": np.array(problems)})
    found = paired_difference(a, b, problems)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * fit.bse[0], rel=0.03)
    # and p is the normal one where the normal law holds
    assert found.p == pytest.approx(fit.pvalues[0], abs=0.02)


def test_bootstrap_is_that_of_scipy():
    """The percentile interval over whole clusters of unequal size, before it is widened by sqrt(G / (G - 1)).

    Ends agree within 0.08 standard errors: the Monte Carlo error of a 2.5% quantile of 10,000 resamples is about 0.027.
    """
    from scipy.stats import bootstrap

    rng = np.random.default_rng(13)
    a, b, problems = _correlated(rng, problems=30)
    kept = np.flatnonzero(rng.random(len(a)) < 0.8)
    a, b, problems = a[kept], b[kept], [problems[k] for k in kept]
    owners = np.unique(problems, return_inverse=True)[1]
    sums, sizes = np.bincount(owners, a - b), np.bincount(owners).astype(float)
    wanted = bootstrap(
        (sums, sizes),
        lambda s, w, axis: s.sum(axis) / w.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        random_state=rng,
    )
    found, groups = paired_difference(a, b, problems), len(sums)
    wide = math.sqrt(groups / (groups - 1))
    ends = [found.mean + wide * (end - found.mean) for end in wanted.confidence_interval]
    assert [found.low, found.high] == pytest.approx(ends, abs=0.08 * wanted.standard_error)
    assert mean_interval(a - b, problems) == (found.low, found.high)


def test_p_by_hand():
    """Differences 1 and 0: a resample's widened mean is below 0 or above it with odds 1:3."""
    found = paired_difference([1.0, 1.0], [0.0, 1.0], ["x", "y"])
    assert found.p == pytest.approx(0.5, abs=0.03)


def test_p_and_interval_agree():
    """p is below 5% exactly when the 95% interval excludes 0, except for a rank or two of 10,000 resamples."""
    rng = np.random.default_rng(14)
    for seed in range(60):
        differences = rng.choice([1.0, 0.0, -1.0], 80, p=[0.18, 0.74, 0.08])
        found = paired_difference(differences, np.zeros(80), range(80), seed)
        if abs(found.p - 0.05) > 0.002:
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.slow
def test_p_errs_as_stated_and_stays_near_mcnemar():
    """Equal methods, 100 problems, 25 discordant, 500 runs: p < 5% in 5% of them within 4% (fails 1 in 10,000 times).

    p exceeds that of McNemar's exact test, which is conservative, by at most 0.02, and is near its mid-p where small.
    """
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar

    rng = np.random.default_rng(15)
    alarms = 0
    for seed in range(500):
        differences = rng.choice([1.0, 0.0, -1.0], 100, p=[0.125, 0.75, 0.125])
        found = paired_difference(differences, np.zeros(100), range(100), seed)
        alarms += found.p < 0.05
        won, lost = int((differences > 0).sum()), int((differences < 0).sum())
        exact = mcnemar([[0, won], [lost, 0]], exact=True).pvalue
        assert found.p < exact + 0.02
        if exact < 0.2:
            assert found.p == pytest.approx(exact - binom.pmf(won, won + lost, 0.5), abs=0.025)
    assert alarms / 500 == pytest.approx(0.05, abs=0.04)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: clustered_mean_interval([1.0, 2.0], [0, 1]),
        lambda: clustered_mean_interval([], []),
        lambda: mean_interval([1.0], [0, 1]),
        lambda: paired_difference([1.0], [1.0, 0.0], [0, 1]),
        lambda: paired_difference([math.nan], [0.0], [0]),
        lambda: median_ratio_interval([0.0], [1.0]),
        lambda: median_ratio_interval([1.0], [1.0, 2.0]),
    ],
)
def test_values_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match=r"lie in|the same length|finite|positive"):
        call()
