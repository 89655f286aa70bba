"""The probe of a backend at loading: what it must find wrong, and what it must accept."""

import numpy as np
import pytest

from specs.engines.local.backend import finite, tree_error
from specs.engines.local.tabular import TabularBackend
from specs.errors import EngineError, ModelError

WIDTH = 8


def backend(change=lambda ids, row: row):
    """A backend with random rows as a function of the tokens so far, passed through `change`."""

    def look_up(ids):
        return change(ids, np.random.default_rng([len(ids), *ids]).normal(size=WIDTH))

    return TabularBackend("m", look_up, WIDTH, WIDTH)


def masked(ids, row):
    """Suppress two tokens, as some models do."""
    row[[1, 5]] = -np.inf
    return row


@pytest.mark.parametrize("change", [lambda ids, row: row, masked, lambda ids, row: 0 * row])
def test_a_correct_tree_has_no_error_with_suppressed_or_constant_outputs_too(change):
    assert tree_error(backend(change), backend(change)) == 0.0


def test_the_error_of_a_tree_is_relative():
    def off(ids, row):
        return row + 0.01 * np.abs(row).max() * (len(ids) == 1)

    assert 0.005 < tree_error(backend(off), backend()) < 0.02
    assert tree_error(backend(masked), backend()) == np.inf


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "-infinity for all tokens")]
)
def test_outputs_that_are_not_finite_are_not_reported_as_a_wrong_tree(value, word):
    broken = backend(lambda ids, row: np.full(WIDTH, value))
    said = rf"^m: outputs are not finite \({word}\); correct its table$"
    with pytest.raises(ModelError, match=said), finite(broken, "outputs", ModelError):
        tree_error(broken, broken)
    with pytest.raises(EngineError, match=r"^m: logits are"), finite(broken, "logits"):
        raise FloatingPointError("NaN")
