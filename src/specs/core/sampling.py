"""The distribution (law) that tokens follow, and how tokens are drawn from it.

`log_law` turns logits into log-probabilities for `p` and for `q`, and `sample` draws from the same
law, so the ratio `log p - log q` is 0, up to rounding, whenever the two models agree and the law is the same for both
(`SamplingParams.scored` says when it is not).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specs.types import SamplingParams

Floats = NDArray[np.float64]

COLD = 1e-30
"""Lower temperatures count as 0: only the most likely token keeps mass, and dividing logits by them would overflow."""
PLAIN = SamplingParams()
"""The model's own law."""


def log_law(logits: ArrayLike, sampling: SamplingParams = PLAIN) -> NDArray[np.floating]:
    """Log-probabilities of the sampled distribution.

    Temperature and filters follow each other as in vLLM 0.32, and the mass is scaled to 1 after each:

    1. Logits are divided by the temperature. Temperature 0 (below `COLD`) puts all mass on the most likely token, the
       first among equals, whatever the filters.
    2. `min_p` removes tokens whose probability is below `min_p` times the highest.
    3. `top_k` removes tokens whose probability is below the k-th highest. Tokens as likely as the k-th all stay, so
       that no token depends on its place in the vocabulary. vLLM does the same on CPUs; its Triton kernel for GPUs
       keeps exactly k.
    4. `top_p` keeps the smallest set of most likely tokens whose mass reaches it, the first among equals at its edge.

    `min_p` and `top_k` compare tokens with each other, so their order makes no difference; `top_p` depends on both.

    Args:
        logits: [..., V] raw logits.

    Returns:
        [..., V] nats, in the precision of the logits; -inf for tokens that a filter removed.

    Raises:
        FloatingPointError: the logits have no law (`highest`).
    """
    rows = np.asarray(logits)
    if rows.dtype.kind != "f":
        rows = rows.astype(np.float64)
    if sampling.temperature < COLD:
        highest(rows)
        law = np.full_like(rows, -np.inf)
        np.put_along_axis(law, rows.argmax(-1, keepdims=True), 0.0, -1)
        return law
    law = _normalised(_filtered(rows, sampling))
    if sampling.top_p < 1:
        order = np.argsort(-law, axis=-1, kind="stable")
        mass = np.exp(np.take_along_axis(law, order, -1).astype(np.float64)).cumsum(-1)
        # A token stays if the mass before it has not reached top_p: the first always does.
        outside = np.concatenate([np.zeros_like(mass[..., :1]), mass[..., :-1]], -1) >= sampling.top_p
        cut = np.zeros(law.shape, bool)
        np.put_along_axis(cut, order, outside, -1)
        law = np.where(cut, rows.dtype.type(-np.inf), law)
        law = _normalised(law - law.max(-1, keepdims=True))
    return law


def highest(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """[..., 1] the highest number of each row [..., V], after checking that every row has a law.

    Raises:
        FloatingPointError: a row contains NaN or +inf, or only -inf. (-inf among finite numbers is allowed: that
            token is impossible.)
    """
    most = rows.max(-1, keepdims=True)
    if not all(map(math.isfinite, most.ravel().tolist())):
        raise FloatingPointError(_fault(most))
    return most


def _fault(most: NDArray[np.floating]) -> str:
    """The message for rows with these highest numbers."""
    if np.isnan(most).any():
        return "NaN"
    return "infinite" if np.isposinf(most).any() else "-infinity for all tokens"


def _filtered(rows: NDArray[np.floating], sampling: SamplingParams) -> NDArray[np.floating]:
    """Unnormalised log-probabilities after temperature, `min_p` and `top_k`: the highest of each row is 0."""
    scores = _scaled(rows, sampling.temperature)
    if sampling.min_p > 0:
        scores[scores < math.log(sampling.min_p)] = -np.inf
    if 0 < sampling.top_k < (width := scores.shape[-1]):
        place = width - sampling.top_k
        scores[scores < np.partition(scores, place, -1)[..., place : place + 1]] = -np.inf
    return scores


@np.errstate(over="ignore")  # masks of -3e38 become -inf
def _scaled(rows: NDArray[np.floating], temperature: float) -> NDArray[np.floating]:
    """Unnormalised log-probabilities: the highest of each row is 0."""
    scores = rows / rows.dtype.type(temperature)
    scores -= highest(scores)
    return scores


def _normalised(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Normalise log-probabilities in place."""
    total = np.exp(rows).sum(-1, keepdims=True, dtype=np.float64)
    rows -= np.log(total).astype(rows.dtype)
    return rows


def sample(
    logits: NDArray[np.floating], sampling: SamplingParams, rows: Sequence[int], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """One token per draw, by inversion: the first whose cumulative mass exceeds the uniform.

    Args:
        logits: [R, V] raw logits.
        rows: [n] the row of each draw.
        uniforms: [n] in [0, 1).

    Returns:
        [n] token ids, never one of probability 0, and [n] their log-probabilities under `log_law`, in nats.

    Raises:
        FloatingPointError: the logits have no law (`highest`).
    """
    whole = sampling.temperature >= COLD and sampling.top_p == 1
    scores = _filtered(logits, sampling) if whole else log_law(logits, sampling)
    tokens, totals = _drawn(scores, rows, uniforms)
    logs = [math.log(total) for total in totals]
    return tokens, [scores.item(row, token) - logs[row] for row, token in zip(rows, tokens, strict=True)]


def _drawn(
    scores: NDArray[np.floating], rows: Sequence[int], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Tokens drawn from unnormalised log-probabilities, and the mass of each row."""
    mass = np.exp(scores).cumsum(-1, dtype=np.float64)
    # Scaling by the total keeps a uniform near 1 inside the support under rounding.
    totals: list[float] = mass[:, -1].tolist()
    pairs = zip(rows, uniforms, strict=True)
    return [int(mass[row].searchsorted(uniform * totals[row], "right")) for row, uniform in pairs], totals


def total_log_probability(by_token: Sequence[float]) -> float:
    """Log-probability of a step in nats: the sum over its tokens."""
    return float(np.asarray(by_token, np.float64).sum())
