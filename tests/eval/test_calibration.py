"""Picking a configuration: predictions about it hold on other problems, and a goal is declared met only if it is.

Simulated worlds of known accuracy and latency, without models: problems differ in difficulty and length for all
configurations alike, as real ones do.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from helpers.toy_solves import solves
from specs.errors import InputError
from specs.eval import calibration
from specs.eval.calibration import Choice, Estimate, Evidence, Goal, design, estimates, pick, values
from specs.eval.grid import GridPoint
from specs.eval.rows import Row
from specs.methods.beam import Beam
from specs.methods.specs import Specs

RATIOS = np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
TIED = np.full(8, 0.85)
APART = np.array([0.9, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92])
STATISTICS = ("accuracy", "latency_ratio", "p95_s")


def world(seed, accuracy, ratio, problems):
    """Outcomes of configurations of known accuracy and latency ratio on newly drawn problems; 0 is the reference."""
    draw = np.random.default_rng(seed)
    shape = len(accuracy), problems
    hard = 0.8 * draw.normal(size=problems) + 0.6 * draw.normal(size=shape)
    seconds = np.exp(0.4 * draw.normal(size=problems) + 0.2 * draw.normal(size=shape)) * ratio[:, None]
    return Evidence((hard < ndtri(accuracy)[:, None]).astype(float), seconds, seconds[0])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(calibration, "RESAMPLES", 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accuracy", "problems", "further"), [(TIED, 100, 100), (APART, 60, 150)], ids=["tied", "apart"]
)
def test_what_is_predicted_of_the_picked_one_happens(accuracy, problems, further, quick):
    """120 worlds: 95% intervals miss in at most 5% of them; for each statistic a right method fails once in 10^5 runs.

    The picked configuration is the best of seven that are all alike, or that differ by less than the noise.
    """
    worlds, missed, widths = 120, dict.fromkeys(STATISTICS, 0), []
    for seed in range(worlds):
        seen, new = (world([seed, k], accuracy, RATIOS, size) for k, size in enumerate((problems, further)))
        choice = pick(seen, estimates(seen), Goal("latency_ratio", 0.7), range(1, 8))
        assert choice.met
        expected, found = estimates(seen, further)[choice.idx], values(new)
        for name in STATISTICS:
            missed[name] += not expected[name].low <= found[name][choice.idx] <= expected[name].high
        widths.append(expected["accuracy"].high - expected["accuracy"].low)
    assert max(missed.values()) <= binom.isf(1e-5, worlds, 0.05), missed
    assert np.mean(widths) < 0.3


def test_the_intervals_of_all_configurations_cover_as_stated(quick):
    """100 worlds: all eight true values lie in their intervals in 95% of them; a right method fails once in 10^5."""
    missed, worlds = 0, 100
    for seed in range(worlds):
        found = estimates(world(seed, APART, RATIOS, 150))
        for name, true in (("accuracy", APART), ("latency_ratio", RATIOS)):
            missed += not all(one[name].low <= value <= one[name].high for one, value in zip(found, true, strict=True))
    assert missed <= binom.isf(1e-5, 2 * worlds, 0.05)


@pytest.mark.parametrize(
    ("goal", "accuracy", "ratio", "wanted"),
    [
        (Goal("latency_ratio", 0.6), (0.9, 0.9, 0.6, 0.9), (1, 0.9, 0.3, 0.45), 3),
        (Goal("p95_s", 1.6), (0.9, 0.9, 0.6, 0.9), (1, 0.9, 0.3, 0.45), 3),
        (Goal("accuracy", 0.8), (0.9, 0.95, 0.6, 0.93), (1, 0.9, 0.3, 0.45), 3),
    ],
)
def test_a_goal_that_is_met_by_a_clear_margin_is_met(goal, accuracy, ratio, wanted, quick):
    """25 worlds of 150 problems: the right one of three is picked each time, by 5 standard errors or more."""
    for seed in range(25):
        seen = world(seed, np.array(accuracy), np.array(ratio, float), 150)
        choice = pick(seen, estimates(seen), goal, (1, 2, 3))
        assert (choice.idx, choice.met) == (wanted, True)


def test_what_only_just_misses_a_goal_is_not_said_to_meet_it(quick):
    """Seven configurations narrowly miss the goal: one seems to meet it in 2.5% of 120 worlds (more: once in 10^5)."""
    fooled = 0
    for seed in range(120):
        seen = world(seed, TIED, RATIOS, 100)
        fooled += pick(seen, estimates(seen), Goal("latency_ratio", 0.5), range(1, 8)).met
    assert fooled <= binom.isf(1e-5, 120, 0.025)


def _of(*numbers):
    """Estimates from pairs (accuracy, latency ratio), each interval 0.1 wide on either side."""
    return [
        {"accuracy": Estimate(a, a - 0.1, a + 0.1), "latency_ratio": Estimate(r, r - 0.1, r + 0.1)} for a, r in numbers
    ]


def test_of_tied_configurations_the_fastest_is_picked_with_its_reasons():
    """Of 40 problems, 1 solves 36; 2 solves 34 of those and one more; 3 solves 30 of those.

    The differences are 1 problem between 1 and 2 (standard error 1.7) and 6 between 1 and 3 (standard error 2.3).
    """
    right = np.array([[1.0] * k + [0.0] * (40 - k) for k in (40, 36, 34, 30)])
    right[2, 39] = 1.0
    seen = Evidence(right, np.ones((4, 40)), np.ones(40))
    found = _of((1.0, 1.0), (0.9, 0.5), (0.875, 0.4), (0.75, 0.2))
    choice = pick(seen, found, Goal("latency_ratio", 0.7), (1, 2, 3))
    assert (choice.idx, choice.met) == (2, True)
    assert choice.why == (
        "3 of 3 meet the goal by their whole interval, and it is the quickest of 2 within a standard error of the "
        "best (90.0%)"
    )
    assert pick(seen, found, Goal("latency_ratio", 0.7), (1, 3)).why.endswith("and it is most often right")
    assert pick(seen, found, Goal("latency_ratio", 0.35), (1, 2, 3)).idx == 3
    quickest = pick(seen, found, Goal("accuracy", 0.77), (1, 2, 3))
    assert (quickest.idx, quickest.why[-30:]) == (2, "and it is the quickest of them")


def test_where_no_configuration_meets_the_goal_the_nearest_is_named():
    seen = Evidence(np.ones((3, 20)), np.ones((3, 20)), np.ones(20))
    found = _of((1.0, 1.0), (0.9, 0.5), (0.8, 0.4))
    assert pick(seen, found, Goal("latency_ratio", 0.45), (1, 2)) == Choice(
        2, False, "more problems (--limit) may show that it does"
    )
    assert pick(seen, found, Goal("latency_ratio", 0.3), (1, 2)).why == "nor does its estimate"
    assert pick(seen, found, Goal("accuracy", 0.95), (1, 2)).idx == 1


def test_a_perfect_score_is_not_taken_for_certainty(quick):
    """20 of 20 right bound the accuracy as Wilson's interval does; of 20 further problems all may be right again."""
    seen = replace(world(0, TIED, RATIOS, 20), right=np.ones((8, 20)))
    (one, *_), (further, *_) = estimates(seen), estimates(seen, 20)
    assert one["accuracy"].low < 1 == one["accuracy"].high
    assert further["accuracy"].low < one["accuracy"].low < 1 == further["accuracy"].high


def test_values_are_those_of_numpy():
    seen = world(1, APART, RATIOS, 101)
    found = values(seen)
    np.testing.assert_allclose(found["accuracy"], seen.right.mean(1))
    np.testing.assert_allclose(found["latency_ratio"], np.median(seen.seconds / seen.seconds[0], 1))
    np.testing.assert_allclose(found["p95_s"], np.quantile(seen.seconds, 0.95, axis=1))
    assert [one["p95_s"].value for one in estimates(seen)] == pytest.approx(found["p95_s"])


def _row(problem, method, n, correct, latency):
    nothing = dict(answer=None, reference="1", finish_reason="answer", error=None if correct is not None else "broken")
    return Row(problem, method, n, 0, correct, latency_s=latency, time_to_first_step_s=None, steps=1, draft_steps=0,
               trail=[], seconds={}, usage={}, flops=0.0, **nothing)  # fmt: skip


def test_problems_with_a_failed_solve_are_dropped():
    points = [GridPoint("beam", Beam(2)), GridPoint("specs", Specs(2))]
    latency = count(1)
    rows = [_row(f"p{k}", name, 2, k % 2 == 0, float(next(latency))) for k in range(22) for name in ("beam", "specs")]
    rows[3] = replace(rows[3], correct=None, error="broken")
    seen = Evidence.of(rows, points)
    assert (seen.right.shape, seen.dropped) == ((2, 21), 1)
    assert seen.seconds[:, 1].tolist() == [5.0, 6.0]
    assert seen.reference.tolist() == seen.seconds[0].tolist()
    assert seen.right[1, :2].tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match=r"only 9 of 10 problems .* at least 20 \(first failure: broken\)"):
        Evidence.of(rows[:20], points)
    with pytest.raises(InputError, match=r"give at least 20$"):
        Evidence.of(rows[4:20], points)


def test_the_taus_of_the_design_reject_rising_shares_of_steps():
    """PRMs have different scales, so the design chooses shares of rejected steps and takes tau from their quantiles."""
    pilot = solves(Specs(n=2), range(40))
    points = design(pilot, [4, 2])
    assert [(point.label, point.setting.n) for point in points[:2]] == [("beam", 4), ("beam", 2)]
    assert len({point.setting.key for point in points}) == len(points) == 2 + 2 * (3 * 2 + 2)
    specs = [point.method for point in points[2:]]
    taus = sorted({method.tau for method in specs})
    assert len(taus) == 3
    assert all(0 <= tau <= 1 for tau in taus)
    assert {(m.n, m.tau, m.start) for m in specs if m.beta == Specs().beta} == {
        (n, tau, start) for n in (4, 2) for tau in taus for start in ("target", "draft")
    }
    assert [(m.n, m.beta, m.tau) for m in specs if m.beta != Specs().beta] == [
        (n, beta, taus[1]) for n in (4, 2) for beta in (5.0, 80.0)
    ]
