"""The running estimate of step latencies: updates worked by hand, and what the estimate learns from simulated steps."""

import math
from dataclasses import replace

import numpy as np
import pytest

from specs.core.latency import LONGEST, Estimate, Kind


def test_the_first_step_moves_the_level_as_worked_out_by_hand():
    """Prior of the log-latency level: mean -1.6, sd 2, drift 0.08 a step; the noise of a step is 0.3. All in nats."""
    seconds = math.exp(-1.6 - 1.5)
    variance = 2.0**2 + 0.08**2
    gain = variance / (variance + 0.3**2)
    after = Estimate().seen(Kind.UNVERIFIED, 1, False, seconds)
    assert after.mean[0] == pytest.approx(-1.6 - 1.5 * gain)
    assert after.covariance[0][0] == pytest.approx(variance * (1 - gain))
    assert after.mean[1:] == Estimate().mean[1:]


def test_the_expected_latency_is_the_mean_of_a_log_normal_law():
    estimate = replace(Estimate(), mean=(-3.0, 0.5, 1.0, 2.0, 0.2, 0.4), covariance=((0.0,) * 6,) * 6)
    half = 0.3**2 / 2
    assert estimate.seconds(Kind.UNVERIFIED, 1) == pytest.approx(math.exp(-3.0 + half))
    assert estimate.seconds(Kind.REWARDED, 2) == pytest.approx(math.exp(-2.5 + half) * 2**0.2)
    assert estimate.seconds(Kind.VERIFIED, 8, 5) == pytest.approx(5 * math.exp(-2.0 + half) * 8**0.2)
    assert estimate.seconds(Kind.TARGET, 1, 3, True) == pytest.approx((2 + math.exp(0.4)) * math.exp(-1.0 + half))
    doubtful = replace(estimate, covariance=np.diag([0.5, 0, 0, 0, 0, 0]).tolist())
    assert doubtful.seconds(Kind.UNVERIFIED, 1) == pytest.approx(math.exp(-3.0 + half + 0.25))


COST = {Kind.UNVERIFIED: 0.02, Kind.REWARDED: 0.03, Kind.VERIFIED: 0.05, Kind.TARGET: 0.2}


def learned(rng, rounds, factor=1.0, kinds=tuple(Kind), estimate=None):
    """An estimate after `rounds` of steps of known cost, each with log-normal noise."""
    estimate = estimate or Estimate()
    for _ in range(rounds):
        for kind in kinds:
            n = 1 if kind is Kind.UNVERIFIED else int(rng.choice([1, 2, 4, 8]))
            fresh = bool(rng.random() < 0.2)
            seconds = factor * COST[kind] * n**0.15 * math.exp(0.4 * fresh + 0.2 * rng.normal())
            estimate = estimate.seen(kind, n, fresh, seconds)
    return estimate


def test_costs_are_learned_from_steps_of_all_kinds():
    for seed in range(5):
        estimate = learned(np.random.default_rng(seed), 100)
        for kind, cost in COST.items():
            assert estimate.seconds(kind, 1) == pytest.approx(cost * math.exp(0.3**2 / 2), rel=0.35)
            if kind is not Kind.UNVERIFIED:
                assert estimate.seconds(kind, 8) == pytest.approx(cost * 8**0.15, rel=0.35)


def test_a_slowdown_seen_in_one_kind_of_step_applies_to_all_kinds():
    rng = np.random.default_rng(1)
    usual = learned(rng, 100)
    slow = learned(rng, 60, 3.0, (Kind.VERIFIED,), usual)
    for kind in Kind:
        assert slow.seconds(kind, 1) / usual.seconds(kind, 1) == pytest.approx(3.0, rel=0.35)


def test_an_outlier_counts_as_three_standard_deviations():
    usual = learned(np.random.default_rng(2), 50)
    one, other = (usual.seen(Kind.VERIFIED, 8, False, seconds) for seconds in (10.0, 1e6))
    assert one == other
    assert one.seconds(Kind.VERIFIED, 8) < 1.4 * usual.seconds(Kind.VERIFIED, 8)


def test_an_estimate_is_immutable():
    estimate = Estimate()
    estimate.seen(Kind.TARGET, 8, True, 1.0)
    estimate.solved(3, 0.5)
    assert estimate == Estimate()


def test_expected_steps_left_are_a_quantile_over_the_solutions_that_have_more():
    """Four finished solutions: two of 3 steps, one of 5 and one of 6."""
    estimate = replace(Estimate(), lengths=(0, 0, 2, 0, 1, 1, *[0] * (LONGEST - 6)))
    assert [estimate.left(0, q) for q in (0.25, 0.5, 0.75, 0.9)] == [3, 3, 5, 6]
    assert [estimate.left(done, 0.75) for done in (1, 2, 3, 4, 5)] == [4, 3, 3, 2, 1]
    assert [estimate.left(3, 0.5), estimate.left(4, 0.5)] == [2, 1]


def test_lengths_are_learned_and_forgotten():
    estimate = Estimate()
    assert estimate.left(0, 0.75) > estimate.left(0, 0.25) >= 1
    for _ in range(300):
        estimate = estimate.solved(4, None)
    assert [estimate.left(done, 0.75) for done in range(4)] == [4, 3, 2, 1]
    for _ in range(300):
        estimate = estimate.solved(9, None)
    assert estimate.left(0, 0.25) == 9
    assert 1 <= estimate.left(2 * LONGEST, 0.75) <= LONGEST
    assert estimate.solved(10 * LONGEST, None).lengths[-1] > 1.0


def test_the_share_of_rewrites_follows_the_solves():
    estimate = Estimate()
    assert estimate.solved(4, None).rewrites == estimate.rewrites
    for _ in range(400):
        estimate = estimate.solved(4, 0.25)
    assert estimate.rewrites == pytest.approx(0.25, abs=0.01)
