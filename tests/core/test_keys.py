import numpy as np

from specs.core.keys import Key, TokenUniforms


def test_the_draws_of_a_candidate_do_not_depend_on_n():
    key = Key.from_seed(3).fold("draft", (1, 2, 3))
    few, many = TokenUniforms([key], 3), TokenUniforms([key], 40)
    for token_idx in (0, 1, 63, 64, 200):
        assert few.at(token_idx) == many.at(token_idx)[:3]


def test_the_uniforms_of_tokens_may_be_read_in_any_order():
    key = Key.from_seed(3)
    forward = TokenUniforms([key], 2)
    first = [forward.at(k) for k in range(130)]
    backward = TokenUniforms([key], 2)
    assert [backward.at(k) for k in reversed(range(130))] == first[::-1]


def test_every_part_of_a_key_changes_the_draw():
    base = Key.from_seed(0).fold("draft", (1, 2), 0)
    others = [
        Key.from_seed(1).fold("draft", (1, 2), 0),
        Key.from_seed(0).fold("target", (1, 2), 0),
        Key.from_seed(0).fold("draft", (1, 3), 0),
        Key.from_seed(0).fold("draft", (1, 2, 0), 0),
        Key.from_seed(0).fold("draft", (1, 2), 1),
    ]
    assert len({key.uniform() for key in [base, *others]}) == 6
    assert base.uniform() == Key.from_seed(0).fold("draft", (1, 2), 0).uniform()


def test_uniforms_are_uniform_and_independent_across_candidates_and_tokens():
    """Fixed seeds; a correct generator exceeds each bound with probability below 1e-6."""
    draws = np.stack([TokenUniforms([Key.from_seed(s)], 32).at(t) for s in range(40) for t in (0, 1, 70)])
    values = draws.ravel()
    assert abs(values.mean() - 0.5) < 5 * np.sqrt(1 / 12 / values.size)
    counts = np.histogram(values, 16, (0, 1))[0]
    assert ((counts - values.size / 16) ** 2 / (values.size / 16)).sum() < 55  # chi-square, 15 degrees of freedom
    across = np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]
    assert abs(across) < 5 / np.sqrt(len(draws))


def test_integers_are_a_function_of_the_key_and_fit_a_signed_word():
    keys = [Key.from_seed(seed).fold("server", range(seed)) for seed in range(200)]
    drawn = [key.integer() for key in keys]
    assert drawn == [key.integer() for key in keys]
    assert len(set(drawn)) == 200
    assert all(0 <= value < 2**62 for value in drawn)
    assert max(drawn) > 2**61, "if they use all bits, none is that large with probability 1e-60"
