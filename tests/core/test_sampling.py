import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.core.sampling import log_law, sample

LOGITS = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))


def test_temperature_one_is_softmax():
    assert np.exp(log_law(LOGITS)) == pytest.approx(np.array([[0.5, 0.3, 0.15, 0.05]]))


def test_temperature_raises_probabilities_to_its_inverse():
    powered = np.array([0.5, 0.3, 0.15, 0.05]) ** (1 / 0.7)
    assert np.exp(log_law(LOGITS, 0.7))[0] == pytest.approx(powered / powered.sum())


def test_temperature_zero_is_the_first_of_the_most_likely():
    law = log_law(np.array([[1.0, 3.0, 3.0]]), 0.0)
    assert law.tolist() == [[-np.inf, 0.0, -np.inf]]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, [1.0, 0, 0, 0]), (0.5, [1.0, 0, 0, 0]), (0.51, [0.625, 0.375, 0, 0]), (0.96, [0.5, 0.3, 0.15, 0.05])],
)
def test_nucleus_is_the_smallest_set_that_reaches_top_p(top_p, kept):
    assert np.exp(log_law(LOGITS, 1.0, top_p))[0] == pytest.approx(np.array(kept))


def test_nucleus_is_taken_after_temperature():
    # At temperature 0.25 the first token alone has probability 0.88.
    assert np.exp(log_law(LOGITS, 0.25, 0.85))[0] == pytest.approx([1, 0, 0, 0])


def test_of_equal_tokens_at_the_edge_of_the_nucleus_the_first_stays():
    assert np.exp(log_law(np.zeros((1, 4)), 1.0, 0.5))[0] == pytest.approx([0.5, 0.5, 0, 0])


def test_integer_logits_are_read_as_numbers():
    assert np.exp(log_law(np.array([[0, 0]])))[0] == pytest.approx([0.5, 0.5])


def test_sampling_inverts_the_cumulative_distribution():
    tokens, gains = sample(LOGITS, 1.0, 1.0, [0] * 5, [0.0, 0.49, 0.51, 0.81, 0.9999999999])
    assert tokens == [0, 0, 1, 2, 3]
    assert gains == pytest.approx(LOGITS[0, tokens].tolist())


def test_several_draws_may_read_the_same_row():
    assert sample(np.log([[0.9, 0.1], [0.1, 0.9]]), 1.0, 1.0, [1, 0, 1], [0.5, 0.5, 0.05])[0] == [1, 0, 0]


LAWS = [(1.0, 1.0), (0.7, 1.0), (0.8, 0.9), (0.0, 1.0), (1e-40, 1.0)]


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
        log_law(rows, *law)
    with pytest.raises(FloatingPointError, match=f"^{word}$"):
        sample(rows, *law, [0, 1], [0.5, 0.5])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("least", [-math.inf, float(np.finfo(np.float32).min)])
def test_impossible_tokens_beside_possible_ones_are_no_error(law, least):
    """Masks are minus infinity or the lowest finite number: in both cases the token is never drawn."""
    rows = np.array([[least, 1.0, least, 5.0]], np.float32)
    found = np.exp(log_law(rows, *law))[0]
    assert found[[0, 2]].tolist() == [0.0, 0.0]
    assert found.sum() == pytest.approx(1)
    tokens, _ = sample(rows, *law, [0] * 5, [0.0, 0.01, 0.3, 0.9, 1 - 2**-53])
    assert set(tokens) <= {1, 3}


def test_logits_that_overflow_when_divided_by_the_temperature_are_refused():
    for ask in (log_law, lambda *law: sample(*law, 1.0, [0], [0.5])):
        with pytest.raises(FloatingPointError, match=r"^infinite$"):
            ask(np.array([[0.0, 2e38]], np.float32), 0.5)


@pytest.mark.parametrize("temperature", [9e-31, 1e-38, 1e-45, 1e-300])
def test_a_temperature_near_0_is_read_as_0(temperature):
    assert log_law(LOGITS.astype(np.float32), temperature).tolist() == [[0.0, -math.inf, -math.inf, -math.inf]]
    assert sample(LOGITS.astype(np.float32), temperature, 1.0, [0], [0.999]) == ([0], [0.0])


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=12), st.floats(0, 1, exclude_max=True), st.floats(0.05, 1))
def test_a_draw_always_lies_in_the_support(logits, uniform, top_p):
    row = np.array([logits], np.float32)
    law = log_law(row, 0.8, top_p)
    (token,), (gain,) = sample(row, 0.8, top_p, [0], [uniform])
    assert np.isfinite(gain)
    assert gain == pytest.approx(law[0, token], abs=1e-5)
    assert np.exp(law.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)
