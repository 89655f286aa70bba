"""The entropy of the most likely tokens."""

import math

import numpy as np
import pytest

from specs.core.entropy import top_entropy


def test_worked_values():
    """Two equally likely tokens: log 2. A certain one: 0. 1/2, 1/4, 1/4: 1.5 log 2; its first two: 2/3 and 1/3."""
    assert top_entropy([3.0, 3.0], 20) == pytest.approx(math.log(2))
    assert top_entropy([1.0, -math.inf, -math.inf], 20) == 0.0
    quarters = np.log([0.25, 0.5, 0.25])
    assert top_entropy(quarters, 3) == pytest.approx(1.5 * math.log(2))
    assert top_entropy(quarters, 2) == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    assert top_entropy(quarters, 1) == 0.0


def test_it_needs_no_normalised_logits_and_never_exceeds_that_of_equal_tokens():
    rng = np.random.default_rng(0)
    for top in (1, 2, 20, 50, 99):
        row = rng.normal(scale=3, size=50)
        found = top_entropy(row, top)
        assert found == pytest.approx(top_entropy(row - 700, top))
        assert 0 <= found <= math.log(min(top, 50))
        assert top_entropy(np.zeros(50), top) == pytest.approx(math.log(min(top, 50)), abs=1e-12)


def test_tokens_beyond_the_most_likely_ones_do_not_count():
    row = np.log([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    assert top_entropy(row, 2) == pytest.approx(top_entropy(row[:2], 2))
    assert top_entropy(row[::-1], 3) == pytest.approx(top_entropy(row[:3], 3))
