import math

import numpy as np
import pytest

from specs.core.beginnings import ROUNDING, beginning

HALF = math.log(0.5)
READ = {(1, 2, 3): [HALF, HALF, 0.0], (1, 4): [HALF, math.log(0.25)]}


def test_by_hand():
    assert beginning((1, 2, 5), READ) == pytest.approx([HALF, HALF, math.log(ROUNDING)])  # 3 has all of the mass
    assert beginning((1, 9, 5), READ) == pytest.approx([HALF, math.log(0.25 + ROUNDING)])
    assert beginning((7,), READ) == pytest.approx([math.log(0.5 + ROUNDING)])
    assert beginning((1, 4, 8), READ) == pytest.approx([HALF, math.log(0.25)])  # nothing was read after 1, 4
    assert beginning((1, 2, 3), READ) == READ[1, 2, 3]
    assert beginning((1, 2), {}) == []


def test_a_path_that_could_not_be_read_says_nothing():
    assert beginning((1, 2), {(1, 2, 3): [-math.inf]}) == []


def test_no_log_probability_is_above_its_bound():
    """Random laws over 4 tokens, some of them impossible, and paths of up to 5 tokens."""
    rng = np.random.default_rng(0)
    tight = 0
    for _ in range(300):
        laws = {}

        def by_token(path, laws=laws):
            for length in range(len(path)):
                weights = rng.exponential(size=4) ** 2 * (rng.random(4) > 0.2) + 1e-12
                laws.setdefault(path[:length], np.log(weights / weights.sum()))
            return [float(laws[path[:idx]][token]) for idx, token in enumerate(path)]

        paths = [tuple(rng.integers(4, size=rng.integers(1, 6)).tolist()) for _ in range(6)]
        read = {path: by_token(path) for path in paths[:4]}
        for path in paths:
            bounds, exact = beginning(path, read), by_token(path)
            assert all(one >= other - 1e-12 for one, other in zip(bounds, exact, strict=False))
            tight += sum(math.isclose(one, other) for one, other in zip(bounds, exact, strict=False))
    assert tight > 2000
