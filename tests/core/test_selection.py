import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.core.keys import Key
from specs.core.selection import choose_best, choose_soft, first_of_equals, log_ratio, optimistic, softmax, tilt
from specs.types import Candidate, End

finite = st.floats(-50, 50)
KEY = Key.from_seed(0)


def candidate(log_p=None, log_q=None):
    return Candidate((1,), "a", End.DELIMITER, log_p, log_q)


def test_log_ratio_by_hand():
    assert log_ratio(candidate(-2.0, -3.5)) == 1.5
    assert log_ratio(candidate(-2.0, None)) == 0.0  # the target's own step
    assert log_ratio(candidate(None, -3.0)) == 0.0  # scored by reward alone
    assert log_ratio(candidate(-math.inf, -3.0)) == -math.inf  # outside the target's nucleus (top-p)
    assert log_ratio(candidate(-1.0, -math.inf)) == -math.inf


def test_soft_value_is_the_log_mean_exp_of_a_correct_or_wrong_outcome():
    beta, r = 3.0, 0.3
    assert tilt(r, beta, "soft-value") == pytest.approx(math.log(r * math.exp(beta) + 1 - r))
    assert tilt(r, beta) == pytest.approx(0.9)
    assert tilt(0.5, 5000.0, "soft-value") == pytest.approx(5000 + math.log(0.5))
    assert tilt(0.0, 5000.0, "soft-value") == -math.inf  # e^-5000 is 0 in floating point
    assert tilt(1.0, 4.0, "soft-value") == pytest.approx(4.0)
    assert tilt(0.0, 4.0, "soft-value") == pytest.approx(0.0)


def test_selection_by_hand():
    decision = choose_soft([math.log(1.0), math.log(3.0)], KEY)
    assert decision.probabilities == pytest.approx((0.25, 0.75))
    assert decision.ess == pytest.approx(1 / (0.0625 + 0.5625))
    assert decision.chi2 == pytest.approx(2 / decision.ess - 1)
    noise = KEY.gumbels(2)
    edge = float(noise[0] - noise[1])  # the score by which the second must be ahead of the first
    assert [choose_soft([0.0, edge + step], KEY).chosen for step in (-1e-9, 1e-9)] == [0, 1]


def test_by_the_earlier_rules_a_draw_inverts_the_cumulative_probabilities():
    for seed in range(20):
        key = Key.from_seed(seed, draws=2)
        assert choose_soft([math.log(1.0), math.log(3.0)], key).chosen == int(key.uniform() >= 0.25)


def test_equal_weights_have_full_sample_size_and_no_divergence():
    decision = choose_soft([0.7] * 5, KEY)
    assert decision.ess == pytest.approx(5)
    assert decision.chi2 == pytest.approx(0)


@pytest.mark.parametrize("scores", [[-math.inf, -math.inf], [math.nan], [math.inf, 0.0]])
def test_no_support(scores):
    decision = choose_soft(scores, KEY)
    assert decision.chosen is None
    assert sum(decision.probabilities) == 0


def test_the_best_candidate_where_some_or_all_lack_support():
    assert choose_best([math.nan, -math.inf]).chosen is None
    assert choose_best([math.nan, 0.2, 0.2]).chosen == 1


@given(st.lists(finite, min_size=1, max_size=9), finite)
def test_a_common_shift_of_scores_changes_no_probability(scores, shift):
    assert softmax([s + shift for s in scores]) == pytest.approx(softmax(scores), abs=1e-9)


@given(st.lists(finite, min_size=1, max_size=6), st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_an_impossible_candidate_is_never_drawn(scores, seed, draws):
    decision = choose_soft([-math.inf, math.nan, *scores, -math.inf, math.nan], Key.from_seed(seed, draws))
    assert decision.chosen is not None
    assert 2 <= decision.chosen < len(scores) + 2
    assert decision.probabilities[decision.chosen] > 0


@given(st.lists(finite, min_size=1, max_size=5), st.integers(1, 4))
def test_merging_m_equal_candidates_adds_log_m(scores, copies):
    """m equal candidates have the probability of one with log m added to its score (docs/method.md, Duplicates)."""
    apart = softmax(scores + [scores[0]] * (copies - 1))
    merged = softmax([scores[0] + math.log(copies), *scores[1:]])
    assert apart is not None
    assert merged is not None
    first = apart[0] + apart[len(scores) :].sum()
    assert first == pytest.approx(merged[0])
    assert apart[1 : len(scores)] == pytest.approx(merged[1:])


@pytest.mark.parametrize("draws", [2, 3])
@pytest.mark.parametrize("scores", [[0.0, 1.0, -1.0, 2.0], [0.0, 0.0, -3.0, 0.0], [5.0, 4.0, 3.0, 2.5]])
def test_draws_follow_the_probabilities(scores, draws):
    """Chi-square with 3 degrees of freedom; a correct draw fails with probability 1e-5 in each of 6 cases."""
    p = softmax(scores)
    keys = (Key.from_seed(seed, draws) for seed in range(20_000))
    counts = np.bincount([choose_soft(scores, key).chosen for key in keys], minlength=4)
    assert ((counts - 20_000 * p) ** 2 / (20_000 * p)).sum() < 25.9


def test_gumbel_variables_are_the_same_for_every_n():
    assert KEY.gumbels(12)[:3].tolist() == KEY.gumbels(3).tolist()


@pytest.mark.parametrize("uniform", [0.0, 2**-53, 1 - 2**-53])
def test_gumbel_variables_are_finite(uniform, monkeypatch):
    monkeypatch.setattr(Key, "_generator", lambda *_: mock.Mock(random=lambda n: np.full(n, uniform)))
    assert np.isfinite(KEY.gumbels(2)).all()


def test_an_unread_candidate_counts_with_the_highest_score_that_it_can_have():
    read, bounded, unread, targets = candidate(-2.0, -3.5), candidate(None, -1.0), candidate(None, -1.0), candidate()
    bounded = replace(bounded, log_p_at_most=-0.5)
    assert [c.log_p for c in optimistic([read, bounded, unread, targets])] == [-2.0, -0.5, 0.0, None]


def test_of_equal_scores_the_first_is_best():
    assert first_of_equals([(1,), (2,), (1,), (1,), (2,)]) == [None, None, 0, 0, 1]
