"""The law of one chosen step: quadrature equals enumeration, and limits and bounds hold."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.theory import exact
from research.theory.exact import Draws, PoissonDraws, Rewritten


def draws(seed, size=4, spread=1.0, steep=3.0, kind=Draws):
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=size)
    return kind(np.exp(logits) / np.exp(logits).sum(), np.exp(steep * rng.random(size)))


def law(selection, n):
    return selection.limit * (1 + selection.excess(n))


def enumerated(one, n):
    """The law of the chosen step, summed over all n-tuples of draws."""
    total = np.zeros(len(one.writer))
    for drawn in product(range(len(total)), repeat=n):
        drawn = list(drawn)
        np.add.at(total, drawn, one.writer[drawn].prod() * one.weights[drawn] / one.weights[drawn].sum())
    return total


def kl(selection, n):
    excess = selection.excess(n)
    return float(selection.limit @ (excess - np.log1p(excess)))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("steep", [0.5, 5.0, 30.0])
def test_quadrature_is_enumeration(n, steep):
    for seed in range(5):
        one = draws(seed, steep=steep)
        assert law(one, n) == pytest.approx(enumerated(one, n), rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("n", [10, 300, 10_000])
def test_of_two_steps_the_number_of_draws_is_binomial(n):
    """For two steps there is an independent exact law for any n: the first is drawn a binomial number of times."""
    one = draws(3, size=2)
    k = np.arange(n + 1)
    share = k * one.weights[0] / (k * one.weights[0] + (n - k) * one.weights[1])
    ways = np.array([math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in range(n + 1)])
    chance = np.exp(ways + k * math.log(one.writer[0]) + (n - k) * math.log(one.writer[1]))
    assert law(one, n)[0] == pytest.approx(chance @ share, rel=1e-9)


def test_a_poisson_number_of_draws_mixes_the_laws_of_fixed_numbers():
    one, mixed, mean = draws(0), draws(0, kind=PoissonDraws), 3
    chances = {n: mean**n / math.factorial(n) for n in range(1, 60)}
    mixture = sum(chance * law(one, n) for n, chance in chances.items()) / sum(chances.values())
    assert law(mixed, mean) == pytest.approx(mixture, rel=1e-11)


def test_rewriting_is_two_choices_in_sequence():
    rng = np.random.default_rng(1)
    q, p = (rng.dirichlet(np.ones(5)) for _ in range(2))
    weights, kept = np.exp(3 * rng.random(5)), np.array([True, False, True, False, False])
    both = Rewritten(Draws(q, weights * p / q), Draws(p, weights), kept)
    for n in (1, 2, 3):
        first, second = enumerated(both.draft, n), enumerated(both.target, n)
        assert law(both, n) == pytest.approx(first * kept + first[~kept].sum() * second, rel=1e-11)
    pi, rho = both.draft.limit, both.draft.limit[~kept].sum()
    assert both.limit == pytest.approx(pi * (kept + rho))
    assert both.limit.sum() == pytest.approx(1)
    assert float(pi @ np.log(pi / both.limit)) == pytest.approx(both.floor)
    assert both.floor == pytest.approx(-(1 - rho) * math.log(1 + rho) - rho * math.log(rho))


@pytest.mark.parametrize(("kept", "writer"), [(True, "draft"), (False, "target")])
def test_a_threshold_that_accepts_all_or_nothing_leaves_one_writer(kept, writer):
    target = draws(2)
    draft = Draws(np.full(4, 0.25), target.limit * 4)
    both = Rewritten(draft, target, np.full(4, kept))
    assert both.floor == pytest.approx(0)
    assert law(both, 5) == pytest.approx(law(getattr(both, writer), 5))


def test_finer_nodes_change_the_excess_only_by_rounding(monkeypatch):
    grid = product(range(3), (1.0, 30.0), (Draws, PoissonDraws), (1, 8, 10_000))
    cases = [(draws(seed, steep=steep, kind=kind), n) for seed, steep, kind, n in grid]
    coarse = [one.excess(n) for one, n in cases]
    monkeypatch.setattr(exact, "_SPACING", 1 / 16)
    for (one, n), before in zip(cases, coarse, strict=True):
        assert one.excess(n) == pytest.approx(before, rel=1e-10, abs=1e-14)


def test_drift_is_the_limit_of_n_times_the_excess():
    draft, target = draws(0), draws(0)
    for selection in (draft, draws(0, kind=PoissonDraws), Rewritten(draft, target, np.array([1, 0, 1, 0], bool))):
        assert 1e6 * selection.excess(10**6) == pytest.approx(selection.drift, rel=1e-4, abs=1e-4)
        assert float(selection.limit @ selection.drift) == pytest.approx(0, abs=1e-12)


def test_with_equal_weights_the_choice_has_the_writer_s_law():
    one = Draws(np.array([0.2, 0.3, 0.5]), np.full(3, 7.0))
    for n in (1, 8, 1000):
        assert one.excess(n) == pytest.approx(0, abs=1e-13)
    assert one.bound(8) == pytest.approx(0, abs=1e-15)


def test_one_draw_has_the_writer_s_law():
    one = draws(4, steep=20.0)
    assert law(one, 1) == pytest.approx(one.writer)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 12),
    st.floats(0.05, 3),
    st.floats(0.1, 16),
    st.sampled_from([1, 2, 3, 5, 8, 50, 1000]),
    st.sampled_from([Draws, PoissonDraws]),
)
def test_the_bound_holds(seed, size, spread, steep, n, kind):
    one = draws(seed, size, spread, steep, kind)
    assert 0 <= kl(one, n) <= one.bound(n)


@settings(max_examples=75, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.1, 16), st.integers(1, 200))
def test_the_bound_of_rewriting_holds(seed, steep, n):
    target = draws(seed, steep=steep)
    draft = Draws(draws(seed + 1).writer, target.limit / draws(seed + 1).writer)
    both = Rewritten(draft, target, np.random.default_rng(seed).random(4) < 0.5)
    if both.limit.min() > 0:
        assert kl(both, n) <= both.bound(n)
