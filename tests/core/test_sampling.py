import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.core.sampling import log_law, sample
from specs.types import SamplingParams

LOGITS = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))


def test_temperature_one_is_softmax():
    assert np.exp(log_law(LOGITS)) == pytest.approx(np.array([[0.5, 0.3, 0.15, 0.05]]))


def test_temperature_raises_probabilities_to_its_inverse():
    powered = np.array([0.5, 0.3, 0.15, 0.05]) ** (1 / 0.7)
    assert np.exp(log_law(LOGITS, SamplingParams(0.7)))[0] == pytest.approx(powered / powered.sum())


def test_temperature_zero_is_the_first_of_the_most_likely():
    law = log_law(np.array([[1.0, 3.0, 3.0]]), SamplingParams(0.0))
    assert law.tolist() == [[-np.inf, 0.0, -np.inf]]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, [1.0, 0, 0, 0]), (0.5, [1.0, 0, 0, 0]), (0.51, [0.625, 0.375, 0, 0]), (0.96, [0.5, 0.3, 0.15, 0.05])],
)
def test_nucleus_is_the_smallest_set_that_reaches_top_p(top_p, kept):
    assert np.exp(log_law(LOGITS, SamplingParams(1.0, top_p)))[0] == pytest.approx(np.array(kept))


def test_nucleus_is_taken_after_temperature():
    # At temperature 0.25 the first token alone has probability 0.88.
    assert np.exp(log_law(LOGITS, SamplingParams(0.25, 0.85)))[0] == pytest.approx([1, 0, 0, 0])


def test_of_equal_tokens_at_the_edge_of_the_nucleus_the_first_stays():
    assert np.exp(log_law(np.zeros((1, 4)), SamplingParams(1.0, 0.5)))[0] == pytest.approx([0.5, 0.5, 0, 0])


def test_integer_logits_are_read_as_numbers():
    assert np.exp(log_law(np.array([[0, 0]])))[0] == pytest.approx([0.5, 0.5])


def test_sampling_inverts_the_cumulative_distribution():
    tokens, gains = sample(LOGITS, SamplingParams(), [0] * 5, [0.0, 0.49, 0.51, 0.81, 0.9999999999])
    assert tokens == [0, 0, 1, 2, 3]
    assert gains == pytest.approx(LOGITS[0, tokens].tolist())


def test_several_draws_may_read_the_same_row():
    assert sample(np.log([[0.9, 0.1], [0.1, 0.9]]), SamplingParams(), [1, 0, 1], [0.5, 0.5, 0.05])[0] == [1, 0, 0]


LAWS = [
    *(SamplingParams(*law) for law in ((1.0, 1.0), (0.7, 1.0), (0.8, 0.9), (0.0, 1.0), (1e-40, 1.0))),
    SamplingParams(0.7, top_k=2),
    SamplingParams(0.7, min_p=0.01),
    SamplingParams(0.7, 0.99, top_k=2, min_p=0.01),
    SamplingParams(0.0, 0.9, top_k=2, min_p=0.5),
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("row", "word"),
    [
        ([0.0, math.nan, 1.0], "NaN"),
        ([math.nan] * 3, "NaN"),
        ([0.0, math.inf, 1.0], "infinite"),
        ([-math.inf, math.inf, 1.0], "infinite"),
        ([math.nan, math.inf, 1.0], "NaN"),
        ([-math.inf] * 3, "-infinity for all tokens"),
    ],
)
def test_a_row_without_a_valid_distribution_is_refused(row, word, law):
    rows = np.array([[0.0, 1.0, 2.0], row], np.float32)
    with pytest.raises(FloatingPointError, match=f"^{word}$"):
        log_law(rows, law)
    with pytest.raises(FloatingPointError, match=f"^{word}$"):
        sample(rows, law, [0, 1], [0.5, 0.5])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("least", [-math.inf, float(np.finfo(np.float32).min)])
def test_impossible_tokens_beside_possible_ones_are_no_error(law, least):
    """Masks are minus infinity or the lowest finite number: in both cases the token is never drawn."""
    rows = np.array([[least, 1.0, least, 5.0]], np.float32)
    found = np.exp(log_law(rows, law))[0]
    assert found[[0, 2]].tolist() == [0.0, 0.0]
    assert found.sum() == pytest.approx(1)
    tokens, _ = sample(rows, law, [0] * 5, [0.0, 0.01, 0.3, 0.9, 1 - 2**-53])
    assert set(tokens) <= {1, 3}


def test_logits_that_overflow_when_divided_by_the_temperature_are_refused():
    for ask in (log_law, lambda *asked: sample(*asked, [0], [0.5])):
        with pytest.raises(FloatingPointError, match=r"^infinite$"):
            ask(np.array([[0.0, 2e38]], np.float32), SamplingParams(0.5))


@pytest.mark.parametrize("temperature", [9e-31, 1e-38, 1e-45, 1e-300])
def test_a_temperature_near_0_is_read_as_0(temperature):
    assert log_law(LOGITS.astype(np.float32), SamplingParams(temperature)).tolist() == [
        [0.0, -math.inf, -math.inf, -math.inf]
    ]
    assert sample(LOGITS.astype(np.float32), SamplingParams(temperature), [0], [0.999]) == ([0], [0.0])


PROBABILITIES = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"top_k": 1}, 1),
        ({"top_k": 3}, 3),
        ({"top_k": 5}, 5),
        ({"top_k": 6}, 6),
        ({"top_k": 7}, 6),
        ({"top_k": 10**30}, 6),
        ({"min_p": 0.05}, 6),  # below 0.04 / 0.4
        ({"min_p": 0.101}, 5),
        ({"min_p": 0.2}, 4),
        ({"min_p": 0.6}, 2),
        ({"min_p": 1.0}, 1),
        ({"min_p": 5e-324}, 6),
        ({"top_k": 4, "min_p": 0.6}, 2),
        ({"top_k": 2, "min_p": 0.2}, 2),
    ],
)
def test_filters_keep_the_most_likely_tokens_with_their_ratios(filters, kept):
    """In whatever order the vocabulary has them; what stays is scaled to 1."""
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        wanted = np.array(PROBABILITIES) * (np.arange(6) < kept)
        law = np.exp(log_law(np.log(PROBABILITIES)[order], SamplingParams(**filters)))
        assert law == pytest.approx((wanted / wanted.sum())[order])


def test_min_p_compares_probabilities_after_the_temperature():
    # At temperature 2 the second is sqrt(0.3 / 0.5) = 0.77 times as likely as the first; at 1 it is 0.6 times.
    assert np.isfinite(log_law(LOGITS, SamplingParams(2.0, min_p=0.7)))[0].tolist() == [True, True, False, False]
    assert np.isfinite(log_law(LOGITS, SamplingParams(1.0, min_p=0.7)))[0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("filters", [{"top_k": 3}, {"min_p": 0.3}])
def test_top_p_is_taken_of_the_mass_that_the_other_filters_left(filters):
    """0.4, 0.25 and 0.15 are left. Of all mass, 0.79 needs all three; of theirs, the first two have 0.8125."""
    assert np.isfinite(log_law(np.log(PROBABILITIES), SamplingParams(1.0, 0.79))).sum() == 3
    law = np.exp(log_law(np.log(PROBABILITIES), SamplingParams(1.0, 0.79, **filters)))
    assert law == pytest.approx([0.4 / 0.65, 0.25 / 0.65, 0, 0, 0, 0])


def test_tokens_as_likely_as_the_last_that_stays_all_stay():
    """Whatever their places, with either filter; `top_p` alone takes the first among equals."""
    rows = np.log([[0.1, 0.4, 0.1, 0.3, 0.1]])
    for law in (SamplingParams(top_k=3), SamplingParams(top_k=4), SamplingParams(min_p=0.25)):
        assert np.exp(log_law(rows, law))[0] == pytest.approx([0.1, 0.4, 0.1, 0.3, 0.1])
    assert np.exp(log_law(rows, SamplingParams(1.0, 0.75, top_k=3)))[0] == pytest.approx([0.125, 0.5, 0, 0.375, 0])
    flat = np.zeros((1, 4))
    for law in (SamplingParams(top_k=1), SamplingParams(min_p=1.0)):
        assert np.exp(log_law(flat, law))[0] == pytest.approx([0.25] * 4)
    assert np.exp(log_law(flat, SamplingParams(0.0, top_k=2)))[0] == pytest.approx([1, 0, 0, 0])


def test_impossible_tokens_do_not_come_back_where_fewer_than_top_k_are_possible():
    rows = np.array([[-np.inf, 1.0, -np.inf, 1.0, -np.inf]])
    for law in (SamplingParams(top_k=4), SamplingParams(top_k=3, min_p=0.1), SamplingParams(1.0, 0.99, top_k=4)):
        assert np.exp(log_law(rows, law))[0] == pytest.approx([0, 0.5, 0, 0.5, 0])
        assert set(sample(rows, law, [0] * 4, [0.0, 0.4, 0.6, 1 - 2**-53])[0]) == {1, 3}


LISTS = st.lists(st.floats(-30, 30), min_size=2, max_size=12)
TEMPERATURES = st.floats(0.05, 3)


@given(LISTS, TEMPERATURES, st.floats(0.05, 1))
def test_filters_that_remove_nothing_change_no_bit(logits, temperature, top_p):
    row = np.array([logits], np.float32)
    plain = log_law(row, SamplingParams(temperature, top_p))
    for filters in ({"top_k": len(logits)}, {"top_k": 1000}, {"min_p": 0.0}):
        assert (log_law(row, SamplingParams(temperature, top_p, **filters)) == plain).all()


@given(st.lists(st.integers(-40, 40), min_size=2, max_size=12, unique=True), TEMPERATURES, st.floats(0.05, 1))
def test_the_strictest_filters_are_temperature_0_where_no_two_tokens_are_equal(logits, temperature, top_p):
    row = np.array([logits], np.float32)
    for filters in ({"top_k": 1}, {"min_p": 1.0}):
        assert (log_law(row, SamplingParams(temperature, top_p, **filters)) == log_law(row, SamplingParams(0.0))).all()


@given(LISTS, st.integers(0, 12), st.floats(0, 1), st.floats(0.05, 1))
def test_temperature_0_does_not_see_filters(logits, top_k, min_p, top_p):
    row = np.array([logits], np.float32)
    law = SamplingParams(0.0, top_p, top_k=top_k, min_p=min_p)
    assert (log_law(row, law) == log_law(row, SamplingParams(0.0))).all()
    assert sample(row, law, [0], [0.5]) == ([int(row.argmax())], [0.0])


@given(LISTS, TEMPERATURES, st.integers(0, 12), st.floats(0, 1), st.floats(0.05, 1))
def test_filters_one_after_the_other_are_the_filters_together(logits, temperature, top_k, min_p, top_p):
    """A law as logits of the next one: each filter sees what those before it left."""
    row = np.array([logits])
    step = log_law(log_law(row, SamplingParams(temperature, min_p=min_p)), SamplingParams(top_k=top_k))
    wanted = log_law(step, SamplingParams(top_p=top_p))
    found = log_law(row, SamplingParams(temperature, top_p, top_k=top_k, min_p=min_p))
    # Rounding may move a token across the edge of the nucleus, where its mass equals `top_p`.
    mass = np.sort(np.exp(step[0]))[::-1].cumsum()
    if np.abs(mass - top_p).min() > 1e-12:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@given(LISTS, st.floats(0, 1, exclude_max=True), st.floats(0.05, 1), st.integers(0, 12), st.floats(0, 1))
def test_a_draw_always_lies_in_the_support(logits, uniform, top_p, top_k, min_p):
    row = np.array([logits], np.float32)
    asked = SamplingParams(0.8, top_p, top_k=top_k, min_p=min_p)
    law = log_law(row, asked)
    (token,), (gain,) = sample(row, asked, [0], [uniform])
    assert np.isfinite(gain)
    assert gain == pytest.approx(law[0, token], abs=1e-5)
    assert np.exp(law.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)
