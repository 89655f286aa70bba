"""Logits on a device: sampled tokens and log-probabilities equal those that numpy computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from helpers import toy
from specs.core.sampling import log_law
from specs.engines.local.logits import NUMPY_LOGITS_OPS
from specs.types import SamplingParams

torch = pytest.importorskip("torch")

from specs.engines.local.torch import logits as torch_logits  # noqa: E402
from specs.engines.local.torch.logits import BLOCK, TorchLogitsOps  # noqa: E402

DEVICE = TorchLogitsOps()
FILTERS = [
    {name: value for name, value in zip(("top_p", "top_k", "min_p"), filters, strict=True) if value is not None}
    for filters in product((None, 0.9), (None, 2, 20), (None, 0.05))
]
"""Every combination of filters."""
LAWS = [
    *(SamplingParams(*law) for law in ((1.0, 1.0), (1.0, 0.05), (0.0, 1.0))),
    SamplingParams(0.0, 0.9, top_k=2, min_p=0.5),
    SamplingParams(0.7, top_k=1),
    SamplingParams(0.7, min_p=1.0),
    *(SamplingParams(0.8, **filters) for filters in FILTERS),
]
WIDTHS = [2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17]


def logits(width: int, rows: int = 5, seed: int = 0) -> np.ndarray:
    """Rows of logits: some flat, some sharp, some with tokens of probability 0."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((rows, width)) * np.array([0.1, 1, 4, 20, 4])[:rows, None]
    found[-1, rng.random(width) < 0.5] = -np.inf
    found[-1, width // 2] = 3.0
    return found.astype(np.float32)


@pytest.fixture
def tensor(device: str) -> Callable[[np.ndarray], torch.Tensor]:
    return lambda rows: torch.tensor(rows, device=device)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_same_uniforms_draw_the_same_tokens(law: SamplingParams, width: int, tensor: Any) -> None:
    """A draw may differ if its uniform is within rounding (1e-6) of a token's edge: odds of 1e-4 over all draws."""
    rng = np.random.default_rng(1)
    rows, row_of, uniforms = logits(width), rng.integers(5, size=60).tolist(), rng.random(60).tolist()
    tokens, gains = DEVICE.sample(tensor(rows), law, row_of, uniforms)
    wanted, nats = NUMPY_LOGITS_OPS.sample(rows, law, row_of, uniforms)
    assert tokens == wanted
    assert gains == pytest.approx(nats, abs=1e-4)


@pytest.mark.parametrize("uniform", [0.0, 1e-300, 2**-53, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_draw_always_lies_in_the_support(width: int, uniform: float, tensor: Any) -> None:
    rows = np.full((width, width), -np.inf, np.float32)
    np.fill_diagonal(rows, 0.0)  # one possible token per row, at each place of a block
    rows[-1] = 0.0
    tokens, gains = DEVICE.sample(tensor(rows), SamplingParams(0.7), range(width), [uniform] * width)
    assert tokens[:-1] == list(range(width - 1))
    assert tokens[-1] == NUMPY_LOGITS_OPS.sample(rows[-1:], SamplingParams(0.7), [0], [uniform])[0][0]
    assert np.isfinite(gains).all()


@pytest.mark.parametrize("law", LAWS)
def test_scores_do_not_depend_on_the_size_of_chunks(law: SamplingParams, monkeypatch, tensor: Any) -> None:
    rng = np.random.default_rng(2)
    rows, row_of, tokens = logits(600), rng.integers(5, size=40), rng.integers(600, size=40)
    wanted = log_law(rows, law)[row_of, tokens]
    for at_once in (1 << 23, 1200, 1):
        monkeypatch.setattr(torch_logits, "AT_ONCE", at_once)
        found = DEVICE.log_probabilities(tensor(rows), law, row_of.tolist(), tokens.tolist())
        assert (np.isfinite(found) == np.isfinite(wanted)).all()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_draws_follow_the_law_of_every_combination_of_filters(where, filters: dict[str, Any], tensor: Any) -> None:
    """Chi-square of 4,000 draws against a law worked out token by token, at 5 sigma: odds of 3e-7 in each of 24."""
    row = np.random.default_rng(4).standard_normal(60).astype(np.float32) * 2
    exact = by_hand(row, 0.8, **filters)
    given = row[None] if where is NUMPY_LOGITS_OPS else tensor(row[None])
    uniforms = np.random.default_rng(5).random(4000).tolist()
    tokens, gains = where.sample(given, SamplingParams(0.8, **filters), [0] * 4000, uniforms)
    counts = Counter(tokens)
    statistic, degrees = toy.chi_square([counts[token] for token in range(60)], 4000 * exact)
    assert statistic < toy.chi_square_bound(max(degrees, 1))
    assert gains == pytest.approx(np.log(exact[tokens]).tolist(), abs=1e-4)


def by_hand(row: np.ndarray, temperature: float, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0) -> np.ndarray:
    """The law of a row without equal logits: sorted, shortened by one filter after the other, and scaled to 1."""
    mass = {token: float(np.exp(np.float64(logit) / temperature)) for token, logit in enumerate(row)}
    kept = sorted(mass, key=lambda token: -mass[token])
    kept = [token for token in kept if mass[token] >= min_p * mass[kept[0]]][: top_k or None]
    whole, so_far, nucleus = sum(mass[token] for token in kept), 0.0, []
    for token in kept:
        if so_far < top_p * whole:
            nucleus.append(token)
        so_far += mass[token]
    total = sum(mass[token] for token in nucleus)
    return np.array([mass[token] / total if token in nucleus else 0.0 for token in range(len(row))])


@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_equal_tokens_at_the_edge_of_top_k_and_min_p_all_stay(where, tensor: Any) -> None:
    rows = np.array([[0.0, 2.0, 0.0, 1.0, 0.0, -5.0]], np.float32)
    given = rows if where is NUMPY_LOGITS_OPS else tensor(rows)
    for law in (SamplingParams(top_k=3), SamplingParams(top_k=5), SamplingParams(min_p=float(np.exp(-2.0)) * 0.999)):
        found = where.log_probabilities(given, law, [0] * 6, range(6))
        assert np.isfinite(found).tolist() == [True] * 5 + [False]
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-6)


def test_half_precision_is_read_exactly(tensor: Any) -> None:
    rows = tensor(logits(600)).bfloat16()
    uniforms = np.random.default_rng(3).random(5).tolist()
    tokens, gains = DEVICE.sample(rows, SamplingParams(0.7), range(5), uniforms)
    assert (tokens, gains) == (lambda found: (found[0], pytest.approx(found[1], abs=1e-4)))(
        NUMPY_LOGITS_OPS.sample(rows.float().cpu().numpy(), SamplingParams(0.7), range(5), uniforms)
    )


@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_rows_are_concatenated_stacked_and_copied_to_memory(where, tensor: Any) -> None:
    one, two = logits(7), logits(7, seed=1)
    given = (one, two) if where is NUMPY_LOGITS_OPS else (tensor(one), tensor(two))
    both = where.concatenate(*given)
    np.testing.assert_array_equal(where.to_numpy(both), np.concatenate([one, two]))
    np.testing.assert_array_equal(where.to_numpy(both[[6, 0]]), np.stack([two[1], one[0]]))
    copied = where.stack([given[0][2], given[1][1]])
    given[0][:] = 0
    np.testing.assert_array_equal(where.to_numpy(copied), np.stack([logits(7)[2], two[1]]))
    assert where.to_numpy(copied).dtype == np.float32


FAULTS = {"NaN": [1.0, np.nan, 2.0], "infinite": [1.0, np.inf, 2.0], "-infinity for all tokens": [-np.inf] * 3}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("word", FAULTS)
@pytest.mark.parametrize("width", [3, BLOCK + 3])
@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_rows_without_a_valid_distribution_are_refused(
    where, width: int, word: str, law: SamplingParams, tensor: Any
) -> None:
    """Wherever in the row the invalid value is; on a device it is found when rows are used or copied to memory."""
    faulty = np.full(width, -np.inf if word.startswith("-") else 0.5)
    faulty[-3:] = FAULTS[word]
    rows = np.stack([np.zeros(width), faulty]).astype(np.float32)
    given = rows if where is NUMPY_LOGITS_OPS else tensor(rows)
    for uniform in (0.0, 0.5, 1 - 2**-53):
        with pytest.raises(FloatingPointError, match=f"^{word}$"):
            where.sample(given, law, [0, 1], [uniform] * 2)
    with pytest.raises(FloatingPointError, match=f"^{word}$"):
        where.log_probabilities(given, law, [0, 1], [0, width - 1])
    with pytest.raises(FloatingPointError, match=f"^{word}$"):
        where.to_numpy(given)


@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_impossible_tokens_beside_possible_ones_are_no_error(where, tensor: Any) -> None:
    rows = np.array([[-np.inf, 0.0, -np.inf], [0.0, -np.inf, np.finfo(np.float32).min]], np.float32)
    given = rows if where is NUMPY_LOGITS_OPS else tensor(rows)
    for law in LAWS:
        assert where.sample(given, law, [0, 1], [0.999] * 2) == ([1, 0], [0.0, 0.0])
        assert where.log_probabilities(given, law, [0, 1, 1], [0, 1, 0]).tolist() == [-np.inf, -np.inf, 0.0]
    np.testing.assert_array_equal(where.to_numpy(given), rows)


@pytest.mark.parametrize("where", [NUMPY_LOGITS_OPS, DEVICE])
def test_logits_that_overflow_when_divided_by_the_temperature_are_refused(where, tensor: Any) -> None:
    rows = np.array([[0.0, 2e38]], np.float32)
    given = rows if where is NUMPY_LOGITS_OPS else tensor(rows)
    for ask in (where.sample, where.log_probabilities):
        with pytest.raises(FloatingPointError, match=r"^infinite$"):
            ask(given, SamplingParams(0.5), [0], [0])


@pytest.mark.parametrize("temperature", [9e-31, 1e-45])
def test_a_temperature_near_0_is_read_as_0(temperature: float, tensor: Any) -> None:
    tokens, gains = DEVICE.sample(tensor(logits(600)), SamplingParams(temperature), range(5), [0.999] * 5)
    assert (tokens, gains) == (logits(600).argmax(1).tolist(), [0.0] * 5)


def test_no_tokens_have_no_log_probabilities(tensor: Any) -> None:
    assert len(DEVICE.log_probabilities(tensor(logits(7)), SamplingParams(), [], [])) == 0
