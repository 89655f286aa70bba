"""The probe of a backend at loading: what it finds wrong, and what it must not take for wrong."""

import numpy as np
import pytest

from specs.engines.local.backend import finite, tree_error
from specs.engines.local.tabular import TabularBackend
from specs.errors import EngineError, ModelError

WIDTH = 8


def backend(change=lambda ids, row: row):
    """Random rows by the tokens so far, changed."""

    def look_up(ids):
        return change(ids, np.random.default_rng([len(ids), *ids]).normal(size=WIDTH))

    return TabularBackend("m", look_up, WIDTH, WIDTH)


def masked(ids, row):
    """As models do that suppress tokens."""
    row[[1, 5]] = -np.inf
    return row


@pytest.mark.parametrize("change", [lambda ids, row: row, masked, lambda ids, row: 0 * row])
def test_a_tree_that_equals_its_paths_is_right_whatever_is_impossible(change):
    assert tree_error(backend(change), backend(change)) == 0.0


def test_how_far_a_tree_is_from_its_paths_is_relative():
    def off(ids, row):
        return row + 0.01 * np.abs(row).max() * (len(ids) == 1)

    assert 0.005 < tree_error(backend(off), backend()) < 0.02
    assert tree_error(backend(masked), backend()) == np.inf


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "-infinity for all tokens")]
)
def test_outputs_that_are_none_are_no_wrong_tree(value, word):
    broken = backend(lambda ids, row: np.full(WIDTH, value))
    said = rf"^m: outputs are not finite \({word}\); correct its table$"
    with pytest.raises(ModelError, match=said), finite(broken, "outputs", ModelError):
        tree_error(broken, broken)
    with pytest.raises(EngineError, match=r"^m: logits are"), finite(broken, "logits"):
        raise FloatingPointError("NaN")
